//! One sample of each command.

use engine::ids::{BrokerEpoch, BrokerId, LeaderEpoch, PartitionEpoch};
use engine::metadata::{
    Assignment, Command, ConfigChange, ConfigEdit, Endpoint, IsrMember, Memory, NewPartitions,
    NewTopic, PartitionChange, PartitionId, Reassignment, Registration, Resource, TopicId,
};
use wire::Uuid;

pub const TOPIC: Uuid = Uuid([7; 16]);
const BROKER: BrokerId = BrokerId(300);
const EPOCH: BrokerEpoch = BrokerEpoch(70_000);

pub fn registration() -> Registration {
    Registration {
        broker: BROKER,
        incarnation: Uuid([1; 16]),
        directory: Uuid([2; 16]),
        cluster_id: Some("cluster".into()),
        clean_epoch: Some(EPOCH),
        endpoints: vec![Endpoint {
            listener: "PLAINTEXT".into(),
            host: "host".into(),
            port: 9092,
        }],
        rack: Some("rack".into()),
    }
}

/// Every command, named. A command that is not here does not compile: see [`name`].
pub fn all() -> Vec<Command> {
    let partition = PartitionId {
        topic: TOPIC,
        index: 5,
    };
    vec![
        Command::NameCluster {
            cluster_id: "cluster".into(),
        },
        Command::SetUncleanDefault { enabled: true },
        Command::RegisterBroker(registration()),
        Command::UnfenceBroker {
            broker: BROKER,
            epoch: EPOCH,
        },
        Command::FenceBroker {
            broker: BROKER,
            epoch: EPOCH,
        },
        Command::ShutDownBroker {
            broker: BROKER,
            epoch: EPOCH,
        },
        Command::StallBroker {
            broker: BROKER,
            epoch: EPOCH,
            stalled: true,
        },
        Command::AlterPartitions {
            broker: BROKER,
            epoch: EPOCH,
            changes: vec![PartitionChange {
                partition,
                leader_epoch: LeaderEpoch(3),
                partition_epoch: PartitionEpoch(4),
                isr: vec![
                    IsrMember {
                        broker: BROKER,
                        epoch: Some(EPOCH),
                    },
                    IsrMember {
                        broker: BrokerId(2),
                        epoch: None,
                    },
                ],
            }],
        },
        Command::ElectPreferred {
            partitions: vec![partition],
        },
        Command::CreateTopics {
            topics: vec![spread_topic(), given_topic()],
        },
        Command::DeleteTopics {
            topics: vec![TopicId(TOPIC)],
        },
        Command::CreatePartitions {
            topics: vec![NewPartitions {
                topic: "t".into(),
                count: 8,
                assignment: Some(vec![vec![BROKER]]),
            }],
        },
        Command::AlterConfigs {
            changes: config_changes(),
        },
        Command::AllocateProducerIds {
            broker: BROKER,
            epoch: EPOCH,
        },
        Command::AlterReassignments {
            partitions: vec![
                reassignment(5, Some(vec![BrokerId(2), BROKER])),
                reassignment(4, None),
            ],
            allow_factor_change: true,
        },
        Command::LeaveBroker {
            broker: BROKER,
            epoch: EPOCH,
            min_insync_replicas: 2,
            at_once: true,
        },
        Command::UnregisterBroker { broker: BROKER },
        Command::ElectUnclean {
            partitions: vec![partition],
        },
        Command::SetMinInsyncDefault { replicas: 300 },
        Command::RegisterWithMemory {
            registration: registration(),
            memory: Memory {
                id: Uuid([6; 16]),
                same_disks: true,
            },
        },
        Command::ForgetMemory {
            broker: BROKER,
            epoch: EPOCH,
        },
        Command::LeavePartition {
            broker: BROKER,
            epoch: EPOCH,
            partition,
        },
    ]
}

fn reassignment(index: i32, target: Option<Vec<BrokerId>>) -> Reassignment {
    Reassignment {
        partition: PartitionId {
            topic: Uuid([9; 16]),
            index,
        },
        target,
        min_insync_replicas: 2,
    }
}

fn spread_topic() -> NewTopic {
    NewTopic {
        name: "t".into(),
        id: TOPIC,
        assignment: Assignment::Spread {
            partitions: 6,
            replication_factor: 3,
        },
        configs: vec![("retention.ms".into(), "5".into())],
    }
}

fn given_topic() -> NewTopic {
    NewTopic {
        name: "u".into(),
        id: Uuid([8; 16]),
        assignment: Assignment::Given(vec![vec![BROKER, BrokerId(2)]]),
        configs: vec![],
    }
}

fn config_changes() -> Vec<ConfigChange> {
    let change = |resource, edit| ConfigChange {
        resource,
        edits: vec![("key".into(), edit)],
    };
    let (items, default) = ("a,b".to_owned(), "c".to_owned());
    vec![
        change(Resource::Topic("t".into()), ConfigEdit::Set("value".into())),
        change(Resource::Broker(BROKER), ConfigEdit::Delete),
        change(
            Resource::AllBrokers,
            ConfigEdit::Append {
                items: items.clone(),
                default: default.clone(),
            },
        ),
        change(
            Resource::Group("g".into()),
            ConfigEdit::Subtract { items, default },
        ),
    ]
}

/// The command's name. Exhaustive, so that whoever adds a command is led here, to give [`all`] a sample of it.
pub fn name(command: &Command) -> &'static str {
    match command {
        Command::NameCluster { .. } => "NameCluster",
        Command::SetUncleanDefault { .. } => "SetUncleanDefault",
        Command::RegisterBroker(_) => "RegisterBroker",
        Command::UnfenceBroker { .. } => "UnfenceBroker",
        Command::FenceBroker { .. } => "FenceBroker",
        Command::ShutDownBroker { .. } => "ShutDownBroker",
        Command::StallBroker { .. } => "StallBroker",
        Command::AlterPartitions { .. } => "AlterPartitions",
        Command::ElectPreferred { .. } => "ElectPreferred",
        Command::CreateTopics { .. } => "CreateTopics",
        Command::DeleteTopics { .. } => "DeleteTopics",
        Command::CreatePartitions { .. } => "CreatePartitions",
        Command::AlterConfigs { .. } => "AlterConfigs",
        Command::AllocateProducerIds { .. } => "AllocateProducerIds",
        Command::AlterReassignments { .. } => "AlterReassignments",
        Command::LeaveBroker { .. } => "LeaveBroker",
        Command::UnregisterBroker { .. } => "UnregisterBroker",
        Command::ElectUnclean { .. } => "ElectUnclean",
        Command::SetMinInsyncDefault { .. } => "SetMinInsyncDefault",
        Command::RegisterWithMemory { .. } => "RegisterWithMemory",
        Command::ForgetMemory { .. } => "ForgetMemory",
        Command::LeavePartition { .. } => "LeavePartition",
    }
}
