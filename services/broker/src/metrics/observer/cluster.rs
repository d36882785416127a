//! The cluster as a whole, shown by the active controller alone, and this node's part in the quorum.

use engine::metadata::Image;
use telemetry::metrics::Page;

use super::{Shared, flag, whole};
use crate::metrics::families::{exporter, own, strimzi};
use crate::quorum;

impl Shared {
    pub(super) fn write_cluster(&self, page: &mut Page, image: &Image, quorum: &quorum::Status) {
        let config = &self.broker.config;
        let node_id = config.node_id.to_string();
        let rack = config.rack.as_deref().unwrap_or_default();
        let cluster_id = image.cluster_id().map_or("", |id| id.as_str());
        page.add(&own::INFO, &[&node_id, rack, cluster_id], 1.0);
        let is_active = self.broker.quorum.is_heard_as_controller();
        page.add(&strimzi::ACTIVE_CONTROLLER, &[], flag(is_active));
        if is_active {
            self.write_of_controller(page, image);
            page.add(&own::PENDING, &[], quorum.writing as f64);
        }
        write_quorum(page, quorum);
    }

    fn write_of_controller(&self, page: &mut Page, image: &Image) {
        let listener = &self.broker.config.listeners.inter_broker;
        let active: Vec<_> = image.unfenced_brokers().collect();
        for broker in &active {
            let address = broker.endpoint(listener);
            let address = address.map_or_else(String::new, |e| format!("{}:{}", e.host, e.port));
            page.add(
                &exporter::BROKER_INFO,
                &[&broker.id.to_string(), &address],
                1.0,
            );
        }
        page.add(&exporter::BROKERS, &[], whole(active.len()));
        page.add(&strimzi::ACTIVE_BROKERS, &[], whole(active.len()));
        let fenced = image.brokers().filter(|broker| broker.fenced).count();
        page.add(&strimzi::FENCED_BROKERS, &[], whole(fenced));
        let mut partitions = 0;
        for topic in image.topics() {
            let count = topic.partitions.len();
            page.add(&exporter::TOPIC_PARTITIONS, &[&topic.name], whole(count));
            partitions += count;
        }
        page.add(&strimzi::GLOBAL_TOPICS, &[], whole(image.topic_count()));
        page.add(&strimzi::GLOBAL_PARTITIONS, &[], whole(partitions));
        let leaderless = image.partitions().filter(|(_, p)| p.leader.is_none());
        page.add(&strimzi::OFFLINE_PARTITIONS, &[], whole(leaderless.count()));
        page.add(&strimzi::IMBALANCE, &[], whole(image.imbalanced().len()));
        let elections = self.elections.count();
        page.add(&own::ELECTIONS, &["clean"], elections.clean as f64);
        let unclean = elections.unclean as f64;
        page.add(&own::ELECTIONS, &["unclean"], unclean);
        page.add(&strimzi::UNCLEAN_ELECTIONS, &[], unclean);
    }
}

fn write_quorum(page: &mut Page, quorum: &quorum::Status) {
    if quorum.state.is_empty() {
        // Nobody has looked yet.
        return;
    }
    page.add(&strimzi::RAFT_STATE, &[quorum.state], 1.0);
    let leader = quorum.leader.map_or(-1.0, |id| id as f64);
    page.add(&strimzi::RAFT_LEADER, &[], leader);
    let Some(voter) = quorum.voter else { return };
    for (family, value) in [
        (&strimzi::RAFT_EPOCH, voter.term),
        (&strimzi::RAFT_HIGH_WATERMARK, voter.committed_index),
        (&strimzi::RAFT_LOG_END, voter.last_index),
        (&own::TERM, voter.term),
        (&own::COMMIT_INDEX, voter.committed_index),
        (&own::LAST_INDEX, voter.last_index),
        (&own::APPLIED_INDEX, voter.applied_index),
        (
            &own::APPLY_LAG,
            voter.last_index.saturating_sub(voter.applied_index),
        ),
    ] {
        page.add(family, &[], value as f64);
    }
}
