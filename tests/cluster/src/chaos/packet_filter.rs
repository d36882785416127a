//! Rules of iptables on one broker's machine, each taken back with the value that holds it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::machines::program;

/// Rules in the network namespace of one machine.
#[derive(Debug)]
pub struct PacketFilter {
    namespace: String,
    ip: PathBuf,
    iptables: PathBuf,
    /// Table, chain and rule, in the order in which they were added.
    rules: Vec<[String; 3]>,
}

impl PacketFilter {
    /// What is missing on this system, if anything.
    pub fn lacking() -> Option<&'static str> {
        program("iptables").is_none().then_some("iptables")
    }

    pub fn on(namespace: String) -> Result<PacketFilter> {
        Ok(PacketFilter {
            namespace,
            ip: program("ip").context("no ip")?,
            iptables: program("iptables").context("no iptables")?,
            rules: Vec::new(),
        })
    }

    /// Appends a rule, as in `INPUT`, `-s 198.18.1.2 -j DROP`.
    pub fn add(&mut self, table: &str, chain: &str, rule: &str) -> Result<()> {
        self.call(table, "-A", chain, rule)?;
        self.rules.push([table.into(), chain.into(), rule.into()]);
        Ok(())
    }

    /// Takes all rules back.
    pub fn clear(&mut self) -> Result<()> {
        while let Some([table, chain, rule]) = self.rules.pop() {
            self.call(&table, "-D", &chain, &rule)?;
        }
        Ok(())
    }

    /// Whether any packet has met a rule.
    pub fn has_matched(&self) -> Result<bool> {
        let chains: BTreeSet<(&str, &str)> = self
            .rules
            .iter()
            .map(|[table, chain, _]| (table.as_str(), chain.as_str()))
            .collect();
        for (table, chain) in chains {
            let listed = self.call(table, "-L", chain, "-v -x -n")?;
            // Two lines of headings, then a rule in each, the number of packets first.
            let packets = listed.lines().skip(2).filter_map(|line| {
                let number = line.split_whitespace().next()?;
                number.parse::<u64>().ok()
            });
            if packets.sum::<u64>() > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn call(&self, table: &str, action: &str, chain: &str, rule: &str) -> Result<String> {
        let done = Command::new(&self.ip)
            .args(["netns", "exec", &self.namespace])
            .arg::<&Path>(&self.iptables)
            .args(["-w", "-t", table, action, chain])
            .args(rule.split_whitespace())
            .output()?;
        let said = String::from_utf8_lossy(&done.stderr);
        ensure!(
            done.status.success(),
            "iptables -t {table} {action} {chain} {rule}: {}",
            said.trim()
        );
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    }
}

impl Drop for PacketFilter {
    fn drop(&mut self) {
        // Where the machine is gone already, so are its rules.
        let _ = self.clear();
    }
}
