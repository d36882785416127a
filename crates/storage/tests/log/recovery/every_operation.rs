//! The power fails at every single operation of a life, and again at every operation of the recovery after it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use storage::memory::MemoryDisk;
use storage::{Disk, Log};
use wire::batch::Batch;

use super::life::{Facts, Life, Step, batches_after, checkpoint, config, open, prepare};
use Step::*;

/// Each kind of step after each other kind that matters to it.
const SCRIPT: [Step; 44] = [
    Append(3, 2),
    Flush,
    Append(6, 2),
    Checkpoint,
    Append(4, 3),
    Flush,
    Checkpoint,
    Truncate(5),
    Append(2, 1),
    Flush,
    Advance(9),
    Append(5, 2),
    Checkpoint,
    Restart,
    Append(4, 2),
    Append(12, 3),
    FlushAround(30),
    Checkpoint,
    Append(2, 2),
    Truncate(30),
    Append(9, 3),
    Flush,
    Checkpoint,
    Retain(900),
    Append(3, 2),
    Checkpoint,
    Roll,
    Truncate(1),
    Append(1, 1),
    Flush,
    Roll,
    Checkpoint,
    Advance(1000),
    Append(6, 3),
    Flush,
    Checkpoint,
    StartOver(50),
    Append(7, 2),
    Flush,
    Restart,
    Truncate(3),
    Append(2, 2),
    Retain(300),
    Checkpoint,
];

/// Lives until the power fails; gives what is known then, and whether it failed.
fn live(disk: &MemoryDisk, operations: u64) -> (Facts, bool) {
    disk.fail_power_after(operations);
    let Ok(mut life) = Life::begin(Arc::new(disk.clone())) else {
        assert!(!disk.has_power(), "a new log can be opened");
        return (Facts::default(), true);
    };
    for step in SCRIPT {
        if let Err(error) = life.go_on(step) {
            assert!(!disk.has_power(), "{step:?} failed: {error}");
            return (life.facts, true);
        }
    }
    (life.facts, false)
}

/// Recovers, with the power failing at each operation of it in turn, and goes on.
fn recover(disk: &MemoryDisk, facts: &Facts, seed: u64) {
    for operations in 0.. {
        disk.fail_power_after(operations);
        let opened = open(&(Arc::new(disk.clone()) as Arc<dyn Disk>), config());
        let Err(error) = opened else { break };
        assert!(!disk.has_power(), "the recovery fails: {error}");
        disk.crash(seed ^ operations);
    }
    disk.crash(seed);
    let on: Arc<dyn Disk> = Arc::new(disk.clone());
    let (mut log, _) = open(&on, config()).expect("opens");

    // What is appended now and not made durable may be torn, but brings nothing back that a recovery has cut.
    let mut facts = facts.clone();
    facts.written = facts.check(&log);
    append(&mut log, &mut facts.written);
    disk.crash(seed + 1);
    let (mut log, _) = open(&on, config()).expect("opens");
    facts.written = facts.check(&log);

    // What is made durable is there after the next crash, and what was found as well.
    append(&mut log, &mut facts.written);
    let flushed = log.flush_plan().run().expect("syncs");
    log.on_flushed(&flushed);
    checkpoint(&*on, &log).expect("writes");
    (facts.durable, facts.leaving) = (log.next_offset(), false);
    facts.start = facts.start.max(log.log_start());
    disk.crash(seed + 2);
    let (log, _) = open(&on, config()).expect("opens");
    facts.check(&log);
}

fn append(log: &mut Log, written: &mut Vec<Batch>) {
    let more = batches_after(log);
    log.append(&more, 0).expect("appends");
    written.extend(more);
}

fn cut_short_everywhere(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        for operations in 0.. {
            let disk = MemoryDisk::new();
            prepare(&disk);
            let (facts, failed) = live(&disk, operations);
            let dice = seed.wrapping_mul(1 << 32) + operations;
            let recovered = catch_unwind(AssertUnwindSafe(|| {
                disk.crash(dice);
                recover(&disk, &facts, dice);
            }));
            if let Err(panic) = recovered {
                eprintln!("the power failed after {operations} operations, seed {seed}");
                resume_unwind(panic);
            }
            if !failed {
                assert!(operations > 300, "the life is a short one: {operations}");
                break;
            }
        }
    }
}

#[test]
fn a_power_loss_at_any_operation_loses_nothing_durable_and_invents_nothing() {
    cut_short_everywhere(0..3);
}
