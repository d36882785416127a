//! Replication between brokers: what follows from leading and following.
//!
//! One fetcher per broker that is followed, for all partitions at once, with the same Fetch that consumers use. One
//! proposer tells the controller of ISR changes. Everything is driven by changes of the metadata and of the
//! partitions; clocks only bound waits, and notice followers that have fallen silent.

mod connection;
mod fetcher;
mod isr;
pub mod refetch;
mod session;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use engine::ids::BrokerId;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::config::Config;
use crate::env::{Env, Plane};
use crate::metrics::Metrics;
use crate::partition::{Partition, Partitions, run_flusher};
use crate::quorum::Quorum;
pub use connection::{Connection, Error as ConnectionError};
use fetcher::{Assigned, Fetcher};

/// Between two looks for producers that have been silent for too long, as in Kafka.
const EXPIRY_CHECK: Duration = Duration::from_secs(600);

/// The tasks that keep the partitions with the metadata and with their leaders; they end when this is dropped.
pub struct Replication(Vec<JoinHandle<()>>);

impl Drop for Replication {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

impl Replication {
    pub fn start(
        env: &Env,
        config: &Arc<Config>,
        partitions: &Arc<Partitions>,
        quorum: &Arc<Quorum>,
        metrics: &Arc<Metrics>,
    ) -> Replication {
        let flusher = run_flusher(
            env.clone(),
            partitions.clone(),
            partitions.flush_due.clone(),
        );
        let fetchers = Fetchers {
            env: env.clone(),
            config: config.clone(),
            partitions: partitions.clone(),
            quorum: quorum.clone(),
            running: BTreeMap::new(),
        };
        let lag_max = config.replication.lag_time_max;
        Replication(vec![
            env.spawn(
                Plane::Data,
                "producer-expiry",
                run_expiry(partitions.clone()),
            ),
            env.spawn(
                Plane::Data,
                "partitions",
                partitions.clone().run(quorum.clone()),
            ),
            env.spawn(Plane::Data, "partition-flush", flusher),
            env.spawn(Plane::Data, "replica-fetchers", fetchers.run()),
            env.spawn(
                Plane::Data,
                "isr",
                isr::run(
                    BrokerId(config.node_id),
                    partitions.clone(),
                    quorum.clone(),
                    metrics.isr_failures.clone(),
                ),
            ),
            env.spawn(
                Plane::Data,
                "isr-ticks",
                isr::run_ticks(partitions.clone(), lag_max),
            ),
        ])
    }
}

/// Forgets silent producers, until the task is dropped.
async fn run_expiry(partitions: Arc<Partitions>) {
    let mut ticks = interval(EXPIRY_CHECK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for partition in partitions.all() {
            partition.expire_producers();
        }
    }
}

/// The fetchers, one per broker that is followed.
struct Fetchers {
    env: Env,
    config: Arc<Config>,
    partitions: Arc<Partitions>,
    quorum: Arc<Quorum>,
    running: BTreeMap<BrokerId, Running>,
}

struct Running {
    assigned: Arc<Assigned>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fetchers {
    async fn run(mut self) {
        let mut changes = self.partitions.changes();
        loop {
            changes.mark_unchanged();
            self.assign();
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Gives each partition to the fetcher of its leader; a fetcher without partitions ends.
    fn assign(&mut self) {
        let mut wanted: BTreeMap<BrokerId, Vec<Arc<Partition>>> = BTreeMap::new();
        for partition in self.partitions.all() {
            match partition.followed() {
                Some(leader) => wanted.entry(leader).or_default().push(partition),
                None => partition.set_fetcher(None),
            }
        }
        self.running.retain(|leader, _| wanted.contains_key(leader));
        for (leader, partitions) in wanted {
            self.fetcher_of(leader).assign(partitions);
        }
    }

    fn fetcher_of(&mut self, leader: BrokerId) -> Arc<Assigned> {
        let running = self.running.entry(leader).or_insert_with(|| {
            let assigned = Arc::new(Assigned::default());
            let fetcher = Fetcher::new(
                &self.env,
                &self.config,
                &self.quorum,
                leader,
                assigned.clone(),
            );
            let task = self
                .env
                .spawn(Plane::Data, "replica-fetcher", fetcher.run());
            Running { assigned, task }
        });
        running.assigned.clone()
    }
}
