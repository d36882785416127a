//! Log ends of partitions that this broker coordinates groups of and has no replica of: their leaders are asked.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::ids::BrokerId;
use engine::metadata::Image;
use wire::Str;
use wire::messages::ListOffsetsRequest;
use wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};

use super::groups::Name;
use crate::replication::{Connection, ConnectionError};
use crate::server::Broker;

const VERSION: i16 = 7;
/// ListOffsets' timestamp for the high watermark.
const LATEST: i64 = -1;
/// A consumer asks, not a replica.
const CONSUMER: i32 = -1;
/// How long one leader is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
const ANSWER_MAX_BYTES: usize = 16 << 20;
/// Partitions in one question.
const ASKED_MAX: usize = 10_000;

/// Connections to the leaders that have been asked.
#[derive(Default)]
pub(super) struct Leaders(BTreeMap<BrokerId, Connection>);

impl Leaders {
    /// The high watermarks of those partitions whose leaders answer.
    pub async fn ends(&mut self, broker: &Broker, names: &[Name]) -> BTreeMap<Name, i64> {
        let image = broker.quorum.image();
        let mut by_leader: BTreeMap<BrokerId, Vec<&Name>> = BTreeMap::new();
        for name in names.iter().take(ASKED_MAX) {
            let topic = image.topic(&name.0);
            let leader = topic.and_then(|topic| topic.partition(name.1)?.leader);
            if let Some(leader) = leader {
                by_leader.entry(leader).or_default().push(name);
            }
        }
        self.0.retain(|leader, _| by_leader.contains_key(leader));
        let mut ends = BTreeMap::new();
        for (leader, names) in by_leader {
            match self.ask(broker, &image, leader, &names).await {
                Ok(found) => ends.extend(found),
                Err(error) => {
                    tracing::debug!(leader = leader.0, %error, "cannot look up log ends");
                }
            }
        }
        ends
    }

    async fn ask(
        &mut self,
        broker: &Broker,
        image: &Image,
        leader: BrokerId,
        names: &[&Name],
    ) -> Result<Vec<(Name, i64)>, ConnectionError> {
        // Put back only when it has answered: after an error it is of no use.
        let mut connection = match self.0.remove(&leader) {
            Some(connection) => connection,
            None => connect(broker, image, leader).await?,
        };
        let answer = connection.call(&request(names), VERSION, PATIENCE).await?;
        self.0.insert(leader, connection);
        let mut ends = Vec::new();
        for topic in answer.topics {
            let name = Str::copy_from(&topic.name);
            let good = topic.partitions.iter().filter(|p| p.error_code == 0);
            ends.extend(good.map(|p| ((name.clone(), p.partition_index), p.offset)));
        }
        Ok(ends)
    }
}

fn request(names: &[&Name]) -> ListOffsetsRequest {
    let mut topics: BTreeMap<&Str, Vec<ListOffsetsPartition>> = BTreeMap::new();
    for (topic, index) in names {
        topics.entry(topic).or_default().push(ListOffsetsPartition {
            partition_index: *index,
            timestamp: LATEST,
            ..ListOffsetsPartition::default()
        });
    }
    let topics = topics
        .into_iter()
        .map(|(name, partitions)| ListOffsetsTopic {
            name: name.clone(),
            partitions,
        });
    ListOffsetsRequest {
        replica_id: CONSUMER,
        topics: topics.collect(),
        ..ListOffsetsRequest::default()
    }
}

async fn connect(
    broker: &Broker,
    image: &Image,
    leader: BrokerId,
) -> Result<Connection, ConnectionError> {
    let listener = &broker.config.listeners.inter_broker;
    let endpoint = image.broker(leader).and_then(|b| b.endpoint(listener));
    let endpoint = endpoint.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotFound))?;
    Connection::open(
        &broker.env,
        &endpoint.host,
        endpoint.port,
        Str::from(format!("broker-{}-groups", broker.config.node_id)),
        ANSWER_MAX_BYTES,
        PATIENCE,
    )
    .await
}
