//! A fault that lasts is begun and ended by a process of its own, so that it ends whatever becomes of us.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};

const FRAME: &str = include_str!("scripts/guard.sh");
/// What the guard says when the fault has begun.
const HELD: &str = "held";
/// After so long the guard ends a fault although we still run: we may have been stopped.
const LIMIT: Duration = Duration::from_secs(60);

/// Two functions of the shell, `strike` and `undo`, with what they are told.
#[derive(Debug, PartialEq, Eq)]
pub struct Recipe {
    pub script: &'static str,
    pub variables: Vec<(&'static str, String)>,
    pub lasts: Duration,
}

/// A fault that has begun. Dropping it ends the fault.
pub struct Guard {
    child: Child,
    output: BufReader<ChildStdout>,
    /// What it has said so far, for people.
    said: Vec<String>,
}

impl Guard {
    /// Begins the fault; where that fails, what had begun of it is undone.
    pub fn hold(recipe: &Recipe) -> anyhow::Result<Guard> {
        Guard::hold_within(recipe, LIMIT)
    }

    fn hold_within(recipe: &Recipe, limit: Duration) -> anyhow::Result<Guard> {
        let mut child = start(recipe, limit)?;
        let output = child.stdout.take().context("its output is piped")?;
        let mut guard = Guard {
            child,
            output: BufReader::new(output),
            said: Vec::new(),
        };
        loop {
            let mut line = String::new();
            if guard.output.read_line(&mut line)? == 0 {
                bail!("it could not be done: {}", guard.complaint()?);
            }
            match line.trim_end() {
                HELD => return Ok(guard),
                words => guard.said.push(words.to_owned()),
            }
        }
    }

    /// Ends the fault, and tells what there is to tell of it.
    pub fn release(mut self) -> anyhow::Result<Vec<String>> {
        drop(self.child.stdin.take());
        let mut rest = String::new();
        self.output.read_to_string(&mut rest)?;
        let complaint = self.complaint()?;
        let status = self.child.wait()?;
        ensure!(status.success(), "it could not be undone: {complaint}");
        let mut said = std::mem::take(&mut self.said);
        said.extend(rest.lines().map(str::to_owned));
        Ok(said)
    }

    fn complaint(&mut self) -> anyhow::Result<String> {
        let mut text = String::new();
        if let Some(mut errors) = self.child.stderr.take() {
            errors.read_to_string(&mut text)?;
        }
        Ok(text.trim().to_owned())
    }
}

fn start(recipe: &Recipe, limit: Duration) -> anyhow::Result<Child> {
    // Who is no administrator does not look where the packet filter's commands are.
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let child = Command::new("sh")
        .arg("-c")
        .arg(format!("{}\n{FRAME}", recipe.script))
        .envs(recipe.variables.iter().map(|(name, value)| (name, value)))
        .env("LIMIT", limit.as_secs_f64().to_string())
        .env("PATH", path)
        // Ctrl-C is for us.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    Ok(child)
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::thread::sleep;
    use std::time::Instant;

    use super::*;

    /// A file that is there as long as the fault lasts.
    fn flag(name: &str) -> (PathBuf, Recipe) {
        let file = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        let recipe = Recipe {
            script: "strike() { touch \"$FLAG\"; }\nundo() { rm \"$FLAG\" && echo felt; }",
            variables: vec![("FLAG", file.display().to_string())],
            lasts: Duration::ZERO,
        };
        (file, recipe)
    }

    fn wait_gone(file: &Path) {
        let began = Instant::now();
        while file.exists() {
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "it is still held"
            );
            sleep(Duration::from_millis(20));
        }
    }

    #[test]
    fn a_fault_lasts_until_it_is_released_and_tells_what_was_felt() {
        let (file, recipe) = flag("released");
        let guard = Guard::hold(&recipe).expect("held");
        assert!(file.exists());
        assert_eq!(guard.release().expect("undone"), ["felt"]);
        assert!(!file.exists());
    }

    #[test]
    fn it_ends_with_who_began_it_and_after_its_time() {
        let (file, recipe) = flag("dropped");
        drop(Guard::hold(&recipe).expect("held"));
        assert!(!file.exists());
        let guard = Guard::hold_within(&recipe, Duration::from_millis(200)).expect("held");
        wait_gone(&file);
        assert_eq!(guard.release().expect("undone"), ["felt"]);
    }

    #[test]
    fn who_begins_it_may_be_gone_before_it_has_begun() {
        let (file, mut recipe) = flag("orphaned");
        recipe.script =
            "strike() { touch \"$FLAG\"; sleep 0.3; }\nundo() { echo felt; rm \"$FLAG\"; }";
        let mut child = start(&recipe, LIMIT).expect("a shell");
        drop((child.stdin.take(), child.stdout.take(), child.stderr.take()));
        child.wait().expect("it ends");
        assert!(!file.exists());
    }

    #[test]
    fn signals_that_are_for_us_do_not_end_it_without_an_undoing() {
        let (file, recipe) = flag("signalled");
        let guard = Guard::hold(&recipe).expect("held");
        let pid = guard.child.id().to_string();
        let script = "for signal in HUP INT TERM; do kill -s $signal \"$0\"; done";
        let sent = Command::new("sh").args(["-c", script, &pid]).status();
        assert!(sent.expect("a shell").success());
        assert_eq!(guard.release().expect("undone"), ["felt"]);
        assert!(!file.exists());
    }

    #[test]
    fn what_has_begun_of_a_fault_that_fails_is_undone() {
        let (file, mut recipe) = flag("failed");
        recipe.script =
            "strike() { touch \"$FLAG\"; echo no room >&2; false; }\nundo() { rm \"$FLAG\"; }";
        let failed = Guard::hold(&recipe).err().expect("it fails").to_string();
        assert!(failed.contains("no room"), "{failed}");
        assert!(!file.exists());
    }
}
