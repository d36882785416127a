//! Failed writes and fsyncs, and a full disk.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use storage::memory::{Fault, MemoryDisk, Operation};
use storage::{BeforeCut, CacheBudget, Disk, Error, Log, OpenState, ReadPlan};

use crate::house::{DIR, batch, config, flush, open, read_all, stored, unclean};

#[test]
fn a_full_disk_refuses_and_then_appends_work_again() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk, unclean(0));
    log.append(&[batch(0, 3, 0)], 0).unwrap();
    disk.set_capacity_bytes(Some(disk.used_bytes() + 50));
    let refused = log.append(&[batch(3, 3, 0)], 0);
    assert!(matches!(refused, Err(Error::NoSpace { .. })), "{refused:?}");
    let many: Vec<_> = (1..20).map(|i| batch(i * 3, 3, 0)).collect();
    disk.set_capacity_bytes(Some(disk.used_bytes() + 1500));
    assert!(matches!(log.append(&many, 0), Err(Error::NoSpace { .. })));
    assert_eq!(log.next_offset(), 3, "all or nothing, over segments too");
    assert_eq!(read_all(&log).len(), 1);

    disk.set_capacity_bytes(None);
    log.append(&many, 0).unwrap();
    assert_eq!(stored(&read_all(&log))[1..], stored(&many)[..]);
}

#[test]
fn a_read_that_fails_or_gives_flipped_bits_is_given_to_nobody_and_the_next_one_is_right() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk, unclean(0));
    let written: Vec<_> = (0..3).map(|i| batch(i * 3, 3, 0)).collect();
    log.append(&written, 0).unwrap();
    flush(&mut log);
    for operation in [Operation::Read, Operation::Flip] {
        let mut refused = 0;
        // A lookup reads headers before the batch itself.
        for after in 0..4 {
            disk.inject(Fault {
                suffix: ".log".into(),
                after,
                ..Fault::once(operation, DIR)
            });
            let read = log.read(0, i64::MAX, 1, true).and_then(ReadPlan::run);
            match read.map(|records| records.to_bytes()) {
                Ok(bytes) => assert_eq!(bytes, stored(&written)[0], "{operation:?} {after}"),
                Err(_) => refused += 1,
            }
            disk.heal();
            assert_eq!(
                stored(&read_all(&log)),
                stored(&written),
                "{operation:?} {after}"
            );
        }
        assert!(refused > 0, "no {operation:?} was felt");
    }
}

#[test]
fn a_failed_write_poisons_the_log() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk, unclean(0));
    log.append(&[batch(0, 3, 0)], 0).unwrap();
    disk.inject(Fault::once(Operation::Write, ".log"));
    assert!(matches!(
        log.append(&[batch(3, 3, 0)], 0),
        Err(Error::Io { .. })
    ));
    for _ in 0..2 {
        let after = log.append(&[batch(3, 3, 0)], 0);
        assert!(matches!(after, Err(Error::Poisoned(_))), "{after:?}");
    }
    assert_eq!(
        read_all(&log).len(),
        1,
        "what was acknowledged is still read"
    );
    disk.kill();
    let (log, recovery) = open(&disk, unclean(0));
    assert_eq!(log.next_offset(), 3);
    assert!(recovery.cut.is_some(), "the half-written batch was cut");
}

#[test]
fn only_the_beginning_of_an_append_is_what_the_end_of_a_process_leaves() {
    const LENGTH_AT: usize = 8;
    let size = batch(0, 3, 0).bytes.len();
    // Where a bit is changed; a changed length reaches beyond the end.
    for at in [size - 1, 3 * size - 1, LENGTH_AT, 2 * size + LENGTH_AT] {
        let disk = MemoryDisk::new();
        let (mut log, _) = open(&disk, unclean(0));
        let written: Vec<_> = (0..3).map(|i| batch(i * 3, 3, 0)).collect();
        log.append(&written, 0).unwrap();
        drop(log);
        let path = Path::new(DIR).join("00000000000000000000.log");
        disk.flip(&path, at, 0x40).expect("it is there");
        disk.kill();
        let cut = open(&disk, unclean(0)).1.cut.expect("something was cut");
        assert!(!cut.is_torn, "{at}: {cut:?}");
    }
}

#[test]
fn a_failed_fsync_poisons_the_log_and_counts_nothing_as_durable() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk, unclean(0));
    log.append(&[batch(0, 3, 0)], 0).unwrap();
    flush(&mut log);
    log.append(&[batch(3, 3, 0)], 0).unwrap();
    disk.inject(Fault::once(Operation::Sync, ".log"));
    assert!(log.flush_plan().run().is_err());
    assert!(matches!(log.flush_plan().run(), Err(Error::Poisoned(_))));
    assert!(matches!(
        log.append(&[batch(6, 3, 0)], 0),
        Err(Error::Poisoned(_))
    ));
    assert!(matches!(log.truncate_to(0), Err(Error::Poisoned(_))));
    assert_eq!(log.recovery_point(), 3);
}

#[test]
fn a_topic_deleted_under_a_flush_does_no_harm_to_its_neighbours() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk, unclean(0));
    log.append(&[batch(0, 3, 0)], 0).unwrap();
    let plan = log.flush_plan();
    let doomed = Path::new("/logs/topic-0.0123-delete");
    disk.rename(Path::new(DIR), doomed).unwrap();
    assert!(plan.run().is_err());
    assert_eq!(log.poison().reason(), None);
}

#[test]
fn of_two_flushes_at_a_time_the_older_does_not_take_an_epoch_back() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk, unclean(0));
    log.append(&[batch(0, 3, 1)], 0).unwrap();
    let older = log.flush_plan();
    log.append(&[batch(3, 3, 2)], 0).unwrap();
    let newer = log.flush_plan();
    for flushed in [newer.run().unwrap(), older.run().unwrap()] {
        log.on_flushed(&flushed);
    }
    let path = Path::new(DIR).join(storage::checkpoint::LEADER_EPOCH_FILE);
    let epochs = storage::checkpoint::read_epochs(&disk, &path).unwrap();
    assert_eq!(epochs, [(1, 0), (2, 3)]);
    assert_eq!(log.recovery_point(), 6);
}

#[test]
fn a_full_disk_in_the_middle_of_a_restart_poisons_the_log() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk, unclean(0));
    log.append(&[batch(0, 3, 0)], 0).unwrap();
    disk.inject(Fault {
        kind: io::ErrorKind::StorageFull,
        ..Fault::once(Operation::Write, ".timeindex")
    });
    assert!(log.truncate_fully_and_start_at(50).is_err());
    // The old files are gone, the new ones are not there: what is appended now would be in no directory.
    let after = log.append(&[batch(50, 3, 0)], 0);
    assert!(matches!(after, Err(Error::Poisoned(_))), "{after:?}");
}

#[test]
fn whoever_opens_a_log_is_told_before_it_is_cut() {
    let size = batch(0, 3, 0).bytes.len();
    let told = Arc::new(Mutex::new(Vec::new()));
    let start = |refuses: bool| {
        let told = told.clone();
        let hook = move |is_torn| {
            told.lock().unwrap().push(is_torn);
            let poisoned = Error::Poisoned("not now".into());
            if refuses { Err(poisoned) } else { Ok(()) }
        };
        OpenState {
            before_cut: BeforeCut::new(hook),
            ..unclean(0)
        }
    };
    let path = Path::new(DIR).join("00000000000000000000.log");
    let try_open = |disk: &MemoryDisk, start| {
        let disk = Arc::new(disk.clone());
        Log::open(disk, Path::new(DIR), config(), CacheBudget::new(0), start)
    };
    for is_torn in [false, true] {
        let disk = MemoryDisk::new();
        let (mut log, _) = open(&disk, unclean(0));
        log.append(&[batch(0, 3, 0), batch(3, 3, 0)], 0).unwrap();
        drop(log);
        disk.kill();
        if is_torn {
            disk.open(&path)
                .unwrap()
                .truncate(2 * size as u64 - 1)
                .unwrap();
        } else {
            disk.flip(&path, 2 * size - 1, 1).unwrap();
        }
        let before = disk.open(&path).unwrap().len().unwrap();
        let refused = try_open(&disk, start(true));
        assert!(matches!(refused, Err(Error::Poisoned(_))));
        assert_eq!(disk.open(&path).unwrap().len().unwrap(), before);
        let (log, recovery) = try_open(&disk, start(false)).unwrap();
        assert_eq!(log.next_offset(), 3);
        assert_eq!(recovery.cut.map(|cut| cut.is_torn), Some(is_torn));
        assert_eq!(*told.lock().unwrap(), [is_torn, is_torn]);
        told.lock().unwrap().clear();
        // It ends below its log start: told once, then it is what it began anew as.
        drop(log);
        disk.kill();
        for _ in 0..2 {
            let start = OpenState {
                log_start: 5,
                ..start(false)
            };
            let (log, _) = try_open(&disk, start).unwrap();
            assert_eq!((log.log_start(), log.next_offset()), (5, 5));
            assert_eq!(*told.lock().unwrap(), [false]);
        }
        told.lock().unwrap().clear();
    }
}
