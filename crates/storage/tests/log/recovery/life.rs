//! A scripted life of a log, and what must be true of the log that is found after it was cut short.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use storage::checkpoint::{
    CLEAN_SHUTDOWN_FILE, CleanShutdown, LOG_START_FILE, Offsets, RECOVERY_POINT_FILE,
    read_clean_shutdown, read_offsets, write_clean_shutdown, write_offsets,
};
use storage::{CacheBudget, Disk, Error, Log, LogConfig, OpenState, Recovery};
use wire::batch::Batch;
use wire::record::BatchBuilder;

use crate::house::read_all;

pub const HOME: &str = "/logs";
pub const DIR: &str = "/logs/topic-0";

/// Small segments and an index entry for nearly each batch.
pub fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 1000,
        index_interval_bytes: 100,
        ..LogConfig::default()
    }
}

#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// So many batches of so many records in one call.
    Append(usize, i64),
    Flush,
    /// A flush during which so many of the last records go and others come.
    FlushAround(i64),
    /// The recovery point and the log start are written, as the broker does from time to time.
    Checkpoint,
    /// Takes so many of the last records off.
    Truncate(i64),
    /// Moves the log start so many records on.
    Advance(i64),
    /// Keeps so many bytes.
    Retain(u64),
    Roll,
    /// Everything goes, and the log begins anew so many records further on.
    StartOver(i64),
    /// An orderly stop and a start.
    Restart,
}

/// What a life has come to.
#[derive(Clone, Default)]
pub struct Facts {
    /// What may be in the log: all that was appended and not cut off, and what is just being appended.
    pub written: Vec<Batch>,
    /// All below was made durable.
    pub durable: i64,
    pub start: i64,
    pub end: i64,
    /// All may be gone, because it was on its way out.
    pub leaving: bool,
    epoch: i32,
}

pub struct Life {
    disk: Arc<dyn Disk>,
    log: Log,
    pub facts: Facts,
}

pub fn prepare(disk: &dyn Disk) {
    disk.create_dir_all(Path::new(HOME)).expect("creates");
    disk.sync_dir(Path::new("/")).expect("syncs");
}

fn name() -> (String, i32) {
    ("topic".to_string(), 0)
}

fn checkpointed(disk: &dyn Disk, file: &str) -> Result<i64, Error> {
    let offsets = read_offsets(disk, &Path::new(HOME).join(file))?;
    Ok(offsets.get(&name()).copied().unwrap_or(0))
}

/// Opens the log as the broker does at its start.
pub fn open(disk: &Arc<dyn Disk>, config: LogConfig) -> Result<(Log, Recovery), Error> {
    let mark = Path::new(HOME).join(CLEAN_SHUTDOWN_FILE);
    let clean = read_clean_shutdown(&**disk, &mark)?.is_some();
    storage::disk::remove_if_there(&**disk, &mark)?;
    let synced = disk.sync_dir(Path::new(HOME));
    synced.map_err(|e| Error::io("sync", Path::new(HOME), e))?;
    let start = OpenState {
        clean,
        recovery_point: checkpointed(&**disk, RECOVERY_POINT_FILE)?,
        log_start: checkpointed(&**disk, LOG_START_FILE)?,
        ..OpenState::default()
    };
    let budget = CacheBudget::new(0);
    Log::open(disk.clone(), Path::new(DIR), config, budget, start)
}

pub fn checkpoint(disk: &dyn Disk, log: &Log) -> Result<(), Error> {
    for (file, offset) in [
        (RECOVERY_POINT_FILE, log.recovery_point()),
        (LOG_START_FILE, log.log_start()),
    ] {
        let offsets = Offsets::from([(name(), offset)]);
        write_offsets(disk, &Path::new(HOME).join(file), &offsets)?;
    }
    Ok(())
}

/// Of one of two idempotent producers, or of none.
fn batch(base: i64, records: i64, epoch: i32) -> Batch {
    let mut builder = BatchBuilder::new(base)
        .base_offset(base)
        .leader_epoch(epoch);
    if base % 3 > 0 {
        builder = builder.producer(base % 3, 0, base as i32);
    }
    for i in 0..records {
        let text = format!("value {} of epoch {epoch}", base + i);
        builder.append_at(base + i, Some(b"key"), Some(text.as_bytes()), &[]);
    }
    builder.build()
}

/// The next batches of a log: more than a segment.
pub fn batches_after(log: &Log) -> Vec<Batch> {
    let end = log.next_offset();
    let epoch = log.epochs().last().map_or(0, |(epoch, _)| epoch + 1);
    (0..8)
        .map(|i| batch(end + 3 * i, 3, epoch + i as i32))
        .collect()
}

impl Life {
    pub fn begin(disk: Arc<dyn Disk>) -> Result<Life, Error> {
        let (log, _) = open(&disk, config())?;
        Ok(Life {
            disk,
            log,
            facts: Facts::default(),
        })
    }

    pub fn go_on(&mut self, step: Step) -> Result<(), Error> {
        match step {
            Step::Append(batches, records) => self.append(batches, records),
            Step::Flush => self.flush(),
            Step::FlushAround(records) => {
                let plan = self.log.flush_plan();
                self.truncate(self.facts.end - records)?;
                self.append(14, 3)?;
                let flushed = plan.run()?;
                self.log.on_flushed(&flushed);
                Ok(())
            }
            Step::Checkpoint => checkpoint(&*self.disk, &self.log),
            Step::Truncate(records) => self.truncate(self.facts.end - records),
            Step::Advance(records) => {
                self.facts.start = (self.facts.start + records).min(self.facts.end);
                let deleted = self.log.advance_log_start(self.facts.start)?;
                deleted.remove()
            }
            Step::Retain(bytes) => self.retain(bytes),
            Step::Roll => self.log.roll_if_due(u64::MAX >> 1).map(|_| ()),
            Step::StartOver(records) => self.start_over(self.facts.end + records),
            Step::Restart => self.restart(),
        }
    }

    fn append(&mut self, batches: usize, records: i64) -> Result<(), Error> {
        let facts = &mut self.facts;
        facts.epoch += 1;
        let new: Vec<_> = (0..batches as i64)
            .map(|i| batch(facts.end + i * records, records, facts.epoch))
            .collect();
        facts.written.extend(new.iter().cloned());
        self.log.append(&new, 0)?;
        facts.end = self.log.next_offset();
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        let end = self.log.next_offset();
        let flushed = self.log.flush_plan().run()?;
        self.log.on_flushed(&flushed);
        self.facts.durable = end;
        Ok(())
    }

    fn truncate(&mut self, offset: i64) -> Result<(), Error> {
        let facts = &mut self.facts;
        facts.durable = facts.durable.min(offset.max(facts.start));
        let written = &facts.written;
        let cut = written.iter().find(|b| b.header.last_offset() >= offset);
        let keeps = cut.map_or(offset, |b| b.header.base_offset);
        facts.durable = facts.durable.min(keeps);
        self.log.truncate_to(offset)?;
        facts.written.retain(|b| b.header.last_offset() < offset);
        facts.end = self.log.next_offset();
        assert_eq!(facts.end, keeps.max(facts.start));
        Ok(())
    }

    fn retain(&mut self, bytes: u64) -> Result<(), Error> {
        self.log.set_config(LogConfig {
            retention_bytes: Some(bytes),
            ..config()
        });
        let kept = self.log.size_bytes();
        // It is not known before which segments go, only that enough stays.
        self.facts.start = self.facts.end;
        let deleted = self.log.retention(0, i64::MAX)?;
        assert!(kept - deleted.bytes >= bytes.min(kept));
        self.facts.start = self.log.log_start();
        deleted.remove()
    }

    fn start_over(&mut self, offset: i64) -> Result<(), Error> {
        self.facts.leaving = true;
        self.log.truncate_fully_and_start_at(offset)?;
        self.facts = Facts {
            durable: offset,
            start: offset,
            end: offset,
            epoch: self.facts.epoch,
            ..Facts::default()
        };
        Ok(())
    }

    fn restart(&mut self) -> Result<(), Error> {
        let flushed = self.log.close_plan()?.run()?;
        self.log.on_flushed(&flushed);
        self.facts.durable = self.facts.end;
        checkpoint(&*self.disk, &self.log)?;
        let mark = Path::new(HOME).join(CLEAN_SHUTDOWN_FILE);
        write_clean_shutdown(
            &*self.disk,
            &mark,
            CleanShutdown {
                broker_epoch: 1,
                directories: Some(2),
            },
        )?;
        let (log, recovery) = open(&self.disk, config())?;
        assert_eq!(recovery.cut, None);
        assert_eq!(recovery.next_offset, self.facts.end);
        self.log = log;
        Ok(())
    }
}

impl Facts {
    /// What the log that was found may be: a part of what was written, in one piece, with all that was durable, and
    /// with nothing remembered of what is not in it.
    pub fn check(&self, log: &Log) -> Vec<Batch> {
        let found = read_all(log);
        let at = match found.first() {
            Some(first) => self
                .written
                .iter()
                .position(|b| b.header.base_offset == first.header.base_offset),
            None => Some(self.written.len()),
        };
        let at = at.expect("what is found was written");
        for (found, written) in found.iter().zip(&self.written[at..]) {
            assert_eq!(found.stored_bytes(), written.stored_bytes());
        }
        assert!(
            found.len() <= self.written.len() - at,
            "nothing is invented"
        );
        let end = found.last().map(|b| b.header.next_offset());
        if !self.leaving {
            assert!(log.log_start() <= self.start, "the beginning is there");
            assert!(
                log.next_offset() >= self.durable,
                "what was durable is there"
            );
            assert!(self.durable <= self.start || end >= Some(self.durable));
        }
        if let Some(end) = end {
            assert_eq!(end, log.next_offset());
        }
        check_state(log, &found, self.start);
        found
    }
}

/// What the log remembers of its batches is what they say.
fn check_state(log: &Log, found: &[Batch], start: i64) {
    let (mut epochs, mut producers) = (BTreeMap::new(), BTreeMap::new());
    for header in found.iter().map(|b| b.header) {
        epochs
            .entry(header.partition_leader_epoch)
            .or_insert(header.base_offset);
        if header.has_producer_id() {
            producers.insert(
                header.producer_id,
                (header.last_sequence(), header.last_offset()),
            );
        }
    }
    // The one that the log start is in begins there, and a crash may take the log start back.
    let start = start.max(log.log_start());
    let after = |epochs: Vec<(i32, i64)>| -> Vec<(i32, i64)> {
        let inside = |(_, begin): &(i32, i64)| *begin > start;
        epochs.into_iter().filter(inside).collect()
    };
    assert_eq!(
        after(log.epochs().to_vec()),
        after(epochs.into_iter().collect())
    );
    for entry in log.producers() {
        assert!(
            entry.last_offset < log.next_offset(),
            "{entry:?} is of the future"
        );
        if let Some(last) = producers.remove(&entry.producer_id) {
            assert_eq!((entry.last_sequence, entry.last_offset), last);
        }
    }
    assert!(producers.is_empty(), "forgotten: {producers:?}");
    assert!(log.recovery_point() <= log.next_offset());
    for offset in [log.log_start(), log.next_offset() - 1] {
        let time = log.offset_for_timestamp(offset).and_then(|look| look.run());
        let wanted = found.iter().any(|b| b.header.last_offset() >= offset);
        assert_eq!(
            time.expect("reads").map(|t| t.offset),
            wanted.then_some(offset)
        );
    }
}
