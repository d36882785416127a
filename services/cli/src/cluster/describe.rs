//! `millrace cluster describe` and `reassignments`.

use std::io::stdout;

use serde_json::{Value, json};

use super::quorum;
use super::view::{Broker, Partition, View};
use crate::admin::Common;
use crate::output::{Table, joined, print_json};

pub async fn cluster(common: &Common) -> anyhow::Result<()> {
    let view = View::read(&common.kafka).await?;
    // Brokers of others may not tell.
    let quorum = quorum::read(&common.kafka).await;
    if common.json {
        let mut all = as_json(&view);
        all["quorum"] = quorum.map_or(Value::Null, |quorum| quorum::as_json(&quorum));
        return print_json(&mut stdout(), &all);
    }
    println!(
        "cluster {}  controller {}  partitions {}",
        view.cluster_id,
        view.controller,
        view.partitions.len()
    );
    let mut table = Table::new([
        "BROKER", "STATE", "ADDRESS", "RACK", "LEADERS", "REPLICAS", "LACKING",
    ]);
    for broker in view.brokers.values() {
        let held = Held::of(&view, broker.id);
        let id = broker.id.to_string();
        let mark = if broker.id == view.controller {
            "*"
        } else {
            ""
        };
        table.row([
            format!("{id}{mark}"),
            state(broker).into(),
            broker.address.clone(),
            broker.rack.clone().unwrap_or_else(|| "-".into()),
            held.leads.to_string(),
            held.replicas.to_string(),
            held.out_of_sync.to_string(),
        ]);
    }
    table.print(&mut stdout())?;
    match quorum {
        Ok(quorum) => quorum::print(&quorum, &mut stdout())?,
        Err(error) => println!("\nquorum: not told ({error:#})"),
    }
    print_partitions("without a leader", &view, |p| p.leader.is_none())?;
    print_partitions("under-replicated", &view, Partition::is_under_replicated)?;
    print_partitions("moving", &view, Partition::is_moving)
}

pub async fn reassignments(common: &Common) -> anyhow::Result<()> {
    let view = View::read(&common.kafka).await?;
    if common.json {
        let moving = view.partitions.iter().filter(|p| p.is_moving());
        return print_json(&mut stdout(), &moving.map(partition_json).collect());
    }
    if !view.partitions.iter().any(Partition::is_moving) {
        println!("nothing moves");
        return Ok(());
    }
    print_partitions("moving", &view, Partition::is_moving)
}

/// What a broker has.
struct Held {
    leads: usize,
    replicas: usize,
    out_of_sync: usize,
}

impl Held {
    fn of(view: &View, id: i32) -> Held {
        let count = |wanted: &dyn Fn(&Partition) -> bool| {
            view.partitions.iter().filter(|p| wanted(p)).count()
        };
        Held {
            leads: count(&|p| p.leader == Some(id)),
            replicas: count(&|p| p.replicas.contains(&id)),
            out_of_sync: count(&|p| p.replicas.contains(&id) && !p.in_sync.contains(&id)),
        }
    }
}

fn state(broker: &Broker) -> &'static str {
    match (broker.fenced, broker.drained) {
        (true, true) => "fenced, drained",
        (true, false) => "fenced",
        (false, true) => "drained",
        (false, false) => "running",
    }
}

fn as_json(view: &View) -> Value {
    let broker = |b: &Broker| {
        let held = Held::of(view, b.id);
        json!({
            "id": b.id, "address": b.address, "rack": b.rack, "fenced": b.fenced, "drained": b.drained,
            "state": state(b), "leaders": held.leads, "replicas": held.replicas, "out_of_sync": held.out_of_sync,
        })
    };
    let partitions = |wanted: &dyn Fn(&Partition) -> bool| -> Vec<Value> {
        let those = view.partitions.iter().filter(|p| wanted(p));
        those.map(partition_json).collect()
    };
    json!({
        "cluster_id": view.cluster_id, "controller": view.controller,
        "partitions": view.partitions.len(),
        "brokers": view.brokers.values().map(broker).collect::<Vec<_>>(),
        "offline": partitions(&|p| p.leader.is_none()),
        "under_replicated": partitions(&Partition::is_under_replicated),
        "moving": partitions(&Partition::is_moving),
    })
}

fn partition_json(p: &Partition) -> Value {
    json!({
        "topic": p.name.0, "partition": p.name.1, "leader": p.leader, "replicas": p.replicas,
        "in_sync": p.in_sync, "adding": p.adding, "removing": p.removing,
    })
}

fn print_partitions(
    title: &str,
    view: &View,
    wanted: impl Fn(&Partition) -> bool,
) -> anyhow::Result<()> {
    let those: Vec<&Partition> = view.partitions.iter().filter(|p| wanted(p)).collect();
    if those.is_empty() {
        return Ok(());
    }
    println!("\n{title}: {}", those.len());
    let mut table = Table::new([
        "  PARTITION",
        "LEADER",
        "REPLICAS",
        "IN SYNC",
        "ADDING",
        "REMOVING",
    ]);
    for p in those {
        table.row([
            format!("  {}-{}", p.name.0, p.name.1),
            p.leader.map_or_else(|| "none".into(), |id| id.to_string()),
            joined(&p.replicas),
            joined(&p.in_sync),
            joined(&p.adding),
            joined(&p.removing),
        ]);
    }
    Ok(table.print(&mut stdout())?)
}
