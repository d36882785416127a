//! What is looked at rather than counted: partitions, groups, the quorum, budgets, directories.
//!
//! Looking takes the locks of partitions and coordinators, which a hanging disk may hold; so it is done by a task of the
//! data plane, once a second, and `/metrics` shows what it saw. Whose series they are is decided at the scrape, from the
//! newest metadata: a role that is lost takes its series with it at once.

mod cluster;
mod elections;
mod groups;
mod leaders;
mod partitions;
mod resources;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use engine::ids::BrokerId;
use parking_lot::Mutex;
use telemetry::metrics::Page;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use self::elections::Elections;
use self::groups::{Ends, GroupSeen};
use self::leaders::Leaders;
use self::partitions::PartitionSeen;
use self::resources::Busy;
use super::families::{own, strimzi};
use crate::env::Plane;
use crate::logs::Logs;
use crate::partition::Status;
use crate::quorum;
use crate::server::Broker;

const EVERY: Duration = Duration::from_secs(1);
/// Groups are looked at every so many times: all their offsets are copied.
const GROUPS_EVERY: u64 = 5;
/// Windows of quantiles begin every so many times.
const WINDOWS_EVERY: u64 = 60;

/// Looks at a broker and shows what it saw, until it is dropped.
pub struct Observer {
    task: JoinHandle<()>,
}

struct Shared {
    broker: Arc<Broker>,
    logs: Arc<Logs>,
    seen: ArcSwap<Seen>,
    groups: ArcSwap<Vec<GroupSeen>>,
    elections: Elections,
    /// Log ends of partitions that groups have committed offsets of, as they were.
    ends: Mutex<Ends>,
    busy: Mutex<Busy>,
}

/// What was there at one moment.
#[derive(Default)]
struct Seen {
    at: Option<Instant>,
    partitions: Vec<PartitionSeen>,
    /// Bytes of the logs in each directory.
    directories: Vec<u64>,
    /// Offsets of them that cannot be read.
    damaged: Vec<u64>,
    quorum: quorum::Status,
    /// Share of time in which the workers of the data plane had nothing to do.
    idle: f64,
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Observer {
    pub fn start(broker: &Arc<Broker>, logs: &Arc<Logs>) -> Observer {
        let shared = Arc::new(Shared {
            broker: broker.clone(),
            logs: logs.clone(),
            seen: ArcSwap::default(),
            groups: ArcSwap::default(),
            elections: Elections::default(),
            ends: Mutex::default(),
            busy: Mutex::default(),
        });
        let fsyncs = broker.metrics.registry().histograms(&own::FSYNC_SECONDS);
        fsyncs.adopt(&["partition"], logs.fsyncs());
        if let Some(metadata) = broker.quorum.fsyncs() {
            fsyncs.adopt(&["metadata"], metadata);
        }
        broker.metrics.windows.show(
            &logs.fsyncs(),
            "",
            &strimzi::FLUSH_MS,
            &strimzi::FLUSH_MS_COUNT,
        );
        // The registry outlives the broker by an answer, and must not keep it alive.
        let watched = Arc::downgrade(&shared);
        broker
            .metrics
            .registry()
            .source("broker", move |page: &mut Page| {
                if let Some(shared) = watched.upgrade() {
                    shared.write(page);
                }
            });
        let task = broker.env.spawn(Plane::Data, "observer", shared.run());
        Observer { task }
    }
}

impl Shared {
    async fn run(self: Arc<Self>) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looks = 0;
        let mut leaders = Leaders::default();
        loop {
            ticks.tick().await;
            if looks % GROUPS_EVERY == 0 {
                let groups = Arc::new(self.look_at_groups(&mut leaders).await);
                self.groups.store(groups);
            }
            self.look().await;
            looks += 1;
            if looks % WINDOWS_EVERY == 0 {
                self.broker.metrics.windows.turn();
            }
        }
    }

    async fn look(&self) {
        let broker = &self.broker;
        let partitions = partitions::look(&broker.partitions);
        for follower in partitions.iter().flat_map(|p| &p.status.followers) {
            let behind = Duration::from_millis(follower.behind_ms);
            broker.metrics.lag_samples.observe(behind);
        }
        let caught_up = self.has_caught_up();
        self.elections.look(broker.quorum.elections(), caught_up);
        let of_each = |value: fn(&Status) -> u64| {
            let logs = partitions.iter();
            self.logs
                .sums(logs.map(|p| (p.topic.as_str(), p.id.index, value(&p.status))))
        };
        let directories = of_each(|status| status.size_bytes);
        let damaged = of_each(|status| status.damaged_offsets);
        let quorum = broker.quorum.status().await;
        self.seen.store(Arc::new(Seen {
            at: Some(broker.env.now()),
            partitions,
            directories,
            damaged,
            quorum,
            idle: self.busy.lock().idle(&broker.env),
        }));
    }

    /// Everything, at a scrape. Takes no lock that anybody holds for long.
    fn write(&self, page: &mut Page) {
        let seen = self.seen.load_full();
        if let Some(at) = seen.at {
            let age = self.broker.env.now().duration_since(at).as_secs_f64();
            page.add(&own::SNAPSHOT_AGE, &[], age);
        }
        let image = self.broker.quorum.image();
        self.write_cluster(page, &image, &seen.quorum);
        self.write_partitions(page, &image, &seen.partitions);
        self.write_groups(page, &image, &self.groups.load());
        self.write_resources(page, &seen);
        self.broker.metrics.windows.write(page);
    }

    /// Whether this node has read the metadata log up to its own start.
    fn has_caught_up(&self) -> bool {
        let (quorum, me) = (&self.broker.quorum, self.me());
        let epoch = quorum.broker_epoch();
        epoch.is_some_and(|epoch| quorum.image().has_epoch(me, epoch))
            || quorum.is_active_controller()
    }

    fn me(&self) -> BrokerId {
        BrokerId(self.broker.config.node_id)
    }
}

/// A number of things as a value.
fn whole(count: usize) -> f64 {
    count as f64
}

fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}
