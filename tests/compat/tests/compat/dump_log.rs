//! `kafka-dump-log` reads what three brokers have written, one of them killed on the way: every segment record by
//! record, every index, every producer snapshot.

use std::path::{Path, PathBuf};

use anyhow::Result;
use cluster::{Cluster, Load};
use compat::Tools;

const TOPIC: &str = "dumped";
/// What the tool prints of sound files.
const SOUND: &[&str] = &[
    "Dumping ",
    "Log starting offset: ",
    "baseOffset: ",
    "| offset: ",
    "offset: ",
    "timestamp: ",
    "producerId: ",
];

#[test]
fn kafkas_own_tool_finds_nothing_wrong() -> Result<()> {
    let tools = Tools::find();
    let mut cluster = Cluster::start()?;
    cluster.create_topic(TOPIC, 1, 3, &[("segment.bytes", "1048576")])?;
    let load = Load::start(&mut cluster, TOPIC, 2000, 2000, &[])?;
    load.wait_more(1000)?;
    cluster.node(2).kill()?;
    load.wait_more(500)?;
    cluster.restart(2)?;
    load.wait_more(500)?;
    load.finish()?;
    cluster.wait_in_sync(TOPIC)?;
    for id in 1..=3 {
        cluster.node(id).stop()?;
        let directory = cluster.node(id).partition_dir(TOPIC, 0);
        let (logs, snapshots) = (files(&directory, "log")?, files(&directory, "snapshot")?);
        let indexes = [files(&directory, "index")?, files(&directory, "timeindex")?].concat();
        assert!(
            logs.len() > 1 && !snapshots.is_empty(),
            "broker {id}: {logs:?} {snapshots:?}"
        );

        let all = [logs, indexes.clone(), snapshots].concat();
        let dumped = dump(&tools, "--deep-iteration", &all);
        assert_eq!(complaints(&dumped), [""; 0], "broker {id}");
        let checked = dump(&tools, "--index-sanity-check", &indexes);
        let sound = |line: &&str| line.ends_with(" passed sanity check.") || is_empty_index(line);
        let passed = checked.lines().filter(sound).count();
        assert_eq!(passed, indexes.len(), "broker {id}: {checked}");
    }
    Ok(())
}

fn files(directory: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == extension) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn dump(tools: &Tools, option: &str, files: &[PathBuf]) -> String {
    let names: Vec<String> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    tools.run(&format!(
        "kafka-dump-log.sh {option} --files '{}'",
        names.join(",")
    ))
}

/// An index has its first entry behind a segment's first batch, which can be all there is.
fn is_empty_index(line: &str) -> bool {
    line.ends_with("index is empty.")
}

/// Lines that sound files do not give rise to. Of each segment that does not begin at 0 the tool of 4.3.1 says that
/// its first offset does not follow -1: of Kafka's own segments too.
fn complaints(dumped: &str) -> Vec<&str> {
    let sound = |line: &&str| {
        SOUND.iter().any(|begin| line.starts_with(begin))
            || line.starts_with("Non-consecutive offsets in ")
            || line.starts_with("  -1 is followed by ")
            || is_empty_index(line)
    };
    dumped
        .lines()
        .filter(|line| !line.is_empty() && !sound(line))
        .collect()
}
