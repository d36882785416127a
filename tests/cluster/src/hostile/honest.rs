//! The client that behaves: it produces, consumes and connects all the time, and takes down how long each took.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use parking_lot::Mutex;
use wire::messages::ApiVersionsRequest;
use wire::{ErrorCode, Records, batch};

use super::requests;
use crate::client::Connection;

/// A client of Kafka's has this much patience with a request.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two records, and between two connections.
const PACE: Duration = Duration::from_millis(10);
const CONNECT_PACE: Duration = Duration::from_millis(50);
const VALUE_BYTES: usize = 200;

/// How long something took, each time.
#[derive(Clone, Debug, Default)]
pub struct Waits(Vec<Duration>);

impl FromIterator<Duration> for Waits {
    fn from_iter<T: IntoIterator<Item = Duration>>(waits: T) -> Waits {
        Waits(waits.into_iter().collect())
    }
}

impl Waits {
    /// All of them together.
    pub fn pooled<'a>(all: impl Iterator<Item = &'a Waits>) -> Waits {
        all.flat_map(|waits| waits.0.iter().copied()).collect()
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Milliseconds that such a part of them did not exceed.
    pub fn quantile_ms(&self, part: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let last = sorted.len().saturating_sub(1) as f64;
        let at = sorted.get((last * part).round() as usize);
        at.map_or(0.0, |wait| wait.as_secs_f64() * 1000.0)
    }
}

/// What the client has seen since it was last asked.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// From sending a record to its acknowledgement by all replicas.
    pub acks: Waits,
    /// From sending a record to having it consumed.
    pub ends: Waits,
    /// From dialling to the first answer on a new connection.
    pub connects: Waits,
    pub errors: Vec<String>,
}

#[derive(Default)]
struct Shared {
    seen: Mutex<Seen>,
    /// When each record was sent, by offset.
    sent: Mutex<Vec<Instant>>,
    consumed: AtomicU64,
    end: AtomicBool,
}

/// So many of each are some progress, of hundreds in quiet.
const LEAST: usize = 5;

impl Seen {
    pub fn has_come_on(&self) -> bool {
        let all = [&self.acks, &self.ends, &self.connects];
        all.iter().all(|waits| waits.count() >= LEAST)
    }

    pub fn add(&mut self, more: Seen) {
        self.acks.0.extend(more.acks.0);
        self.ends.0.extend(more.ends.0);
        self.connects.0.extend(more.connects.0);
        self.errors.extend(more.errors);
    }
}

/// Its threads: a producer, a consumer, and one that connects.
pub struct Honest {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Honest {
    /// To an empty topic of one partition, which this broker leads.
    pub fn start(broker: SocketAddr, topic: &str) -> Honest {
        let shared = Arc::<Shared>::default();
        let begin = |work: fn(SocketAddr, &str, &Shared) -> Result<()>| {
            let (shared, topic) = (shared.clone(), topic.to_owned());
            thread::spawn(move || {
                while !shared.end.load(Ordering::Relaxed) {
                    // A client goes on after an error, on another connection; that there was one is told.
                    if let Err(error) = work(broker, &topic, &shared) {
                        shared.seen.lock().errors.push(format!("{error:#}"));
                        thread::sleep(PACE);
                    }
                }
            })
        };
        let threads = vec![begin(produce), begin(consume), begin(connect)];
        Honest { shared, threads }
    }

    /// What it has seen since the last time.
    pub fn take(&self) -> Seen {
        std::mem::take(&mut self.shared.seen.lock())
    }

    /// Records that were acknowledged, and those that were consumed.
    pub fn counts(&self) -> (u64, u64) {
        let sent = self.shared.sent.lock().len() as u64;
        (sent, self.shared.consumed.load(Ordering::Relaxed))
    }

    /// Ends the producer, and waits until all of its records are consumed.
    pub fn finish(mut self) -> Result<(u64, u64)> {
        self.shared.end.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let ended = thread.join().ok();
            ended.context("a thread of the client has panicked")?;
        }
        let (sent, consumed) = self.counts();
        ensure!(sent == consumed, "{sent} sent, {consumed} consumed");
        Ok((sent, consumed))
    }
}

fn produce(broker: SocketAddr, topic: &str, shared: &Shared) -> Result<()> {
    let mut connection = Connection::open(broker, PATIENCE)?;
    while !shared.end.load(Ordering::Relaxed) {
        let request = requests::produce(topic, &[b'h'; VALUE_BYTES], -1);
        let began = Instant::now();
        // The consumer may be quicker than the acknowledgement.
        shared.sent.lock().push(began);
        let response = connection.ask(&request, requests::PRODUCE)?;
        let partition = response
            .responses
            .first()
            .and_then(|topic| topic.partition_responses.first())
            .context("an answer without the partition")?;
        let (code, offset) = (partition.error_code, partition.base_offset);
        ensure!(code == ErrorCode::None as i16, "produce: error {code}");
        let expected = shared.sent.lock().len() as i64 - 1;
        ensure!(
            offset == expected,
            "record {expected} is at offset {offset}"
        );
        shared.seen.lock().acks.0.push(began.elapsed());
        thread::sleep(PACE);
    }
    Ok(())
}

fn consume(broker: SocketAddr, topic: &str, shared: &Shared) -> Result<()> {
    let mut connection = Connection::open(broker, PATIENCE)?;
    let mut last = Instant::now();
    loop {
        let next = shared.consumed.load(Ordering::Relaxed);
        let has_all = next >= shared.sent.lock().len() as u64;
        // One that was refused never comes: whoever counts them tells.
        if shared.end.load(Ordering::Relaxed) && (has_all || last.elapsed() > PATIENCE) {
            return Ok(());
        }
        let request = requests::fetch(topic, next as i64, 1 << 20, 500);
        let response = connection.ask(&request, requests::FETCH)?;
        let partition = response
            .responses
            .first()
            .and_then(|topic| topic.partitions.first())
            .context("an answer without the partition")?;
        ensure!(partition.error_code == 0, "fetch: {}", partition.error_code);
        let empty = Records::default();
        let records = batch::count_records(partition.records.as_ref().unwrap_or(&empty));
        let now = Instant::now();
        if records > 0 {
            last = now;
        }
        let sent = shared.sent.lock();
        let mut seen = shared.seen.lock();
        for offset in next..next + records {
            let sent = sent.get(offset as usize);
            let sent = sent.context("a record that was not sent")?;
            seen.ends.0.push(now.duration_since(*sent));
        }
        shared.consumed.store(next + records, Ordering::Relaxed);
    }
}

fn connect(broker: SocketAddr, _topic: &str, shared: &Shared) -> Result<()> {
    while !shared.end.load(Ordering::Relaxed) {
        let began = Instant::now();
        let mut connection = Connection::open(broker, PATIENCE)?;
        let request = ApiVersionsRequest {
            client_software_name: "hostile-test".into(),
            client_software_version: "1".into(),
        };
        connection.ask(&request, requests::API_VERSIONS)?;
        shared.seen.lock().connects.0.push(began.elapsed());
        thread::sleep(CONNECT_PACE);
    }
    Ok(())
}
