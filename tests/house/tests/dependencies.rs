//! Which crate may know which. A crate exists only to forbid a dependency; this is where it is forbidden.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Each crate that runs inside a package's own code, however far down: dev- and build-dependencies left out.
fn reached_from(package: &str) -> Result<BTreeSet<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        // Packages of other platforms need not be on this machine.
        .args([
            "--filter-platform",
            &format!("{}-unknown-linux-gnu", std::env::consts::ARCH),
        ])
        .current_dir(root)
        .output()?;
    ensure!(
        output.status.success(),
        "cargo metadata: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let names: BTreeMap<&str, &str> = metadata["packages"]
        .as_array()
        .context("packages")?
        .iter()
        .filter_map(|found| Some((found["id"].as_str()?, found["name"].as_str()?)))
        .collect();
    let nodes: BTreeMap<&str, &Value> = metadata["resolve"]["nodes"]
        .as_array()
        .context("nodes")?
        .iter()
        .filter_map(|node| Some((node["id"].as_str()?, node)))
        .collect();
    let (start, _) = names
        .iter()
        .find(|(_, name)| **name == package)
        .with_context(|| format!("no package {package}"))?;
    let mut open = vec![*start];
    let mut reached = BTreeSet::new();
    while let Some(id) = open.pop() {
        let dependencies = nodes[id]["deps"].as_array().context("deps")?;
        for dependency in dependencies.iter().filter(|found| is_normal(found)) {
            let next = dependency["pkg"].as_str().context("pkg")?;
            if reached.insert(names[next].to_string()) {
                open.push(next);
            }
        }
    }
    Ok(reached)
}

fn is_normal(dependency: &Value) -> bool {
    let kinds = dependency["dep_kinds"].as_array();
    kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"].is_null()))
}

fn forbid(package: &str, forbidden: &[&str]) -> Result<()> {
    let reached = reached_from(package)?;
    for name in forbidden {
        ensure!(!reached.contains(*name), "{package} must not know {name}");
    }
    Ok(())
}

#[test]
fn wire_knows_nothing_of_ours() -> Result<()> {
    forbid(
        "wire",
        &[
            "engine",
            "storage",
            "telemetry",
            "pipeline",
            "tokio",
            "rand",
        ],
    )
}

#[test]
fn engine_decides_without_runtime_storage_or_randomness() -> Result<()> {
    // A decision that could wait, read a disk or throw dice could not be replayed from a seed.
    forbid(
        "engine",
        &[
            "storage",
            "telemetry",
            "tokio",
            "rand",
            "getrandom",
            "socket2",
            "futures",
        ],
    )
}

#[test]
fn storage_is_synchronous_and_knows_no_decisions() -> Result<()> {
    // What drives the log decides where it blocks.
    forbid("storage", &["engine", "telemetry", "tokio", "futures"])
}

#[test]
fn the_tests_own_client_knows_the_wire_alone() -> Result<()> {
    // What it tells of a broker must have come over the wire.
    forbid("wire-client", &["engine", "storage", "millrace-broker"])
}

#[test]
fn services_are_plain_clients() -> Result<()> {
    // They must run against any Kafka; what they need of the broker goes over the wire.
    for service in [
        "weblog-generator",
        "bakery-producer",
        "etl",
        "archiver",
        "millrace",
    ] {
        forbid(service, &["engine", "storage", "millrace-broker"])?;
    }
    Ok(())
}
