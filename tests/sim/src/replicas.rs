//! What each replica holds at the end of a life, read from its disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use checker::What;
use checker::history::Place;
use engine::ids::BrokerId;
use engine::metadata::{Image, PartitionState};
use storage::Disk;
use storage::disk::read_file;
use wire::batch::split;

use crate::{Cluster, Scene};

/// What `log.dirs` names in one life or another.
const LOG_DIRECTORIES: [&str; 2] = ["/data", "/more"];

/// The partitions of the topics that stay for the whole life.
pub fn partitions<'a>(
    image: &'a Image,
    scene: &'a Scene,
) -> impl Iterator<Item = (Place, &'a PartitionState)> {
    let topics = scene.topics.iter();
    let known = topics.filter_map(|topic| image.topic(&topic.name).map(|state| (topic, state)));
    known.flat_map(|(topic, state)| {
        let all = state.iter();
        all.map(|(index, p)| (Place::new(&topic.name, index), &**p))
    })
}

/// Writes down what the in-sync replicas hold below what was read to the end. The others may lag.
pub fn tell(cluster: &mut Cluster<'_>, scene: &Scene) -> Result<(), String> {
    let Some(image) = cluster.newest_metadata() else {
        return Ok(());
    };
    let mut ends = BTreeMap::new();
    for event in scene.recorder().events() {
        if let What::FinalRead { at, end, .. } = event.what {
            ends.insert(at, end);
        }
    }
    for (at, p) in partitions(&image, scene) {
        let Some(high_watermark) = ends.get(&at).copied() else {
            continue;
        };
        for BrokerId(broker) in p.isr.iter().copied() {
            let batches = read(cluster.host(broker).disk(), &at)
                .map_err(|why| format!("reading {at} of broker {broker}: {why}"))?;
            let what = What::Replica {
                at: at.clone(),
                broker,
                log_start: batches.first().map_or(high_watermark, |batch| batch.0),
                high_watermark,
                batches,
            };
            scene.record_of(cluster, what);
        }
    }
    Ok(())
}

/// The batches of a partition's segments: where each begins and ends, and what its checksum and the epoch beside it are.
fn read(disk: &dyn Disk, at: &Place) -> Result<Vec<(i64, i64, u64)>, String> {
    let name = format!("{}-{}", at.topic, at.partition);
    let mut places = LOG_DIRECTORIES
        .map(|dir| Path::new(dir).join(&name))
        .into_iter();
    let dir = places
        .find(|dir| disk.exists(dir))
        .ok_or("there is no such log")?;
    let files = disk.list(&dir).map_err(|e| e.to_string())?;
    let names = files.iter().map(|file| dir.join(&file.name));
    let mut segments: Vec<PathBuf> = names
        .filter(|path| path.extension().is_some_and(|e| e == "log"))
        .collect();
    segments.sort();
    let mut batches = Vec::new();
    for segment in segments {
        let bytes = read_file(disk, &segment).map_err(|e| e.to_string())?;
        for batch in split(bytes.unwrap_or_default()) {
            let batch = batch.map_err(|e| e.to_string())?;
            batch.verify_crc().map_err(|e| e.to_string())?;
            let header = &batch.header;
            let digest =
                u64::from(header.crc) << 32 | u64::from(header.partition_leader_epoch as u32);
            batches.push((header.base_offset, header.next_offset(), digest));
        }
    }
    Ok(batches)
}
