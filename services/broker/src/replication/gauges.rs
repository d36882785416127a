//! What `/metrics` shows of the partitions: leaderships, ISRs, the lag of each follower.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use wire::Str;

use crate::metrics::Metrics;
use crate::partition::{Partitions, Status};
use crate::quorum::Quorum;

const EVERY: Duration = Duration::from_secs(1);

/// A partition that has gauges.
type Led = (Str, i32);
/// A follower that has one.
type Followed = (Str, i32, i32);

/// Measures, until the task is dropped.
pub(super) async fn run(partitions: Arc<Partitions>, quorum: Arc<Quorum>, metrics: Arc<Metrics>) {
    let mut gauges = Gauges {
        metrics,
        led: BTreeSet::new(),
        followed: BTreeSet::new(),
    };
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        gauges.of_cluster(&quorum);
        gauges.of_partitions(&partitions);
    }
}

struct Gauges {
    metrics: Arc<Metrics>,
    /// What has been set, so that it is removed when the leadership is over.
    led: BTreeSet<Led>,
    followed: BTreeSet<Followed>,
}

impl Gauges {
    fn of_cluster(&self, quorum: &Quorum) {
        let image = quorum.image();
        let leaderless = image
            .partitions()
            .filter(|(_, p)| p.leader.is_none())
            .count();
        self.metrics.offline.set(whole(leaderless));
        let active = quorum.is_active_controller();
        self.metrics.active_controller.set(i64::from(active));
    }

    fn of_partitions(&mut self, partitions: &Partitions) {
        let (mut led, mut followed) = (BTreeSet::new(), BTreeSet::new());
        let (mut under_replicated, mut under_min_isr) = (0, 0);
        let all = partitions.all();
        for partition in &all {
            let status = partition.status();
            if !status.is_leader {
                continue;
            }
            under_replicated += i64::from(status.isr.len() < status.replicas);
            under_min_isr += i64::from(status.under_min_isr);
            let (topic, index) = (partition.topic().clone(), partition.id().index);
            self.of_leader(&topic, index, &status, &mut followed);
            led.insert((topic, index));
        }
        self.metrics.partitions.set(whole(all.len()));
        self.metrics.leaders.set(whole(led.len()));
        self.metrics.under_replicated.set(under_replicated);
        self.metrics.under_min_isr.set(under_min_isr);
        self.forget(led, followed);
    }

    fn of_leader(
        &self,
        topic: &Str,
        index: i32,
        status: &Status,
        followed: &mut BTreeSet<Followed>,
    ) {
        let partition = index.to_string();
        let isr = self
            .metrics
            .isr_size
            .with_label_values(&[topic.as_ref(), &partition]);
        isr.set(whole(status.isr.len()));
        for follower in &status.followers {
            let id = follower.id.to_string();
            let labels = [topic.as_ref(), &partition, &id];
            self.metrics
                .follower_lag
                .with_label_values(&labels)
                .set(follower.lag);
            followed.insert((topic.clone(), index, follower.id.0));
        }
    }

    fn forget(&mut self, led: BTreeSet<Led>, followed: BTreeSet<Followed>) {
        for (topic, index) in self.led.difference(&led) {
            // It was set, so it is there.
            let _ = self
                .metrics
                .isr_size
                .remove_label_values(&[topic.as_ref(), &index.to_string()]);
        }
        for (topic, index, id) in self.followed.difference(&followed) {
            let labels = [topic.as_ref(), &index.to_string(), &id.to_string()];
            let _ = self.metrics.follower_lag.remove_label_values(&labels);
        }
        (self.led, self.followed) = (led, followed);
    }
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
