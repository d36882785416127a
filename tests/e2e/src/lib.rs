//! A native stack of a test's own: free ports, its own data directory, dev builds.

pub mod chaos;
pub mod collector;
pub mod jaeger;
pub mod poison;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use cluster::{http, until};
use serde_json::Value;

/// How long one part may take to be back.
const BACK: Duration = Duration::from_secs(120);

/// A stack that goes away, with its data, when it is dropped.
#[derive(Debug)]
pub struct Stack {
    root: PathBuf,
    data: PathBuf,
    variables: Vec<(String, String)>,
    /// Whether the data stays when the stack goes away.
    is_kept: bool,
}

impl Stack {
    /// A stack under `folder`, not started yet. `variables` are those of `.env.example`.
    pub fn new(folder: &Path, name: &str, variables: &[(&str, &str)]) -> Result<Stack> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let data = folder.join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(folder)?;
        let own = |(key, value): &(&str, &str)| (key.to_string(), value.to_string());
        Ok(Stack {
            root: root.canonicalize()?,
            data,
            variables: variables.iter().map(own).collect(),
            is_kept: false,
        })
    }

    /// The repository.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Another value of a variable, for the parts that are started from now on.
    pub fn set(&mut self, variable: &str, value: &str) {
        self.variables.retain(|(name, _)| name != variable);
        self.variables.push((variable.to_owned(), value.to_owned()));
    }

    pub fn data(&self) -> &Path {
        &self.data
    }

    /// From now on the data stays to be looked at, although the stack ends.
    pub fn keep(&mut self) {
        self.is_kept = true;
    }

    /// What the environment of each of its processes has: by that `down` finds them all.
    pub fn mark(&self) -> (&'static str, &Path) {
        ("MILLRACE_STACK", &self.data)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.root.join("scripts/stack"));
        command
            .args(arguments)
            .current_dir(&self.root)
            // The stack calls cargo, which would build all that depends on ring anew where this is another's.
            .env_remove("CARGO_MANIFEST_DIR")
            .env("PROFILE", "dev")
            .env("STACK", "native")
            .env("PORTS", "free")
            .env("DATA_DIR", &self.data)
            .envs(self.variables.iter().cloned())
            .stdin(Stdio::null());
        command
    }

    /// Runs `scripts/stack` and gives what it did, whatever that was.
    pub fn attempt(&self, arguments: &[&str]) -> Result<Output> {
        Ok(self.command(arguments).output()?)
    }

    /// Runs `scripts/stack` on a terminal, where somebody types `answer`; its output has what the terminal shows.
    pub fn on_terminal(&self, arguments: &[&str], answer: &str) -> Result<Output> {
        let usual = self.command(arguments);
        let words = std::iter::once(usual.get_program()).chain(usual.get_args());
        let words: Vec<String> = words
            .map(|word| format!("'{}'", word.to_string_lossy()))
            .collect();
        let mut command = Command::new("script");
        command
            .args([
                "--quiet",
                "--return",
                "--command",
                &words.join(" "),
                "/dev/null",
            ])
            .current_dir(&self.root);
        for (name, value) in usual.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut keyboard = child.stdin.take().context("it is piped")?;
        keyboard.write_all(answer.as_bytes())?;
        // The keyboard stays: its end would be an answer, too.
        let output = child.wait_with_output()?;
        drop(keyboard);
        Ok(output)
    }

    /// Runs `scripts/stack`, which must succeed, and gives its standard output.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = self.attempt(arguments)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            output.status.success(),
            "scripts/stack {arguments:?}: {}\n{text}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(text)
    }

    /// Runs the `millrace` command against this stack.
    pub fn millrace(&self, arguments: &[&str]) -> Result<String> {
        self.run(&[&["millrace"], arguments].concat())
    }

    /// Runs a test program whose tests are ignored elsewhere because they need these parts.
    /// The whole workspace is selected, as scripts/suites.py does: one package alone would be built anew.
    pub fn cargo_test(&self, test: &str) -> Result<()> {
        let script = r#"set -a; eval "$(scripts/stack env)" && exec cargo test --locked --workspace --test "$0" -- --ignored"#;
        let output = Command::new("bash")
            .args(["-c", script, test])
            .current_dir(&self.root)
            .env_remove("CARGO_MANIFEST_DIR")
            .env("PROFILE", "dev")
            .env("PORTS", "free")
            .env("DATA_DIR", &self.data)
            .envs(self.variables.iter().cloned())
            .stdin(Stdio::null())
            .output()?;
        ensure!(
            output.status.success(),
            "{test}: {}\n{}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    /// What `make env` prints: the addresses and keys of the stores and the brokers.
    pub fn environment(&self) -> Result<BTreeMap<String, String>> {
        let text = self.run(&["env"])?;
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        let plain = |value: &str| value.trim_matches(['\'', '"']).to_string();
        Ok(pairs
            .map(|(name, value)| (name.to_string(), plain(value)))
            .collect())
    }

    fn status(&self) -> Result<Vec<Value>> {
        let text = self.run(&["status", "--format", "json"])?;
        Ok(serde_json::from_str(&text)?)
    }

    fn part(&self, name: &str) -> Result<Value> {
        self.status()?
            .into_iter()
            .find(|part| part["name"] == name)
            .with_context(|| format!("no part {name}"))
    }

    /// The names of all parts, and those of them that run.
    pub fn parts(&self) -> Result<(BTreeSet<String>, BTreeSet<String>)> {
        let mut all = BTreeSet::new();
        let mut running = BTreeSet::new();
        for part in self.status()? {
            let name = part["name"].as_str().context("name")?.to_string();
            if part["state"] == "running" {
                running.insert(name.clone());
            }
            all.insert(name);
        }
        Ok((all, running))
    }

    /// Where a part listens; of a service, where it serves its metrics.
    pub fn address(&self, name: &str) -> Result<String> {
        let part = self.part(name)?;
        Ok(part["address"].as_str().context("address")?.to_owned())
    }

    pub fn pid(&self, name: &str) -> Result<u64> {
        let part = self.part(name)?;
        part["pid"].as_u64().with_context(|| part.to_string())
    }

    /// kill -9, and waits until the supervisor has started another.
    pub fn kill(&self, name: &str) -> Result<()> {
        self.end(name, "KILL")
    }

    /// A signal that ends the process, and waits until the supervisor has started another.
    pub fn end(&self, name: &str, signal: &str) -> Result<()> {
        let pid = self.pid(name)?;
        send(signal, pid)?;
        until(BACK, &format!("{name} is started again"), || {
            let part = self.part(name)?;
            Ok(part["state"] == "running" && part["pid"].as_u64() != Some(pid))
        })
    }

    /// Stops some parts, and starts them again when `meanwhile` is done.
    pub fn outage(&self, names: &str, meanwhile: impl FnOnce() -> Result<()>) -> Result<()> {
        self.run(&["down", "--only", names])?;
        meanwhile()?;
        self.run(&["up", "--only", names])?;
        Ok(())
    }

    /// Waits until the generators have had `more` further records acknowledged.
    pub fn wait_acknowledged(&self, more: u64) -> Result<()> {
        let aim = self.acknowledged()? + more;
        until(
            BACK,
            &format!("{more} more records are acknowledged"),
            || Ok(self.acknowledged()? >= aim),
        )
    }

    /// The sum of the last acknowledged counters of the generators that run.
    pub fn acknowledged(&self) -> Result<u64> {
        let mut sum = 0;
        let (_, running) = self.parts()?;
        for generator in ["weblog-generator", "bakery-producer"] {
            if !running.contains(generator) {
                continue;
            }
            let address: SocketAddr = self.address(generator)?.parse()?;
            let text = http::get(address, "/metrics")?;
            for line in text.lines() {
                if line.starts_with("millrace_generator_acked_counter{") {
                    let value = line.rsplit(' ').next().context("a sample has a value")?;
                    sum += value.parse::<f64>()? as u64;
                }
            }
        }
        Ok(sum)
    }

    /// Processes that carry this stack's mark, its supervisor included.
    pub fn processes(&self) -> Result<Vec<String>> {
        let mark = format!("MILLRACE_STACK={}", self.data.display());
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let path = entry?.path();
            let Ok(environment) = fs::read(path.join("environ")) else {
                continue;
            };
            if environment
                .split(|byte| *byte == 0)
                .any(|word| word == mark.as_bytes())
            {
                let command = fs::read_to_string(path.join("cmdline")).unwrap_or_default();
                found.push(format!(
                    "{}: {}",
                    path.display(),
                    command.replace('\0', " ")
                ));
            }
        }
        Ok(found)
    }

    /// The distinct dead letters of a topic.
    pub fn dead_letters(&self, topic: &str) -> Result<BTreeSet<poison::Letter>> {
        let dead = format!("{topic}.dlq");
        let text = self.millrace(&["consume", &dead, "--from-beginning", "--exit", "--json"])?;
        let mut found = BTreeSet::new();
        for line in text.lines() {
            let record: Value = serde_json::from_str(line)?;
            let header = |name: &str| {
                let value = &record["headers"][format!("__connect.errors.{name}")];
                match value.as_str() {
                    Some(text) => Ok(text.to_string()),
                    None => bail!("a dead letter without {name}: {record}"),
                }
            };
            for reason in ["stage", "exception.class.name", "exception.message"] {
                ensure!(!header(reason)?.is_empty(), "no {reason}: {record}");
            }
            found.insert((
                header("connector.name")?,
                header("topic")?,
                header("partition")?,
                header("offset")?,
            ));
        }
        Ok(found)
    }
}

/// Sends a signal to a process.
pub fn send(signal: &str, pid: u64) -> Result<()> {
    // The shell's own kill: a minimal system has no other.
    let done = Command::new("sh")
        .args(["-c", "kill -s \"$0\" \"$1\"", signal, &pid.to_string()])
        .status()?;
    ensure!(done.success(), "kill -s {signal} {pid}: {done}");
    Ok(())
}

impl Drop for Stack {
    fn drop(&mut self) {
        if std::env::var_os("KEEP_STACK").is_some() {
            return;
        }
        let _ = self.attempt(&["down"]);
        if !self.is_kept {
            let _ = self.attempt(&["clean-data"]);
        }
    }
}
