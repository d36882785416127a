//! What `millrace chaos` cuts off: the script that it has, on two processes of one address, in a network of the test's own.
//!
//! The test starts itself in a new network namespace, and from there twice more as the peers.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write, stdin};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

const SCRIPT: &str = concat!(
    include_str!("../src/chaos/scripts/cut.sh"),
    include_str!("../src/chaos/scripts/guard.sh")
);
/// Of the victim, of the other one, and of the victim's where it shows how it is, which is not cut off.
const VICTIM: u16 = 7_001;
const OTHER: u16 = 7_002;
const SHOWN: u16 = 7_003;
/// Longer than a connection within one machine ever takes.
const PATIENCE: Duration = Duration::from_millis(700);

fn lacking() -> Option<&'static str> {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let is_there = |name: &&str| {
        path.split(':')
            .any(|place| Path::new(place).join(name).is_file())
    };
    let tools = ["unshare", "ip", "iptables", "ss", "awk"];
    if fs::metadata("/proc/self").map_or(1, |own| own.uid()) != 0 {
        return Some("root");
    }
    if groups().is_none() {
        return Some("control groups of version 2");
    }
    tools.into_iter().find(|name| !is_there(name))
}

/// Where control groups of version 2 are.
fn groups() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts").ok()?;
    let mut fields = mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>());
    let found = fields.find(|fields| fields.get(2) == Some(&"cgroup2"))?;
    Some(PathBuf::from(found[1]))
}

/// This program again, as one of the tests that are ignored otherwise.
fn again(test: &str) -> Vec<String> {
    let own = std::env::current_exe().expect("it runs");
    let own = own.display().to_string();
    [&own, "--exact", test, "--ignored", "--nocapture"]
        .map(str::to_owned)
        .into()
}

#[test]
fn a_broker_is_cut_off_in_both_directions_or_heard_by_nobody_and_nobody_else_is() {
    if let Some(lacking) = lacking() {
        println!("SKIPPED: nobody can be cut off here: {lacking} is missing");
        return;
    }
    let done = Command::new("unshare")
        .arg("--net")
        .args(again("in_a_network_of_its_own"))
        .output()
        .expect("unshare can be started");
    let text = String::from_utf8_lossy(&done.stdout);
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(
        done.status.success() && text.contains("1 passed"),
        "{text}\n{errors}"
    );
}

#[test]
#[ignore = "started by the test above, in a network namespace"]
fn in_a_network_of_its_own() {
    let up = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .status();
    assert!(up.expect("ip can be started").success());
    let mut victim = Peer::start(VICTIM, OTHER, SHOWN);
    let mut other = Peer::start(OTHER, VICTIM, 0);
    victim.connect();
    other.connect();
    let all_well = |victim: &mut Peer, other: &mut Peer| {
        assert_eq!(
            (victim.tries(), other.tries()),
            ("ok ok".into(), "ok ok".into())
        );
    };
    all_well(&mut victim, &mut other);
    let mut shown = dial(SHOWN).expect("the victim listens");
    for deaf in ["1", "0"] {
        let guard = cut(&victim, deaf);
        assert_eq!(
            (victim.tries(), other.tries()),
            ("no no".into(), "no no".into()),
            "deaf {deaf}"
        );
        // What is not to be cut off is not, and neither is anybody else.
        assert!(talk(&mut shown), "deaf {deaf}");
        assert!(dial(SHOWN).as_mut().is_some_and(talk), "deaf {deaf}");
        let bystander = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = bystander.local_addr().expect("it has one");
        assert!(TcpStream::connect_timeout(&address, PATIENCE).is_ok());
        let said = end(guard);
        assert!(
            said.contains("packets have vanished") && !said.starts_with("0 "),
            "{said}"
        );
        victim.connect();
        other.connect();
        all_well(&mut victim, &mut other);
    }
    let rules = Command::new("iptables")
        .args(["-S"])
        .output()
        .expect("iptables");
    let rules = String::from_utf8_lossy(&rules.stdout).into_owned();
    assert!(!rules.contains("MILLRACE"), "{rules}");
}

fn cut(victim: &Peer, deaf: &str) -> Child {
    let pid = victim.child.id().to_string();
    let mount = groups().expect("it was there");
    let own = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("it runs");
    let back = own
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .expect("version 2");
    let name = format!("millrace-test-{}-{deaf}", std::process::id());
    let mut guard = Command::new("sh")
        .args(["-c", SCRIPT])
        .env("LIMIT", "30")
        .env("PID", &pid)
        .env("CUT_PORTS", VICTIM.to_string())
        .env("LISTENS", format!("{VICTIM} {SHOWN}"))
        .env("DEAF", deaf)
        .env("CHAIN", format!("MILLRACE-{deaf}"))
        .env("NAME", &name)
        .env("GROUP", mount.join(&name))
        .env("BACK", mount.join(back.trim_start_matches('/')))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a shell");
    let mut line = [0; 5];
    let output = guard.stdout.as_mut().expect("it is piped");
    output
        .read_exact(&mut line)
        .expect("it holds, or its errors are above");
    assert_eq!(&line, b"held\n");
    guard
}

/// What it says in the end.
fn end(mut guard: Child) -> String {
    drop(guard.stdin.take());
    let done = guard.wait_with_output().expect("it ends");
    assert!(done.status.success());
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// A process that answers on its port, and tries to reach another's when it is asked to.
struct Peer {
    child: Child,
    asked: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    fn start(own: u16, other: u16, shown: u16) -> Peer {
        let words = again("as_a_peer");
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .env("PEER", format!("{own} {other} {shown}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it can be started");
        let asked = child.stdin.take().expect("it is piped");
        let answers = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut peer = Peer {
            child,
            asked,
            answers,
        };
        assert_eq!(peer.answer(), "listens");
        peer
    }

    /// Opens the connection that is the old one from then on.
    fn connect(&mut self) {
        writeln!(self.asked, "connect").expect("it reads");
        assert_eq!(self.answer(), "connected");
    }

    /// Whether the old connection carries anything, and whether a new one does.
    fn tries(&mut self) -> String {
        writeln!(self.asked, "try").expect("it reads");
        self.answer()
    }

    /// The next line of its own, among those of a test.
    fn answer(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(
                self.answers.read_line(&mut line).expect("it answers"),
                0,
                "it has ended"
            );
            if let Some((_, words)) = line.split_once("peer: ") {
                return words.trim().to_owned();
            }
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "started by the test above, once for each peer"]
fn as_a_peer() {
    let told = std::env::var("PEER").expect("who it is");
    let ports: Vec<u16> = told
        .split(' ')
        .map(|port| port.parse().expect("a port"))
        .collect();
    let listens = [ports[0], ports[2]].into_iter().filter(|port| *port > 0);
    listens.for_each(echo);
    println!("peer: listens");
    let mut old = None;
    for line in stdin().lines() {
        match line.expect("somebody asks").as_str() {
            "connect" => {
                old = dial(ports[1]);
                assert!(old.as_mut().is_some_and(talk));
                println!("peer: connected");
            }
            _ => {
                let word = |well: bool| if well { "ok" } else { "no" };
                let by_old = old.as_mut().is_some_and(talk);
                let by_new = dial(ports[1]).as_mut().is_some_and(talk);
                println!("peer: {} {}", word(by_old), word(by_new));
            }
        }
    }
}

fn echo(port: u16) {
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("nobody else is here");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut answers = stream.try_clone().expect("it is open");
                std::io::copy(&mut &stream, &mut answers)
            });
        }
    });
}

fn dial(port: u16) -> Option<TcpStream> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    Some(stream)
}

/// Whether a byte comes back.
fn talk(stream: &mut TcpStream) -> bool {
    stream.write_all(b"x").is_ok() && stream.read_exact(&mut [0]).is_ok()
}
