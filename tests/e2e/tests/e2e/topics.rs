//! Topics that a sink must not read on: one that is compacted, and one that was deleted and created again.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};
use cluster::{until, within};
use serde_json::Value;

use crate::mesh::{GENERATORS, Mesh, PATIENCE};
use crate::stores::Stores;

pub fn the_bakery_reads_its_orders(mesh: &Mesh) -> Result<()> {
    // Given the topic of orders, with free text in it
    let verified = mesh.verify(&["--topic", "bk-orders", "--sink", "postgres"])?;
    let sink = &verified.report["topics"][0]["sinks"][0];
    let number = |name: &str| sink[name].as_u64().context("a number");
    let (orders, all) = (
        number("stored")?,
        number("stored")? + number("dead_letters")?,
    );
    // When a new group reads all of it, as receipts and as JSON
    let read = |group: &str, form: &[&str]| -> Result<String> {
        let mut consumer = mesh.program("bakery-consumer")?;
        consumer.args(["--group", group, "--count", &all.to_string()]);
        let output = consumer.args(form).output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "bakery-consumer: {errors}");
        Ok(String::from_utf8(output.stdout)?)
    };
    let receipts = read("readers-of-receipts", &[])?;
    let lines = read("readers-of-json", &["--json"])?;
    // Then each order is there once, and the text between them
    let ids: BTreeSet<Option<String>> = lines
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .map(|order| Some(order["id"].as_str()?.to_owned()))
        .collect();
    let printed = receipts
        .lines()
        .filter(|line| line.starts_with("Total "))
        .count();
    for text in [&receipts, &lines] {
        ensure!(
            text.lines().any(|line| line == "two croissants, please"),
            "no text: {text}"
        );
    }
    // One of the poisoned records is an order to everybody but PostgreSQL.
    ensure!(
        (ids.len(), printed) == (orders as usize + 1, orders as usize + 1),
        "of {orders} + 1 orders {} as JSON and {printed} receipts",
        ids.len()
    );
    Ok(())
}

pub fn a_compacted_one_is_not_archived(mesh: &Mesh) -> Result<()> {
    // Given a compacted topic in the archiver's configuration
    let compacted = ["--config", "cleanup.policy=compact"];
    mesh.millrace(&[&["topics", "create", "newest-only"][..], &compacted].concat())?;
    let config = mesh.stack.data().join("config/compacted.json");
    fs::write(&config, r#"{"topics": "web-logs,newest-only"}"#)?;
    // When it starts
    let mut archiver = mesh.program("archiver")?;
    let output = archiver
        .arg("--config")
        .arg(&config)
        .args(["--metrics-addr", "127.0.0.1:0"])
        .output()?;
    // Then it refuses to, and names the ways out
    let message = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success(), "it ran: {message}");
    for words in [
        "topic newest-only is compacted",
        "take it out of topics",
        "cleanup.policy=delete",
    ] {
        ensure!(message.contains(words), "no {words:?} in: {message}");
    }
    Ok(())
}

pub async fn a_recreated_one_is_another_one(mesh: &Mesh) -> Result<()> {
    // Given sinks that hold records of bk-orders
    let stores = Stores::connect(mesh.environment()).await?;
    let held = stores.count("orders", "bk-orders").await?;
    // When that topic is deleted, created again, and filled beyond where the sinks were
    mesh.millrace(&["topics", "delete", "bk-orders"])?;
    within(PATIENCE, "the topic can be created again", || {
        let done = mesh.millrace(&["topics", "create", "bk-orders", "-p", "6"])?;
        Ok(Some(done))
    })?;
    mesh.start_again("bakery-producer")?;
    mesh.stack.wait_acknowledged(300)?;
    // Then each sink stops each of its partitions and names the ways out, and goes on with the other topic
    for (part, sinks) in [
        ("etl", &["postgres", "opensearch"][..]),
        ("archiver", &["s3"]),
    ] {
        for partition in 0..6 {
            for sink in sinks {
                let stopped = format!("{sink} bk-orders-{partition}: stopped: ");
                until(PATIENCE, &format!("{part} says {stopped:?}"), || {
                    let ready = mesh.asked(part, "/readyz")?;
                    let line = ready.lines().find(|line| line.starts_with(&stopped));
                    Ok(line.is_some_and(|line| line.contains("Ways out")))
                })?;
            }
        }
        let ready = mesh.asked(part, "/readyz")?;
        ensure!(!ready.contains("web-logs"), "{part}: {ready}");
    }
    // and no record of the new topic is taken for one of the old
    let now = stores.count("orders", "bk-orders").await?;
    ensure!(now == held, "{held} orders became {now}");
    mesh.start_again("weblog-generator")?;
    mesh.stack.wait_acknowledged(300)?;
    mesh.stop(GENERATORS)?;
    mesh.expect_clean(&mesh.verify(&["--topic", "web-logs", "--wait", "60s"])?)
}
