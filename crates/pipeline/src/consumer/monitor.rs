//! A look at the cluster from time to time: is it there, are the topics still the same, how far behind is the sink.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::Consumer;
use tokio_util::sync::CancellationToken;

use super::shared::Shared;
use super::{Sink, reason};
use crate::cluster::{TopicIdentity, describe_blocking};

/// Short, because until it is noticed the records of a topic that was created anew are taken for the old one's.
const INTERVAL: Duration = Duration::from_secs(1);
/// The lag is looked at every so many times.
const LAG_EVERY: u32 = 5;
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(5);
/// The part in the readiness report that stands for the brokers.
const PART: &str = "kafka";

pub(super) async fn run<S: Sink>(shared: Arc<Shared<S>>, stop: CancellationToken) {
    let mut identities = BTreeMap::new();
    let mut looks = 0;
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !stop.is_cancelled() {
        ticks.tick().await;
        let looking = shared.clone();
        let with_lag = looks % LAG_EVERY == 0;
        looks = (looks + 1) % LAG_EVERY;
        // A panic in there would be a bug; the next look starts from the same knowledge.
        let before = identities.clone();
        if let Ok(after) =
            tokio::task::spawn_blocking(move || look(&looking, before, with_lag)).await
        {
            identities = after;
        }
    }
}

/// Blocks for as long as the cluster takes to answer.
fn look<S: Sink>(
    shared: &Shared<S>,
    mut identities: BTreeMap<String, TopicIdentity>,
    with_lag: bool,
) -> BTreeMap<String, TopicIdentity> {
    for topic in &shared.settings.topics {
        match describe_blocking(shared.consumer.client(), topic) {
            Err(error) => {
                shared.readiness.not_ready(PART, reason(&error));
                return identities;
            }
            Ok(None) if identities.contains_key(topic) => shared
                .readiness
                .not_ready(&topic_part(topic), "does not exist any more"),
            // Whoever installs everything at once creates the topics when everything is ready.
            Ok(None) => {}
            Ok(Some(identity)) => {
                shared.readiness.ready(&topic_part(topic));
                let before = identities.insert(topic.clone(), identity.clone());
                if before.is_some_and(|before| before != identity) {
                    tracing::warn!(
                        sink = shared.sink.name(),
                        topic,
                        "the topic is another one now: checking all positions"
                    );
                    shared.restart.send_modify(|generation| *generation += 1);
                }
            }
        }
    }
    shared.readiness.ready(PART);
    let context = shared.consumer.context();
    context.set_nothing_to_join(identities.is_empty());
    if with_lag {
        look_at_lag(shared);
    }
    identities
}

fn look_at_lag<S: Sink>(shared: &Shared<S>) {
    let positions = shared.positions().clone();
    for (partition, position) in positions {
        let Ok((_, end)) =
            shared
                .consumer
                .fetch_watermarks(&partition.topic, partition.index, LOOK_UP_TIMEOUT)
        else {
            return;
        };
        // The partition may have been handed over meanwhile; then its new owner reports it.
        if shared.positions().contains_key(&partition) {
            shared.metrics.set_lag(&partition, (end - position).max(0));
        }
    }
}

fn topic_part(topic: &str) -> String {
    format!("topic {topic}")
}
