//! What became of each record, and how long it waited from being handed over to its acknowledgement.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use chrono::{SecondsFormat, Utc};
use rdkafka::ClientContext;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::ProducerContext;
use serde::Serialize;

/// Waits of at least this long are listed one by one.
const SLOW_MS: u64 = 500;
const MAX_LISTED: usize = 50;
/// Counts of waits by whole milliseconds; longer ones are all in the last.
const HISTOGRAM_MS: usize = 10_000;

#[derive(Serialize, Clone)]
pub struct Slow {
    /// When it was acknowledged, UTC.
    pub at: String,
    pub partition: i32,
    pub offset: i64,
    pub wait_ms: u64,
}

pub struct Record {
    pub acked: u64,
    pub failures: Vec<String>,
    /// Acknowledged records of each partition.
    pub by_partition: Vec<u64>,
    pub longest_ms: u64,
    pub slow: Vec<Slow>,
    histogram: Vec<u64>,
}

impl Record {
    /// The wait that `share` of all records did not exceed.
    pub fn quantile_ms(&self, share: f64) -> usize {
        let aim = (self.acked as f64 * share).ceil() as u64;
        let mut seen = 0;
        self.histogram
            .iter()
            .position(|count| {
                seen += count;
                seen >= aim
            })
            .unwrap_or(HISTOGRAM_MS)
    }
}

/// Shared by the producer's thread, which reports, and the one that sends.
#[derive(Clone)]
pub struct Deliveries(Arc<Mutex<Record>>);

impl Deliveries {
    pub fn new(partitions: usize) -> Self {
        Deliveries(Arc::new(Mutex::new(Record {
            acked: 0,
            failures: Vec::new(),
            by_partition: vec![0; partitions],
            longest_ms: 0,
            slow: Vec::new(),
            histogram: vec![0; HISTOGRAM_MS + 1],
        })))
    }

    pub fn lock(&self) -> MutexGuard<'_, Record> {
        self.0.lock().expect("no holder of the lock panics")
    }
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Instant>;

    fn delivery(&self, result: &DeliveryResult<'_>, handed_over: Box<Instant>) {
        let wait_ms = handed_over.elapsed().as_millis() as u64;
        let mut record = self.lock();
        let message = match result {
            Ok(message) => message,
            Err((error, _)) => {
                record.failures.push(error.to_string());
                return;
            }
        };
        record.acked += 1;
        record.longest_ms = record.longest_ms.max(wait_ms);
        record.histogram[(wait_ms as usize).min(HISTOGRAM_MS)] += 1;
        if let Some(count) = record.by_partition.get_mut(message.partition() as usize) {
            *count += 1;
        }
        if wait_ms >= SLOW_MS && record.slow.len() < MAX_LISTED {
            let at = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
            record.slow.push(Slow {
                at,
                partition: message.partition(),
                offset: message.offset(),
                wait_ms,
            });
        }
    }
}
