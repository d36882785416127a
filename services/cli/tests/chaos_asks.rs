//! `millrace chaos` asks before it does anything. Its stack is a script here, which says that all parts run and notes what
//! it is asked to do; whoever says yes gets as far as the cluster, which is not there.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Gives a program a terminal; part of every Debian.
const TERMINAL: &str = "script";
const PARTS: &str =
    r#"[{"name":"broker-1","state":"running","pid":1,"container":null,"address":"127.0.0.1:1"}]"#;

/// A stack in a directory that goes away.
struct Stack {
    place: PathBuf,
}

impl Stack {
    fn new(name: &str) -> Stack {
        let place = std::env::temp_dir().join(format!("chaos-asks-{name}-{}", std::process::id()));
        fs::create_dir_all(&place).expect("a directory");
        let command = place.join("stack");
        let calls = place.join("calls");
        let text = format!(
            "#!/bin/sh\necho \"$*\" >>'{}'\necho '{PARTS}'\n",
            calls.display()
        );
        fs::write(&command, text).expect("a script");
        fs::set_permissions(&command, Permissions::from_mode(0o755)).expect("it is ours");
        Stack { place }
    }

    fn own(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("MILLRACE_STACK_COMMAND", self.place.join("stack"))
            .env("DATA_DIR", &self.place)
            // Nobody listens there.
            .env("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1");
        command
    }

    /// Runs it where it has no terminal.
    fn alone(&self, further: &[&str]) -> Output {
        let mut command = self.own(env!("CARGO_BIN_EXE_millrace"));
        command.args(["chaos", "--within", "1s", "--only", "kill-broker"]);
        command
            .args(further)
            .stdin(Stdio::null())
            .output()
            .expect("it can be started")
    }

    /// Runs it on a terminal, where somebody types `answer`; its output has what the terminal shows.
    fn asked(&self, answer: &str) -> Output {
        let program = env!("CARGO_BIN_EXE_millrace");
        let line = format!("'{program}' chaos --within 1s --only kill-broker");
        let mut child = self
            .own(TERMINAL)
            .args(["--quiet", "--return", "--command", &line, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it can be started");
        let mut keyboard = child.stdin.take().expect("it is piped");
        keyboard
            .write_all(answer.as_bytes())
            .expect("somebody reads");
        // It stays open: the end of the keyboard would be an answer, too.
        let output = child.wait_with_output().expect("it ends");
        drop(keyboard);
        output
    }

    /// What it was asked to do.
    fn calls(&self) -> String {
        fs::read_to_string(self.place.join("calls")).unwrap_or_default()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.place);
    }
}

fn has_terminals() -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    let found = path
        .split(':')
        .any(|directory| Path::new(directory).join(TERMINAL).is_file());
    if !found {
        println!("SKIPPED: {TERMINAL} is missing, which gives a program a terminal");
    }
    found
}

#[test]
fn who_says_no_has_nothing_done() {
    if !has_terminals() {
        return;
    }
    for answer in ["n\n", "\n", "nonsense\n"] {
        let stack = Stack::new("no");
        let done = stack.asked(answer);
        let shown = String::from_utf8_lossy(&done.stdout);
        assert_eq!(done.status.code(), Some(0), "{shown}");
        for words in ["kill -9", "Go on? [y/N]", "nothing was done"] {
            assert!(shown.contains(words), "no {words:?}: {shown}");
        }
        assert_eq!(stack.calls(), "status --format json\n", "{answer:?}");
    }
}

#[test]
fn who_says_yes_has_it_go_on() {
    if !has_terminals() {
        return;
    }
    let stack = Stack::new("yes");
    let done = stack.asked("y\n");
    let shown = String::from_utf8_lossy(&done.stdout);
    assert_eq!(done.status.code(), Some(1), "{shown}");
    assert!(shown.contains("before anything was hurt"), "{shown}");
    assert!(stack.calls().lines().count() > 1, "{}", stack.calls());
}

#[test]
fn where_nobody_can_be_asked_only_the_option_is_an_answer() {
    let stack = Stack::new("alone");
    let unasked = stack.alone(&[]);
    let errors = String::from_utf8_lossy(&unasked.stderr);
    assert_eq!(unasked.status.code(), Some(2), "{errors}");
    assert!(errors.contains("--yes"), "{errors}");
    assert_eq!(stack.calls(), "status --format json\n");
    let shown = stack.alone(&["--dry-run"]);
    assert_eq!(shown.status.code(), Some(0));
    let told = stack.alone(&["--yes"]);
    let errors = String::from_utf8_lossy(&told.stderr);
    assert_eq!(told.status.code(), Some(1), "{errors}");
    assert!(
        errors.contains("before anything was hurt") && !errors.contains("Go on?"),
        "{errors}"
    );
}

#[test]
fn what_cannot_be_done_is_refused_with_advice_and_otherwise_left_out() {
    let stack = Stack::new("lacking");
    let containers = |further: &[&str]| {
        let mut command = stack.own(env!("CARGO_BIN_EXE_millrace"));
        command
            .env("MILLRACE_STACK_CONTAINERS", "1")
            .args(["chaos", "--dry-run"]);
        command.args(further).output().expect("it can be started")
    };
    let refused = containers(&["--only", "kill-etl,full-disk"]);
    let errors = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{errors}");
    assert!(errors.contains("full-disk cannot be done here"), "{errors}");
    let shown = containers(&[]);
    let text = String::from_utf8_lossy(&shown.stdout);
    assert_eq!(shown.status.code(), Some(0), "{text}");
    assert!(text.contains("Left out: full-disk ("), "{text}");
    assert!(
        text.contains("cut off from everyone") && !text.contains("takes its disk for full"),
        "{text}"
    );
}
