//! Topics: names, placement, assignments, growth, deletion, configs, producer ids.

use std::collections::BTreeMap;

use super::*;
use crate::ids::ProducerId;
use crate::metadata::{ConfigChange, ConfigEdit, NewPartitions, Resource, TopicId};

fn spread(partitions: i32, replication_factor: i16) -> Assignment {
    Assignment::Spread {
        partitions,
        replication_factor,
    }
}

#[test]
fn replicas_and_leaders_are_spread_and_failover_spreads_too() {
    let mut cluster = Cluster::of(5);
    let id = cluster
        .create(new_topic("t", Uuid::from(1), spread(20, 3)))
        .expect("created");
    let topic = cluster.image.topic_by_id(id).expect("exists").clone();
    let mut leaders = BTreeMap::<_, i32>::new();
    let mut replicas = BTreeMap::<_, i32>::new();
    let mut seconds = BTreeMap::<_, i32>::new();
    for (_, p) in topic.iter() {
        *leaders.entry(p.leader).or_default() += 1;
        p.replicas
            .iter()
            .for_each(|r| *replicas.entry(*r).or_default() += 1);
        if p.leader == Some(BrokerId(1)) {
            *seconds.entry(p.replicas[1]).or_default() += 1;
        }
    }
    assert!(leaders.values().all(|n| *n == 4), "{leaders:?}");
    assert!(replicas.values().all(|n| *n == 12), "{replicas:?}");
    assert_eq!(
        seconds.len(),
        4,
        "what broker 1 leads is followed first by every other: {seconds:?}"
    );
}

#[test]
fn topics_of_one_partition_go_round_the_brokers() {
    let mut cluster = Cluster::of(3);
    let mut leaders = Vec::new();
    for (i, name) in ["a", "b", "c"].into_iter().enumerate() {
        let id = cluster
            .create(new_topic(name, Uuid::from(i as u128 + 1), spread(1, 1)))
            .expect("created");
        leaders.push(
            cluster
                .partition(PartitionId {
                    topic: id,
                    index: 0,
                })
                .leader,
        );
    }
    assert_eq!(leaders, [1, 2, 3].map(|b| Some(BrokerId(b))));
}

#[test]
fn replicas_are_spread_over_racks() {
    let mut cluster = Cluster::empty();
    for (id, rack) in [(1, "a"), (2, "a"), (3, "b"), (4, "b"), (5, "c")] {
        let registration = Registration {
            broker: BrokerId(id),
            incarnation: Uuid::from(id as u128),
            directory: Uuid::from(id as u128),
            cluster_id: None,
            clean_epoch: None,
            endpoints: vec![Endpoint {
                listener: "PLAINTEXT".into(),
                host: "h".into(),
                port: 1,
            }],
            rack: Some(rack.into()),
        };
        cluster.done(Command::RegisterBroker(registration));
        cluster.unfence(id);
    }
    let id = cluster
        .create(new_topic("t", Uuid::from(1), spread(10, 3)))
        .expect("created");
    for (_, p) in cluster.image.topic_by_id(id).expect("exists").iter() {
        let racks: std::collections::BTreeSet<_> = p
            .replicas
            .iter()
            .map(|b| cluster.image.broker(*b).expect("registered").rack.clone())
            .collect();
        assert_eq!(racks.len(), 3, "{:?}", p.replicas);
    }
}

#[test]
fn a_fenced_broker_fills_up_the_factor_but_neither_leads_nor_is_in_sync() {
    let mut cluster = Cluster::of(3);
    cluster.fence(1);
    let id = cluster
        .create(new_topic("t", Uuid::from(1), spread(3, 3)))
        .expect("created");
    for (_, p) in cluster.image.topic_by_id(id).expect("exists").iter() {
        assert_eq!(p.replicas.len(), 3);
        assert_eq!(p.replicas[2], BrokerId(1));
        assert!(!p.is_in_sync(BrokerId(1)));
    }
    let too_many = cluster.create(new_topic("u", Uuid::from(2), spread(1, 4)));
    assert!(matches!(
        too_many,
        Err(Rejection::InvalidReplicationFactor(_))
    ));
    cluster.fence(2);
    cluster.fence(3);
    let nobody = cluster.create(new_topic("u", Uuid::from(2), spread(1, 1)));
    assert!(matches!(
        nobody,
        Err(Rejection::InvalidReplicationFactor(_))
    ));
}

#[test]
fn bad_topics_are_refused_one_by_one() {
    let mut cluster = Cluster::of(1);
    let long = "x".repeat(250);
    for name in ["", ".", "..", "a b", "a/b", "ä", long.as_str()] {
        let refused = cluster.create(new_topic(name, Uuid::from(1), spread(1, 1)));
        assert!(
            matches!(refused, Err(Rejection::InvalidTopic(_))),
            "{name:?}"
        );
    }
    cluster
        .create(new_topic("a.b", Uuid::from(1), spread(1, 1)))
        .expect("created");
    cluster
        .create(new_topic("a.b", Uuid::from(1), spread(1, 1)))
        .expect("the same command again");
    let exists = cluster.create(new_topic("a.b", Uuid::from(2), spread(1, 1)));
    assert_eq!(exists, Err(Rejection::TopicExists("a.b".into())));
    let collides = cluster.create(new_topic("a_b", Uuid::from(2), spread(1, 1)));
    assert!(matches!(collides, Err(Rejection::InvalidTopic(_))));
    let none = cluster.create(new_topic("n", Uuid::from(2), spread(0, 1)));
    assert!(matches!(none, Err(Rejection::InvalidPartitions(_))));
    let none = cluster.create(new_topic("n", Uuid::from(2), spread(1, 0)));
    assert!(matches!(none, Err(Rejection::InvalidReplicationFactor(_))));
    let many = cluster.create(new_topic("n", Uuid::from(2), spread(i32::MAX, 1)));
    assert!(matches!(many, Err(Rejection::PolicyViolation(_))));
    for bad in [
        vec![],
        vec![vec![]],
        vec![brokers(&[1, 1])],
        vec![brokers(&[7])],
        vec![brokers(&[1]), vec![]],
    ] {
        let refused = cluster.create(new_topic("n", Uuid::from(2), Assignment::Given(bad)));
        assert!(matches!(refused, Err(Rejection::InvalidAssignment(_))));
    }
}

#[test]
fn partitions_are_added_and_topics_deleted_with_their_configs() {
    let mut cluster = Cluster::of(2);
    let id = cluster
        .create(new_topic("t", Uuid::from(1), spread(1, 2)))
        .expect("created");
    let grow = |cluster: &mut Cluster, count: i32, assignment: Option<Vec<Vec<BrokerId>>>| {
        let topics = vec![NewPartitions {
            topic: "t".into(),
            count,
            assignment,
        }];
        match cluster.done(Command::CreatePartitions { topics }) {
            Outcome::Each(mut each) => each.remove(0),
            other => panic!("CreatePartitions answers {other:?}"),
        }
    };
    assert!(matches!(
        grow(&mut cluster, 1, None),
        Err(Rejection::InvalidPartitions(_))
    ));
    assert!(matches!(
        grow(&mut cluster, 3, Some(vec![])),
        Err(Rejection::InvalidAssignment(_))
    ));
    assert_eq!(grow(&mut cluster, 3, None), Ok(()));
    assert_eq!(grow(&mut cluster, 4, Some(vec![brokers(&[2, 1])])), Ok(()));
    let topic = cluster.image.topic("t").expect("exists").clone();
    assert_eq!(topic.partitions.len(), 4);
    assert_eq!(topic.partitions[3].leader, Some(BrokerId(2)));

    let edit = ("retention.ms".to_owned(), ConfigEdit::Set("1".into()));
    let resource = Resource::Topic("t".into());
    let change = ConfigChange {
        resource: resource.clone(),
        edits: vec![edit],
    };
    assert_eq!(
        cluster.done(Command::AlterConfigs {
            changes: vec![change.clone()]
        }),
        Outcome::Each(vec![Ok(())])
    );
    assert_eq!(cluster.image.config(&resource, "retention.ms"), Some("1"));
    let gone = cluster.done(Command::DeleteTopics {
        topics: vec![TopicId(id), TopicId(id)],
    });
    assert_eq!(
        gone,
        Outcome::Each(vec![Ok(()), Err(Rejection::UnknownTopicId)])
    );
    assert!(cluster.image.topic("t").is_none());
    assert!(cluster.image.configs(&resource).is_none());
    let unknown = cluster.done(Command::AlterConfigs {
        changes: vec![change],
    });
    assert_eq!(
        unknown,
        Outcome::Each(vec![Err(Rejection::UnknownTopicOrPartition)])
    );
}

#[test]
fn list_configs_are_appended_to_and_subtracted_from() {
    let mut cluster = Cluster::of(1);
    let resource = Resource::Group("g".into());
    let mut edit = |edit: ConfigEdit| {
        let change = ConfigChange {
            resource: resource.clone(),
            edits: vec![("list".into(), edit)],
        };
        cluster.done(Command::AlterConfigs {
            changes: vec![change],
        });
        cluster.image.config(&resource, "list").map(str::to_owned)
    };
    let default = || "delete".to_owned();
    assert_eq!(
        edit(ConfigEdit::Append {
            items: "compact".into(),
            default: default()
        })
        .as_deref(),
        Some("delete,compact")
    );
    assert_eq!(
        edit(ConfigEdit::Append {
            items: "compact".into(),
            default: default()
        })
        .as_deref(),
        Some("delete,compact")
    );
    assert_eq!(
        edit(ConfigEdit::Subtract {
            items: "delete".into(),
            default: default()
        })
        .as_deref(),
        Some("compact")
    );
    assert_eq!(edit(ConfigEdit::Delete), None);
}

#[test]
fn producer_ids_are_handed_out_in_blocks_once() {
    let mut cluster = Cluster::of(1);
    let epoch = cluster.epoch(1);
    let allocate = Command::AllocateProducerIds {
        broker: BrokerId(1),
        epoch,
    };
    assert_eq!(
        cluster.done(allocate.clone()),
        Outcome::ProducerIds {
            first: ProducerId(0)
        }
    );
    assert_eq!(
        cluster.done(allocate),
        Outcome::ProducerIds {
            first: ProducerId(1000)
        }
    );
}
