//! `kafka-console-producer.sh`: each line of standard input becomes a record.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

use anyhow::{Context, bail};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::future_producer::DeliveryFuture;
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::sync::mpsc;

use super::arguments::{Flag, Given, optional, switch, value};
use super::client;
use super::line_reader::{Line, LineReader};
use crate::outbox;

pub const PURPOSE: &str =
    "This tool helps to read data from standard input and publish it to Kafka.";

pub const FLAGS: &[Flag] = &[
    value(
        "batch-size",
        "Bytes of records that are sent together at most.",
    ),
    value(
        "bootstrap-server",
        "REQUIRED: The Kafka servers to connect to.",
    ),
    value("command-config", "A file of properties for the producer."),
    value(
        "command-property",
        "A property of the producer, NAME=VALUE. May be repeated.",
    ),
    optional(
        "compression-codec",
        "none, gzip, snappy, lz4 or zstd; gzip without a value.",
    ),
    switch("help", "Print usage information."),
    value(
        "line-reader",
        "Only org.apache.kafka.tools.LineMessageReader, the default.",
    ),
    value(
        "max-block-ms",
        "Without effect: sending waits for room here.",
    ),
    value(
        "max-memory-bytes",
        "Bytes of records that wait to be sent at most.",
    ),
    value("max-partition-memory-bytes", "As --batch-size."),
    value(
        "message-send-max-retries",
        "How often a record is sent again.",
    ),
    value(
        "metadata-expiry-ms",
        "Milliseconds after which metadata is asked for again.",
    ),
    value("producer-property", "As --command-property (deprecated)."),
    value("producer.config", "As --command-config (deprecated)."),
    value("property", "As --reader-property (deprecated)."),
    value(
        "reader-config",
        "A file of properties for the reader of lines.",
    ),
    value(
        "reader-property",
        "parse.key, parse.headers, ignore.error, key.separator, headers.delimiter, headers.separator, headers.key.separator, null.marker; NAME=VALUE. May be repeated.",
    ),
    value("request-required-acks", "0, 1 or -1 (all, the default)."),
    value(
        "request-timeout-ms",
        "Milliseconds that a broker may take to acknowledge.",
    ),
    value(
        "retry-backoff-ms",
        "Milliseconds before a record is sent again.",
    ),
    value("socket-buffer-size", "Bytes of the socket's send buffer."),
    switch("sync", "Wait for each record's acknowledgement."),
    value(
        "timeout",
        "Milliseconds that records wait to be sent together.",
    ),
    value("topic", "REQUIRED: The topic to write to."),
    switch("version", "Display the version."),
];

/// Options of the tool that are settings of librdkafka.
const SETTINGS: &[(&str, &str)] = &[
    ("batch-size", "batch.size"),
    ("max-partition-memory-bytes", "batch.size"),
    ("message-send-max-retries", "message.send.max.retries"),
    ("metadata-expiry-ms", "topic.metadata.refresh.interval.ms"),
    ("request-required-acks", "acks"),
    ("request-timeout-ms", "request.timeout.ms"),
    ("retry-backoff-ms", "retry.backoff.ms"),
    ("socket-buffer-size", "socket.send.buffer.bytes"),
    ("timeout", "linger.ms"),
];

/// Records that were sent and are not acknowledged yet.
const IN_FLIGHT: usize = 10_000;

pub async fn run(given: &Given) -> anyhow::Result<()> {
    let topic = given.required("topic")?;
    if let Some(class) = given.one("line-reader")?
        && !class.ends_with("LineMessageReader")
    {
        bail!("--line-reader {class} is not supported: Java classes cannot be loaded");
    }
    super::deprecated(given, "property", "reader-property");
    super::deprecated(given, "producer-property", "command-property");
    super::deprecated(given, "producer.config", "command-config");
    let reader = LineReader::new(&reader_properties(given)?)?;
    let mut sender = Sender {
        topic,
        producer: producer(given)?,
        waiting: VecDeque::new(),
        failed: 0,
    };
    let allowed = if given.has("sync") { 0 } else { IN_FLIGHT };
    let mut lines = lines_of_standard_input();
    let mut number = 0u64;
    while let Some(line) = lines.recv().await {
        number += 1;
        sender
            .send(reader.read(&line.context("standard input")?, number)?)
            .await?;
        sender.drain(allowed).await?;
    }
    sender.drain(0).await?;
    match sender.failed {
        0 => Ok(()),
        failed => bail!("{failed} records were not written"),
    }
}

fn reader_properties(given: &Given) -> anyhow::Result<BTreeMap<String, String>> {
    let mut properties = BTreeMap::new();
    for file in given.all("reader-config") {
        properties.extend(client::file_of_properties(Path::new(file))?);
    }
    let flags = given.all("property").chain(given.all("reader-property"));
    for text in flags {
        let (name, value) = text
            .split_once('=')
            .with_context(|| format!("{text:?} is not NAME=VALUE"))?;
        properties.insert(name.to_owned(), value.to_owned());
    }
    Ok(properties)
}

fn producer(given: &Given) -> anyhow::Result<FutureProducer> {
    let files = ["producer.config", "command-config"];
    let kafka = client::options(given, &files, &["producer-property", "command-property"])?;
    let mut config = kafka.client("console-producer");
    // As Kafka's producer spreads keys.
    config.set("partitioner", "murmur2_random");
    config.set("message.max.bytes", "16777216");
    for (option, setting) in SETTINGS {
        if let Some(text) = given.one(option)? {
            config.set(*setting, text);
        }
    }
    if let Some(bytes) = given.number::<u64>("max-memory-bytes")? {
        config.set(
            "queue.buffering.max.kbytes",
            (bytes / 1024).max(1).to_string(),
        );
    }
    if given.has("compression-codec") {
        config.set(
            "compression.type",
            given.one("compression-codec")?.unwrap_or("gzip"),
        );
    }
    config.create().context("cannot create a Kafka client")
}

/// Reading a terminal blocks, so it has a thread of its own.
fn lines_of_standard_input() -> mpsc::Receiver<io::Result<Vec<u8>>> {
    let (lines, read) = mpsc::channel(1000);
    let prompt = io::stdin().is_terminal() && io::stdout().is_terminal();
    std::thread::spawn(move || {
        let mut input = io::stdin().lock();
        loop {
            if prompt {
                print!(">");
                let _ = io::stdout().flush();
            }
            let mut line = Vec::new();
            let outcome = input.read_until(b'\n', &mut line);
            let line = match outcome {
                Ok(0) => return,
                Ok(_) => {
                    let whole = line.strip_suffix(b"\n").unwrap_or(&line);
                    Ok(whole.strip_suffix(b"\r").unwrap_or(whole).to_vec())
                }
                Err(error) => Err(error),
            };
            if lines.blocking_send(line).is_err() {
                return;
            }
        }
    });
    read
}

struct Sender<'a> {
    topic: &'a str,
    producer: FutureProducer,
    waiting: VecDeque<DeliveryFuture>,
    failed: u64,
}

impl Sender<'_> {
    async fn send(&mut self, line: Line) -> anyhow::Result<()> {
        let mut record = FutureRecord::<[u8], [u8]>::to(self.topic);
        record.key = line.key.as_deref();
        record.payload = line.value.as_deref();
        record.headers = headers(&line);
        self.waiting
            .push_back(outbox::put(&self.producer, record).await?);
        Ok(())
    }

    /// Waits until at most `left` records wait for their acknowledgement.
    async fn drain(&mut self, left: usize) -> anyhow::Result<()> {
        while self.waiting.len() > left
            && let Some(delivery) = self.waiting.pop_front()
        {
            if let Err((error, _)) = delivery.await.context("the Kafka client ended")? {
                self.failed += 1;
                eprintln!(
                    "ERROR Error when sending message to topic {}: {error}",
                    self.topic
                );
            }
        }
        Ok(())
    }
}

fn headers(line: &Line) -> Option<OwnedHeaders> {
    let mut headers = (!line.headers.is_empty()).then(OwnedHeaders::new)?;
    for (name, value) in &line.headers {
        headers = headers.insert(Header {
            key: name,
            value: value.as_ref(),
        });
    }
    Some(headers)
}
