//! The long part of compaction: learn the newest offset of each key, then write the segments anew without the rest.

use wire::batch::{Batch, BatchHeader};

use super::map::OffsetMap;
use super::rewrite::{self, RawRecord};
use super::{CleanPlan, Cleaned, Group, Source};
use crate::segment::Segment;
use crate::segment::scan::{Found, Scanner};
use crate::swap::{self, CLEANED};
use crate::{Error, disk};

/// Bytes that gather before they are written.
const WRITE_BYTES: usize = 1 << 20;

impl CleanPlan {
    /// Blocks for as long as it takes to read the segments twice. Memory: `dedupe_bytes` for the keys, and a batch.
    pub fn run(mut self, dedupe_bytes: usize) -> Result<Cleaned, Error> {
        let (map, cleaned_to) = self.learn(OffsetMap::new(dedupe_bytes))?;
        self.sources
            .retain(|source| source.base_offset < cleaned_to);
        let bytes_before = self.sources.iter().map(|s| s.size).sum();
        let mut groups = Vec::new();
        for group in group(&self.sources, self.config.segment_bytes) {
            match self.clean_group(group, &map) {
                Ok(segment) => {
                    let bases = group.iter().map(|s| s.base_offset).collect();
                    groups.push(Group { bases, segment });
                }
                Err(error) => {
                    self.give_up(&groups, group[0].base_offset);
                    return Err(error);
                }
            }
        }
        let bytes_after = groups.iter().map(|g| g.segment.size).sum();
        Ok(Cleaned {
            groups,
            generation: self.generation,
            cleaned_to,
            bytes_before,
            bytes_after,
        })
    }

    /// Reads the dirty part. Where the map is full the rest waits for the next round.
    fn learn(&self, mut map: OffsetMap) -> Result<(OffsetMap, i64), Error> {
        let mut learnt_to = self.first_dirty;
        for source in &self.sources {
            if source.end_offset <= self.first_dirty {
                continue;
            }
            let mut full = false;
            source.each(|batch| {
                let keys = usize::try_from(batch.header.record_count).unwrap_or(0);
                full |= map.is_full_for(keys);
                if full || batch.header.is_control() {
                    return Ok(!full);
                }
                let records = rewrite::records(&batch, self.config.decompressed_bytes_max);
                for record in records.iter().flatten() {
                    let offset = batch.header.base_offset + i64::from(record.offset_delta);
                    if let Some(key) = &record.key
                        && offset >= self.first_dirty
                    {
                        map.put(key, offset);
                    }
                }
                learnt_to = batch.header.next_offset();
                Ok(true)
            })?;
            if full {
                return Ok((map, learnt_to));
            }
            learnt_to = source.end_offset;
        }
        Ok((map, learnt_to))
    }

    fn clean_group(&self, sources: &[Source], map: &OffsetMap) -> Result<Segment, Error> {
        self.poison.check()?;
        let base = sources[0].base_offset;
        let disk = &*self.disk;
        let mut segment = Segment::create_as(disk, &self.dir, base, Some(CLEANED), self.now_ms)?;
        let mut pending: Vec<Batch> = Vec::new();
        let mut bytes = 0;
        for source in sources {
            source.each(|batch| {
                if let Some(kept) = self.clean_batch(batch, map) {
                    bytes += kept.bytes.len();
                    pending.push(kept);
                }
                if bytes >= WRITE_BYTES {
                    segment.append(disk, &pending, &self.config, &self.poison)?;
                    pending.clear();
                    bytes = 0;
                }
                Ok(true)
            })?;
        }
        segment.append(disk, &pending, &self.config, &self.poison)?;
        segment.seal(disk)?;
        let synced = segment.sync(disk);
        synced.map_err(|e| self.poison.by(e))?;
        Ok(segment)
    }

    /// The batch as it stays, `None` if it goes.
    fn clean_batch(&self, batch: Batch, map: &OffsetMap) -> Option<Batch> {
        let header = batch.header;
        if header.is_control() || header.record_count == 0 {
            let stays = header.is_control() || self.is_witness(&header);
            return stays.then_some(batch);
        }
        // What cannot be decoded stays: nobody checked it when it was produced.
        let Some(records) = rewrite::records(&batch, self.config.decompressed_bytes_max) else {
            return Some(batch);
        };
        let all = records.len();
        let now_ms = self.now_ms as i64;
        let expired = header.has_delete_horizon() && header.base_timestamp <= now_ms;
        let stays = |record: &RawRecord| {
            let offset = header.base_offset + i64::from(record.offset_delta);
            let Some(key) = &record.key else { return false };
            let goes = map.supersedes(key, offset) || (record.is_tombstone && expired);
            !goes
        };
        let kept: Vec<RawRecord> = records.into_iter().filter(stays).collect();
        if kept.is_empty() {
            return self.is_witness(&header).then(|| rewrite::emptied(&batch));
        }
        let tombstones = kept.iter().any(|record| record.is_tombstone);
        let horizon = (tombstones && !header.has_delete_horizon())
            .then(|| now_ms.saturating_add_unsigned(self.config.delete_retention_ms));
        if kept.len() == all && horizon.is_none() {
            return Some(batch);
        }
        Some(rewrite::rebuild(&batch, &kept, horizon).unwrap_or(batch))
    }

    /// Whether a batch tells something without its records: the last sequence of its producer, or, as the log's last
    /// batch, where the log ends. A follower that has nothing else to fetch would never get there.
    fn is_witness(&self, header: &BatchHeader) -> bool {
        let last_of_producer = header.has_producer_id()
            && self.producers.get(&header.producer_id) == Some(&header.last_offset());
        last_of_producer || header.next_offset() == self.log_end
    }

    /// Removes what has been written. What cannot be removed now goes when the log is opened.
    fn give_up(&self, groups: &[Group], base: i64) {
        let bases = groups.iter().map(|g| g.segment.base_offset).chain([base]);
        for base in bases {
            for path in swap::paths(&self.dir, base, CLEANED) {
                let _ = disk::remove_if_there(&*self.disk, &path);
            }
        }
    }
}

impl Source {
    /// Gives each batch to `visit`, until it says no.
    fn each(&self, mut visit: impl FnMut(Batch) -> Result<bool, Error>) -> Result<(), Error> {
        let io = |e| Error::io("read", &self.path, e);
        let mut scanner = Scanner::sequential(&*self.file, self.size);
        let mut position = 0;
        loop {
            let header = match scanner.header(position).map_err(io)? {
                Found::Batch(header) => header,
                Found::End => return Ok(()),
                Found::Broken(why) => return Err(Error::corrupt(&self.path, why.to_string())),
            };
            let bytes = disk::read(&*self.file, position, header.size_bytes()).map_err(io)?;
            position += header.size_bytes() as u64;
            let batch = Batch { header, bytes };
            if batch.verify_crc().is_err() {
                return Err(Error::corrupt(
                    &self.path,
                    "the CRC of a batch does not match",
                ));
            }
            if !visit(batch)? {
                return Ok(());
            }
        }
    }
}

/// Neighbours that fit into one segment together.
fn group(sources: &[Source], segment_bytes: u64) -> Vec<&[Source]> {
    let mut groups = Vec::new();
    let mut rest = sources;
    while let Some(first) = rest.first() {
        let mut size = 0;
        let fits = |source: &&Source| {
            size += source.size;
            size <= segment_bytes.min(i32::MAX as u64)
                && source.end_offset - first.base_offset <= i64::from(i32::MAX)
        };
        let (group, later) = rest.split_at(rest.iter().take_while(fits).count().max(1));
        groups.push(group);
        rest = later;
    }
    groups
}
