//! The controller: the engine's own metadata, applied to one log that never forks.

use engine::ids::{BrokerEpoch, BrokerId};
use engine::metadata::{
    AlteredPartition, Assignment, Command, Endpoint, Image, Memory, NewTopic, Outcome,
    PartitionChange, PartitionId, PartitionState, Registration, Rejection,
};
use engine::replica::Options;
use wire::{Str, Uuid};

pub const TOPIC: Uuid = Uuid([7; 16]);
pub const PARTITION: PartitionId = PartitionId {
    topic: TOPIC,
    index: 0,
};

/// Every state that the metadata has had.
pub struct Controller {
    history: Vec<Image>,
}

impl Controller {
    /// All brokers registered, and the partition on the first three.
    pub fn new(brokers: &[BrokerId], options: Options) -> Controller {
        let mut controller = Controller {
            history: vec![Image::default()],
        };
        let minimum = Command::SetMinInsyncDefault {
            replicas: options.min_insync_replicas as u16,
        };
        controller.apply(&minimum).expect("a default can be set");
        for (n, broker) in brokers.iter().enumerate() {
            let epoch = controller.register(*broker, Uuid([n as u8 + 1; 16]), 0);
            controller
                .apply(&Command::UnfenceBroker {
                    broker: *broker,
                    epoch,
                })
                .expect("a fresh registration");
        }
        let topic = NewTopic {
            name: Str::copy_from("t"),
            id: TOPIC,
            assignment: Assignment::Given(vec![brokers[..3].to_vec()]),
            configs: match options.flush_each {
                true => vec![("flush.messages".into(), "1".into())],
                false => Vec::new(),
            },
        };
        controller
            .apply(&Command::CreateTopics {
                topics: vec![topic],
            })
            .expect("a topic can be made");
        controller
    }

    pub fn image(&self) -> &Image {
        self.history.last().expect("it begins with one")
    }

    pub fn versions(&self) -> usize {
        self.history.len()
    }

    pub fn version(&self, at: usize) -> &Image {
        &self.history[at]
    }

    pub fn partition(&self) -> &PartitionState {
        self.image()
            .partition(PARTITION.topic, PARTITION.index)
            .expect("it is never deleted")
    }

    pub fn apply(&mut self, command: &Command) -> Result<Outcome, Rejection> {
        let index = self.history.len() as u64;
        let (next, outcome) = self.image().apply(command, index);
        self.history.push(next);
        outcome
    }

    /// `memory` is the number of times that the broker's machine has lost its memory.
    pub fn register(&mut self, broker: BrokerId, incarnation: Uuid, memory: u32) -> BrokerEpoch {
        let registration = Registration {
            broker,
            incarnation,
            directory: Uuid([broker.0 as u8; 16]),
            cluster_id: None,
            clean_epoch: None,
            endpoints: vec![Endpoint {
                listener: Str::copy_from("PLAINTEXT"),
                host: Str::copy_from("host"),
                port: 9092,
            }],
            rack: None,
        };
        match self.apply(&Command::RegisterWithMemory {
            registration,
            memory: Memory {
                id: Uuid::from(u128::from(memory)),
                same_disks: true,
            },
        }) {
            Ok(Outcome::Registered { epoch, .. }) => epoch,
            other => panic!("a registration is always accepted, not {other:?}"),
        }
    }

    pub fn alter(
        &mut self,
        broker: BrokerId,
        epoch: BrokerEpoch,
        change: PartitionChange,
    ) -> Result<AlteredPartition, Rejection> {
        match self.apply(&Command::AlterPartitions {
            broker,
            epoch,
            changes: vec![change],
        })? {
            Outcome::Altered(mut answers) => answers.remove(0),
            other => panic!("an ISR change is answered with {other:?}"),
        }
    }
}
