//! What a person types is a contract: the Makefile keeps it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};

#[test]
fn every_target_is_in_help_and_every_help_is_a_target() -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Makefile");
    let text = fs::read_to_string(path)?.replace("\\\n", " ");
    let mut phony = BTreeSet::new();
    let mut explained = BTreeSet::new();
    for line in text.lines() {
        if let Some(names) = line.strip_prefix(".PHONY:") {
            phony.extend(names.split_whitespace().map(str::to_string));
        } else if let Some((name, _)) = line.split_once(": ## ") {
            explained.insert(name.to_string());
        }
    }
    ensure!(
        phony == explained,
        "without a line of help, or not phony: {:?}",
        phony.symmetric_difference(&explained)
    );
    for name in [
        "up",
        "down",
        "cluster",
        "cluster-down",
        "status",
        "env",
        "verify",
        "logs",
        "clean-data",
        "help",
        "test",
        "test-unit",
        "test-cluster",
        "test-compat",
        "test-e2e",
        "test-k8s",
        "lint",
        "fmt",
    ] {
        ensure!(explained.contains(name), "make {name} is missing");
    }
    Ok(())
}
