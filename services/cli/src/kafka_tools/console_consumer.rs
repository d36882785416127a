//! `kafka-console-consumer.sh`: prints the records of a topic.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write, stdout};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use tokio::signal::unix::{SignalKind, signal};

use crate::consume::is_away;

use super::arguments::{Flag, Given, switch, unsupported, usage, value};
use super::client;
use super::formatter::Formatter;

pub const PURPOSE: &str =
    "This tool helps to read data from Kafka topics and outputs it to standard output.";

pub const FLAGS: &[Flag] = &[
    value(
        "bootstrap-server",
        "REQUIRED: The Kafka servers to connect to.",
    ),
    value("command-config", "A file of properties for the consumer."),
    value(
        "command-property",
        "A property of the consumer, NAME=VALUE. May be repeated.",
    ),
    value("consumer-property", "As --command-property (deprecated)."),
    value("consumer.config", "As --command-config (deprecated)."),
    unsupported(
        "enable-systest-events",
        "it is for Kafka's own system tests",
    ),
    value(
        "formatter",
        "DefaultMessageFormatter, the default, or NoOpMessageFormatter.",
    ),
    value(
        "formatter-config",
        "A file of properties for the formatter.",
    ),
    value(
        "formatter-property",
        "print.timestamp, print.key, print.offset, print.partition, print.headers, print.value, key.separator, line.separator, headers.separator, null.literal, key.deserializer, value.deserializer; NAME=VALUE. May be repeated.",
    ),
    switch(
        "from-beginning",
        "Start with the earliest record where the group has no offset.",
    ),
    value("group", "The consumer group [default: one of its own]."),
    switch("help", "Print usage information."),
    value("include", "A regular expression of topics to read."),
    value(
        "isolation-level",
        "read_committed, or read_uncommitted (the default).",
    ),
    value("key-deserializer", "The Java deserializer of keys."),
    value("max-messages", "Stop after so many records."),
    value(
        "offset",
        "An offset to begin at, earliest or latest (the default); with --partition.",
    ),
    value("partition", "Read only this partition."),
    value("property", "As --formatter-property (deprecated)."),
    switch(
        "skip-message-on-error",
        "Leave out a record that cannot be printed, instead of stopping.",
    ),
    value("timeout-ms", "Stop when no record has come for so long."),
    value("topic", "The topic to read."),
    value("value-deserializer", "The Java deserializer of values."),
    switch("version", "Display the version."),
];

/// How long one look for a record takes; the signal to end is looked for in between.
const LOOK: Duration = Duration::from_millis(100);

pub async fn run(given: &Given) -> anyhow::Result<()> {
    check(given)?;
    let formatter = formatter(given)?;
    let consumer = consumer(given)?;
    begin(given, &consumer)?;
    let mut reader = Reader {
        formatter,
        consumer,
        most: given.number("max-messages")?,
        patience: given.number("timeout-ms")?.map(Duration::from_millis),
        skips: given.has("skip-message-on-error"),
        read: 0,
    };
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    let (stop, stopped) = std::sync::mpsc::channel();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        // The reader may have ended already.
        let _ = stop.send(());
    });
    let outcome = tokio::task::block_in_place(|| reader.read_until(|| stopped.try_recv().is_ok()));
    eprintln!("Processed a total of {} messages", reader.read);
    outcome
}

fn check(given: &Given) -> anyhow::Result<()> {
    let sources = [given.one("topic")?, given.one("include")?];
    if sources.iter().flatten().count() != 1 {
        usage("Exactly one of --include/--topic is required. ")?;
    }
    if given.has("partition") && given.one("topic")?.is_none() {
        usage("The topic is required when partition is specified.")?;
    }
    if given.has("offset") && !given.has("partition") {
        usage("The partition is required when offset is specified.")?;
    }
    if given.has("from-beginning") && given.has("offset") {
        usage("Options from-beginning and offset cannot be specified together.")?;
    }
    if given.has("group") && given.has("partition") {
        usage("Options group and partition cannot be specified together.")?;
    }
    super::deprecated_option(given, "property", "formatter-property");
    super::deprecated_option(given, "consumer-property", "command-property");
    super::deprecated_option(given, "consumer.config", "command-config");
    Ok(())
}

fn formatter(given: &Given) -> anyhow::Result<Option<Formatter>> {
    let class = given.one("formatter")?.unwrap_or("DefaultMessageFormatter");
    match class.rsplit('.').next() {
        Some("DefaultMessageFormatter") => {}
        Some("NoOpMessageFormatter") => return Ok(None),
        _ => bail!("--formatter {class} is not supported: Java classes cannot be loaded"),
    }
    let mut properties = BTreeMap::new();
    for file in given.all("formatter-config") {
        properties.extend(client::file_of_properties(Path::new(file))?);
    }
    for text in given.all("property").chain(given.all("formatter-property")) {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        properties.insert(name.to_owned(), value.to_owned());
    }
    for (option, property) in [
        ("key-deserializer", "key.deserializer"),
        ("value-deserializer", "value.deserializer"),
    ] {
        if let Some(class) = given.one(option)? {
            properties.insert(property.to_owned(), class.to_owned());
        }
    }
    Formatter::new(&properties).map(Some)
}

fn consumer(given: &Given) -> anyhow::Result<BaseConsumer> {
    let files = ["consumer.config", "command-config"];
    let kafka = client::options(given, &files, &["consumer-property", "command-property"])?;
    let mut config = kafka.client("console-consumer");
    if given.has("from-beginning") || config.get("auto.offset.reset").is_none() {
        let reset = if given.has("from-beginning") {
            "earliest"
        } else {
            "latest"
        };
        config.set("auto.offset.reset", reset);
    }
    match given.one("group")? {
        Some(group) => {
            config.set("group.id", group);
        }
        // A group that nobody else is in, and that leaves no offsets.
        None if config.get("group.id").is_none() => {
            let number = pipeline::random_u64() % 100_000;
            config.set("group.id", format!("console-consumer-{number}"));
            config.set("enable.auto.commit", "false");
        }
        None => {}
    }
    config
        .set("allow.auto.create.topics", "true")
        // Only what was printed is committed.
        .set("enable.auto.offset.store", "false")
        .set(
            "isolation.level",
            given.one("isolation-level")?.unwrap_or("read_uncommitted"),
        );
    config.create().context("cannot create a Kafka client")
}

fn begin(given: &Given, consumer: &BaseConsumer) -> anyhow::Result<()> {
    if let Some(pattern) = given.one("include")? {
        // librdkafka takes a name that begins with ^ for a pattern.
        let pattern = format!("^({})$", pattern.replace(',', "|"));
        return Ok(consumer.subscribe(&[&pattern])?);
    }
    let topic = given.required("topic")?;
    let Some(partition) = given.number::<i32>("partition")? else {
        return Ok(consumer.subscribe(&[topic])?);
    };
    let latest = if given.has("from-beginning") {
        "earliest"
    } else {
        "latest"
    };
    let offset = match given.one("offset")?.unwrap_or(latest) {
        "earliest" => Offset::Beginning,
        "latest" => Offset::End,
        text => match text.parse() {
            Ok(offset) if offset >= 0 => Offset::Offset(offset),
            _ => usage(format!(
                "The provided offset value '{text}' is incorrect. Valid values are 'earliest', 'latest', or a non-negative long."
            ))?,
        },
    };
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, partition, offset)?;
    Ok(consumer.assign(&assignment)?)
}

struct Reader {
    formatter: Option<Formatter>,
    consumer: BaseConsumer,
    most: Option<u64>,
    patience: Option<Duration>,
    skips: bool,
    read: u64,
}

impl Reader {
    fn read_until(&mut self, stopped: impl Fn() -> bool) -> anyhow::Result<()> {
        let mut out = BufWriter::new(stdout().lock());
        let mut last = Instant::now();
        while self.most.is_none_or(|most| self.read < most) && !stopped() {
            match self.consumer.poll(LOOK) {
                None => {
                    out.flush()?;
                    if self
                        .patience
                        .is_some_and(|patience| last.elapsed() >= patience)
                    {
                        eprintln!(
                            "ERROR Error processing message, terminating consumer process: \norg.apache.kafka.common.errors.TimeoutException"
                        );
                        return Ok(());
                    }
                }
                Some(Ok(message)) => {
                    last = Instant::now();
                    self.read += 1;
                    let printed = self
                        .formatter
                        .as_ref()
                        .map(|one| one.write(&mut out, &message));
                    if let Some(Err(error)) = printed {
                        match self.skips {
                            true => eprintln!(
                                "ERROR Error processing message, skipping this message: {error:#}"
                            ),
                            false => return Err(error),
                        }
                    }
                    out.flush()?;
                    if let Err(error) = self.consumer.store_offset_from_message(&message) {
                        tracing::debug!(%error, "the partition has moved to another member");
                    }
                }
                Some(Err(KafkaError::MessageConsumption(code))) if may_pass(code) => {}
                Some(Err(error)) => return Err(error).context("cannot read"),
            }
        }
        Ok(out.flush()?)
    }
}

/// What a consumer of Kafka's waits out: brokers that are away, a topic that is not there yet.
fn may_pass(code: RDKafkaErrorCode) -> bool {
    let is_unknown = matches!(
        code,
        RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition
    );
    is_unknown || is_away(code)
}
