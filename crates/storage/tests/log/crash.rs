//! Random lives of a log against a model, with crashes that lose and tear what was not synced.

use std::path::Path;

use proptest::prelude::*;
use storage::memory::MemoryDisk;
use storage::{Disk, FlushPlan, OpenState};
use wire::batch::Batch;

use crate::house::{DIR, batch, clean, config, flush, open, open_with, read_all, stored, unclean};

#[derive(Clone, Debug)]
enum Step {
    Append {
        batches: usize,
        records: i64,
    },
    /// To this fraction (in 1/16) of the log.
    Truncate(i64),
    /// Of the log's start, to this fraction (in 1/16) of the log.
    Advance(i64),
    Flush,
    /// A flush that takes until a later step.
    BeginFlush,
    EndFlush,
    /// The checkpoint of recovery points is written.
    Checkpoint,
    Crash(u64),
    Kill,
    CleanRestart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (1..6usize, 1..8i64).prop_map(|(batches, records)| Step::Append { batches, records }),
        1 => (0..16i64).prop_map(Step::Truncate),
        1 => (0..16i64).prop_map(Step::Advance),
        3 => Just(Step::Flush),
        2 => Just(Step::BeginFlush),
        2 => Just(Step::EndFlush),
        2 => Just(Step::Checkpoint),
        2 => any::<u64>().prop_map(Step::Crash),
        1 => Just(Step::Kill),
        1 => Just(Step::CleanRestart),
    ];
    prop::collection::vec(step, 1..40)
}

/// Every batch that may be in the log, those that must be, and the recovery point on disk.
#[derive(Default)]
struct Model {
    batches: Vec<Batch>,
    durable: i64,
    checkpoint: i64,
    start: i64,
    end: i64,
    epoch: i32,
}

impl Model {
    /// Drops what ends at `offset` or later; `offset` is at or above the log start.
    fn truncate(&mut self, offset: i64) {
        if offset < self.end {
            self.batches.retain(|b| b.header.last_offset() < offset);
            let kept = self.batches.last().map(|b| b.header.next_offset());
            self.end = kept.unwrap_or(self.start).max(self.start);
            self.durable = self.durable.min(self.end);
        }
    }

    fn at(&self, part: i64) -> i64 {
        self.start + (self.end - self.start) * part / 16
    }

    fn after_crash(&self) -> OpenState {
        OpenState {
            log_start: self.start,
            ..unclean(self.checkpoint)
        }
    }

    /// After a crash: what is left is a first part of what was written, with all that was durable.
    fn recover(&mut self, log: &storage::Log) {
        assert!(log.next_offset() >= self.durable);
        let written = self.visible();
        let left = stored(&read_all(log));
        assert_eq!(left, stored(&written[..left.len()]));
        self.batches = written[..left.len()].to_vec();
        let end = self.batches.last().map(|b| b.header.next_offset());
        self.end = end.unwrap_or(self.start);
    }

    /// The batches that can be read.
    fn visible(&self) -> Vec<Batch> {
        let visible = |b: &&Batch| b.header.last_offset() >= self.start;
        self.batches.iter().filter(visible).cloned().collect()
    }
}

fn run(steps: &[Step], cache_bytes: u64) {
    let disk = MemoryDisk::new();
    let open = |start| open_with(&disk, start, config(), cache_bytes).0;
    let mut log = open(unclean(0));
    let mut model = Model::default();
    // One that is under way, and what it makes durable.
    let mut flushing: Option<(FlushPlan, i64)> = None;
    for step in steps {
        if matches!(step, Step::Crash(_) | Step::Kill | Step::CleanRestart) {
            flushing = None;
        }
        match step {
            Step::Append { batches, records } => {
                model.epoch += 1;
                let new: Vec<_> = (0..*batches as i64)
                    .map(|i| batch(model.end + i * records, *records, model.epoch))
                    .collect();
                log.append(&new, 0).unwrap();
                model.end += *batches as i64 * records;
                model.batches.extend(new);
            }
            Step::Truncate(part) => {
                let offset = model.at(*part);
                if let Some((_, promised)) = flushing.as_mut().filter(|_| offset < model.end) {
                    // What is appended from now on is not what it was begun for.
                    *promised = 0;
                }
                log.truncate_to(offset).unwrap();
                model.truncate(offset);
            }
            Step::Advance(part) => {
                model.start = model.at(*part);
                log.advance_log_start(model.start)
                    .unwrap()
                    .remove()
                    .unwrap();
            }
            Step::Flush => {
                flush(&mut log);
                model.durable = model.end;
            }
            Step::BeginFlush => flushing = Some((log.flush_plan(), model.end)),
            Step::EndFlush => {
                if let Some((plan, promised)) = flushing.take() {
                    log.on_flushed(&plan.run().unwrap());
                    model.durable = model.durable.max(promised);
                }
            }
            Step::Checkpoint => {
                model.checkpoint = log.recovery_point();
                log.checkpoints_written(log.generation()).unwrap();
            }
            Step::Crash(seed) => {
                disk.crash(*seed);
                log = open(model.after_crash());
                model.recover(&log);
            }
            Step::Kill => {
                disk.kill();
                log = open(model.after_crash());
                assert_eq!(log.next_offset(), model.end);
                model.recover(&log);
            }
            Step::CleanRestart => {
                let flushed = log.close_plan().unwrap().run().unwrap();
                (model.durable, model.checkpoint) = (flushed.offset, flushed.offset);
                disk.kill();
                log = open(OpenState {
                    log_start: model.start,
                    ..clean()
                });
            }
        }
        check(&log, &model);
    }
}

fn check(log: &storage::Log, model: &Model) {
    assert_eq!(
        (log.log_start(), log.next_offset()),
        (model.start, model.end)
    );
    let visible = model.visible();
    assert_eq!(stored(&read_all(log)), stored(&visible));
    let mut epochs: Vec<(i32, i64)> = Vec::new();
    for batch in &visible {
        let header = batch.header;
        if epochs
            .last()
            .is_none_or(|(last, _)| *last < header.partition_leader_epoch)
        {
            epochs.push((header.partition_leader_epoch, header.base_offset));
        }
    }
    // The epoch that the log start is in may begin there, or be forgotten with its last batch.
    let after = |epochs: &[(i32, i64)]| -> Vec<(i32, i64)> {
        epochs
            .iter()
            .filter(|(_, start)| *start > model.start)
            .copied()
            .collect()
    };
    assert_eq!(after(log.epochs()), after(&epochs));
    for offset in [model.start, (model.start + model.end) / 2, model.end - 1] {
        let found = log.offset_for_timestamp(offset).unwrap().run().unwrap();
        let expected = offset.max(model.start);
        let expected = (expected < model.end).then_some(expected);
        assert_eq!(found.map(|found| found.offset), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_log_keeps_what_was_durable_and_never_invents(
        steps in steps(), cache_bytes in prop_oneof![Just(0), Just(3000), Just(1 << 20)],
    ) {
        run(&steps, cache_bytes);
    }
}

#[test]
fn a_log_start_from_before_the_log_began_anew_does_not_hide_what_came_then() {
    for end in [250, 400] {
        // Given a log of which only the last records are left, as a checkpoint says
        let disk = MemoryDisk::new();
        let (mut log, _) = open(&disk, unclean(0));
        log.truncate_fully_and_start_at(300).unwrap();
        log.checkpoints_written(log.generation()).unwrap();
        log.append(&[batch(300, 3, 0)], 0).unwrap();
        let checkpointed = OpenState {
            log_start: log.log_start(),
            ..unclean(0)
        };
        drop(log);
        disk.kill();
        let (mut log, _) = open(&disk, checkpointed.clone());
        assert_eq!(log.log_start(), 300);
        // When its leader is one whose log ends before, and the process dies later
        log.truncate_fully_and_start_at(200).unwrap();
        assert_eq!(log.still_promised(303), 200);
        log.append(&[batch(200, end - 200, 1)], 0).unwrap();
        flush(&mut log);
        drop(log);
        disk.kill();
        // Then all of the new log is there.
        let (mut log, _) = open(&disk, checkpointed.clone());
        assert_eq!((log.log_start(), log.next_offset()), (200, end));
        assert_eq!(read_all(&log).len(), 1);
        // And the log start moves on when the checkpoints say so.
        let generation = log.stale_checkpoints().expect("nobody has written them");
        log.checkpoints_written(generation).unwrap();
        assert_eq!(log.stale_checkpoints(), None);
        let deleted = log.advance_log_start(240).unwrap();
        deleted.remove().unwrap();
        drop(log);
        disk.kill();
        let start = OpenState {
            log_start: 240,
            ..checkpointed
        };
        assert_eq!(open(&disk, start).0.log_start(), 240);
    }
}

#[test]
fn a_log_that_was_to_begin_anew_begins_there_although_nothing_is_left() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk, unclean(0));
    log.truncate_fully_and_start_at(300).unwrap();
    log.truncate_fully_and_start_at(200).unwrap();
    drop(log);
    disk.kill();
    for entry in disk.list(Path::new(DIR)).unwrap() {
        if entry.name.contains("200.") {
            disk.remove_file(&Path::new(DIR).join(entry.name)).unwrap();
        }
    }
    let start = OpenState {
        log_start: 300,
        ..unclean(0)
    };
    let (log, _) = open(&disk, start);
    assert_eq!((log.log_start(), log.next_offset()), (200, 200));
}
