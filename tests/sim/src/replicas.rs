//! What each replica holds at the end of a life, read from its disk.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use checker::What;
use checker::history::{Keyed, Place};
use engine::ids::BrokerId;
use engine::metadata::{Image, PartitionState};
use storage::Disk;
use storage::checkpoint::{CLEANER_OFFSET_FILE, LOG_START_FILE, read_offsets};
use storage::compression::decompress;
use storage::disk::read_file;
use wire::batch::{Batch, BatchHeader, split};

use crate::{Cluster, Scene};

/// What `log.dirs` names in one life or another.
const LOG_DIRECTORIES: [&str; 2] = ["/data", "/more"];
/// More than any batch of a life becomes.
const MOST_BYTES: usize = 16 << 20;

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
    let (mut ends, mut compacted) = (BTreeMap::new(), BTreeSet::new());
    for event in scene.recorder().events() {
        match event.what {
            What::FinalRead { at, end, .. } => {
                ends.insert(at, end);
            }
            What::Compacted { at } => {
                compacted.insert(at);
            }
            _ => {}
        }
    }
    for (at, p) in partitions(&image, scene) {
        let Some(high_watermark) = ends.get(&at).copied() else {
            continue;
        };
        for BrokerId(broker) in p.isr.iter().copied() {
            let replica = Replica::read(cluster.host(broker).disk(), &at, compacted.contains(&at))
                .map_err(|why| format!("reading {at} of broker {broker}: {why}"))?;
            let what = What::Replica {
                at: at.clone(),
                broker,
                log_start: replica.log_start.unwrap_or(high_watermark),
                high_watermark,
                cleaned: replica.cleaned,
                batches: replica.batches,
                records: replica.records,
            };
            scene.record_of(cluster, what);
        }
    }
    Ok(())
}

/// What a partition's segments hold.
#[derive(Default)]
struct Replica {
    log_start: Option<i64>,
    cleaned: i64,
    /// Where each begins and ends, and what its checksum and the epoch beside it are.
    batches: Vec<(i64, i64, u64)>,
    records: Vec<Keyed>,
}

impl Replica {
    fn read(disk: &dyn Disk, at: &Place, compacted: bool) -> Result<Replica, String> {
        let name = format!("{}-{}", at.topic, at.partition);
        let mut places = LOG_DIRECTORIES.map(Path::new).into_iter();
        let place = places.find(|place| disk.exists(&place.join(&name)));
        let place = place.ok_or("there is no such log")?;
        let dir = place.join(&name);
        let files = disk.list(&dir).map_err(|e| e.to_string())?;
        let names = files.iter().map(|file| dir.join(&file.name));
        let mut segments: Vec<PathBuf> = names
            .filter(|path| path.extension().is_some_and(|e| e == "log"))
            .collect();
        segments.sort();
        // Not where the first batch begins: compaction may have removed what was before that.
        let first = segments.first().and_then(|path| path.file_stem()?.to_str());
        let first = first.and_then(|name| name.parse::<i64>().ok());
        let mut replica = Replica {
            log_start: first.max(saved(disk, &place.join(LOG_START_FILE), at)?),
            cleaned: saved(disk, &place.join(CLEANER_OFFSET_FILE), at)?.unwrap_or(0),
            ..Replica::default()
        };
        for segment in segments {
            let bytes = read_file(disk, &segment).map_err(|e| e.to_string())?;
            for batch in split(bytes.unwrap_or_default()) {
                let batch = batch.map_err(|e| e.to_string())?;
                batch.verify_crc().map_err(|e| e.to_string())?;
                replica.add(&batch, compacted)?;
            }
        }
        Ok(replica)
    }

    fn add(&mut self, batch: &Batch, compacted: bool) -> Result<(), String> {
        let header = &batch.header;
        // The checkpoint tells what was cleaned here. A follower copies what its leader has left, and a crash comes before the
        // checkpoint: both show in the log.
        let expected = self.batches.last().map(|batch| batch.1).or(self.log_start);
        if expected.is_some_and(|expected| expected < header.base_offset) {
            self.cleaned = self.cleaned.max(header.base_offset);
        }
        if is_cleaned(header) {
            self.cleaned = self.cleaned.max(header.next_offset());
        }
        let digest = u64::from(header.crc) << 32 | u64::from(header.partition_leader_epoch as u32);
        self.batches
            .push((header.base_offset, header.next_offset(), digest));
        if compacted && !header.is_control() {
            self.records.extend(keyed(batch)?);
        }
        Ok(())
    }
}

/// Whether compaction has taken something out of a batch, or has noted when its tombstones may go.
fn is_cleaned(header: &BatchHeader) -> bool {
    let whole = header.next_offset() - header.base_offset;
    i64::from(header.record_count) < whole || header.has_delete_horizon()
}

/// What a checkpoint says of a partition.
fn saved(disk: &dyn Disk, file: &Path, at: &Place) -> Result<Option<i64>, String> {
    let offsets = read_offsets(disk, file).map_err(|e| e.to_string())?;
    Ok(offsets.get(&(at.topic.clone(), at.partition)).copied())
}

/// The records of a batch that have a key. All others are none to compaction, which removes them.
fn keyed(batch: &Batch) -> Result<Vec<Keyed>, String> {
    let header = &batch.header;
    let payload = decompress(header.compression(), &batch.payload(), MOST_BYTES);
    let payload = payload.map_err(|e| e.to_string())?;
    let mut all = Vec::new();
    for record in wire::record::iter(payload, header.record_count) {
        let record = record.map_err(|e| e.to_string())?;
        let Some(key) = &record.key else { continue };
        let headers = record.headers.iter().map(|h| (&h.key, &h.value));
        let headers: Vec<_> = headers.collect();
        // Compaction may write a record anew against another base, with the same time.
        let time = header.base_timestamp.wrapping_add(record.timestamp_delta);
        all.push(Keyed {
            offset: header.base_offset + i64::from(record.offset_delta),
            key: digest(key),
            digest: digest(&(key, &record.value, headers, time)),
            tombstone: record.value.is_none(),
        });
    }
    Ok(all)
}

/// The same in every process: of the same seed the same history comes.
fn digest(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use storage::checkpoint::{Offsets, write_offsets};
    use storage::compression::compress;
    use storage::disk::memory::MemoryDisk;
    use storage::disk::write_atomic;
    use wire::batch::Compression;
    use wire::record::BatchBuilder;

    use super::*;

    const BASE: i64 = 7_000;

    fn at() -> Place {
        Place::new("t", 1)
    }

    /// A batch of records of these keys, one a millisecond; those in capitals are tombstones.
    fn batch(offset: i64, base_ms: i64, keys: &str) -> BatchBuilder {
        let mut builder = BatchBuilder::new(base_ms).base_offset(offset);
        for (n, key) in (0..).zip(keys.chars()) {
            let value = key.is_lowercase().then_some(&b"value"[..]);
            let key = key.to_lowercase().to_string();
            builder.append_at(BASE + n, Some(key.as_bytes()), value, &[]);
        }
        builder
    }

    /// A disk with these segments, by their first offset.
    fn disk(segments: &[(i64, &[Batch])], cleaned: Option<i64>) -> MemoryDisk {
        let disk = MemoryDisk::new();
        let dir = Path::new(LOG_DIRECTORIES[0]).join("t-1");
        disk.create_dir_all(&dir).unwrap();
        for (base, batches) in segments {
            let bytes: Vec<_> = batches.iter().map(|batch| batch.bytes.clone()).collect();
            let file = dir.join(format!("{base:020}.log"));
            write_atomic(&disk, &file, &bytes.concat()).unwrap();
        }
        if let Some(cleaned) = cleaned {
            let offsets = Offsets::from([(("t".to_string(), 1), cleaned)]);
            write_offsets(
                &disk,
                &Path::new(LOG_DIRECTORIES[0]).join(CLEANER_OFFSET_FILE),
                &offsets,
            )
            .unwrap();
        }
        disk
    }

    fn read(segments: &[(i64, &[Batch])], cleaned: Option<i64>) -> Replica {
        Replica::read(&disk(segments, cleaned), &at(), true).unwrap()
    }

    #[test]
    fn compaction_shows_in_its_checkpoint_or_in_what_it_has_left() {
        let plain = |offset, keys| batch(offset, BASE, keys).build();
        let whole = [plain(0, "ab"), plain(2, "ab")];
        assert_eq!(read(&[(0, &whole)], None).cleaned, 0);
        assert_eq!(read(&[(0, &whole)], Some(2)).cleaned, 2);
        // A batch is missing between, at the beginning, or where one segment ends.
        let gap = [plain(0, "ab"), plain(3, "ab")];
        assert_eq!(read(&[(0, &gap)], None).cleaned, 3);
        let headless = read(&[(0, &[plain(2, "ab")])], None);
        assert_eq!((headless.cleaned, headless.log_start), (2, Some(0)));
        let two = read(&[(0, &[plain(0, "ab")]), (2, &[plain(4, "ab")])], None);
        assert_eq!(two.cleaned, 4);
        // Nothing is missing before a log's start.
        let begun = read(&[(5, &[plain(5, "ab")])], None);
        assert_eq!((begun.cleaned, begun.log_start), (0, Some(5)));
        let mut thinned = plain(2, "ab");
        thinned.header.last_offset_delta = 3;
        let mut replica = read(&[(0, &[plain(0, "ab")])], None);
        replica.add(&thinned, false).unwrap();
        assert_eq!(replica.cleaned, 6);
    }

    #[test]
    fn records_are_the_same_however_their_batch_is_written() {
        let plain = read(&[(0, &[batch(0, BASE, "abA").build()])], None).records;
        let of = |n: usize| (plain[n].offset, plain[n].tombstone);
        assert_eq!([of(0), of(1), of(2)], [(0, false), (1, false), (2, true)]);
        assert_eq!(plain[0].key, plain[2].key);
        assert_ne!(plain[0].key, plain[1].key);
        assert_ne!(plain[0].digest, plain[2].digest);
        // Against another base, as a delete horizon is; and compressed.
        let shifted = batch(0, BASE - 50, "abA").build();
        assert_eq!(read(&[(0, &[shifted])], None).records, plain);
        let gzip = Compression::Gzip;
        let small = batch(0, BASE, "abA")
            .build_compressed(gzip, |payload| compress(gzip, payload).unwrap());
        assert_eq!(read(&[(0, &[small])], None).records, plain);
        // Who does not compact is not asked for them.
        let disk = disk(&[(0, &[batch(0, BASE, "abA").build()])], None);
        let replica = Replica::read(&disk, &at(), false).unwrap();
        assert!(replica.records.is_empty() && !replica.batches.is_empty());
    }
}
