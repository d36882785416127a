//! Replicas compared byte for byte, in their files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use wire::batch;

use crate::Cluster;
use crate::topics::LATEST;

/// Whole batches by base offset, as they stand on disk.
type Batches = BTreeMap<i64, bytes::Bytes>;

/// Proves that all replicas of each partition hold the same bytes below the high watermark and above the newest
/// log start among them.
pub fn check_identical(cluster: &mut Cluster, topic: &str) -> Result<()> {
    for partition in cluster.topic(topic)?.partitions {
        let high_watermark = cluster.offset(topic, partition.index, LATEST)?;
        cluster.until("the followers hold what the leader shows", |cluster| {
            compare(
                cluster,
                topic,
                partition.index,
                &partition.replicas,
                high_watermark,
            )?;
            Ok(true)
        })?;
    }
    Ok(())
}

fn compare(
    cluster: &mut Cluster,
    topic: &str,
    partition: i32,
    replicas: &[i32],
    high_watermark: i64,
) -> Result<()> {
    let mut logs = Vec::new();
    for id in replicas {
        let directory = cluster.node(*id).partition_dir(topic, partition);
        let batches = read_log(&directory, high_watermark)
            .with_context(|| format!("reading {directory:?}"))?;
        logs.push((*id, batches));
    }
    let start = logs
        .iter()
        .filter_map(|(_, batches)| batches.keys().next().copied())
        .max()
        .unwrap_or(0);
    let (first, model) = &logs[0];
    for (id, batches) in &logs[1..] {
        let mut ours = model.range(start..);
        let mut theirs = batches.range(start..);
        loop {
            match (ours.next(), theirs.next()) {
                (None, None) => break,
                (Some((offset, one)), Some((other_offset, other))) => ensure!(
                    offset == other_offset && one == other,
                    "{topic}-{partition}: brokers {first} and {id} differ at offsets {offset} and {other_offset}"
                ),
                (one, other) => bail!(
                    "{topic}-{partition}: broker {first} goes on at {:?}, broker {id} at {:?}; high watermark {high_watermark}",
                    one.map(|(offset, _)| offset),
                    other.map(|(offset, _)| offset)
                ),
            }
        }
    }
    Ok(())
}

/// The batches of a partition's segments that lie wholly below `below`.
pub fn read_log(directory: &Path, below: i64) -> Result<Batches> {
    let mut segments: Vec<PathBuf> = fs::read_dir(directory)?
        .map(|entry| Ok(entry?.path()))
        .filter(|path| matches!(path, Ok(path) if path.extension().is_some_and(|e| e == "log")))
        .collect::<Result<_>>()?;
    segments.sort();
    let mut batches = Batches::new();
    for segment in segments {
        let bytes = bytes::Bytes::from(fs::read(&segment)?);
        for found in batch::split(bytes) {
            // A batch that is being appended now is only partly there, and above the high watermark.
            let Ok(found) = found else { break };
            if found.header.next_offset() > below {
                break;
            }
            found.verify_crc()?;
            batches.insert(found.header.base_offset, found.bytes);
        }
    }
    Ok(batches)
}
