//! Settings of topics, and of brokers, change while all of it is written to and read.

use std::time::Duration;

use checker::What;
use checker::history::Place;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use tokio::time::sleep;
use wire::Str;
use wire::messages::IncrementalAlterConfigsRequest;
use wire::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};

use crate::clients::Session;
use crate::plan::{MOST_PARTITIONS, Topic};
use crate::{Scene, Stage, marks};

/// IncrementalAlterConfigs' numbers.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const SET: i8 = 0;
const DELETE: i8 = 1;

/// Changes a setting now and then. A change may be refused, and the broker may be away.
pub async fn run(scene: Scene, mut dice: StdRng) -> anyhow::Result<()> {
    let mut session = Session::new(&scene.brokers);
    while scene.stage() < Stage::Settling {
        sleep(Duration::from_millis(dice.random_range(300..2000))).await;
        if dice.random_bool(0.25) {
            let broker = session.next_broker();
            let wish = wish_of_broker(&scene, &mut dice);
            let answer = session.call(broker, wish, 1).await;
            if answer.is_ok_and(|answer| answer.responses.iter().all(|r| r.error_code == 0)) {
                marks::note(marks::BROKER_CONFIGURED);
            }
            continue;
        }
        let Some(topic) = scene.topics.choose(&mut dice) else {
            break;
        };
        let (name, value) = change(topic, scene.memory_lasts, &mut dice);
        if name == "retention.bytes" && value.is_some() {
            // From now on what is there goes by its size, however young.
            for partition in 0..MOST_PARTITIONS {
                let at = Place::new(&topic.name, partition);
                scene.record("configurer", What::Retention { at, keeps_us: 0 });
            }
        }
        let broker = session.next_broker();
        let wish = wish(TOPIC, &topic.name, name, value);
        let answer = session.call(broker, wish, 1).await;
        if answer.is_ok_and(|answer| answer.responses.iter().all(|r| r.error_code == 0)) {
            marks::note(marks::CONFIGURED);
        }
    }
    Ok(())
}

/// A setting and its new value, if it is not to be the default again. None of them takes a promise back on which the
/// topic was begun: fewer replicas in sync than two, flushing no more, keeping for less long. Where a machine may lose its
/// memory, what that may take is decided on by settings that stay.
fn change(topic: &Topic, memory_lasts: bool, dice: &mut StdRng) -> (&'static str, Option<String>) {
    let mut settings = vec!["segment.ms", "segment.bytes", "index.interval.bytes"];
    if topic.replicas > 1 && memory_lasts {
        settings.push("min.insync.replicas");
    }
    if topic.config("flush.messages") != Some("1") && memory_lasts {
        settings.push("flush.messages");
    }
    if topic.keeps_ms().is_some() {
        settings.extend(["retention.ms", "retention.bytes"]);
    }
    let name = settings[dice.random_range(0..settings.len())];
    if dice.random_bool(0.3) && name != "retention.ms" {
        return (name, None);
    }
    let value = match name {
        "segment.ms" => dice.random_range(300..3000),
        "segment.bytes" => 1 << 20,
        "min.insync.replicas" => dice.random_range(2..=i64::from(topic.replicas)),
        "flush.messages" => dice.random_range(1..=2),
        "retention.ms" => topic.keeps_ms().unwrap_or(0) as i64 * dice.random_range(1..=2),
        "retention.bytes" => dice.random_range(0..5000),
        _ => dice.random_range(0..500),
    };
    (name, Some(value.to_string()))
}

/// A setting of one broker or of all, which takes no promise back either.
fn wish_of_broker(scene: &Scene, dice: &mut StdRng) -> IncrementalAlterConfigsRequest {
    let mut settings = vec!["log.index.interval.bytes", "log.roll.ms", "max.connections"];
    if scene.memory_lasts {
        settings.push("log.flush.interval.messages");
    }
    let name = settings[dice.random_range(0..settings.len())];
    let value = match name {
        "log.index.interval.bytes" => dice.random_range(0..500),
        "log.roll.ms" => dice.random_range(1000..3000),
        "max.connections" => dice.random_range(500..1000),
        _ => dice.random_range(1..=2),
    };
    let broker = scene.brokers.choose(dice).filter(|_| dice.random_bool(0.5));
    let whose = broker.map_or(String::new(), i32::to_string);
    let value = dice.random_bool(0.7).then(|| value.to_string());
    wish(BROKER, &whose, name, value)
}

fn wish(
    resource_type: i8,
    whose: &str,
    name: &str,
    value: Option<String>,
) -> IncrementalAlterConfigsRequest {
    let config = AlterableConfig {
        name: Str::copy_from(name),
        config_operation: if value.is_some() { SET } else { DELETE },
        value: value.map(Str::from),
    };
    let resource = AlterConfigsResource {
        resource_type,
        resource_name: Str::copy_from(whose),
        configs: vec![config],
    };
    IncrementalAlterConfigsRequest {
        resources: vec![resource],
        ..IncrementalAlterConfigsRequest::default()
    }
}
