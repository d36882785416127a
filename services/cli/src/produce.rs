//! `millrace produce`.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write, stdout};
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use pipeline::KafkaOptions;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::future_producer::DeliveryFuture;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};

use crate::{outbox, topic};

/// Records sent and not yet acknowledged.
const IN_FLIGHT: usize = 10_000;

/// Write records from the command line, a file or standard input
///
/// With --value it is that one; else one for each line of the file or of standard input.
///
///   echo 'k1|{"a":1}' | millrace produce events --key-separator '|'
///   millrace produce events --key k1 --value hello --header source=cli
///   millrace consume events --json --from-beginning -e | millrace produce copy --json
///
/// With --json each line is an object with "value" and optionally "key", "headers" and "partition"; a value that is not
/// text is written as its JSON, null is a tombstone.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Options {
    #[command(flatten)]
    kafka: KafkaOptions,

    /// The topic to write to; it must be there
    topic: String,

    /// Write this one value
    #[arg(long, conflicts_with_all = ["file", "json"])]
    value: Option<String>,

    /// Read lines from this file instead of standard input
    #[arg(long, short)]
    file: Option<PathBuf>,

    /// The key of every record
    #[arg(long, conflicts_with = "key_separator")]
    key: Option<String>,

    /// What stands between key and value in a line
    #[arg(long, value_name = "TEXT", conflicts_with = "json")]
    key_separator: Option<String>,

    /// A header of every record. May be repeated
    #[arg(long = "header", short = 'H', value_name = "NAME=VALUE", value_parser = crate::admin::setting)]
    headers: Vec<(String, String)>,

    /// The partition of every record [default: by key, or spread]
    #[arg(long, short, value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,

    /// Lines are JSON objects with key, value, headers, partition
    #[arg(long)]
    json: bool,

    /// Compression of the batches: none, gzip, snappy, lz4, zstd
    #[arg(long, default_value = "none", value_parser = ["none", "gzip", "snappy", "lz4", "zstd"], hide_possible_values = true)]
    compression: String,

    /// Print where each record was stored
    #[arg(long, short)]
    verbose: bool,

    /// Give a record up after this many seconds
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    timeout: u64,
}

/// One record to write.
#[derive(Debug, PartialEq, Eq)]
struct Input {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<String>)>,
    partition: Option<i32>,
}

pub async fn run(options: Options) -> anyhow::Result<()> {
    topic::require(&options.kafka, &options.topic, options.partition).await?;
    let mut config = options.kafka.producer("millrace-produce");
    config
        .set("message.timeout.ms", (options.timeout * 1000).to_string())
        .set("compression.type", &options.compression)
        // Enough room for whatever the topic takes; the broker decides.
        .set("message.max.bytes", "16777216");
    let producer: FutureProducer = config.create().context("cannot create a Kafka client")?;
    let mut sender = Sender {
        options: &options,
        producer,
        waiting: VecDeque::new(),
        stored: 0,
    };
    match &options.value {
        Some(value) => sender.send(plain(&options, value.as_bytes())?).await?,
        None => sender.send_lines().await?,
    }
    sender.drain(0).await?;
    eprintln!("{} records written to {}", sender.stored, options.topic);
    Ok(())
}

struct Sender<'a> {
    options: &'a Options,
    producer: FutureProducer,
    waiting: VecDeque<DeliveryFuture>,
    stored: u64,
}

impl Sender<'_> {
    async fn send_lines(&mut self) -> anyhow::Result<()> {
        let (lines, mut read) = tokio::sync::mpsc::channel::<io::Result<Vec<u8>>>(1000);
        let input: Box<dyn BufRead + Send> = match &self.options.file {
            Some(path) => Box::new(BufReader::new(
                File::open(path).with_context(|| format!("cannot open {}", path.display()))?,
            )),
            None => Box::new(BufReader::new(io::stdin())),
        };
        // Reading a terminal blocks, so it has a thread of its own.
        std::thread::spawn(move || {
            for line in input.split(b'\n') {
                if lines.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        let mut number = 0u64;
        while let Some(line) = read.recv().await {
            number += 1;
            let line = line.context("cannot read the input")?;
            let line = line.strip_suffix(b"\r").unwrap_or(&line);
            let input = if self.options.json {
                from_json(self.options, line)
            } else {
                plain(self.options, line)
            };
            self.send(input.with_context(|| format!("line {number}"))?)
                .await?;
        }
        Ok(())
    }

    async fn send(&mut self, input: Input) -> anyhow::Result<()> {
        self.drain(IN_FLIGHT).await?;
        let mut record = FutureRecord::<[u8], [u8]>::to(&self.options.topic);
        record.key = input.key.as_deref();
        record.payload = input.value.as_deref();
        record.partition = input.partition;
        record.headers = headers(&input.headers);
        self.waiting
            .push_back(outbox::put(&self.producer, record).await?);
        Ok(())
    }

    /// Waits until at most `left` records wait for their acknowledgement.
    async fn drain(&mut self, left: usize) -> anyhow::Result<()> {
        while self.waiting.len() > left
            && let Some(delivery) = self.waiting.pop_front()
        {
            match delivery.await {
                Ok(Ok(stored)) => {
                    self.stored += 1;
                    if self.options.verbose {
                        writeln!(
                            stdout(),
                            "{}-{} offset {}",
                            self.options.topic,
                            stored.partition,
                            stored.offset
                        )?;
                    }
                }
                Ok(Err((error, _))) => bail!(
                    "cannot write to {}: {error}; {} records were written",
                    self.options.topic,
                    self.stored
                ),
                Err(_) => bail!("the Kafka client ended"),
            }
        }
        Ok(())
    }
}

fn headers(all: &[(String, Option<String>)]) -> Option<OwnedHeaders> {
    let mut headers = (!all.is_empty()).then(|| OwnedHeaders::new_with_capacity(all.len()))?;
    for (name, value) in all {
        headers = headers.insert(Header {
            key: name,
            value: value.as_ref(),
        });
    }
    Some(headers)
}

fn common_headers(options: &Options) -> Vec<(String, Option<String>)> {
    options
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), Some(value.clone())))
        .collect()
}

fn plain(options: &Options, line: &[u8]) -> anyhow::Result<Input> {
    let mut key = options.key.clone().map(String::into_bytes);
    let mut value = line;
    if let Some(separator) = options
        .key_separator
        .as_deref()
        .filter(|separator| !separator.is_empty())
    {
        let separator = separator.as_bytes();
        let at = line
            .windows(separator.len())
            .position(|window| window == separator);
        let at = at.context("there is no key separator in it")?;
        key = Some(line[..at].to_vec());
        value = &line[at + separator.len()..];
    }
    Ok(Input {
        key,
        value: Some(value.to_vec()),
        headers: common_headers(options),
        partition: options.partition,
    })
}

fn from_json(options: &Options, line: &[u8]) -> anyhow::Result<Input> {
    let mut object: serde_json::Map<String, Value> =
        serde_json::from_slice(line).context("not a JSON object")?;
    let bytes = |value: Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text.into_bytes()),
        other => Some(other.to_string().into_bytes()),
    };
    let Some(value) = object.remove("value") else {
        bail!("there is no \"value\" in {}", json!(object))
    };
    let own_key = object.remove("key").and_then(bytes);
    let mut headers = common_headers(options);
    match object.remove("headers") {
        None | Some(Value::Null) => {}
        Some(Value::Object(own)) => {
            headers.extend(own.into_iter().map(|(name, value)| {
                (
                    name,
                    bytes(value).map(|value| String::from_utf8_lossy(&value).into_owned()),
                )
            }));
        }
        Some(other) => bail!("headers {other} are not an object"),
    }
    let own_partition = match object.remove("partition") {
        None | Some(Value::Null) => None,
        Some(number) => Some(serde_json::from_value(number).context("partition")?),
    };
    let key = own_key.or_else(|| options.key.clone().map(String::into_bytes));
    Ok(Input {
        key,
        value: bytes(value),
        headers,
        partition: options.partition.or(own_partition),
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        options: Options,
    }

    fn options(arguments: &[&str]) -> Options {
        let all = ["produce", "events"].iter().chain(arguments);
        Command::try_parse_from(all)
            .map(|command| command.options)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn a_line_is_split_at_its_first_separator() {
        let options = options(&["--key-separator", "||", "-H", "a=b=c"]);
        let input = plain(&options, b"k||v||w").expect("a key and a value");
        assert_eq!(
            (input.key.as_deref(), input.value.as_deref()),
            (Some(&b"k"[..]), Some(&b"v||w"[..]))
        );
        assert_eq!(input.headers, [("a".to_owned(), Some("b=c".to_owned()))]);
        assert!(plain(&options, b"no separator").is_err());
    }

    #[test]
    fn json_lines_carry_everything() {
        let options = options(&["--json"]);
        let line =
            br#"{"key":"k","value":{"a":1},"headers":{"h":"x","n":null},"partition":2,"offset":7}"#;
        let input = from_json(&options, line).expect("a record");
        assert_eq!(input.value.as_deref(), Some(&br#"{"a":1}"#[..]));
        assert_eq!(
            (input.key.as_deref(), input.partition),
            (Some(&b"k"[..]), Some(2))
        );
        assert_eq!(
            input.headers,
            [
                ("h".to_owned(), Some("x".to_owned())),
                ("n".to_owned(), None)
            ]
        );
        assert_eq!(
            from_json(&options, br#"{"value":null}"#)
                .expect("a tombstone")
                .value,
            None
        );
        assert!(from_json(&options, b"{}").is_err() && from_json(&options, b"x").is_err());
    }
}
