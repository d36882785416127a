//! Cooperative rebalancing (KIP-429): members come and go while records flow. Every record is seen, no partition is
//! owned twice, and who stays gives up only what moves. Here librdkafka's; Java's and franz-go's have files of their
//! own; kafka-python has no such assignor.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use cluster::{Ack, Cluster, Load, until};
use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::message::Message;

const PARTITIONS: i32 = 6;
/// How long anything that is waited for may take.
pub const LIMIT: Duration = Duration::from_secs(60);

/// What the members of one process have told.
#[derive(Default)]
struct Told {
    owners: BTreeMap<i32, &'static str>,
    /// How often each (partition, offset) was seen.
    seen: BTreeMap<(i32, i64), u32>,
    /// Partitions that each member gave up.
    lost: BTreeMap<&'static str, usize>,
    wrong: Vec<String>,
}

type Ledger = Arc<Mutex<Told>>;

fn with<T>(ledger: &Ledger, look: impl FnOnce(&mut Told) -> T) -> T {
    look(&mut ledger.lock().expect("no holder of the lock panics"))
}

struct Owner {
    name: &'static str,
    ledger: Ledger,
}

impl ClientContext for Owner {}

impl ConsumerContext for Owner {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Owner>, change: &Rebalance<'_>) {
        match change {
            Rebalance::Assign(list) => with(&self.ledger, |told| {
                for element in list.elements() {
                    let before = told.owners.insert(element.partition(), self.name);
                    if let Some(owner) = before {
                        told.wrong.push(format!(
                            "partition {} given to {} while {owner} owns it",
                            element.partition(),
                            self.name
                        ));
                    }
                }
            }),
            Rebalance::Revoke(list) => {
                // The next owner goes on exactly here. There may be nothing to commit.
                let _ = consumer.commit_consumer_state(CommitMode::Sync);
                with(&self.ledger, |told| {
                    for element in list.elements() {
                        told.owners.remove(&element.partition());
                        *told.lost.entry(self.name).or_default() += 1;
                    }
                });
            }
            Rebalance::Error(error) => with(&self.ledger, |told| {
                told.wrong.push(format!("{}: {error}", self.name));
            }),
        }
    }
}

/// A member that polls in a thread of its own.
struct Member {
    end: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Member {
    fn join(cluster: &Cluster, topic: &str, name: &'static str, ledger: &Ledger) -> Result<Member> {
        let owner = Owner {
            name,
            ledger: ledger.clone(),
        };
        let consumer: BaseConsumer<Owner> = ClientConfig::new()
            .set("bootstrap.servers", cluster.bootstrap())
            .set("group.id", topic)
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false")
            // While a member leaves, records that it has not counted are still polled, and dropped.
            .set("enable.auto.offset.store", "false")
            .set("heartbeat.interval.ms", "300")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .create_with_context(owner)?;
        consumer.subscribe(&[topic])?;
        let (end, ledger) = (Arc::new(AtomicBool::new(false)), ledger.clone());
        let stop = end.clone();
        let thread = std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                if let Some(Ok(record)) = consumer.poll(Duration::from_millis(50)) {
                    let place = (record.partition(), record.offset());
                    with(&ledger, |told| *told.seen.entry(place).or_default() += 1);
                    // Refused where the partition is about to go: its next owner reads from the last one stored.
                    let _ = consumer.store_offset_from_message(&record);
                }
            }
        });
        Ok(Member { end, thread })
    }

    fn leave(self) -> Result<()> {
        self.end.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("a member panicked"))
    }
}

/// Waits until the members own so many partitions.
fn shared(ledger: &Ledger, shares: &[(&str, usize)]) -> Result<()> {
    until(LIMIT, &format!("partitions are shared {shares:?}"), || {
        let (owners, wrong) = with(ledger, |told| (told.owners.clone(), told.wrong.clone()));
        assert_eq!(wrong, [""; 0]);
        let owned = |name: &str| owners.values().filter(|owner| **owner == name).count();
        let so = shares.iter().all(|(name, count)| owned(name) == *count);
        ensure!(so, "{owners:?}");
        Ok(true)
    })
}

/// A cluster with the topic, and a load on it that is being acknowledged.
pub fn loaded(topic: &str) -> Result<(Cluster, Load)> {
    let mut cluster = Cluster::start()?;
    cluster.create_topic(topic, PARTITIONS, 3, &[])?;
    let load = Load::start(&mut cluster, topic, 300, 100, &[])?;
    load.wait_more(100)?;
    Ok((cluster, load))
}

/// Fails while an acknowledged record was not seen.
pub fn all_seen(acks: &[Ack], seen: impl Fn(&(i32, i64)) -> bool) -> Result<()> {
    let places = acks
        .iter()
        .filter_map(|ack| Some((ack.partition, ack.offset?)));
    let missing: Vec<_> = places.filter(|place| !seen(place)).collect();
    ensure!(
        missing.is_empty(),
        "{} of {} are not: {:?} ...",
        missing.len(),
        acks.len(),
        missing.first()
    );
    Ok(())
}

#[test]
fn members_of_librdkafka_come_and_go() -> Result<()> {
    let (cluster, load) = loaded("rust")?;
    let ledger = Ledger::default();
    let join = |name| Member::join(&cluster, "rust", name, &ledger);
    let first = join("first")?;
    shared(&ledger, &[("first", 6)])?;
    let second = join("second")?;
    shared(&ledger, &[("first", 3), ("second", 3)])?;
    let lost = with(&ledger, |told| told.lost["first"]);
    assert_eq!(lost, 3, "who stays keeps what does not move");
    let third = join("third")?;
    shared(&ledger, &[("first", 2), ("second", 2), ("third", 2)])?;
    second.leave()?;
    shared(&ledger, &[("first", 3), ("third", 3)])?;
    first.leave()?;
    shared(&ledger, &[("third", 6)])?;
    load.wait_more(100)?;
    let acks = load.finish()?;
    until(LIMIT, "every record is seen", || {
        all_seen(&acks, |place| {
            with(&ledger, |told| told.seen.contains_key(place))
        })?;
        Ok(true)
    })?;
    third.leave()?;
    with(&ledger, |told| {
        let doubled: Vec<_> = told.seen.iter().filter(|(_, times)| **times > 1).collect();
        assert!(doubled.is_empty(), "seen more than once: {doubled:?}");
        assert_eq!(told.wrong, [""; 0]);
    });
    Ok(())
}
