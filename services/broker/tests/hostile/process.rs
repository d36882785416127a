//! One broker process on free ports and a directory of its own; both end with the value.

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::ports;

const START_MAX: Duration = Duration::from_secs(30);
/// Between two looks at a condition.
const PAUSE: Duration = Duration::from_millis(5);

pub struct Process {
    child: Child,
    port: u16,
    directory: TempDir,
}

impl Process {
    /// Starts a single node and waits until it accepts connections.
    pub fn start() -> Process {
        Process::with("")
    }

    /// The same with more lines in its `server.properties`.
    pub fn with(lines: &str) -> Process {
        Process::run(Command::new(env!("CARGO_BIN_EXE_millrace-broker")), lines)
    }

    /// A single node that was given so many open files, of so many that it may take.
    pub fn with_open_files(given: u64, most: u64) -> Process {
        let script = format!("ulimit -Sn {given} && ulimit -Hn {most} && exec \"$0\" \"$@\"");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_millrace-broker")]);
        Process::run(shell, "")
    }

    fn run(mut command: Command, lines: &str) -> Process {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (port, controller) = (ports::free(), ports::free());
        let config = directory.path().join("server.properties");
        let text = format!(
            "node.id=1\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             controller.listener.names=CONTROLLER\n\
             controller.quorum.voters=1@127.0.0.1:{controller}\n\
             http.listen=\n\
             probe.interval.ms=0\n\
             log.dirs={}\n{lines}",
            directory.path().join("data").display()
        );
        std::fs::write(&config, text).expect("the directory is writable");
        let log = std::fs::File::create(directory.path().join("log")).expect("it is writable");
        let child = command
            .arg(&config)
            .stdin(Stdio::null())
            .stderr(log.try_clone().expect("a second handle"))
            .stdout(log)
            .spawn()
            .expect("the broker starts");
        let mut process = Process {
            child,
            port,
            directory,
        };
        process.wait_until_open();
        process
    }

    fn wait_until_open(&mut self) {
        let deadline = Instant::now() + START_MAX;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.child.try_wait().expect("it is our child");
            assert!(ended.is_none(), "the broker ended:\n{}", self.log());
            assert!(
                Instant::now() < deadline,
                "the broker does not listen:\n{}",
                self.log()
            );
            std::thread::sleep(PAUSE);
        }
    }

    /// Everything that the process has said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    pub fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).expect("the broker accepts")
    }

    /// How many files it may have open.
    pub fn open_files(&self) -> u64 {
        let path = format!("/proc/{}/limits", self.child.id());
        let limits = std::fs::read_to_string(path).expect("the broker is alive");
        let line = limits
            .lines()
            .find_map(|l| l.strip_prefix("Max open files"));
        let given = line.and_then(|line| line.split_whitespace().next());
        let given = given.expect("Linux tells it");
        given.parse().expect("it is a number")
    }

    /// The most memory that the process ever had resident.
    pub fn peak_memory_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("the broker is alive");
        let line = status
            .lines()
            .find_map(|l| l.strip_prefix("VmHWM:"))
            .expect("Linux reports it");
        let kib: u64 = line
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .expect("it is a number");
        kib * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails only where the process has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
