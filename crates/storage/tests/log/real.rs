//! The same log on the machine's own file system.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

use storage::{CacheBudget, Disk, Log, OpenState, RealDisk};

use crate::house::{batch, clean, config, flush, read_all, stored, unclean};

fn open(dir: &Path, start: OpenState) -> Log {
    let budget = CacheBudget::new(0);
    Log::open(Arc::new(RealDisk), dir, config(), budget, start)
        .expect("opens")
        .0
}

#[test]
fn a_log_lives_on_a_real_disk() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("topic-0");
    let mut log = open(&dir, unclean(0));
    let batches: Vec<_> = (0..40).map(|i| batch(i * 3, 3, 0)).collect();
    log.append(&batches, 0).unwrap();
    flush(&mut log);
    log.truncate_to(60).unwrap();
    drop(log);

    let mut log = open(&dir, unclean(60));
    assert_eq!(stored(&read_all(&log)), stored(&batches[..20]));
    log.append(&batches[20..], 0).unwrap();
    log.advance_log_start(60).unwrap().remove().unwrap();
    log.close_plan().unwrap().run().unwrap();
    drop(log);

    let log = open(
        &dir,
        OpenState {
            log_start: 60,
            ..clean()
        },
    );
    assert_eq!(stored(&read_all(&log)), stored(&batches[20..]));
    let left = RealDisk.list(&dir).unwrap();
    assert!(!left.iter().any(|entry| entry.name.ends_with(".deleted")));
}

#[test]
fn a_torn_tail_is_cut_and_told() {
    let home = tempfile::tempdir().unwrap();
    let mut log = open(home.path(), unclean(0));
    log.append(&[batch(0, 3, 0), batch(3, 3, 0)], 0).unwrap();
    drop(log);
    let path = home.path().join("00000000000000000000.log");
    let file = RealDisk.open(&path).unwrap();
    let torn = &batch(6, 3, 0).bytes[..100];
    file.append(&mut [IoSlice::new(torn)]).unwrap();
    let budget = CacheBudget::new(0);
    let opened = Log::open(
        Arc::new(RealDisk),
        home.path(),
        config(),
        budget,
        unclean(6),
    );
    let (log, recovery) = opened.unwrap();
    let cut = recovery.cut.expect("it says what it cut");
    assert_eq!((cut.offset, cut.bytes, recovery.next_offset), (6, 100, 6));
    assert!(cut.is_torn, "{cut:?}");
    assert_eq!(read_all(&log).len(), 2);
}

#[test]
fn a_lock_is_held_by_one() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join(".lock");
    let held = RealDisk.lock(&path).unwrap();
    let refused = RealDisk.lock(&path).err().map(|e| e.kind());
    assert_eq!(refused, Some(io::ErrorKind::WouldBlock));
    drop(held);
    RealDisk.lock(&path).unwrap();
    assert!(RealDisk.free_bytes(home.path()).unwrap() > 0);
}

#[test]
fn a_link_to_a_directory_is_one() {
    let home = tempfile::tempdir().unwrap();
    let elsewhere = home.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, home.path().join("topic-0")).unwrap();
    std::os::unix::fs::symlink("nowhere", home.path().join("topic-1")).unwrap();
    let entries = RealDisk.list(home.path()).unwrap();
    let found: Vec<_> = entries
        .iter()
        .map(|e| (e.name.as_str(), e.is_dir))
        .collect();
    let expected = [("elsewhere", true), ("topic-0", true), ("topic-1", true)];
    assert_eq!(found, expected);
    let budget = CacheBudget::new(0);
    let dangling = home.path().join("topic-1");
    let opened = Log::open(Arc::new(RealDisk), &dangling, config(), budget, unclean(0));
    assert!(opened.is_err(), "there is something that is not here");
}
