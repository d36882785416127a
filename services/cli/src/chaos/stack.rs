//! The stack that the command was called through, as `scripts/stack` knows it.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, anyhow, ensure};
use serde_json::Value;

/// Where `scripts/stack millrace` says by which command the stack is reached, which stack it is, and whether it runs in
/// containers.
const COMMAND: &str = "MILLRACE_STACK_COMMAND";
const DATA: &str = "DATA_DIR";
const CONTAINERS: &str = "MILLRACE_STACK_CONTAINERS";

pub struct Stack {
    pub command: String,
    /// Where it is.
    pub data: PathBuf,
    /// Whether it is driven by Docker Compose.
    pub containers: bool,
}

/// One part, as `make status` shows it.
#[derive(Debug, PartialEq, Eq)]
pub struct Part {
    pub name: String,
    pub state: String,
    pub pid: Option<u64>,
    pub container: Option<String>,
    pub address: String,
}

impl Stack {
    pub fn from_environment() -> anyhow::Result<Stack> {
        let known = std::env::var(COMMAND).and_then(|command| Ok((command, std::env::var(DATA)?)));
        let (command, data) = known.map_err(|_| {
            anyhow!("no stack is known here: call it as `scripts/stack millrace chaos`, where `make up` runs a mesh")
        })?;
        Ok(Stack {
            command,
            data: data.into(),
            containers: std::env::var_os(CONTAINERS).is_some_and(|value| !value.is_empty()),
        })
    }

    pub fn parts(&self) -> anyhow::Result<Vec<Part>> {
        parts(&self.run(&["status", "--format", "json"])?)
    }

    pub fn part(&self, name: &str) -> anyhow::Result<Part> {
        let mut parts = self.parts()?.into_iter();
        let found = parts.find(|part| part.name == name);
        found.with_context(|| format!("the stack has no {name}"))
    }

    /// Stops or starts parts. Starting waits until they work.
    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = Command::new(&self.command)
            .args(arguments)
            // Ctrl-C is for us: what was stopped is to be started again.
            .process_group(0)
            .stdin(Stdio::null())
            .output()
            .with_context(|| self.command.clone())?;
        ensure!(
            output.status.success(),
            "{} {}: {}",
            self.command,
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8(output.stdout)?)
    }
}

fn parts(json: &str) -> anyhow::Result<Vec<Part>> {
    let rows: Vec<Value> = serde_json::from_str(json).context("the stack's status")?;
    let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let part = |row: &Value| Part {
        name: text(row, "name"),
        state: text(row, "state"),
        pid: row["pid"].as_u64(),
        container: row["container"].as_str().map(str::to_owned),
        address: text(row, "address"),
    };
    Ok(rows.iter().map(part).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_read() {
        let json = r#"[{"name":"s3","state":"stopped","pid":null,"container":null,"address":"127.0.0.1:1"},
                       {"name":"etl","state":"running","pid":7,"container":"millrace-etl-1","address":"127.0.0.1:2"}]"#;
        let found = parts(json).expect("a status");
        assert_eq!((found[0].state.as_str(), found[0].pid), ("stopped", None));
        assert_eq!((found[1].name.as_str(), found[1].pid), ("etl", Some(7)));
        assert_eq!(
            (found[0].container.as_deref(), found[1].container.as_deref()),
            (None, Some("millrace-etl-1"))
        );
        assert!(parts("stack: nothing runs").is_err());
    }
}
