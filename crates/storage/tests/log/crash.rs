//! Random lives of a log against a model, with crashes that lose and tear what was not synced.

use proptest::prelude::*;
use storage::memory::MemoryDisk;
use wire::batch::Batch;

use crate::house::{batch, clean, flush, open, read_all, stored, unclean};

#[derive(Clone, Debug)]
enum Step {
    Append {
        batches: usize,
        records: i64,
    },
    /// To this fraction (in 1/16) of the log.
    Truncate(i64),
    Flush,
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
        3 => Just(Step::Flush),
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
    epoch: i32,
}

impl Model {
    fn end(&self) -> i64 {
        self.batches.last().map_or(0, |b| b.header.next_offset())
    }

    /// Drops what ends at `offset` or later.
    fn truncate(&mut self, offset: i64) {
        self.batches.retain(|b| b.header.last_offset() < offset);
        self.durable = self.durable.min(self.end());
    }
}

fn run(steps: &[Step]) {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk, unclean(0));
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Append { batches, records } => {
                model.epoch += 1;
                let next = model.end();
                let new: Vec<_> = (0..*batches as i64)
                    .map(|i| batch(next + i * records, *records, model.epoch))
                    .collect();
                log.append(&new, 0).unwrap();
                model.batches.extend(new);
            }
            Step::Truncate(part) => {
                let offset = model.end() * part / 16;
                log.truncate_to(offset).unwrap();
                model.truncate(offset);
            }
            Step::Flush => {
                flush(&mut log);
                model.durable = model.end();
            }
            Step::Checkpoint => model.checkpoint = log.recovery_point(),
            Step::Crash(seed) => {
                disk.crash(*seed);
                log = recover(&disk, &mut model);
            }
            Step::Kill => {
                disk.kill();
                let written = model.end();
                log = recover(&disk, &mut model);
                assert_eq!(log.next_offset(), written);
            }
            Step::CleanRestart => {
                let flushed = log.close_plan().unwrap().run().unwrap();
                (model.durable, model.checkpoint) = (flushed.offset, flushed.offset);
                disk.kill();
                log = open(&disk, clean()).0;
            }
        }
        check(&log, &model);
    }
}

/// Opens the log after a crash: what is left is a first part of what was written, with all that was durable.
fn recover(disk: &MemoryDisk, model: &mut Model) -> storage::Log {
    let (log, recovery) = open(disk, unclean(model.checkpoint));
    assert!(recovery.next_offset >= model.durable, "{recovery:?}");
    let left = stored(&read_all(&log));
    assert_eq!(left, stored(&model.batches[..left.len()]));
    model.batches.truncate(left.len());
    log
}

fn check(log: &storage::Log, model: &Model) {
    assert_eq!(log.next_offset(), model.end());
    assert_eq!(stored(&read_all(log)), stored(&model.batches));
    let mut epochs: Vec<(i32, i64)> = Vec::new();
    for batch in &model.batches {
        let header = batch.header;
        if epochs
            .last()
            .is_none_or(|(last, _)| *last < header.partition_leader_epoch)
        {
            epochs.push((header.partition_leader_epoch, header.base_offset));
        }
    }
    assert_eq!(log.epochs(), epochs);
    for offset in [0, model.end() / 2, model.end() - 1] {
        let found = log.offset_for_timestamp(offset).unwrap().run().unwrap();
        let expected = (offset.max(0) < model.end()).then_some(offset.max(0));
        assert_eq!(found.map(|found| found.offset), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_log_keeps_what_was_durable_and_never_invents(steps in steps()) {
        run(&steps);
    }
}
