//! Commands by the names under which people know them, our own `millrace` among them, run by a shell.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::Running;

/// Longest that one script may take.
const LIMIT: &str = "180";

/// Kafka's scripts and the classes that they start.
const JAVA: &[(&str, &str)] = &[
    ("kafka-cluster.sh", "org.apache.kafka.tools.ClusterTool"),
    (
        "kafka-leader-election.sh",
        "org.apache.kafka.tools.LeaderElectionCommand",
    ),
    (
        "kafka-reassign-partitions.sh",
        "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
    ),
    (
        "kafka-broker-api-versions.sh",
        "org.apache.kafka.tools.BrokerApiVersionsCommand",
    ),
    ("kafka-configs.sh", "kafka.admin.ConfigCommand"),
    (
        "kafka-console-consumer.sh",
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
    ),
    (
        "kafka-console-producer.sh",
        "org.apache.kafka.tools.ConsoleProducer",
    ),
    (
        "kafka-consumer-groups.sh",
        "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    ),
    (
        "kafka-dump-log.sh",
        "org.apache.kafka.tools.DumpLogSegments",
    ),
    (
        "kafka-get-offsets.sh",
        "org.apache.kafka.tools.GetOffsetShell",
    ),
    (
        "kafka-metadata-quorum.sh",
        "org.apache.kafka.tools.MetadataQuorumCommand",
    ),
    ("kafka-server-start.sh", "kafka.Kafka"),
    ("kafka-storage.sh", "kafka.tools.StorageTool"),
    ("kafka-topics.sh", "org.apache.kafka.tools.TopicCommand"),
];

/// Kafka's scripts that our command line stands in for.
const OURS: &[&str] = &[
    "kafka-broker-api-versions",
    "kafka-configs",
    "kafka-console-consumer",
    "kafka-console-producer",
    "kafka-consumer-groups",
    "kafka-topics",
];

/// The clients, ready to be called.
pub struct Tools {
    directory: TempDir,
}

impl Tools {
    /// Finds what `scripts/stack install clients` has brought.
    pub fn find() -> Tools {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let jars = cached("kafka-");
        for (name, class) in JAVA {
            // Short-lived virtual machines: the fast compiler and the small collector.
            let script = format!(
                "#!/bin/sh\nexec java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xmx256m \
                 -Dlog4j2.level=ERROR -cp '{}/*' {class} \"$@\"\n",
                jars.display()
            );
            install(&directory.path().join(name), &script);
        }
        let python = cached("venv-").join("bin/python");
        install(
            &directory.path().join("python"),
            &format!("#!/bin/sh\nexec '{}' \"$@\"\n", python.display()),
        );
        let go = cached("go").join("bin/franz-go");
        install(
            &directory.path().join("franz-go"),
            &format!("#!/bin/sh\nexec '{}' \"$@\"\n", go.display()),
        );
        Tools { directory }
    }

    /// The same with our own tools under Kafka's names, where we have them.
    pub fn with_ours() -> Tools {
        let tools = Tools::find();
        for name in OURS {
            let script = format!("#!/bin/sh\nexec millrace {name} \"$@\"\n");
            install(&tools.directory.path().join(format!("{name}.sh")), &script);
        }
        tools
    }

    /// Runs a shell script that must succeed; what it printed.
    pub fn run(&self, script: &str) -> String {
        let (ok, output) = self.attempt(script);
        assert!(ok, "failed:\n{script}\n{output}");
        output
    }

    /// Runs a Python program that must succeed; what it printed.
    pub fn python(&self, program: &str) -> String {
        let file = self.directory.path().join("program.py");
        fs::write(&file, program).expect("the directory is writable");
        self.run(&format!("python '{}'", file.display()))
    }

    /// Runs a shell script; whether it succeeded, and what it printed on both streams.
    pub fn attempt(&self, script: &str) -> (bool, String) {
        let output = self.shell(script).output().expect("there is a shell");
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    }

    /// Starts one command that goes on by itself until it is stopped.
    pub fn start(&self, command: &str) -> Running {
        Running::start(self.shell(&format!("exec {command}"))).expect("there is a shell")
    }

    fn shell(&self, script: &str) -> Command {
        let path = std::env::var("PATH").unwrap_or_default();
        let own = std::env::current_exe().expect("a test knows its own program");
        // target/debug/deps/compat-1234 lies below the programs.
        let programs = own.ancestors().nth(2).expect("cargo's directory");
        let mut command = Command::new("timeout");
        command
            .args(["--kill-after=5", LIMIT])
            .args(["bash", "-euo", "pipefail", "-c", script])
            .env(
                "PATH",
                format!(
                    "{}:{}:{path}",
                    self.directory.path().display(),
                    programs.display()
                ),
            )
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null());
        command
    }
}

fn install(path: &Path, script: &str) {
    fs::write(path, script).expect("the directory is writable");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it is our file");
}

/// What the stack's installer keeps under `.cache/`, by the beginning of its name.
fn cached(prefix: &str) -> PathBuf {
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache");
    let entries = fs::read_dir(&cache).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(prefix))
        })
        .collect();
    found.sort();
    found
        .pop()
        .expect("fetch the clients first: scripts/stack install clients")
}
