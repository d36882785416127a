//! What the active controller knows of brokers and replicas.

use std::collections::{BTreeMap, BTreeSet};

use pipeline::KafkaOptions;
use wire::messages::list_partition_reassignments_response::OngoingPartitionReassignment;
use wire::messages::{DescribeClusterRequest, ListPartitionReassignmentsRequest};

use crate::admin::configs::{self, Kind};
use crate::wire_client::{Connection, check};

/// The setting of all brokers that lists those which get no new replicas.
pub const DRAINED: &str = "drained.brokers";

/// A partition by name.
pub type Name = (String, i32);

pub struct Broker {
    pub id: i32,
    pub address: String,
    pub rack: Option<String>,
    /// Dead, or not let in yet.
    pub fenced: bool,
    pub drained: bool,
}

impl Broker {
    /// Whether replicas may be put there.
    pub fn takes_replicas(&self) -> bool {
        !self.fenced && !self.drained
    }
}

/// Where a partition's replicas are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    pub name: Name,
    pub leader: Option<i32>,
    /// While they move: those to come, then those to go.
    pub replicas: Vec<i32>,
    pub in_sync: Vec<i32>,
    pub adding: Vec<i32>,
    pub removing: Vec<i32>,
}

impl Partition {
    /// The replicas when nothing moves any more.
    pub fn target(&self) -> Vec<i32> {
        let stays = |id: &i32| !self.removing.contains(id);
        self.replicas.iter().copied().filter(stays).collect()
    }

    pub fn is_moving(&self) -> bool {
        !self.adding.is_empty() || !self.removing.is_empty()
    }

    /// Whether a replica that is not only being added is out of sync.
    pub fn is_under_replicated(&self) -> bool {
        let lacks = |id: &&i32| !self.adding.contains(id) && !self.in_sync.contains(id);
        self.replicas.iter().any(|id| lacks(&id))
    }
}

pub struct View {
    pub cluster_id: String,
    pub controller: i32,
    pub brokers: BTreeMap<i32, Broker>,
    pub partitions: Vec<Partition>,
}

impl View {
    pub async fn read(kafka: &KafkaOptions) -> anyhow::Result<View> {
        let mut connection = Connection::controller(kafka).await?;
        let drained = drained(&mut connection).await?;
        let request = DescribeClusterRequest {
            include_fenced_brokers: true,
            ..DescribeClusterRequest::default()
        };
        let cluster = connection.call(&request, 2).await?;
        check(cluster.error_code, cluster.error_message.as_deref())?;
        let brokers = cluster.brokers.iter().map(|broker| {
            let id = broker.broker_id;
            let one = Broker {
                id,
                address: format!("{}:{}", &*broker.host, broker.port),
                rack: broker.rack.as_deref().map(str::to_owned),
                fenced: broker.is_fenced,
                drained: drained.contains(&id),
            };
            (id, one)
        });
        Ok(View {
            cluster_id: cluster.cluster_id.to_string(),
            controller: cluster.controller_id,
            brokers: brokers.collect(),
            partitions: partitions(&mut connection).await?,
        })
    }
}

async fn partitions(connection: &mut Connection) -> anyhow::Result<Vec<Partition>> {
    let moving = moving(connection).await?;
    let topics = connection.metadata(None).await?.topics;
    let mut all = Vec::new();
    for topic in topics {
        let Some(topic_name) = topic.name.as_deref() else {
            continue;
        };
        for partition in &topic.partitions {
            let name = (topic_name.to_owned(), partition.partition_index);
            let (adding, removing) = moving.get(&name).cloned().unwrap_or_default();
            all.push(Partition {
                leader: (partition.leader_id >= 0).then_some(partition.leader_id),
                replicas: partition.replica_nodes.clone(),
                in_sync: partition.isr_nodes.clone(),
                adding,
                removing,
                name,
            });
        }
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// What each moving partition gets and loses.
pub async fn moving(
    connection: &mut Connection,
) -> anyhow::Result<BTreeMap<Name, (Vec<i32>, Vec<i32>)>> {
    let request = ListPartitionReassignmentsRequest::default();
    let answer = connection.call(&request, 0).await?;
    check(answer.error_code, answer.error_message.as_deref())?;
    let mut all = BTreeMap::new();
    for topic in answer.topics {
        let of = |p: OngoingPartitionReassignment| (p.adding_replicas, p.removing_replicas);
        for partition in topic.partitions {
            let name = (topic.name.to_string(), partition.partition_index);
            all.insert(name, of(partition));
        }
    }
    Ok(all)
}

async fn drained(connection: &mut Connection) -> anyhow::Result<BTreeSet<i32>> {
    // The empty name stands for all brokers.
    let entries = configs::read(connection, Kind::Broker, "").await?;
    let listed = entries.iter().find(|entry| &*entry.name == DRAINED);
    let value = listed.and_then(|entry| entry.value.as_deref());
    let ids = value.unwrap_or_default().split(',');
    Ok(ids.filter_map(|id| id.trim().parse().ok()).collect())
}
