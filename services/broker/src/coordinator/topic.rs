//! Creating `__consumer_offsets` when it is first needed.

use std::time::Duration;

use engine::metadata::{Assignment, Command, Image, NewTopic, Outcome, Rejection};

use crate::config::Config;
use crate::env::Env;
use crate::quorum::Quorum;

/// The topic that the state of groups lives in.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";
/// How long its creation may take before the client has to ask again.
const CREATION: Duration = Duration::from_secs(5);

/// Internal topics are created only when this many brokers have registered: one that is created while the cluster
/// comes up would have too few replicas for ever.
fn enough_brokers(image: &Image, config: &Config) -> bool {
    let wanted = config.quorum.voters.len().clamp(1, 3);
    image.brokers().count() >= wanted && image.unfenced_brokers().count() >= 1
}

/// Creates the topic if it is not there; whether it is there afterwards.
pub(super) async fn ensure(env: &Env, config: &Config, quorum: &Quorum) -> bool {
    let image = quorum.image();
    if image.topic(OFFSETS_TOPIC).is_some() {
        return true;
    }
    if !enough_brokers(&image, config) {
        tracing::info!(
            registered = image.brokers().count(),
            "{OFFSETS_TOPIC} is not created before enough brokers have registered"
        );
        return false;
    }
    let groups = &config.groups;
    let topic = NewTopic {
        name: OFFSETS_TOPIC.into(),
        id: env.random_uuid(),
        assignment: Assignment::Spread {
            partitions: groups.offsets_partitions,
            replication_factor: groups.offsets_replication_factor,
        },
        configs: vec![
            ("cleanup.policy".into(), "compact".into()),
            ("compression.type".into(), "producer".into()),
            (
                "segment.bytes".into(),
                groups.offsets_segment_bytes.to_string(),
            ),
        ],
    };
    match quorum
        .propose(
            Command::CreateTopics {
                topics: vec![topic],
            },
            CREATION,
        )
        .await
    {
        Ok(Outcome::Created(results)) => {
            if let Some(Err(rejection)) = results.first()
                && !matches!(rejection, Rejection::TopicExists(_))
            {
                tracing::error!(error = %rejection, "{OFFSETS_TOPIC} cannot be created");
                return false;
            }
        }
        Ok(_) => return false,
        Err(error) => {
            tracing::warn!(%error, "{OFFSETS_TOPIC} could not be created yet");
            return false;
        }
    }
    let led = |image: &Image| {
        image
            .topic(OFFSETS_TOPIC)
            .is_some_and(|t| t.partitions.iter().all(|p| p.leader.is_some()))
    };
    quorum.wait_for(CREATION, led).await
}
