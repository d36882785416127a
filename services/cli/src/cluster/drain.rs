//! Brokers that are emptied, filled and forgotten.

use std::collections::BTreeSet;
use std::io::stdout;

use anyhow::{Context, bail};
use pipeline::KafkaOptions;
use serde_json::json;
use wire::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use wire::messages::{
    ElectLeadersRequest, IncrementalAlterConfigsRequest, UnregisterBrokerRequest,
};
use wire::{ErrorCode, Str};

use super::moves::{Progress, carry_out};
use super::plan;
use super::view::{DRAINED, Name, View};
use super::{Balance, Drain};
use crate::output::{joined, print_json};
use crate::wire_client::{Connection, check};

/// How many names an error shows.
const SHOWN: usize = 5;
const BROKER: i8 = 4;
/// Kafka's numbers for edits of lists.
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

pub async fn drain(options: &Drain) -> anyhow::Result<()> {
    let (kafka, broker) = (&options.common.kafka, options.broker);
    let view = View::read(kafka).await?;
    if !view.brokers.contains_key(&broker) {
        bail!(
            "there is no broker {broker}; there are {}",
            joined(&view.brokers.keys().collect::<Vec<_>>())
        );
    }
    // Asked before anything is changed.
    plan_drain(&view, broker)?;
    mark(kafka, broker, APPEND).await?;
    let mut progress = Progress::new(options.common.json);
    loop {
        // Anew each time: topics come and go, and somebody else may move replicas too.
        let view = View::read(kafka).await?;
        let moves = plan_drain(&view, broker)?;
        let leaving = view
            .partitions
            .iter()
            .filter(|p| p.removing.contains(&broker));
        let leaving: BTreeSet<Name> = leaving.map(|p| p.name.clone()).collect();
        if moves.is_empty() && leaving.is_empty() {
            break;
        }
        carry_out(kafka, moves, leaving, &options.pace, &mut progress).await?;
    }
    let moved = progress.moved();
    if options.common.json {
        let done = json!({"drained": broker, "moved": moved});
        println!("{done}");
    } else {
        println!(
            "broker {broker} is drained: it holds nothing and gets nothing. To remove it stop it, then \
             `millrace cluster unregister {broker}`; to use it again `millrace cluster undrain {broker}`"
        );
    }
    Ok(())
}

fn plan_drain(view: &View, broker: i32) -> anyhow::Result<Vec<plan::Move>> {
    plan::drain(view, broker).map_err(|stuck| {
        let some: Vec<String> = stuck.iter().take(SHOWN).map(|(t, i)| format!("{t}-{i}")).collect();
        let left = view.brokers.values().filter(|b| b.takes_replicas() && b.id != broker);
        let left: Vec<i32> = left.map(|b| b.id).collect();
        anyhow::anyhow!(
            "broker {broker} cannot be drained: {} partition(s) ({}) have as many replicas as the brokers that would \
             be left ({}) can hold, or more. Add a broker, or lower their replication factor",
            stuck.len(),
            some.join(", "),
            joined(&left)
        )
    })
}

pub async fn undrain(kafka: &KafkaOptions, broker: i32) -> anyhow::Result<()> {
    mark(kafka, broker, SUBTRACT).await?;
    println!(
        "broker {broker} may get replicas again; `millrace cluster balance` gives it its share"
    );
    Ok(())
}

/// Puts a broker on the list of those that get no new replicas, or takes it off.
async fn mark(kafka: &KafkaOptions, broker: i32, operation: i8) -> anyhow::Result<()> {
    let resource = AlterConfigsResource {
        resource_type: BROKER,
        // All brokers: one that is dead could not keep it.
        resource_name: Str::default(),
        configs: vec![AlterableConfig {
            name: Str::copy_from(DRAINED),
            config_operation: operation,
            value: Some(Str::from(broker.to_string())),
        }],
    };
    let request = IncrementalAlterConfigsRequest {
        resources: vec![resource],
        validate_only: false,
    };
    let mut connection = Connection::controller(kafka).await?;
    let answer = connection.call(&request, 1).await?;
    let outcome = answer
        .responses
        .first()
        .context("the cluster gave no answer")?;
    check(outcome.error_code, outcome.error_message.as_deref())
        .with_context(|| format!("cannot change {DRAINED}"))
}

pub async fn balance(options: &Balance) -> anyhow::Result<()> {
    let kafka = &options.common.kafka;
    let moves = plan::balance(&View::read(kafka).await?);
    if options.dry_run {
        let shown = moves
            .iter()
            .map(|m| json!({"topic": m.name.0, "partition": m.name.1, "replicas": m.target}));
        return print_json(&mut stdout(), &shown.collect());
    }
    let count = moves.len();
    let mut progress = Progress::new(options.common.json);
    carry_out(kafka, moves, BTreeSet::new(), &options.pace, &mut progress).await?;
    elect_preferred(kafka).await?;
    match options.common.json {
        true => println!("{}", json!({"balanced": true, "moved": count})),
        false => {
            println!("balanced: {count} partitions have other replicas or another order of them")
        }
    }
    Ok(())
}

/// Has the preferred replicas lead; those that cannot yet will be elected by the controller in time.
async fn elect_preferred(kafka: &KafkaOptions) -> anyhow::Result<()> {
    let request = ElectLeadersRequest {
        topic_partitions: None,
        ..ElectLeadersRequest::default()
    };
    let mut connection = Connection::controller(kafka).await?;
    let answer = connection.call(&request, 2).await?;
    check(answer.error_code, None)
}

pub async fn unregister(kafka: &KafkaOptions, broker: i32) -> anyhow::Result<()> {
    let request = UnregisterBrokerRequest { broker_id: broker };
    let mut connection = Connection::controller(kafka).await?;
    let answer = connection.call(&request, 0).await?;
    let unknown = ErrorCode::BrokerIdNotRegistered.code();
    if answer.error_code == unknown {
        println!("there is no broker {broker}");
        return Ok(());
    }
    check(answer.error_code, answer.error_message.as_deref())
        .with_context(|| format!("cannot unregister broker {broker}"))?;
    println!("broker {broker} is forgotten");
    Ok(())
}
