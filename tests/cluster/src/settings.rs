//! What a test may choose about a cluster.

use std::env;
use std::path::PathBuf;

use anyhow::{Result, bail};

/// How many brokers, with which properties.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Brokers that are voters too; 3 by default.
    pub brokers: usize,
    /// Lines for every broker's `server.properties`, behind the harness's own, which they override.
    pub properties: Vec<(String, String)>,
    /// Each broker on a machine of its own, instead of all of them on loopback.
    pub machines: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            brokers: 3,
            properties: vec![
                // The defaults of one disk and 50 partitions would only slow the tests down.
                ("offsets.topic.num.partitions".into(), "4".into()),
                ("group.initial.rebalance.delay.ms".into(), "0".into()),
            ],
            machines: false,
        }
    }
}

impl Settings {
    pub fn brokers(mut self, count: usize) -> Settings {
        self.brokers = count;
        self
    }

    pub fn machines(mut self) -> Settings {
        self.machines = true;
        self
    }

    pub fn property(mut self, key: &str, value: &str) -> Settings {
        self.properties.push((key.into(), value.into()));
        self
    }
}

/// The broker's binary: `MILLRACE_BROKER`, or the one that cargo has put near this test.
pub fn broker_binary() -> Result<PathBuf> {
    match env::var_os("MILLRACE_BROKER") {
        Some(path) => Ok(path.into()),
        None => binary("millrace-broker"),
    }
}

/// A program of this workspace that cargo has put near this test.
pub fn binary(name: &str) -> Result<PathBuf> {
    let test = env::current_exe()?;
    // target/debug/deps/test-1234 or target/debug/examples/x
    let candidates = test
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(name));
    for path in candidates {
        if path.exists() {
            return Ok(path);
        }
    }
    bail!(
        "no {name} beside {test:?}: cargo build --workspace, or for the broker set MILLRACE_BROKER"
    )
}
