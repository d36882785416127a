//! One broker process: started, killed, stopped, paused, examined.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::http;
use crate::wait::{until, within};

/// How long a clean stop may take; it hands leaderships over first.
const STOP: Duration = Duration::from_secs(40);

/// A broker with its addresses and directory, whether it runs or not.
#[derive(Debug)]
pub struct Node {
    pub id: i32,
    /// The listener for clients.
    pub address: SocketAddr,
    /// The listener for the controllers.
    pub controller: SocketAddr,
    /// `/metrics`, `/healthz` and `/readyz`.
    pub http: SocketAddr,
    /// The first of `log.dirs`.
    pub data: PathBuf,
    /// `log.dirs`.
    pub(crate) dirs: Vec<PathBuf>,
    /// What comes before the binary, to start it on its machine.
    pub(crate) launcher: Vec<String>,
    pub(crate) config: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) binary: PathBuf,
    /// What its environment holds, besides RUST_LOG.
    pub(crate) environment: Vec<(String, PathBuf)>,
    pub(crate) process: Option<Child>,
}

impl Node {
    /// Starts the process; it need not be ready when this returns.
    pub fn start(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "broker {} runs already", self.id);
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut words = self
            .launcher
            .iter()
            .map(OsStr::new)
            .chain([self.binary.as_os_str(), self.config.as_os_str()]);
        let program = words.next().context("nothing to start")?;
        let child = Command::new(program)
            .args(words)
            // A KAFKA_* of the caller would configure the broker.
            .env_clear()
            .envs(std::env::var_os("RUST_LOG").map(|level| ("RUST_LOG", level)))
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {:?}", self.binary))?;
        self.process = Some(child);
        Ok(())
    }

    /// Waits until `/readyz` says so.
    pub fn wait_ready(&mut self, limit: Duration) -> Result<()> {
        let what = format!("broker {} is ready", self.id);
        let waited = until(limit, &what, || {
            http::get(self.http, "/readyz").map(|_| true)
        });
        if let Some(status) = self.exited()? {
            bail!(
                "broker {} ended with {status}\n{}",
                self.id,
                self.log_tail()
            );
        }
        waited.with_context(|| self.log_tail())
    }

    /// The status with which the process ended by itself, if it did.
    pub fn exited(&mut self) -> Result<Option<std::process::ExitStatus>> {
        match &mut self.process {
            Some(child) => Ok(child.try_wait()?),
            None => Ok(None),
        }
    }

    pub fn is_running(&mut self) -> bool {
        self.process.is_some() && matches!(self.exited(), Ok(None))
    }

    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// kill -9.
    pub fn kill(&mut self) -> Result<()> {
        let mut child = self.process.take().context("not running")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// SIGTERM, and waits for a clean end.
    pub fn stop(&mut self) -> Result<()> {
        self.terminate()?;
        self.wait_end()
    }

    /// SIGTERM; the process may have something to do before it ends.
    pub fn terminate(&self) -> Result<()> {
        self.signal("TERM")
    }

    /// Waits for a clean end.
    pub fn wait_end(&mut self) -> Result<()> {
        let mut child = self.process.take().context("not running")?;
        let ended = within(STOP, "a clean stop", || Ok(child.try_wait()?));
        if ended.is_err() {
            child.kill()?;
            child.wait()?;
        }
        let status = ended.with_context(|| self.log_tail())?;
        ensure!(status.success(), "ended with {status}\n{}", self.log_tail());
        Ok(())
    }

    /// SIGSTOP: the process stands still with its connections open.
    pub fn pause(&self) -> Result<()> {
        self.signal("STOP")
    }

    /// SIGCONT.
    pub fn resume(&self) -> Result<()> {
        self.signal("CONT")
    }

    fn signal(&self, name: &str) -> Result<()> {
        let pid = self.pid().context("not running")?.to_string();
        // The shell's own kill: a minimal system has no other.
        let done = Command::new("sh")
            .args(["-c", "kill -s \"$0\" \"$1\"", name, &pid])
            .status()?;
        ensure!(done.success(), "kill -s {name} {pid}: {done}");
        Ok(())
    }

    /// What it shows at `/metrics`.
    pub fn metrics(&self) -> Result<String> {
        http::get(self.http, "/metrics")
    }

    /// Everything the process has written so far.
    pub fn log_text(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The last lines of the log, for the message of a test that fails.
    pub fn log_tail(&self) -> String {
        let text = self.log_text();
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(30);
        format!("log of broker {}:\n{}", self.id, lines[from..].join("\n"))
    }

    /// The directory of one partition's log.
    pub fn partition_dir(&self, topic: &str, partition: i32) -> PathBuf {
        let name = format!("{topic}-{partition}");
        let places = self.dirs.iter().map(|dir| dir.join(&name));
        let there = places.clone().find(|place| place.exists());
        there.unwrap_or_else(|| self.data.join(&name))
    }

    /// Adds a log directory, before the broker is started.
    pub fn add_directory(&mut self, directory: &Path) -> Result<()> {
        fs::create_dir_all(directory)?;
        self.dirs.push(directory.into());
        let dirs: Vec<String> = self.dirs.iter().map(|d| d.display().to_string()).collect();
        self.add_property("log.dirs", &dirs.join(","))
    }

    /// Adds a line to its configuration, before it is started; it overrides earlier ones.
    pub fn add_property(&mut self, key: &str, value: &str) -> Result<()> {
        let mut text = fs::read_to_string(&self.config)?;
        text.push_str(&format!("{key}={value}\n"));
        Ok(fs::write(&self.config, text)?)
    }

    /// Its open sockets.
    pub fn sockets(&self) -> Result<u64> {
        let pid = self.pid().context("not running")?.to_string();
        let mut sockets = 0;
        for entry in fs::read_dir(Path::new("/proc").join(pid).join("fd"))? {
            // One that has just been closed counts no more.
            let target = fs::read_link(entry?.path()).unwrap_or_default();
            sockets += u64::from(target.to_string_lossy().starts_with("socket:"));
        }
        Ok(sockets)
    }

    /// The resident memory in bytes: now, and the most so far.
    pub fn memory(&self) -> Result<(u64, u64)> {
        let pid = self.pid().context("not running")?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let of = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
            kib.map(|kib| kib * 1024)
                .with_context(|| format!("no {name}"))
        };
        Ok((of("VmRSS:")?, of("VmHWM:")?))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.process.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
