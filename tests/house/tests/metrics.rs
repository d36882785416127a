//! docs/metrics.md is written by the code's own registry of descriptions; here it is held against it.
//!
//! `MILLRACE_WRITE_DOCS=1 cargo test -p house --test metrics` writes it anew.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use broker::metrics::families;
use pipeline::families::{GENERATOR_FAMILIES, SERVICE_FAMILIES, SINK_FAMILIES};
use telemetry::Registry;
use telemetry::metrics::{Family, PROCESS_FAMILIES, markdown};

const HEAD: &str = "\
# Metrics

Every part serves Prometheus' text format at `/metrics`. Each name here is exported; a test holds this page against the
code, which it is generated from, and others hold what real brokers show against it.

*Exported by* says whose series it is, so that a sum over brokers counts nothing twice: a per-partition series comes
from the partition's leader, a group's from its coordinator, what is true of the whole cluster from the active
controller; *each* means every process, of itself. A series is gone as soon as its role is.

Names that begin with `kafka_` are those of kafka_exporter and of Strimzi's JMX rules, with their labels, so that
dashboards made for them work. What has no meaning here (`jvm_*`, ZooKeeper, throttling) is absent;
`tests/cluster/tests/cluster/kafka_names.txt` has the list with the reasons.

Counters whose labels are known exist as 0 from the start. A histogram shows `_bucket`, `_sum` and `_count`.
Of a family whose labels users decide on (topics, partitions, groups) at most `metrics.series.max` series are shown
(10,000; environment variable `METRICS_SERIES_MAX` for the services); what is left out counts in
`millrace_metrics_series_dropped_total`. The built-in probe sends one record each `probe.interval.ms` (1,000; 0 turns it
off) to `probe.topic` (`__millrace_probe`).
";

fn page() -> String {
    let process = [PROCESS_FAMILIES, Registry::FAMILIES].concat();
    let services = [SINK_FAMILIES, SERVICE_FAMILIES].concat();
    let sections: [(&str, Vec<&'static Family>); 4] = [
        ("Every process", process),
        ("Broker", families::all()),
        ("ETL, archiver, bakery-consumer", services),
        ("Generators", GENERATOR_FAMILIES.to_vec()),
    ];
    let mut text = HEAD.to_owned();
    for (title, families) in sections {
        text.push_str(&format!("\n## {title}\n\n{}", markdown(&families)));
    }
    text
}

#[test]
fn the_page_is_current() -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    if std::env::var_os("MILLRACE_WRITE_DOCS").is_some() {
        fs::write(&path, page())?;
    }
    let found = fs::read_to_string(&path).context("docs/metrics.md")?;
    ensure!(
        found == page(),
        "docs/metrics.md is not current: MILLRACE_WRITE_DOCS=1 cargo test -p house --test metrics"
    );
    Ok(())
}

#[test]
fn names_follow_prometheus_rules_and_are_described_once() -> Result<()> {
    let all = [
        PROCESS_FAMILIES.to_vec(),
        Registry::FAMILIES.to_vec(),
        families::all(),
        SINK_FAMILIES.to_vec(),
        SERVICE_FAMILIES.to_vec(),
        GENERATOR_FAMILIES.to_vec(),
    ];
    let mut seen = BTreeSet::new();
    for family in all.concat() {
        let name = family.name;
        ensure!(seen.insert(name), "{name} is described twice");
        let is_own = name.starts_with("millrace_");
        ensure!(
            !is_own || (family.type_name() == "counter") == name.ends_with("_total"),
            "{name}: counters of our own end with _total, and nothing else does"
        );
        ensure!(
            !is_own || family.unit != "seconds" || name.contains("_seconds"),
            "{name} is in seconds and does not say so"
        );
        ensure!(
            !is_own || family.unit != "bytes" || name.contains("_bytes"),
            "{name} is in bytes and does not say so"
        );
        let ends_well = !family.help.ends_with('.') && !family.help.is_empty();
        ensure!(ends_well, "{name}: a help text, without a full stop");
    }
    Ok(())
}
