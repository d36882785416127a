//! `millrace verify`: proves that every record of the log is in every sink, once and as it was.
//!
//! For each partition the range from the log start offset to the last stable offset is fixed at the beginning and read
//! once, read_committed, in chunks. For each chunk every sink is asked what it stores for just those offsets, so memory
//! stays bounded however long the log is.

mod checked;
mod compare;
mod counters;
pub mod dead_letters;
mod derive;
mod findings;
mod known_fields;
pub mod opensearch;
pub mod postgres;
mod report;
pub mod s3;
pub mod source;
pub mod store;

use std::io::stdout;
use std::time::Duration;

use anyhow::bail;
use clap::{Args, ValueEnum};
use pipeline::KafkaOptions;
use rdkafka::consumer::BaseConsumer;

use checked::{Checked, Patience};
use counters::Counters;
use dead_letters::DeadLetters;
use report::{Progress, Report, TopicReport};
use source::{Range, Reader, Topic};
use store::Store;

/// Prove that every record reached every sink exactly once
///
/// For each partition the range from the log start to the last stable offset is fixed when it begins. Each record is read
/// again, and the row, the document and the line that it must have become are compared with what is stored, field by
/// field. A record counts as delivered to a sink when the sink stored it, or put it into <topic>.dlq with a reason. The
/// generators' counters are checked for gaps and repeats, so a record that the cluster itself lost shows as well.
///
/// Exits 0 when all is well, and 1 when anything is missing, doubled or different, naming each offset and counter; an
/// empty topic, or a sink that holds nothing, is a failure too. What retention took before a sink read it is shown.
///
/// The addresses are those that `make env` prints. S3 credentials are found as AWS's own tools find them:
/// AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, profiles, web identity, instance metadata.
///
/// Examples:
///   eval "$(make -s env)" && millrace verify --wait 60s
///   millrace verify --topic web-logs --sink postgres --json
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Options {
    #[command(flatten)]
    kafka: KafkaOptions,

    /// Topics to verify
    #[arg(
        long = "topic",
        value_name = "TOPIC",
        value_delimiter = ',',
        default_value = "web-logs,bk-orders"
    )]
    topics: Vec<String>,

    /// Sinks to verify
    #[arg(long = "sink", value_enum, value_delimiter = ',', default_values_t = Sink::ALL)]
    sinks: Vec<Sink>,

    /// How long sinks that only lag are waited for, such as 60s or 2m
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    wait: Duration,

    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    postgres: postgres::Options,
    #[command(flatten)]
    opensearch: opensearch::Options,
    #[command(flatten)]
    s3: s3::Options,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sink {
    Postgres,
    Opensearch,
    S3,
}

impl Sink {
    const ALL: [Sink; 3] = [Sink::Postgres, Sink::Opensearch, Sink::S3];
}

/// `500ms`, `60s`, `2m`, `1h`; a bare number is seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits
        .parse()
        .map_err(|_| format!("{text:?} is not a duration such as 60s"))?;
    match &text[digits.len()..] {
        "ms" => Ok(Duration::from_millis(number)),
        "" | "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number.saturating_mul(60))),
        "h" => Ok(Duration::from_secs(number.saturating_mul(3600))),
        unit => Err(format!("{unit:?} is not a unit: ms, s, m or h")),
    }
}

pub async fn run(options: Options) -> anyhow::Result<()> {
    let consumer = source::consumer(&options.kafka)?;
    let mut patience = Patience::new(options.wait);
    let mut fixed = Vec::new();
    for name in &options.topics {
        fixed.push((
            name,
            tokio::task::block_in_place(|| source::fix(&consumer, name))?,
        ));
    }
    let total = fixed
        .iter()
        .filter_map(|(_, topic)| topic.as_ref())
        .flat_map(|topic| &topic.ranges);
    let mut progress = Progress::start(total.map(|range| range.end - range.start).sum());
    let mut report = Report::default();
    for (name, topic) in fixed {
        match topic {
            Some(topic) => {
                let letters =
                    tokio::task::block_in_place(|| DeadLetters::open(&options.kafka, name))?;
                let sinks = connect(&options).await;
                let run = Verification {
                    consumer: &consumer,
                    topic: &topic,
                    letters,
                    patience: &mut patience,
                    sinks,
                };
                report.topics.push(run.run(&mut progress).await?);
            }
            None => report.failures.push(format!("there is no topic {name}")),
        }
    }
    progress.finish();
    report.judge();
    match options.json {
        true => crate::output::print_json(&mut stdout(), &report.as_json())?,
        false => report.print(&mut stdout())?,
    }
    match report.problems() {
        0 => Ok(()),
        1 => bail!("verify found 1 problem"),
        problems => bail!("verify found {problems} problems"),
    }
}

async fn connect(options: &Options) -> Vec<Checked> {
    let mut all: Vec<Box<dyn Store>> = Vec::new();
    for sink in Sink::ALL.iter().filter(|sink| options.sinks.contains(sink)) {
        all.push(match sink {
            Sink::Postgres => Box::new(postgres::Postgres::new(&options.postgres)),
            Sink::Opensearch => Box::new(opensearch::OpenSearch::new(&options.opensearch)),
            Sink::S3 => Box::new(s3::S3::connect(options.s3.clone()).await),
        });
    }
    all.into_iter().map(Checked::new).collect()
}

/// The verification of one topic.
struct Verification<'a> {
    consumer: &'a BaseConsumer,
    topic: &'a Topic,
    letters: DeadLetters,
    patience: &'a mut Patience,
    sinks: Vec<Checked>,
}

impl Verification<'_> {
    async fn run(mut self, progress: &mut Progress) -> anyhow::Result<TopicReport> {
        let topic = self.topic;
        for sink in &mut self.sinks {
            sink.begin(topic, self.patience).await;
        }
        let mut report = TopicReport::new(topic);
        for range in &topic.ranges {
            let mut counters = Counters::new(range.partition, range.start == 0);
            self.verify_partition(*range, &mut counters, &mut report, progress)
                .await?;
            report.add_counters(counters);
        }
        report.unreadable_letters = self.letters.unreadable;
        report.sinks = self.sinks.into_iter().map(|sink| sink.report).collect();
        Ok(report)
    }

    async fn verify_partition(
        &mut self,
        range: Range,
        counters: &mut Counters,
        report: &mut TopicReport,
        progress: &mut Progress,
    ) -> anyhow::Result<()> {
        for sink in &mut self.sinks {
            sink.below(self.topic, range, self.patience).await;
        }
        let mut reader = Reader::start(self.consumer, &self.topic.name, range)?;
        let mut verified_from = range.start;
        while let Some(chunk) = tokio::task::block_in_place(|| reader.next())? {
            if let Some((first, below)) = chunk.expired {
                counters.forget();
                report.expired += u64::try_from(below - first).unwrap_or(0);
                verified_from = below;
            }
            chunk
                .records
                .iter()
                .for_each(|record| counters.check(record));
            report.records += chunk.records.len() as u64;
            for sink in &mut self.sinks {
                sink.check(
                    self.topic,
                    range.partition,
                    &chunk,
                    verified_from,
                    &mut self.letters,
                    self.patience,
                )
                .await?;
            }
            progress.advance(&self.topic.name, range.partition, chunk.below - chunk.from);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        for (text, milliseconds) in [
            ("60s", 60_000),
            ("5", 5_000),
            ("250ms", 250),
            ("2m", 120_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(
                duration(text),
                Ok(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
        assert!(duration("soon").is_err() && duration("5d").is_err());
    }
}
