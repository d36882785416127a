//! Other people's clients against three brokers: how their programs are found and run.
//!
//! `scripts/stack install clients` fetches them. `KAFKA_LIBS` names another place.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// What a program has printed, and whether it succeeded.
#[derive(Clone, Debug)]
pub struct Output {
    pub success: bool,
    /// Standard output and, after it, standard error.
    pub text: String,
}

impl Output {
    /// The text of a program that has to succeed.
    pub fn expect_success(self) -> String {
        assert!(self.success, "the program failed:\n{}", self.text);
        self.text
    }

    /// The text of a program that has to fail.
    pub fn expect_failure(self) -> String {
        assert!(!self.success, "the program succeeded:\n{}", self.text);
        self.text
    }
}

/// Classes of Apache Kafka's command-line tools, by the names of their scripts.
const TOOLS: &[(&str, &str)] = &[
    ("kafka-topics", "org.apache.kafka.tools.TopicCommand"),
    ("kafka-configs", "kafka.admin.ConfigCommand"),
    (
        "kafka-console-producer",
        "org.apache.kafka.tools.ConsoleProducer",
    ),
    (
        "kafka-console-consumer",
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
    ),
    (
        "kafka-consumer-groups",
        "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    ),
    (
        "kafka-broker-api-versions",
        "org.apache.kafka.tools.BrokerApiVersionsCommand",
    ),
    ("kafka-cluster", "org.apache.kafka.tools.ClusterTool"),
    ("kafka-get-offsets", "org.apache.kafka.tools.GetOffsetShell"),
    ("kafka-dump-log", "org.apache.kafka.tools.DumpLogSegments"),
    (
        "kafka-producer-perf-test",
        "org.apache.kafka.tools.ProducerPerformance",
    ),
];

/// One of Apache Kafka's command-line tools, by the name of its script.
pub fn kafka_tool(name: &str) -> Command {
    let class = TOOLS.iter().find(|(tool, _)| *tool == name);
    let (_, class) = class.unwrap_or_else(|| panic!("{name} is not in the table of tools"));
    let mut java = java();
    java.arg(class);
    java
}

/// Java with Apache Kafka's jars; the caller adds the class.
pub fn java() -> Command {
    let libs = from_environment("KAFKA_LIBS", "kafka-4.3.1");
    let mut command = Command::new("java");
    // These programs are short: compiling them well takes longer than running them.
    command
        .args(["-XX:TieredStopAtLevel=1", "-Xmx256m", "-cp"])
        .arg(libs.join("*"));
    command
}

/// What a variable names, else what `scripts/stack install` has put into its cache.
fn from_environment(variable: &str, cached: &str) -> PathBuf {
    let place = std::env::var_os(variable).map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../.cache")).join(cached),
        PathBuf::from,
    );
    assert!(
        place.exists(),
        "{} is missing: run scripts/stack install clients",
        place.display()
    );
    place
}

/// Runs a program to its end, with `input` as its standard input.
pub fn run(command: &mut Command, input: &str) -> Output {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().expect("it is piped");
    let input = input.to_owned();
    let writer = std::thread::spawn(move || {
        use std::io::Write;
        // A program that has ended reads no more.
        let _ = stdin.write_all(input.as_bytes());
    });
    let output = child.wait_with_output().expect("it is our child");
    writer.join().expect("writing does not panic");
    let text = [output.stdout, output.stderr].concat();
    Output {
        success: output.status.success(),
        text: String::from_utf8_lossy(&text).into_owned(),
    }
}
