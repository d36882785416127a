//! The entries of the metadata log and what applying one answers.

use serde::{Deserialize, Serialize};
use wire::{Str, Uuid};

use super::{Assignment, Endpoint, Rejection, stored};
use crate::ids::{BrokerEpoch, BrokerId, LeaderEpoch, PartitionEpoch, ProducerId};

/// A partition by topic id and index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PartitionId {
    /// The topic.
    #[serde(with = "stored::uuid")]
    pub topic: Uuid,
    /// 0 or greater.
    pub index: i32,
}

/// What an entry of the metadata log does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Names the cluster, once and for all. The first name stays.
    NameCluster {
        /// 22 characters of base64, or what the operator chose.
        #[serde(with = "stored::text")]
        cluster_id: Str,
    },
    /// What `unclean.leader.election.enable` is where nobody has set it: the controller's own configuration.
    SetUncleanDefault { enabled: bool },
    /// A broker's process has started, on a machine that does not tell whether it has lost its memory meanwhile.
    RegisterBroker(Registration),
    /// The broker has caught up with the metadata log and may serve.
    UnfenceBroker {
        broker: BrokerId,
        epoch: BrokerEpoch,
    },
    /// The broker is dead or silent: its partitions get leaders from their ISRs, in this one write.
    FenceBroker {
        broker: BrokerId,
        epoch: BrokerEpoch,
    },
    /// The broker is about to stop: it hands over what another can take.
    ShutDownBroker {
        broker: BrokerId,
        epoch: BrokerEpoch,
    },
    /// The broker's disk hangs, or does so no longer. A stalled one hands over what another can take.
    StallBroker {
        broker: BrokerId,
        epoch: BrokerEpoch,
        stalled: bool,
    },
    /// A leader's wish to change ISRs (KIP-497, KIP-903).
    AlterPartitions {
        broker: BrokerId,
        epoch: BrokerEpoch,
        changes: Vec<PartitionChange>,
    },
    /// Gives leaderships back to the preferred replicas that are in sync.
    ElectPreferred { partitions: Vec<PartitionId> },
    /// Creates topics, each by itself: one that is refused does not hinder another.
    CreateTopics { topics: Vec<NewTopic> },
    /// Deletes topics and their configs.
    DeleteTopics { topics: Vec<TopicId> },
    /// Adds partitions to topics.
    CreatePartitions { topics: Vec<NewPartitions> },
    /// Edits configs (KIP-339). The values have been checked by the one who proposes.
    AlterConfigs { changes: Vec<ConfigChange> },
    /// Takes the next block of producer ids (KIP-730).
    AllocateProducerIds {
        broker: BrokerId,
        epoch: BrokerEpoch,
    },
    /// Moves replicas to other brokers, or takes such a move back (KIP-455), each partition by itself.
    AlterReassignments {
        partitions: Vec<Reassignment>,
        /// Whether a partition may get another number of replicas than it has.
        allow_factor_change: bool,
    },
    /// The broker wants to stop: it hands over its leaderships at once, and leaves its ISRs when each of them has enough
    /// members without it, or none can get them.
    LeaveBroker {
        broker: BrokerId,
        epoch: BrokerEpoch,
        /// `min.insync.replicas` where nobody has set it: the broker's own configuration.
        min_insync_replicas: u16,
        /// It waits no longer.
        at_once: bool,
    },
    /// Forgets a broker that has stopped for good.
    UnregisterBroker { broker: BrokerId },
    /// Gives leaderless partitions a leader that may lack committed records (KIP-460).
    ElectUnclean { partitions: Vec<PartitionId> },
    /// What `min.insync.replicas` is where nobody has set it: the controller's own configuration.
    SetMinInsyncDefault { replicas: u16 },
    /// A broker's process has started.
    RegisterWithMemory {
        registration: Registration,
        memory: Memory,
    },
    /// A write or an fsync of the broker has failed: what it has not flushed may be gone, although its machine keeps its
    /// memory. Its next registration is one without it.
    ForgetMemory {
        broker: BrokerId,
        epoch: BrokerEpoch,
    },
    /// The broker's log of a partition has to be filled anew: it leaves the ISR, if that goes on without it.
    LeavePartition {
        broker: BrokerId,
        epoch: BrokerEpoch,
        partition: PartitionId,
    },
}

/// What a broker's machine has kept of what an earlier process has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Names what it keeps written pages in: see [`super::BrokerState::memory`].
    #[serde(with = "stored::uuid")]
    pub id: Uuid,
    /// Its log directories are those that it had before, so that what was flushed is there, whatever else is lost.
    pub same_disks: bool,
}

/// One partition's part of [`Command::AlterReassignments`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reassignment {
    /// Which partition.
    pub partition: PartitionId,
    /// The replicas that it shall have, the preferred leader first; none takes back what is under way.
    pub target: Option<Vec<BrokerId>>,
    /// The topic's `min.insync.replicas`, as the one who proposes knows it: giving up replicas that were being added
    /// never leaves fewer in sync.
    pub min_insync_replicas: u16,
}

/// A topic's id where it stands alone in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TopicId(#[serde(with = "stored::uuid")] pub Uuid);

/// What a broker says of itself when it starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// Its `node.id`.
    pub broker: BrokerId,
    /// Random, made at each start of the process.
    #[serde(with = "stored::uuid")]
    pub incarnation: Uuid,
    /// The id of its log directory.
    #[serde(with = "stored::uuid")]
    pub directory: Uuid,
    /// The cluster that its directories belong to, if they have been used.
    #[serde(with = "stored::optional_text")]
    pub cluster_id: Option<Str>,
    /// The broker epoch in its predecessor's clean-shutdown record; none after a crash.
    pub clean_epoch: Option<BrokerEpoch>,
    /// The advertised listeners.
    pub endpoints: Vec<Endpoint>,
    /// `broker.rack`
    #[serde(with = "stored::optional_text")]
    pub rack: Option<Str>,
}

/// One partition's part of [`Command::AlterPartitions`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionChange {
    /// Which partition.
    pub partition: PartitionId,
    /// The epoch in which the proposer leads.
    pub leader_epoch: LeaderEpoch,
    /// The state that the proposer has seen last.
    pub partition_epoch: PartitionEpoch,
    /// The ISR that it asks for.
    pub isr: Vec<IsrMember>,
}

/// A member of a proposed ISR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IsrMember {
    /// The replica.
    pub broker: BrokerId,
    /// The epoch that its fetches carried; none where it is not known.
    pub epoch: Option<BrokerEpoch>,
}

/// A topic to create.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewTopic {
    /// Its name, checked by `apply`.
    #[serde(with = "stored::text")]
    pub name: Str,
    /// A fresh random id.
    #[serde(with = "stored::uuid")]
    pub id: Uuid,
    /// Where its replicas go.
    pub assignment: Assignment,
    /// Topic-level configs, checked by the one who proposes.
    pub configs: Vec<(String, String)>,
}

/// Partitions to add to a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewPartitions {
    /// The topic's name.
    #[serde(with = "stored::text")]
    pub topic: Str,
    /// How many partitions it shall have in all.
    pub count: i32,
    /// Where the replicas of the new ones go; none leaves it to the controller.
    pub assignment: Option<Vec<Vec<BrokerId>>>,
}

/// What has configs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Resource {
    /// A topic by its name.
    Topic(String),
    /// One broker.
    Broker(BrokerId),
    /// Every broker (the resource with the empty name).
    AllBrokers,
    /// A consumer group.
    Group(String),
}

/// Edits of one resource's configs: all of them or none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigChange {
    /// Whose configs.
    pub resource: Resource,
    /// The edits by key, in order.
    pub edits: Vec<(String, ConfigEdit)>,
}

/// What to do with one config.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConfigEdit {
    /// Sets the value.
    Set(String),
    /// Goes back to the default.
    Delete,
    /// Adds items to a comma-separated list. `default` counts where the key is not set.
    Append { items: String, default: String },
    /// Takes items out of a comma-separated list. `default` counts where the key is not set.
    Subtract { items: String, default: String },
}

/// What an accepted command has done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Nothing more to tell.
    Done,
    /// The broker's epoch from now on, and whether it has all that its predecessor had: that one had stopped cleanly,
    /// or the machine's memory has outlived it.
    Registered { epoch: BrokerEpoch, clean: bool },
    /// The broker still leads this many partitions, which nobody else can lead.
    ShuttingDown { remaining_leaderships: u32 },
    /// One answer per partition, in order.
    Altered(Vec<Result<AlteredPartition, Rejection>>),
    /// One answer per partition, in order.
    Elected(Vec<Result<(), Rejection>>),
    /// One answer per topic, in order.
    Created(Vec<Result<CreatedTopic, Rejection>>),
    /// One answer per topic or resource, in order.
    Each(Vec<Result<(), Rejection>>),
    /// A block of [`super::PRODUCER_ID_BLOCK_SIZE`] ids that begins here.
    ProducerIds { first: ProducerId },
    /// The broker must not leave its ISRs yet: so many partitions would have too few members. Some of them by name.
    Leaving {
        waiting: u32,
        partitions: Vec<PartitionId>,
    },
}

/// The state of a partition after an ISR change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlteredPartition {
    /// Which partition.
    pub partition: PartitionId,
    /// Its leader now.
    pub leader: Option<BrokerId>,
    /// Its leader's epoch.
    pub leader_epoch: LeaderEpoch,
    /// Its ISR.
    pub isr: Vec<BrokerId>,
    /// The epoch of this state.
    pub partition_epoch: PartitionEpoch,
}

/// What CreateTopics answers of one topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatedTopic {
    /// Its id: the one in the command.
    #[serde(with = "stored::uuid")]
    pub id: Uuid,
    /// How many partitions it has.
    pub partitions: i32,
    /// How many replicas each has.
    pub replication_factor: i16,
}
