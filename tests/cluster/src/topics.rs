//! Topics of a cluster: made, described, and asked for their offsets, always of one broker's present view.

use anyhow::{Context, Result, bail, ensure};
use wire::ErrorCode;
use wire::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use wire::messages::metadata_request::MetadataRequestTopic;
use wire::messages::{
    CreateTopicsRequest, DeleteTopicsRequest, ListOffsetsRequest, MetadataRequest, MetadataResponse,
};
use wire::{Str, Uuid};

use crate::Cluster;
use crate::client::call;

/// ListOffsets' timestamps for the log's two ends.
pub const LATEST: i64 = -1;
pub const EARLIEST: i64 = -2;

/// A topic as one broker's metadata shows it.
#[derive(Debug, Clone)]
pub struct Topic {
    pub name: String,
    pub id: Uuid,
    /// In the order of their index.
    pub partitions: Vec<Partition>,
}

/// A partition as one broker's metadata shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    pub index: i32,
    /// `None` where there is no leader.
    pub leader: Option<i32>,
    pub leader_epoch: i32,
    pub replicas: Vec<i32>,
    pub isr: Vec<i32>,
}

impl Cluster {
    /// Makes a topic of one partition that broker 1 leads.
    pub fn create_led_by_first(&mut self, name: &str, replicas: i16) -> Result<()> {
        let assignment = CreatableReplicaAssignment {
            partition_index: 0,
            broker_ids: (1..=i32::from(replicas)).collect(),
        };
        self.create(CreatableTopic {
            name: Str::copy_from(name),
            num_partitions: -1,
            replication_factor: -1,
            assignments: vec![assignment],
            ..CreatableTopic::default()
        })
    }

    /// Makes a topic and waits until every replica of it is in sync. `configs` as in `min.insync.replicas`, `2`.
    pub fn create_topic(
        &mut self,
        name: &str,
        partitions: i32,
        replicas: i16,
        configs: &[(&str, &str)],
    ) -> Result<()> {
        let config = |(key, value): &(&str, &str)| CreatableTopicConfig {
            name: Str::copy_from(key),
            value: Some(Str::copy_from(value)),
        };
        self.create(CreatableTopic {
            name: Str::copy_from(name),
            num_partitions: partitions,
            replication_factor: replicas,
            configs: configs.iter().map(config).collect(),
            ..CreatableTopic::default()
        })
    }

    fn create(&mut self, topic: CreatableTopic) -> Result<()> {
        let name = topic.name.to_string();
        let request = CreateTopicsRequest {
            topics: vec![topic],
            timeout_ms: 10_000,
            ..CreateTopicsRequest::default()
        };
        let address = self.any_running()?;
        let response = call(address, &request, 7)?;
        for result in response.topics {
            let error = ErrorCode::from_code(result.error_code);
            ensure!(
                result.error_code == 0,
                "creating {name}: {error:?} {:?}",
                result.error_message
            );
        }
        self.wait_in_sync(&name)
    }

    /// Deletes a topic.
    pub fn delete_topic(&mut self, name: &str) -> Result<()> {
        let request = DeleteTopicsRequest {
            topic_names: vec![Str::copy_from(name)],
            timeout_ms: 10_000,
            ..DeleteTopicsRequest::default()
        };
        let response = call(self.any_running()?, &request, 5)?;
        for result in response.responses {
            let error = ErrorCode::from_code(result.error_code);
            ensure!(result.error_code == 0, "deleting {name}: {error:?}");
        }
        Ok(())
    }

    /// Makes a topic whose replicas are given for each partition, the preferred leader first.
    pub fn create_topic_on(&mut self, name: &str, replicas: &[&[i32]]) -> Result<()> {
        let assign = |(index, ids): (usize, &&[i32])| CreatableReplicaAssignment {
            partition_index: index as i32,
            broker_ids: ids.to_vec(),
        };
        let topic = CreatableTopic {
            name: Str::copy_from(name),
            num_partitions: -1,
            replication_factor: -1,
            assignments: replicas.iter().enumerate().map(assign).collect(),
            ..CreatableTopic::default()
        };
        self.create(topic)
    }

    /// What broker `asked` (or any that runs) shows of the cluster and of one topic.
    pub fn metadata(
        &mut self,
        asked: Option<i32>,
        topic: Option<&str>,
    ) -> Result<MetadataResponse> {
        let address = match asked {
            Some(id) => self.node(id).address,
            None => self.any_running()?,
        };
        let named = |name: &str| MetadataRequestTopic {
            name: Some(Str::copy_from(name)),
            ..MetadataRequestTopic::default()
        };
        let request = MetadataRequest {
            topics: Some(topic.map(named).into_iter().collect()),
            allow_auto_topic_creation: false,
            ..MetadataRequest::default()
        };
        call(address, &request, 12)
    }

    /// The topic as any running broker shows it.
    pub fn topic(&mut self, name: &str) -> Result<Topic> {
        self.topic_at(None, name)
    }

    /// The topic as broker `asked` shows it.
    pub fn topic_at(&mut self, asked: Option<i32>, name: &str) -> Result<Topic> {
        let response = self.metadata(asked, Some(name))?;
        let found = response
            .topics
            .into_iter()
            .next()
            .context("an answer without the topic")?;
        if found.error_code != 0 {
            bail!("{name}: {:?}", ErrorCode::from_code(found.error_code));
        }
        let mut partitions: Vec<Partition> = found
            .partitions
            .into_iter()
            .map(|partition| Partition {
                index: partition.partition_index,
                leader: (partition.leader_id >= 0).then_some(partition.leader_id),
                leader_epoch: partition.leader_epoch,
                replicas: partition.replica_nodes,
                isr: partition.isr_nodes,
            })
            .collect();
        partitions.sort_by_key(|partition| partition.index);
        Ok(Topic {
            name: name.to_string(),
            id: found.topic_id,
            partitions,
        })
    }

    /// Waits until every partition has a leader and all its replicas in the ISR, and each replica knows: a broker that
    /// was cut off shows for a while what it knew before, and leads in its own eyes.
    pub fn wait_in_sync(&mut self, name: &str) -> Result<()> {
        self.until(&format!("every replica of {name} is in sync"), |cluster| {
            let topic = cluster.topic(name)?;
            let mut replicas: Vec<i32> = topic
                .partitions
                .iter()
                .flat_map(|p| p.replicas.iter().copied())
                .collect();
            replicas.sort_unstable();
            replicas.dedup();
            for replica in &replicas {
                cluster.check_in_sync(name, *replica, &topic.partitions)?;
            }
            Ok(!replicas.is_empty())
        })
    }

    /// Whether `asked` shows these very partitions, all in sync.
    fn check_in_sync(&mut self, name: &str, asked: i32, known: &[Partition]) -> Result<()> {
        let shown = self.topic_at(Some(asked), name)?.partitions;
        ensure!(
            shown == known,
            "broker {asked} shows {shown:?}, another {known:?}"
        );
        let lacking = shown
            .iter()
            .find(|p| p.leader.is_none() || p.isr.len() < p.replicas.len());
        ensure!(lacking.is_none(), "broker {asked} shows {lacking:?}");
        Ok(())
    }

    /// The active controller, as a running broker names it.
    pub fn controller(&mut self) -> Result<i32> {
        let mut found = None;
        self.until("there is a controller", |cluster| {
            let id = cluster.metadata(None, None)?.controller_id;
            let runs = id >= 0 && cluster.node(id).is_running();
            found = runs.then_some(id);
            Ok(runs)
        })?;
        found.context("no controller")
    }

    /// Waits until the partition has a leader that runs, and names it.
    pub fn leader(&mut self, topic: &str, partition: i32) -> Result<i32> {
        let mut found = None;
        self.until(&format!("{topic}-{partition} has a leader"), |cluster| {
            let leader = cluster
                .topic(topic)?
                .partitions
                .iter()
                .find(|p| p.index == partition)
                .and_then(|p| p.leader);
            found = leader.filter(|id| cluster.node(*id).is_running());
            Ok(found.is_some())
        })?;
        found.context("no leader")
    }

    /// One end of a partition's log as its leader shows it ([`LATEST`] is the high watermark, [`EARLIEST`] the log start).
    pub fn offset(&mut self, topic: &str, partition: i32, timestamp: i64) -> Result<i64> {
        let mut found = None;
        self.until(
            &format!("{topic}-{partition} tells its offset"),
            |cluster| {
                let leader = cluster.leader(topic, partition)?;
                found = Some(cluster.offset_at(leader, topic, partition, timestamp)?);
                Ok(true)
            },
        )?;
        found.context("no offset")
    }

    /// What broker `asked` answers to ListOffsets, its error included.
    pub fn offset_at(
        &mut self,
        asked: i32,
        topic: &str,
        partition: i32,
        timestamp: i64,
    ) -> Result<i64> {
        let request = ListOffsetsRequest {
            replica_id: -1,
            topics: vec![ListOffsetsTopic {
                name: Str::copy_from(topic),
                partitions: vec![ListOffsetsPartition {
                    partition_index: partition,
                    current_leader_epoch: -1,
                    timestamp,
                }],
            }],
            ..ListOffsetsRequest::default()
        };
        let response = call(self.node(asked).address, &request, 7)?;
        let answer = response
            .topics
            .first()
            .and_then(|topic| topic.partitions.first())
            .context("an answer without the partition")?;
        let error = ErrorCode::from_code(answer.error_code);
        ensure!(answer.error_code == 0, "ListOffsets: {error:?}");
        Ok(answer.offset)
    }
}
