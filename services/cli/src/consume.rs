//! `millrace consume`.

use std::collections::BTreeSet;
use std::io::{BufWriter, Write, stdout};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use pipeline::{KafkaOptions, Record};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Message, Offset, TopicPartitionList};
use serde_json::{Value, json};

use crate::base64;
use crate::offsets::{Begin, TIMEOUT, range};
use crate::topic;

/// Read records and print them
///
/// Values are printed one a line, as they come.
///
///   millrace consume web-logs --from-beginning --max 5
///   millrace consume bk-orders --partition 2 --offset 100 --exit --json
///   millrace consume web-logs --offset -3 --exit --keys --headers
///
/// Without --group it reads by itself and leaves no trace. JSON lines have topic, partition, offset, timestamp, key, value
/// and headers; what is not text is an object {"base64"}.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Options {
    #[command(flatten)]
    kafka: KafkaOptions,

    /// The topic to read
    topic: String,

    /// Start with the oldest record [default: with what comes from now on]
    #[arg(long, short = 'b', conflicts_with = "offset")]
    from_beginning: bool,

    /// Only this partition
    #[arg(long, short, value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,

    /// Where to start: an offset, beginning, end, or -N for the last N of each partition
    #[arg(long, short, allow_hyphen_values = true)]
    offset: Option<Begin>,

    /// Read as a member of this group, from its committed offsets, and commit
    #[arg(long, short, conflicts_with_all = ["partition", "offset"])]
    group: Option<String>,

    /// Stop after this many records
    #[arg(
        long = "max",
        alias = "max-messages",
        short = 'n',
        value_name = "RECORDS"
    )]
    max: Option<u64>,

    /// Stop at the end of the log
    #[arg(long = "exit", short = 'e', conflicts_with = "group")]
    exit: bool,

    /// Stop when nothing has come for this many seconds
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,

    /// Print a JSON object for each record
    #[arg(long)]
    json: bool,

    /// Print the key and a tab before each value
    #[arg(long, short)]
    keys: bool,

    /// Print the headers and a tab before each key and value
    #[arg(long = "headers", short = 'H')]
    with_headers: bool,

    /// Show records of open and aborted transactions too
    #[arg(long)]
    read_uncommitted: bool,
}

pub async fn run(options: Options) -> anyhow::Result<()> {
    topic::require(&options.kafka, &options.topic, options.partition).await?;
    tokio::task::block_in_place(|| consume(&options))
}

fn consume(options: &Options) -> anyhow::Result<()> {
    let mut config = options.kafka.consumer(
        "millrace-consume",
        options.group.as_deref().unwrap_or("millrace-consume"),
    );
    config
        .set(
            "enable.auto.commit",
            if options.group.is_some() {
                "true"
            } else {
                "false"
            },
        )
        .set("enable.partition.eof", "true")
        .set(
            "auto.offset.reset",
            if options.from_beginning {
                "earliest"
            } else {
                "latest"
            },
        )
        .set(
            "isolation.level",
            if options.read_uncommitted {
                "read_uncommitted"
            } else {
                "read_committed"
            },
        );
    let consumer: BaseConsumer = config.create().context("cannot create a Kafka client")?;
    // The partitions whose end has to be seen before --exit ends.
    let mut open = match options.group {
        Some(_) => {
            consumer.subscribe(&[&options.topic])?;
            BTreeSet::new()
        }
        None => assign(options, &consumer)?,
    };
    let mut out = BufWriter::new(stdout().lock());
    let mut printed = 0;
    let mut last = Instant::now();
    while options.max.is_none_or(|max| printed < max) && !(options.exit && open.is_empty()) {
        match consumer.poll(Duration::from_millis(100)) {
            None => {
                out.flush()?;
                if options
                    .timeout
                    .is_some_and(|seconds| last.elapsed() >= Duration::from_secs(seconds))
                {
                    break;
                }
            }
            Some(Ok(message)) => {
                last = Instant::now();
                print(
                    &mut out,
                    options,
                    message.partition(),
                    &Record::from_message(&message),
                )?;
                printed += 1;
                if options.group.is_some() {
                    // Only what has been seen is committed; what the client has fetched beyond that is not.
                    out.flush()?;
                    if let Err(error) = consumer.store_offset_from_message(&message) {
                        tracing::debug!(%error, "the partition has moved to another member");
                    }
                }
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.remove(&partition);
            }
            Some(Err(KafkaError::MessageConsumption(code))) if is_away(code) => {}
            Some(Err(error)) => return Err(error).context("cannot read"),
        }
    }
    Ok(out.flush()?)
}

fn assign(options: &Options, consumer: &BaseConsumer) -> anyhow::Result<BTreeSet<i32>> {
    let metadata = consumer
        .fetch_metadata(None, TIMEOUT)
        .context("no broker answers")?;
    let Some(topic) = metadata
        .topics()
        .iter()
        .find(|topic| topic.name() == options.topic)
    else {
        bail!("there is no topic {}", options.topic);
    };
    let all = topic.partitions().iter().map(|partition| partition.id());
    let partitions: Vec<i32> = all
        .filter(|id| options.partition.is_none_or(|wanted| wanted == *id))
        .collect();
    if let (Some(wanted), true) = (options.partition, partitions.is_empty()) {
        bail!("topic {} has no partition {wanted}", options.topic);
    }
    let begin = options.offset.unwrap_or(if options.from_beginning {
        Begin::Beginning
    } else {
        Begin::End
    });
    let mut assignment = TopicPartitionList::new();
    for partition in &partitions {
        let (start, end) = range(consumer, &options.topic, *partition)?;
        let offset = begin
            .resolve(start, end)
            .with_context(|| format!("partition {partition}"))?;
        assignment.add_partition_offset(&options.topic, *partition, Offset::Offset(offset))?;
    }
    consumer.assign(&assignment)?;
    Ok(partitions.into_iter().collect())
}

fn print(
    out: &mut impl Write,
    options: &Options,
    partition: i32,
    record: &Record,
) -> anyhow::Result<()> {
    if options.json {
        serde_json::to_writer(&mut *out, &as_json(&options.topic, partition, record))?;
    } else {
        if options.with_headers {
            let texts = record.headers.iter().map(|header| {
                format!(
                    "{}={}",
                    header.name,
                    String::from_utf8_lossy(header.value.as_deref().unwrap_or_default())
                )
            });
            write!(out, "{}\t", texts.collect::<Vec<_>>().join(","))?;
        }
        if options.keys {
            out.write_all(record.key.as_deref().unwrap_or_default())?;
            out.write_all(b"\t")?;
        }
        out.write_all(record.value.as_deref().unwrap_or_default())?;
    }
    Ok(out.write_all(b"\n")?)
}

fn as_json(topic: &str, partition: i32, record: &Record) -> Value {
    let text = |bytes: Option<&[u8]>| match bytes.map(std::str::from_utf8) {
        None => Value::Null,
        Some(Ok(text)) => json!(text),
        Some(Err(_)) => json!({"base64": base64::encode(bytes.unwrap_or_default())}),
    };
    let headers = record
        .headers
        .iter()
        .map(|header| (header.name.clone(), text(header.value.as_deref())));
    json!({
        "topic": topic, "partition": partition, "offset": record.offset, "timestamp": record.timestamp_ms,
        "key": text(record.key.as_deref()), "value": text(record.value.as_deref()),
        "headers": headers.collect::<serde_json::Map<_, _>>(),
    })
}

/// Whether brokers cannot be reached for the moment: the client tries again by itself.
pub fn is_away(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::Resolve
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_shows_bytes_that_are_no_text() {
        let record = Record {
            offset: 7,
            timestamp_ms: Some(1),
            key: Some(vec![0xff].into()),
            value: Some("v".into()),
            headers: vec![pipeline::Header {
                name: "h".into(),
                value: None,
            }],
        };
        let expected = json!({
            "topic": "t", "partition": 2, "offset": 7, "timestamp": 1, "key": {"base64": "/w=="}, "value": "v",
            "headers": {"h": null},
        });
        assert_eq!(as_json("t", 2, &record), expected);
    }
}
