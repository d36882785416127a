//! Our `kafka-*.sh` beside Apache Kafka's own, on one cluster: the same words give the same output and the same exit code.

use std::time::Duration;

use anyhow::{Result, ensure};
use cluster::{Cluster, until};
use compat::Tools;

/// Each line is called twice, by Kafka's tool and by ours, on topics and groups of their own: `{t}` is the topic and `{g}`
/// the group of the one that is called. A line that begins with text in brackets has it for its standard input.
const LINES: &[&str] = &[
    "topics --list --topic {t}",
    "topics --create --topic {t} --partitions 3 --config retention.ms=1000000 --config flush.messages=1",
    "topics --create --topic {t}",
    "topics --create --topic {t} --if-not-exists",
    "topics --create --topic {t}_x.y --replica-assignment 3:1",
    "topics --create --topic bad/name",
    "topics --create --topic {t}2 --replication-factor 9",
    "topics --create --topic {t}2 --config foo=bar",
    "topics --create --topic {t}3 --replica-assignment 1:2,2:3",
    "topics --list --topic {t}.*",
    "topics --describe --topic {t}",
    "topics --describe --topic {t}.*",
    "topics --describe --topic {t}.* --topics-with-overrides",
    "topics --describe --topic {t} --under-replicated-partitions",
    "topics --describe --topic {t} --at-min-isr-partitions",
    "topics --describe --topic {t}none",
    "topics --describe --topic {t}none --if-exists",
    "topics --alter --topic {t} --partitions 4",
    "topics --alter --topic {t} --partitions 2",
    "topics --alter --topic {t}none --partitions 2",
    "topics --delete --topic {t}none",
    "topics --delete --topic {t}none --if-exists",
    "topics --delete --topic {t}3",
    "topics",
    "topics --list --nonsense",
    "[a:1,b:2\tkey\tvalue\n]console-producer --topic {t} --reader-property parse.key=true --reader-property parse.headers=true",
    "[k1:v1\nk3:v2\nk8:v3\nk14:v4\n]console-producer --topic {t} --property parse.key=true --property key.separator=:",
    "[no key\n]console-producer --topic {t} --reader-property parse.key=true",
    "console-consumer --topic {t} --from-beginning --max-messages 5 --timeout-ms 60000 --group {g} --formatter-property print.key=true --formatter-property print.headers=true --formatter-property print.partition=true --formatter-property print.offset=true --formatter-property key.separator=|",
    "console-consumer --topic {t} --partition 1 --offset earliest --max-messages 2 --timeout-ms 60000 --property print.key=true",
    "consumer-groups --list --state empty",
    "consumer-groups --describe --group {g}",
    "consumer-groups --describe --group {g} --members",
    "consumer-groups --describe --group {g}none",
    "consumer-groups --reset-offsets --group {g} --to-earliest --topic {t}",
    "consumer-groups --reset-offsets --group {g} --to-offset 1 --topic {t}:0,1 --execute",
    "consumer-groups --reset-offsets --group {g} --shift-by -1 --all-topics --dry-run",
    "consumer-groups --reset-offsets --group {g} --to-datetime 2020-01-01T00:00:00.000 --all-topics --dry-run --export",
    "consumer-groups --reset-offsets --group {g} --to-latest --all-topics --execute",
    "consumer-groups --describe --group {g} --verbose",
    "consumer-groups --reset-offsets --group {g} --to-current --all-topics --dry-run",
    "consumer-groups --delete-offsets --group {g} --topic {t}:0",
    "consumer-groups --delete --group {g}",
    "consumer-groups --delete --group {g}none",
    "consumer-groups",
    "configs --describe --entity-type topics --entity-name {t}",
    "configs --describe --topic {t} --all",
    "configs --alter --entity-type topics --entity-name {t} --add-config retention.ms=5000,cleanup.policy=[compact,delete]",
    "configs --alter --entity-type topics --entity-name {t} --delete-config retention.ms",
    "configs --alter --entity-type topics --entity-name {t} --add-config foo=bar",
    "configs --alter --entity-type topics --entity-name {t}none --add-config retention.ms=5000",
    "configs --describe --entity-type topics --entity-name {t}none",
    "configs --alter --entity-type brokers --entity-name 1 --add-config max.connections=5000",
    "configs --alter --entity-type brokers --entity-default --add-config max.connections=6000",
    "configs --describe --entity-type brokers --entity-name 1",
    "configs --describe --entity-type brokers",
    "configs --alter --entity-type brokers --entity-name 1 --delete-config max.connections",
    "broker-api-versions",
];

/// What is said of a group that both look at while it has a member.
const LIVE: &[&str] = &[
    "consumer-groups --describe --group live",
    "consumer-groups --describe --group live --members",
    "consumer-groups --describe --group live --members --verbose",
    "consumer-groups --describe --group live --state",
    "consumer-groups --describe --all-groups --state",
    "consumer-groups --list",
    "consumer-groups --list --state stable",
    "consumer-groups --reset-offsets --group live --to-earliest --all-topics --execute",
    "consumer-groups --delete --group live",
    "consumer-groups --delete-offsets --group live --topic live",
];

struct Side {
    /// What stands before the tool's name and after it.
    command: (&'static str, &'static str),
    topic: &'static str,
    group: &'static str,
    /// The beginning of the other side's names.
    other: &'static str,
}

impl Side {
    /// The exit code and what was printed, without what is only a Java program's.
    fn call(&self, cluster: &Cluster, tools: &Tools, line: &str) -> (bool, Vec<String>) {
        let (input, line) = match line.strip_prefix('[') {
            Some(rest) => rest.split_once(']').expect("an input ends"),
            None => ("", line),
        };
        let line = line.replace("{t}", self.topic).replace("{g}", self.group);
        let (tool, words) = line.split_once(' ').unwrap_or((&line, ""));
        let words: Vec<String> = words
            .split_whitespace()
            .map(|word| format!("'{word}'"))
            .collect();
        let (before, after) = self.command;
        let script = format!(
            "printf '%s' '{input}' | {before}kafka-{tool}{after} --bootstrap-server {} {}",
            cluster.bootstrap(),
            words.join(" ")
        );
        let (succeeded, output) = tools.attempt(&script);
        (succeeded, self.normal(succeeded, &output))
    }

    fn normal(&self, succeeded: bool, output: &str) -> Vec<String> {
        let own = output
            .replace(self.topic, "{t}")
            .replace(self.group, "{g}")
            .replace("org.apache.kafka.common.KafkaException: ", "");
        let mut lines: Vec<String> = own
            .lines()
            .filter(|line| !is_javas(line) && !line.contains(self.other))
            .map(|line| with_sorted_settings(&without_topic_id(line)))
            .collect();
        if !succeeded {
            // Behind what is wrong come the list of options and the stack.
            lines.truncate(1);
        }
        // Kafka's tools go through hash maps.
        lines.sort();
        lines
    }
}

/// Stack traces and logs.
fn is_javas(line: &str) -> bool {
    const BEGINNINGS: [&str; 4] = ["\tat ", "Caused by: ", "SLF4J", "java."];
    const PARTS: [&str; 4] = [
        " main ERROR ",
        "KIP-848",
        "TimeoutException",
        "ERROR Error processing",
    ];
    line.trim().is_empty()
        || BEGINNINGS.iter().any(|word| line.starts_with(word))
        || PARTS.iter().any(|word| line.contains(word))
}

fn without_topic_id(line: &str) -> String {
    match line.split_once("TopicId: ") {
        Some((before, after)) => {
            let after = after.split_once('\t').map_or("", |(_, after)| after);
            format!("{before}{after}")
        }
        None => line.to_owned(),
    }
}

/// Kafka's tool shows a topic's settings in the order of a hash map.
fn with_sorted_settings(line: &str) -> String {
    match line.split_once("Configs: ") {
        Some((before, settings)) => {
            let mut settings: Vec<&str> = settings.split(',').collect();
            settings.sort_unstable();
            format!("{before}{}", settings.join(","))
        }
        None => line.to_owned(),
    }
}

const JAVA: Side = Side {
    command: ("", ".sh"),
    topic: "java-topic",
    group: "java-group",
    other: "mill-",
};
const OURS: Side = Side {
    command: ("millrace ", ""),
    topic: "mill-topic",
    group: "mill-group",
    other: "java-",
};

#[test]
fn our_tools_and_kafkas_own_say_the_same() -> Result<()> {
    compare(&Cluster::start()?, &Tools::find(), LINES)
}

#[test]
fn our_tools_and_kafkas_own_say_the_same_of_a_group_with_a_member() -> Result<()> {
    let cluster = Cluster::start()?;
    let tools = Tools::find();
    let servers = format!("--bootstrap-server {}", cluster.bootstrap());
    tools.run(&format!(
        "millrace kafka-topics {servers} --create --topic live --partitions 1\n\
         printf 'a\\nb\\n' | millrace kafka-console-producer {servers} --topic live"
    ));
    let reading = tools.start(&format!(
        "millrace kafka-console-consumer {servers} --topic live --group live --from-beginning"
    ));
    let state = format!("millrace kafka-consumer-groups {servers} --describe --group live");
    until(Duration::from_secs(60), "the group has read all", || {
        let lines = tools.attempt(&state).1;
        Ok(lines
            .lines()
            .any(|line| line.contains(" 2               2               0 ")))
    })?;
    compare(&cluster, &tools, LIVE)?;
    drop(reading);
    Ok(())
}

fn compare(cluster: &Cluster, tools: &Tools, lines: &[&str]) -> Result<()> {
    let mut different = Vec::new();
    for line in lines {
        let theirs = JAVA.call(cluster, tools, line);
        let mine = OURS.call(cluster, tools, line);
        if theirs != mine {
            different.push(format!("{line}\n  Kafka's: {theirs:#?}\n  ours: {mine:#?}"));
        }
    }
    ensure!(different.is_empty(), "{}", different.join("\n\n"));
    Ok(())
}
