//! A command that goes on while a test does other things.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cluster::within;
use tempfile::NamedTempFile;

/// How long a command may take to end when it is asked to.
const STOP: Duration = Duration::from_secs(60);

/// A command under `timeout`, which hands signals on to it.
pub struct Running {
    child: Child,
    stdout: NamedTempFile,
    stderr: NamedTempFile,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Result<Running> {
        let (stdout, stderr) = (NamedTempFile::new()?, NamedTempFile::new()?);
        let child = command
            .stdout(stdout.reopen()?)
            .stderr(stderr.reopen()?)
            .stdin(Stdio::null())
            .spawn()?;
        Ok(Running {
            child,
            stdout,
            stderr,
        })
    }

    /// What it has printed so far.
    pub fn output(&self) -> String {
        text(&self.stdout)
    }

    /// SIGTERM, and what it has printed when it has ended.
    pub fn stop(mut self) -> Result<String> {
        let pid = self.child.id().to_string();
        // The shell's own kill: a minimal system has no other.
        let asked = Command::new("sh")
            .args(["-c", "kill -s TERM \"$0\"", &pid])
            .status()?;
        ensure!(asked.success(), "kill {pid}: {asked}");
        within(STOP, "the command ends", || Ok(self.child.try_wait()?))
            .with_context(|| text(&self.stderr))?;
        Ok(self.output())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // `timeout` cannot hand on a SIGKILL; it does hand on this, and kills what stays.
        let pid = self.child.id().to_string();
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = Command::new("sh")
                .args(["-c", "kill -s TERM \"$0\"", &pid])
                .status();
            let _ = self.child.wait();
        }
    }
}

fn text(file: &NamedTempFile) -> String {
    let bytes = fs::read(file.path()).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}
