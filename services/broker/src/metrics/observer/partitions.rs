//! The partitions held here, each series shown by the leader alone.

use engine::metadata::{Image, PartitionId};
use telemetry::metrics::Page;
use wire::Str;

use super::{Shared, flag, whole};
use crate::metrics::families::{exporter, own, strimzi};
use crate::partition::{Partitions, Status};

/// A partition as it was.
pub(super) struct PartitionSeen {
    pub topic: Str,
    pub id: PartitionId,
    pub status: Status,
}

pub(super) fn look(partitions: &Partitions) -> Vec<PartitionSeen> {
    let all = partitions.all();
    all.iter()
        .map(|partition| PartitionSeen {
            topic: partition.topic().clone(),
            id: partition.id(),
            status: partition.status(),
        })
        .collect()
}

/// How many of the partitions led here are in such a state.
#[derive(Default)]
struct Counts {
    led: usize,
    under_replicated: usize,
    under_min_isr: usize,
    at_min_isr: usize,
}

impl Shared {
    pub(super) fn write_partitions(&self, page: &mut Page, image: &Image, seen: &[PartitionSeen]) {
        let me = self.me();
        let mut counts = Counts::default();
        for partition in seen {
            let state = image.partition(partition.id.topic, partition.id.index);
            let Some(state) = state.filter(|state| state.leader == Some(me)) else {
                continue;
            };
            if !partition.status.is_leader {
                continue;
            }
            counts.add(&partition.status);
            let index = partition.id.index.to_string();
            let labels = [partition.topic.as_str(), index.as_str()];
            let is_preferred = state.preferred() == Some(me);
            page.add(&exporter::LEADER, &labels, f64::from(me.0));
            page.add(&exporter::LEADER_IS_PREFERRED, &labels, flag(is_preferred));
            of_leader(page, labels, &partition.status);
            for follower in &partition.status.followers {
                let id = follower.id.to_string();
                let labels = [labels[0], labels[1], id.as_str()];
                page.add(&own::LAG_RECORDS, &labels, follower.lag as f64);
                let behind = follower.behind_ms as f64 / 1e3;
                page.add(&own::LAG_SECONDS, &labels, behind);
            }
        }
        counts.write(page);
        let serving = seen.iter().filter(|p| !p.status.closed).count();
        let assigned = image.partitions().filter(|(_, p)| p.has_replica(me));
        let offline = assigned.count().saturating_sub(serving);
        page.add(&strimzi::PARTITION_COUNT, &[], whole(seen.len()));
        page.add(&strimzi::OFFLINE_REPLICAS, &[], whole(offline));
    }
}

impl Counts {
    fn add(&mut self, status: &Status) {
        self.led += 1;
        self.under_replicated += usize::from(status.isr.len() < status.replicas);
        self.under_min_isr += usize::from(status.under_min_isr);
        self.at_min_isr += usize::from(status.at_min_isr);
    }

    fn write(&self, page: &mut Page) {
        page.add(&strimzi::LEADER_COUNT, &[], whole(self.led));
        page.add(
            &strimzi::UNDER_REPLICATED,
            &[],
            whole(self.under_replicated),
        );
        page.add(&strimzi::UNDER_MIN_ISR, &[], whole(self.under_min_isr));
        page.add(&strimzi::AT_MIN_ISR, &[], whole(self.at_min_isr));
    }
}

fn of_leader(page: &mut Page, labels: [&str; 2], status: &Status) {
    let labels = &labels;
    let (replicas, in_sync) = (whole(status.replicas), whole(status.isr.len()));
    let under_replicated = flag(status.isr.len() < status.replicas);
    page.add(
        &exporter::CURRENT_OFFSET,
        labels,
        status.high_watermark.0 as f64,
    );
    page.add(&exporter::OLDEST_OFFSET, labels, status.log_start.0 as f64);
    page.add(&exporter::REPLICAS, labels, replicas);
    page.add(&exporter::IN_SYNC, labels, in_sync);
    page.add(&exporter::UNDER_REPLICATED, labels, under_replicated);
    page.add(&strimzi::P_REPLICAS, labels, replicas);
    page.add(&strimzi::P_IN_SYNC, labels, in_sync);
    page.add(&strimzi::P_UNDER_REPLICATED, labels, under_replicated);
    page.add(
        &strimzi::P_UNDER_MIN_ISR,
        labels,
        flag(status.under_min_isr),
    );
    page.add(&strimzi::P_AT_MIN_ISR, labels, flag(status.at_min_isr));
    page.add(&strimzi::LOG_SIZE, labels, status.size_bytes as f64);
    page.add(&strimzi::LOG_START, labels, status.log_start.0 as f64);
    page.add(&strimzi::LOG_END, labels, status.log_end.0 as f64);
    page.add(&strimzi::LOG_SEGMENTS, labels, whole(status.segments));
}
