//! DescribeConfigs and IncrementalAlterConfigs.

use std::collections::BTreeMap;

use engine::ids::BrokerId;
use engine::metadata::{ConfigChange, ConfigEdit, Resource};
use wire::ErrorCode;
use wire::messages::describe_configs_request::DescribeConfigsResource;
use wire::messages::incremental_alter_configs_request::AlterableConfig;

use super::super::config_changes::settle;
use super::super::describe_configs;
use super::super::incremental_alter_configs::edits;
use super::super::settings::source;
use super::World;
use crate::config::Config;

fn config() -> Config {
    let given = [("node.id", "1"), ("log.retention.hours", "2")];
    let given = given.map(|(key, value)| (key.to_owned(), value.to_owned()));
    Config::from_map(BTreeMap::from(given))
        .expect("a valid configuration")
        .0
}

fn topic() -> Resource {
    Resource::Topic("a".into())
}

/// Checks and rehearses one operation on topic `a`.
fn alter(
    world: &mut World,
    key: &'static str,
    operation: i8,
    value: Option<&'static str>,
) -> Result<(), ErrorCode> {
    let asked = AlterableConfig {
        name: key.into(),
        config_operation: operation,
        value: value.map(Into::into),
    };
    let edits = edits(&config().topics, &topic(), &[asked]).map_err(|r| r.error)?;
    let change = settle(
        &world.image,
        ConfigChange {
            resource: topic(),
            edits,
        },
    )
    .map_err(|r| r.error)?;
    world.run(engine::metadata::Command::AlterConfigs {
        changes: vec![change],
    });
    Ok(())
}

#[test]
fn settings_are_made_appended_to_and_taken_back() {
    let mut world = World::with_brokers(1);
    world.create("a", 1, 1);
    assert_eq!(alter(&mut world, "retention.ms", 0, Some("5")), Ok(()));
    assert_eq!(
        alter(&mut world, "cleanup.policy", 2, Some("compact")),
        Ok(())
    );
    assert_eq!(
        world.image.config(&topic(), "cleanup.policy"),
        Some("delete,compact")
    );
    assert_eq!(
        alter(&mut world, "cleanup.policy", 3, Some("delete")),
        Ok(())
    );
    assert_eq!(
        world.image.config(&topic(), "cleanup.policy"),
        Some("compact")
    );
    assert_eq!(alter(&mut world, "retention.ms", 1, None), Ok(()));
    assert_eq!(world.image.config(&topic(), "retention.ms"), None);
}

#[test]
fn what_cannot_be_set_is_refused() {
    let mut world = World::with_brokers(1);
    assert_eq!(
        alter(&mut world, "retention.ms", 0, Some("5")),
        Err(ErrorCode::UnknownTopicOrPartition)
    );
    world.create("a", 1, 1);
    assert_eq!(
        alter(&mut world, "retention.ms", 0, Some("soon")),
        Err(ErrorCode::InvalidConfig)
    );
    assert_eq!(
        alter(&mut world, "retention.ms", 0, None),
        Err(ErrorCode::InvalidRequest)
    );
    assert_eq!(
        alter(&mut world, "retention.ms", 2, Some("5")),
        Err(ErrorCode::InvalidConfig)
    );
    assert_eq!(
        alter(&mut world, "no.such", 0, Some("5")),
        Err(ErrorCode::InvalidConfig)
    );
    assert_eq!(
        alter(&mut world, "cleanup.policy", 2, Some("nonsense")),
        Err(ErrorCode::InvalidConfig)
    );
    assert_eq!(
        alter(&mut world, "retention.ms", 9, Some("5")),
        Err(ErrorCode::InvalidRequest)
    );
    let key = AlterableConfig {
        name: "log.retention.hours".into(),
        config_operation: 0,
        value: Some("1".into()),
    };
    let refusal = edits(&config().topics, &Resource::Broker(BrokerId(1)), &[key])
        .expect_err("it is read-only");
    assert_eq!(refusal.error, ErrorCode::InvalidRequest);
}

fn describe(
    world: &World,
    kind: i8,
    name: &str,
) -> Result<BTreeMap<&'static str, (Option<String>, i8)>, ErrorCode> {
    let asked = DescribeConfigsResource {
        resource_type: kind,
        resource_name: name.to_owned().into(),
        configuration_keys: None,
    };
    let found = describe_configs::settings(&world.image, &config(), &asked).map_err(|r| r.error)?;
    Ok(found
        .into_iter()
        .map(|s| (s.name, (s.value, s.source)))
        .collect())
}

#[test]
fn a_topics_values_say_where_they_come_from() {
    let mut world = World::with_brokers(1);
    world.create("a", 1, 1);
    let edits = vec![("segment.ms".to_owned(), ConfigEdit::Set("60000".into()))];
    world.run(engine::metadata::Command::AlterConfigs {
        changes: vec![ConfigChange {
            resource: topic(),
            edits,
        }],
    });
    let values = describe(&world, 2, "a").expect("it exists");
    assert_eq!(values["segment.ms"], (Some("60000".into()), source::TOPIC));
    assert_eq!(
        values["retention.ms"],
        (Some("7200000".into()), source::STATIC)
    );
    assert_eq!(
        values["cleanup.policy"],
        (Some("delete".into()), source::DEFAULT)
    );
}

#[test]
fn only_this_broker_describes_itself() {
    let world = World::with_brokers(1);
    let values = describe(&world, 4, "1").expect("it is this broker");
    assert_eq!(
        values["log.retention.hours"],
        (Some("2".into()), source::STATIC)
    );
    assert_eq!(values["node.id"].0.as_deref(), Some("1"));
    assert_eq!(describe(&world, 4, "2"), Err(ErrorCode::InvalidRequest));
    assert_eq!(describe(&world, 4, "x"), Err(ErrorCode::InvalidRequest));
    assert_eq!(describe(&world, 4, ""), Ok(BTreeMap::new()));
    assert_eq!(
        describe(&world, 2, "nope"),
        Err(ErrorCode::UnknownTopicOrPartition)
    );
    assert_eq!(
        describe(&world, 2, "no pe"),
        Err(ErrorCode::InvalidTopicException)
    );
    assert_eq!(describe(&world, 99, ""), Err(ErrorCode::InvalidRequest));
}

#[test]
fn an_empty_list_of_keys_is_no_restriction() {
    let mut world = World::with_brokers(1);
    world.create("a", 1, 1);
    let configs = |keys: Option<Vec<&'static str>>| {
        let asked = DescribeConfigsResource {
            resource_type: 2,
            resource_name: "a".into(),
            configuration_keys: keys.map(|keys| keys.into_iter().map(Into::into).collect()),
        };
        let found = describe_configs::settings(&world.image, &config(), &asked);
        describe_configs::result(&asked, found, false).configs.len()
    };
    assert_eq!(configs(Some(Vec::new())), configs(None));
    assert_eq!(configs(Some(vec!["retention.ms", "no.such"])), 1);
}

/// Alters a setting of this broker, or of all.
fn alter_broker(
    world: &mut World,
    resource: Resource,
    key: &'static str,
    value: &'static str,
) -> Result<(), ErrorCode> {
    let asked = AlterableConfig {
        name: key.into(),
        config_operation: 0,
        value: Some(value.into()),
    };
    let edits = edits(&config().topics, &resource, &[asked]).map_err(|r| r.error)?;
    let change = ConfigChange { resource, edits };
    let change = settle(&world.image, change).map_err(|r| r.error)?;
    world.run(engine::metadata::Command::AlterConfigs {
        changes: vec![change],
    });
    Ok(())
}

#[test]
fn a_brokers_own_setting_wins_over_that_of_all_and_over_its_file() {
    let (one, all) = (Resource::Broker(BrokerId(1)), Resource::AllBrokers);
    let mut world = World::with_brokers(1);
    world.create("a", 1, 1);
    let retention = |world: &World| {
        let resolved = config().topics_in(&world.image).resolve(&BTreeMap::new());
        resolved.retention_ms
    };
    assert_eq!(retention(&world), Some(7_200_000));
    alter_broker(&mut world, all, "log.retention.ms", "6").expect("it is dynamic");
    assert_eq!(retention(&world), Some(6));
    assert_eq!(
        describe(&world, 2, "a").expect("it exists")["retention.ms"],
        (Some("6".into()), source::ALL_BROKERS)
    );
    alter_broker(&mut world, one, "log.retention.ms", "5").expect("it is dynamic");
    assert_eq!(retention(&world), Some(5));
    assert_eq!(
        describe(&world, 4, "1").expect("it is this broker")["log.retention.ms"],
        (Some("5".into()), source::THIS_BROKER)
    );
    let of_all = describe(&world, 4, "").expect("all brokers");
    let expected = [("log.retention.ms", (Some("6".into()), source::ALL_BROKERS))];
    assert_eq!(of_all, BTreeMap::from(expected));
}

#[test]
fn limits_of_connections_change_at_once() {
    let mut world = World::with_brokers(1);
    let limits = |world: &World| config().connection_limits(&world.image);
    assert_eq!(limits(&world).total, 10_000);
    alter_broker(&mut world, Resource::AllBrokers, "max.connections", "7").expect("it is dynamic");
    assert_eq!(limits(&world).total, 7);
    assert_eq!(limits(&world).per_ip, i32::MAX as usize);
}

#[test]
fn of_a_broker_only_what_takes_effect_at_once_can_be_altered() {
    let world = &mut World::with_brokers(1);
    let one = || Resource::Broker(BrokerId(1));
    for key in ["node.id", "log.dirs", "log.retention.hours", "no.such"] {
        let refused = alter_broker(world, one(), key, "1");
        assert_eq!(refused, Err(ErrorCode::InvalidRequest), "{key}");
    }
    let refused = alter_broker(world, one(), "log.retention.ms", "soon");
    assert_eq!(refused, Err(ErrorCode::InvalidConfig));
    let unclean = "unclean.leader.election.enable";
    let refused = alter_broker(world, one(), unclean, "true");
    assert_eq!(refused, Err(ErrorCode::InvalidRequest));
    alter_broker(world, Resource::AllBrokers, unclean, "true").expect("for all of them");

    let asked = DescribeConfigsResource {
        resource_type: 4,
        resource_name: "1".into(),
        configuration_keys: None,
    };
    let shown = describe_configs::settings(&world.image, &config(), &asked).expect("itself");
    for setting in shown {
        let altered = edits(
            &config().topics,
            &Resource::AllBrokers,
            &[AlterableConfig {
                name: setting.name.into(),
                config_operation: 1,
                value: None,
            }],
        );
        assert_eq!(altered.is_err(), setting.read_only, "{}", setting.name);
    }
}
