//! What three brokers show at `/metrics`: Kafka's own names, and each series once, whoever has the role.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cluster::{Cluster, Settings};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::{PARTITIONS, TOPIC, scenario};

/// The checked-in list of names.
const NAMES: &str = include_str!("kafka_names.txt");
const GROUP: &str = "readers";
const RECORDS: usize = 300;

/// One series: its labels as printed, and its value.
type Series = BTreeMap<String, f64>;

/// What one broker shows, by family.
type Shown = BTreeMap<String, Series>;

fn scrape(cluster: &mut Cluster, id: i32) -> Result<Shown> {
    let text = cluster.node(id).metrics()?;
    let mut shown = Shown::new();
    for line in text.lines() {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            let name = family.split(' ').next().context("a family has a name")?;
            shown.entry(name.to_owned()).or_default();
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').context("a sample has a value")?;
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let labels = labels.trim_end_matches('}').to_owned();
            let of_family = shown.entry(name.to_owned()).or_default();
            ensure!(
                of_family.insert(labels, value.parse()?).is_none(),
                "twice: {line}"
            );
        }
    }
    Ok(shown)
}

/// What the running brokers show, by id.
fn scrape_all(cluster: &mut Cluster) -> Result<BTreeMap<i32, Shown>> {
    let mut all = BTreeMap::new();
    for id in 1..=3 {
        if cluster.node(id).is_running() {
            all.insert(id, scrape(cluster, id)?);
        }
    }
    Ok(all)
}

/// Every broker's value of a family, added up.
fn sum(all: &BTreeMap<i32, Shown>, family: &str) -> f64 {
    let series = all.values().filter_map(|shown| shown.get(family));
    series.flat_map(Series::values).sum()
}

/// The brokers that show such a series.
fn shown_by(all: &BTreeMap<i32, Shown>, family: &str, labels: &str) -> BTreeSet<i32> {
    let shows = |shown: &Shown| shown.get(family).is_some_and(|s| s.contains_key(labels));
    all.iter()
        .filter(|(_, shown)| shows(shown))
        .map(|(id, _)| *id)
        .collect()
}

fn produce(cluster: &Cluster) -> Result<()> {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap())
        .set("acks", "all")
        .create()?;
    for number in 0..RECORDS {
        let key = number.to_string();
        let record = BaseRecord::to(TOPIC)
            .partition(number as i32 % PARTITIONS)
            .key(&key)
            .payload("value");
        producer.send(record).map_err(|(error, _)| error)?;
    }
    Ok(producer.flush(Duration::from_secs(60))?)
}

/// A member that has read half of each partition and committed that.
fn consume_half(cluster: &Cluster) -> Result<BaseConsumer> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap())
        .set("group.id", GROUP)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .create()?;
    consumer.subscribe(&[TOPIC])?;
    cluster::until(
        Duration::from_secs(60),
        "the member has all partitions",
        || {
            let polled = consumer.poll(Duration::from_millis(100));
            drop(polled);
            Ok(consumer.assignment()?.count() == PARTITIONS as usize)
        },
    )?;
    let mut half = consumer.assignment()?;
    let middle = RECORDS as i64 / i64::from(PARTITIONS) / 2;
    half.set_all_offsets(rdkafka::Offset::Offset(middle))?;
    consumer.commit(&half, CommitMode::Sync)?;
    Ok(consumer)
}

/// Three brokers with records, and a group that is half way through them.
fn prepared(settings: Settings) -> Result<(Cluster, BaseConsumer)> {
    let mut cluster = Cluster::with(settings)?;
    cluster.create_topic(TOPIC, PARTITIONS, 3, &[])?;
    cluster.wait_in_sync(TOPIC)?;
    produce(&cluster)?;
    let member = consume_half(&cluster)?;
    Ok((cluster, member))
}

/// Every sum over the brokers is that of one cluster.
fn expect_sums(cluster: &mut Cluster, partitions: f64, records: f64) -> Result<()> {
    let expected = [
        ("kafka_topic_partition_current_offset", records),
        ("kafka_topic_partition_replicas", 3.0 * partitions),
        ("kafka_cluster_partition_replicascount", 3.0 * partitions),
        ("kafka_consumergroup_current_offset_sum", records / 2.0),
        ("kafka_consumergroup_lag", records / 2.0),
        ("kafka_consumergroup_lag_sum", records / 2.0),
        ("kafka_consumergroup_members", 1.0),
        (
            "kafka_controller_kafkacontroller_activecontrollercount",
            1.0,
        ),
        (
            "kafka_controller_kafkacontroller_offlinepartitionscount",
            0.0,
        ),
    ];
    let mut last = String::new();
    let met = cluster.until("every sum counts once", |cluster| {
        let all = scrape_all(cluster)?;
        let of_topic = |family: &str| -> f64 {
            let label = format!("topic=\"{TOPIC}\"");
            let series = all.values().filter_map(|shown| shown.get(family)).flatten();
            series
                .filter(|(labels, _)| !labels.contains("topic=") || labels.contains(&label))
                .map(|(_, value)| value)
                .sum()
        };
        let found: Vec<f64> = expected.iter().map(|(name, _)| of_topic(name)).collect();
        last = format!("{found:?}");
        Ok(expected
            .iter()
            .zip(&found)
            .all(|((_, want), got)| want == got))
    });
    met.with_context(|| format!("expected {expected:?}, found {last}"))
}

#[test]
fn every_name_of_kafkas_exporters_is_there_and_no_sum_counts_thrice() {
    let settings = Settings::default().property("probe.interval.ms", "200");
    let (cluster, _member) = prepared(settings).expect("a cluster with records and a group");
    scenario(cluster, |cluster| {
        expect_sums(cluster, f64::from(PARTITIONS), RECORDS as f64)?;
        let all = scrape_all(cluster)?;
        let produced = "kafka_server_brokertopicmetrics_messagesin_total";
        let label = format!("topic=\"{TOPIC}\"");
        let counted: f64 = all
            .values()
            .filter_map(|s| s.get(produced)?.get(&label))
            .sum();
        ensure!(counted == RECORDS as f64, "{produced}: {counted}");
        ensure!(
            sum(&all, "kafka_brokers") == 3.0,
            "kafka_brokers: {}",
            sum(&all, "kafka_brokers")
        );
        expect_names(&all)?;
        expect_documented(cluster)?;
        cluster.until(
            "the probe's records come through on each broker",
            |cluster| {
                let all = scrape_all(cluster)?;
                let came = |shown: &Shown| {
                    let count = shown.get("millrace_probe_end_to_end_seconds_count");
                    count.is_some_and(|count| count.get("").is_some_and(|count| *count > 2.0))
                };
                Ok(all.values().all(came))
            },
        )
    });
}

/// Holds what is shown against the checked-in list.
fn expect_names(all: &BTreeMap<i32, Shown>) -> Result<()> {
    for line in NAMES
        .lines()
        .filter(|l| !l.is_empty() && !l.starts_with('#'))
    {
        let mut words = line.split(' ');
        let (who, name) = (
            words.next().context("who")?,
            words
                .next()
                .with_context(|| format!("no name in {line:?}"))?,
        );
        let labels = words.next().unwrap_or_default();
        let mut by = BTreeMap::new();
        for (id, shown) in all {
            for series in shown.get(name).into_iter().flat_map(Series::keys) {
                let found: Vec<&str> = series
                    .split("\",")
                    .filter_map(|label| Some(label.split_once('=')?.0))
                    .collect();
                ensure!(
                    who == "absent" || found.join(",") == labels,
                    "{name} has the labels {found:?}, not {labels}"
                );
                by.entry(series.clone()).or_insert_with(Vec::new).push(*id);
            }
        }
        match who {
            "absent" => ensure!(by.is_empty(), "{name} should be absent: {by:?}"),
            "each" => ensure!(
                all.values().all(|shown| shown.contains_key(name)),
                "{name} is not on every broker"
            ),
            _ => {
                ensure!(!by.is_empty(), "{name} is on no broker");
                let once = by.values().all(|ids| ids.len() == 1);
                ensure!(once, "{name} is shown by several brokers: {by:?}");
            }
        }
        if who == "controller" {
            let brokers: BTreeSet<&i32> = by.values().flatten().collect();
            ensure!(brokers.len() == 1, "{name} is on {brokers:?}");
        }
    }
    Ok(())
}

/// Each family that a broker shows is documented, with its type.
fn expect_documented(cluster: &mut Cluster) -> Result<()> {
    let page = std::fs::read_to_string(
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md"),
    )?;
    for line in cluster.node(1).metrics()?.lines() {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            let (name, kind) = family.split_once(' ').context("a name and a type")?;
            let row = format!("| `{name}` | {kind} |");
            ensure!(page.contains(&row), "no {row} in docs/metrics.md");
        }
    }
    Ok(())
}

#[test]
fn series_move_with_their_role_and_end_with_their_topic() {
    let (cluster, _member) =
        prepared(Settings::default()).expect("a cluster with records and a group");
    scenario(cluster, |cluster| {
        // Given a partition that the active controller leads
        let controller = cluster.controller()?;
        let topic = cluster.topic(TOPIC)?;
        let led = topic
            .partitions
            .iter()
            .find(|partition| partition.leader == Some(controller))
            .context("each broker leads two")?;
        let labels = format!("topic=\"{TOPIC}\",partition=\"{}\"", led.index);
        let (leader, brokers) = ("kafka_topic_partition_leader", "kafka_brokers");

        // When it stops, then another shows both, and once it is back it shows neither
        cluster.node(controller).stop()?;
        cluster.until("others have the roles", |cluster| {
            let all = scrape_all(cluster)?;
            Ok(
                shown_by(&all, leader, &labels).len() == 1
                    && shown_by(&all, brokers, "").len() == 1,
            )
        })?;
        expect_sums(cluster, f64::from(PARTITIONS), RECORDS as f64)?;
        cluster.restart(controller)?;
        cluster.wait_in_sync(TOPIC)?;
        expect_sums(cluster, f64::from(PARTITIONS), RECORDS as f64)?;
        let all = scrape_all(cluster)?;
        ensure!(shown_by(&all, leader, &labels).len() == 1);
        ensure!(!shown_by(&all, brokers, "").contains(&controller));

        // When the topic is deleted, then nothing of it is left
        cluster.delete_topic(TOPIC)?;
        let of_topic = format!("topic=\"{TOPIC}\"");
        cluster.until("the topic's series are gone", |cluster| {
            for id in 1..=3 {
                let text = cluster.node(id).metrics()?;
                if text.contains(&of_topic) {
                    return Ok(false);
                }
            }
            Ok(true)
        })
    });
}

#[test]
fn series_beyond_the_limit_are_left_out_and_counted() {
    let settings = Settings::default().property("metrics.series.max", "4");
    let mut cluster = Cluster::with(settings).expect("three brokers");
    cluster.create_topic(TOPIC, 30, 3, &[]).expect("a topic");
    scenario(cluster, |cluster| {
        cluster.until("each broker shows what it may", |cluster| {
            let all = scrape_all(cluster)?;
            let shown = |shown: &Shown| {
                let offsets = shown.get("kafka_topic_partition_current_offset");
                let dropped = shown.get("millrace_metrics_series_dropped_total");
                let family = "family=\"kafka_topic_partition_current_offset\"";
                let dropped = dropped.and_then(|d| d.get(family)).copied();
                offsets.is_some_and(|o| o.len() == 4) && dropped.is_some_and(|d| d >= 6.0)
            };
            Ok(all.values().all(shown))
        })
    });
}
