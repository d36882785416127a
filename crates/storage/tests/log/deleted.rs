//! A deleted log whose name another one has got: work that was under way touches nothing of the new one.

use std::path::Path;

use storage::memory::MemoryDisk;
use storage::{Disk, Error, Log};

use crate::house::{DIR, batch, clean, config, flush, open_with, read_all, stored, unclean};

const DOOMED: &str = "/logs/topic-0.0123-delete";

fn compacted(disk: &MemoryDisk) -> Log {
    let config = storage::LogConfig {
        compact: true,
        ..config()
    };
    open_with(disk, unclean(0), config, 0).0
}

fn fill(log: &mut Log, epoch: i32) {
    let first = log.next_offset();
    let batches: Vec<_> = (0..20).map(|i| batch(first + 3 * i, 3, epoch)).collect();
    log.append(&batches, 0).expect("appends");
    flush(log);
}

/// The topic is deleted, and created again.
fn again(disk: &MemoryDisk, old: &mut Log) -> Log {
    old.retire();
    disk.rename(Path::new(DIR), Path::new(DOOMED))
        .expect("the directory is there");
    let mut new = compacted(disk);
    fill(&mut new, 7);
    new
}

#[test]
fn compaction_of_a_deleted_log_replaces_nothing() {
    let disk = MemoryDisk::new();
    let mut old = compacted(&disk);
    fill(&mut old, 0);
    let plan = old.clean_plan(0, i64::MAX, 10).unwrap().expect("dirty");
    let mut new = again(&disk, &mut old);
    let before = stored(&read_all(&new));
    if let Ok(cleaned) = plan.run(1 << 20) {
        assert!(matches!(old.install_cleaned(cleaned), Err(Error::Retired)));
    }
    new.close_plan().unwrap().run().unwrap();
    disk.kill();
    let (new, _) = open_with(&disk, clean(), config(), 0);
    assert_eq!(stored(&read_all(&new)), before);
    let is_ours = |name: &str| !name.contains(".cleaned") && !name.contains(".swap");
    assert!(
        disk.list(Path::new(DIR))
            .unwrap()
            .iter()
            .all(|e| is_ours(&e.name))
    );
}

#[test]
fn a_flush_of_a_deleted_log_leaves_the_new_ones_epochs() {
    let disk = MemoryDisk::new();
    let mut old = compacted(&disk);
    fill(&mut old, 0);
    old.append(&[batch(60, 3, 1)], 0).unwrap();
    let plan = old.flush_plan();
    let _new = again(&disk, &mut old);
    assert!(matches!(plan.run(), Err(Error::Retired)));
    let path = Path::new(DIR).join(storage::checkpoint::LEADER_EPOCH_FILE);
    let epochs = storage::checkpoint::read_epochs(&disk, &path).unwrap();
    assert_eq!(epochs, [(7, 0)]);
}

#[test]
fn a_deleted_log_writes_nothing_and_poisons_nothing() {
    let disk = MemoryDisk::new();
    let mut old = compacted(&disk);
    fill(&mut old, 0);
    let _new = again(&disk, &mut old);
    assert!(matches!(
        old.append(&[batch(60, 3, 0)], 0),
        Err(Error::Retired)
    ));
    assert!(matches!(
        old.retention(i64::MAX as u64, 60),
        Err(Error::Retired)
    ));
    assert!(matches!(old.advance_log_start(30), Err(Error::Retired)));
    assert!(matches!(old.truncate_to(0), Err(Error::Retired)));
    assert_eq!(old.poison().reason(), None);
}
