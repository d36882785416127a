//! Scenarios and properties of the controller's decisions.

mod alter;
mod elections;
mod eligible;
mod fencing;
mod invariants;
mod leaving;
mod proposals;
mod reassignment;
mod topics;

use wire::{Str, Uuid};

use super::{
    AlteredPartition, Assignment, Command, ConfigChange, ConfigEdit, Endpoint, Image, IsrMember,
    Memory, NewTopic, Outcome, PartitionChange, PartitionId, PartitionState, Registration,
    Rejection, Resource,
};
use crate::ids::{BrokerEpoch, BrokerId};

/// A metadata log with its image, one command after another.
#[derive(Clone)]
struct Cluster {
    image: Image,
    index: u64,
}

impl Cluster {
    fn empty() -> Cluster {
        let mut cluster = Cluster::of_old();
        cluster.done(Command::SetMinInsyncDefault { replicas: 1 });
        cluster
    }

    /// As it was when no controller knew of eligible leader replicas yet.
    fn of_old() -> Cluster {
        Cluster {
            image: Image::default(),
            index: 0,
        }
    }

    /// Brokers 1 to `n`, registered and unfenced.
    fn of(n: i32) -> Cluster {
        let mut cluster = Cluster::empty();
        for id in 1..=n {
            cluster.start(id);
        }
        cluster
    }

    fn propose(&mut self, command: Command) -> Result<Outcome, Rejection> {
        self.index += 1;
        let (next, outcome) = self.image.apply(&command, self.index);
        self.image = next;
        outcome
    }

    fn done(&mut self, command: Command) -> Outcome {
        self.propose(command).expect("the command is accepted")
    }

    fn register(&mut self, id: i32, clean_epoch: Option<BrokerEpoch>) -> (BrokerEpoch, bool) {
        let registration = self.registration(id, clean_epoch);
        self.registered(Command::RegisterBroker(registration))
    }

    /// On a machine whose memory is the one of this name.
    fn register_with(&mut self, id: i32, memory: u128) -> (BrokerEpoch, bool) {
        self.register_on(id, memory, true)
    }

    /// The same, with other disks perhaps.
    fn register_on(&mut self, id: i32, memory: u128, same_disks: bool) -> (BrokerEpoch, bool) {
        let registration = self.registration(id, None);
        let memory = Memory {
            id: Uuid::from(memory),
            same_disks,
        };
        self.registered(Command::RegisterWithMemory {
            registration,
            memory,
        })
    }

    fn registration(&self, id: i32, clean_epoch: Option<BrokerEpoch>) -> Registration {
        Registration {
            broker: BrokerId(id),
            incarnation: Uuid::from(u128::from(self.index) + 1_000),
            directory: Uuid::from(id as u128),
            cluster_id: None,
            clean_epoch,
            endpoints: vec![Endpoint {
                listener: "PLAINTEXT".into(),
                host: "localhost".into(),
                port: 9092,
            }],
            rack: None,
        }
    }

    fn registered(&mut self, command: Command) -> (BrokerEpoch, bool) {
        match self.done(command) {
            Outcome::Registered { epoch, clean } => (epoch, clean),
            other => panic!("a registration answers {other:?}"),
        }
    }

    fn start(&mut self, id: i32) {
        let (epoch, _) = self.register(id, None);
        self.done(Command::UnfenceBroker {
            broker: BrokerId(id),
            epoch,
        });
    }

    fn epoch(&self, id: i32) -> BrokerEpoch {
        self.image.broker(BrokerId(id)).expect("registered").epoch
    }

    fn fence(&mut self, id: i32) {
        let epoch = self.epoch(id);
        self.done(Command::FenceBroker {
            broker: BrokerId(id),
            epoch,
        });
    }

    fn unfence(&mut self, id: i32) {
        let epoch = self.epoch(id);
        self.done(Command::UnfenceBroker {
            broker: BrokerId(id),
            epoch,
        });
    }

    fn set_config(&mut self, topic: &str, key: &str, value: &str) {
        let edit = (key.to_owned(), ConfigEdit::Set(value.into()));
        let change = ConfigChange {
            resource: Resource::Topic(topic.into()),
            edits: vec![edit],
        };
        self.done(Command::AlterConfigs {
            changes: vec![change],
        });
    }

    fn create(&mut self, topic: NewTopic) -> Result<Uuid, Rejection> {
        match self.propose(Command::CreateTopics {
            topics: vec![topic],
        })? {
            Outcome::Created(mut each) => each.remove(0).map(|t| t.id),
            other => panic!("CreateTopics answers {other:?}"),
        }
    }

    /// A topic with one partition on the given brokers.
    fn topic_on(&mut self, name: &'static str, brokers: &[i32]) -> PartitionId {
        let id = Uuid::from(u128::from(self.index) + 1);
        let replicas = brokers.iter().copied().map(BrokerId).collect();
        let topic = self
            .create(new_topic(name, id, Assignment::Given(vec![replicas])))
            .expect("created");
        PartitionId { topic, index: 0 }
    }

    fn partition(&self, id: PartitionId) -> PartitionState {
        (**self
            .image
            .partition(id.topic, id.index)
            .expect("the partition exists"))
        .clone()
    }

    /// The leader asks for an ISR, with everything it knows up to date.
    fn ask_isr(&mut self, id: PartitionId, isr: &[i32]) -> Result<AlteredPartition, Rejection> {
        self.ask(self.leader(id), self.change(id, isr))
    }

    fn leader(&self, id: PartitionId) -> BrokerId {
        self.partition(id).leader.expect("a leader")
    }

    /// What the leader would ask for.
    fn change(&self, id: PartitionId, isr: &[i32]) -> PartitionChange {
        let now = self.partition(id);
        let member = |b: &i32| IsrMember {
            broker: BrokerId(*b),
            epoch: Some(self.epoch(*b)),
        };
        PartitionChange {
            partition: id,
            leader_epoch: now.leader_epoch,
            partition_epoch: now.partition_epoch,
            isr: isr.iter().map(member).collect(),
        }
    }

    fn ask(
        &mut self,
        by: BrokerId,
        change: PartitionChange,
    ) -> Result<AlteredPartition, Rejection> {
        let epoch = self.epoch(by.0);
        match self.propose(Command::AlterPartitions {
            broker: by,
            epoch,
            changes: vec![change],
        })? {
            Outcome::Altered(mut each) => each.remove(0),
            other => panic!("AlterPartitions answers {other:?}"),
        }
    }
}

fn new_topic(name: &str, id: Uuid, assignment: Assignment) -> NewTopic {
    NewTopic {
        name: Str::copy_from(name),
        id,
        assignment,
        configs: vec![],
    }
}

fn brokers(ids: &[i32]) -> Vec<BrokerId> {
    ids.iter().copied().map(BrokerId).collect()
}
