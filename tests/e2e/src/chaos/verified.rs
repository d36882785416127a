//! What `millrace verify` says in the end, and whether the dead letters are just the poison.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;

use super::field::Field;

/// What one sink holds of one topic.
#[derive(Debug, Default)]
pub struct Held {
    pub sink: String,
    pub topic: String,
    pub records: u64,
    pub stored: u64,
    pub dead: u64,
    pub missing: u64,
    pub doubled: u64,
    pub different: u64,
    /// Stored and dead-lettered, or not in the log at all.
    pub other: u64,
}

/// The verdict.
#[derive(Debug, Default)]
pub struct Verified {
    pub held: Vec<Held>,
    pub took: Duration,
    /// Whatever is wrong, in words.
    pub anomalies: Vec<String>,
}

impl Verified {
    /// Records of all topics, each counted once.
    pub fn records(&self) -> u64 {
        let of_topic = self.held.iter().map(|held| (&held.topic, held.records));
        of_topic.collect::<BTreeMap<_, _>>().values().sum()
    }
}

/// Asks for the verdict. `wait` is how long `verify` waits for sinks that lag.
pub fn verify(field: &Field, wait: Duration) -> Result<Verified> {
    let began = Instant::now();
    let wait = format!("{}s", wait.as_secs());
    let output = field
        .millrace(&["verify", "--json", "--wait", &wait])?
        .output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    // What it says stays with the logs of a run that failed.
    fs::write(field.stack.data().join("logs/verify.json"), &output.stdout)?;
    let report: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("verify printed no JSON but this: {errors}"))?;
    let mut verified = Verified {
        held: held(&report),
        took: began.elapsed(),
        anomalies: texts(&report["failures"]),
    };
    for topic in list(&report["topics"]) {
        let name = topic["topic"].as_str().unwrap_or_default();
        let problems = list(&topic["counters"]["problems"]).iter();
        let counters = problems.map(|problem| format!("{name}: counters: {problem}"));
        verified.anomalies.extend(counters);
        for sink in list(&topic["sinks"]) {
            let findings = list(&sink["findings"]).iter();
            let of = format!("{name} -> {}", sink["sink"].as_str().unwrap_or_default());
            let told = findings.map(|finding| format!("{of}: {finding}"));
            verified.anomalies.extend(told);
        }
    }
    if !output.status.success() && verified.anomalies.is_empty() {
        let text = format!("verify ends with {}: {errors}", output.status);
        verified.anomalies.push(text);
    }
    verified.anomalies.extend(letters(field)?);
    Ok(verified)
}

/// Dead letters that are no poison, and poison that has become none.
fn letters(field: &Field) -> Result<Vec<String>> {
    let mut dead = BTreeSet::new();
    for topic in ["web-logs", "bk-orders"] {
        let is_of = |letter: &&(String, String, String, String)| letter.1 == topic;
        // A topic without any has no <topic>.dlq.
        if field.poison.iter().any(|letter| is_of(&letter)) {
            dead.extend(field.stack.dead_letters(topic)?);
        }
    }
    let unexpected = dead.difference(&field.poison);
    let unexpected =
        unexpected.map(|letter| format!("a dead letter that is no poison: {letter:?}"));
    let lacking = field.poison.difference(&dead);
    let lacking = lacking.map(|letter| format!("poison without a dead letter: {letter:?}"));
    Ok(unexpected.chain(lacking).collect())
}

fn held(report: &Value) -> Vec<Held> {
    let mut found = Vec::new();
    for topic in list(&report["topics"]) {
        for sink in list(&topic["sinks"]) {
            let count = |name: &str| sink[name].as_u64().unwrap_or(0);
            found.push(Held {
                sink: sink["sink"].as_str().unwrap_or_default().to_owned(),
                topic: topic["topic"].as_str().unwrap_or_default().to_owned(),
                records: topic["records"].as_u64().unwrap_or(0),
                stored: count("stored"),
                dead: count("dead_letters"),
                missing: count("missing"),
                doubled: count("doubled"),
                different: count("different"),
                other: count("stored_and_dead_lettered") + count("not_in_log"),
            });
        }
    }
    found
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn texts(value: &Value) -> Vec<String> {
    let texts = list(value).iter();
    texts
        .map(|text| text.as_str().unwrap_or_default().to_owned())
        .collect()
}
