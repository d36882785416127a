//! Rules of iptables on one broker's machine, each taken back with the value that holds it.

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

    fn call(&self, table: &str, action: &str, chain: &str, rule: &str) -> Result<()> {
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
        Ok(())
    }
}

impl Drop for PacketFilter {
    fn drop(&mut self) {
        // Where the machine is gone already, so are its rules.
        let _ = self.clear();
    }
}
