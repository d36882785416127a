//! The power fails at every operation of a life in which segments are compacted: the newest record of each key stays.

use std::collections::BTreeMap;
use std::sync::Arc;

use storage::memory::MemoryDisk;
use storage::{Disk, Error, Log, LogConfig};
use wire::record::{self, BatchBuilder};

use super::life::{checkpoint, config, open, prepare};
use crate::house::read_all;

fn compacting() -> LogConfig {
    LogConfig {
        compact: true,
        delete: false,
        delete_retention_ms: 1000,
        ..config()
    }
}

type Records = BTreeMap<i64, (u8, bool)>;

#[derive(Default)]
struct Facts {
    /// Offset → key of every record that was appended, and whether it has a value.
    records: Records,
    durable: i64,
}

/// Appends batches whose keys repeat, and makes them durable and known to be.
fn fill(disk: &dyn Disk, log: &mut Log, facts: &mut Facts, batches: i64) -> Result<(), Error> {
    for _ in 0..batches {
        let base = log.next_offset();
        let mut builder = BatchBuilder::new(base).base_offset(base).leader_epoch(0);
        for offset in base..base + 3 {
            let key = (offset * offset % 7) as u8;
            let has_value = offset % 4 > 0;
            let value = has_value.then_some(&[1; 40][..]);
            builder.append_at(offset, Some(&[key]), value, &[]);
            facts.records.insert(offset, (key, has_value));
        }
        log.append(&[builder.build()], 0)?;
    }
    let flushed = log.flush_plan().run()?;
    log.on_flushed(&flushed);
    facts.durable = log.next_offset();
    checkpoint(disk, log)
}

/// Each time long after the time before, so that tombstones go.
fn compact(log: &mut Log, from: i64, now_ms: u64) -> Result<i64, Error> {
    let Some(plan) = log.clean_plan(from, i64::MAX, now_ms)? else {
        return Ok(from);
    };
    let cleaned = plan.run(1 << 20)?;
    let to = cleaned.cleaned_to;
    let old = log.install_cleaned(cleaned)?;
    old.expect("nobody has cut the log").remove()?;
    Ok(to)
}

fn live(disk: &Arc<dyn Disk>, facts: &mut Facts) -> Result<(), Error> {
    let (mut log, _) = open(disk, compacting())?;
    let mut cleaned_to = 0;
    for (now_ms, batches) in [(1, 20), (10_000, 15), (20_000, 1), (30_000, 10)] {
        fill(&**disk, &mut log, facts, batches)?;
        let to = compact(&mut log, cleaned_to, now_ms)?;
        assert!(to > cleaned_to || batches == 1, "something is compacted");
        cleaned_to = to;
    }
    Ok(())
}

fn records(log: &Log) -> Records {
    let mut records = Records::new();
    for batch in read_all(log) {
        for record in record::iter(batch.payload(), batch.header.record_count) {
            let record = record.expect("a record");
            let offset = batch.header.base_offset + i64::from(record.offset_delta);
            let key = record.key.expect("has a key")[0];
            let before = records.insert(offset, (key, record.value.is_some()));
            assert_eq!(before, None, "each record once");
        }
    }
    records
}

impl Facts {
    fn check(&self, log: &Log) {
        let end = log.next_offset();
        assert!(end >= self.durable, "what was durable is there");
        let found = records(log);
        for (offset, record) in &found {
            assert_eq!(
                self.records.get(offset),
                Some(record),
                "nothing is invented"
            );
        }
        let newest = |records: &Records| -> BTreeMap<u8, (i64, bool)> {
            let below = records.range(..end);
            below
                .map(|(offset, (key, value))| (*key, (*offset, *value)))
                .collect()
        };
        let found = newest(&found);
        for (key, newest) in newest(&self.records) {
            let is_tombstone = !newest.1;
            match found.get(&key) {
                None => assert!(is_tombstone, "key {key} is lost"),
                found => assert_eq!(found, Some(&newest), "key {key}"),
            }
        }
    }
}

#[test]
fn a_power_loss_at_any_operation_of_a_compaction_keeps_the_newest_of_each_key() {
    for seed in 0..4 {
        for operations in 0.. {
            let disk = MemoryDisk::new();
            prepare(&disk);
            disk.fail_power_after(operations);
            let mut facts = Facts::default();
            let ended = live(&(Arc::new(disk.clone()) as Arc<dyn Disk>), &mut facts);
            if let Err(error) = &ended {
                assert!(!disk.has_power(), "{error}");
            }
            let dice = (seed << 32) + operations;
            disk.crash(dice);
            for operations in 0.. {
                disk.fail_power_after(operations);
                let opened = open(&(Arc::new(disk.clone()) as Arc<dyn Disk>), compacting());
                let Err(error) = opened else { break };
                assert!(!disk.has_power(), "the recovery fails: {error}");
                disk.crash(dice ^ operations);
            }
            disk.crash(dice + 1);
            let on: Arc<dyn Disk> = Arc::new(disk.clone());
            let (mut log, _) = open(&on, compacting()).expect("opens");
            facts.check(&log);
            compact(&mut log, 0, 40_000).expect("compacts");
            facts.check(&log);
            fill(&*on, &mut log, &mut facts, 3).expect("goes on");
            disk.crash(dice + 2);
            facts.check(&open(&on, compacting()).expect("opens").0);
            if ended.is_ok() {
                assert!(operations > 150, "the life is a short one: {operations}");
                break;
            }
        }
    }
}
