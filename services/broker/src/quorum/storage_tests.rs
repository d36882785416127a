//! The log and the state machine: openraft's own suite for storage, then crashes, tears and full disks.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use engine::metadata::{Command, Image};
use openraft::storage::{RaftLogStorage, RaftLogStorageExt, RaftStateMachine};
use openraft::testing::{StoreBuilder, Suite};
use openraft::{CommittedLeaderId, EntryPayload, RaftLogReader, RaftSnapshotBuilder};
use storage::Disk;
use storage::memory::{Fault, MemoryDisk, Operation};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::log::{Limits, Log, write_checked};
use super::machine::{Machine, Published, Stored, encode_image};
use super::saved::Saved;
use super::types::{Entry, LogId, StorageError, Types, Vote};
use crate::env::{BoxFuture, Env, Listener, Outside, Pool, Stream};

const DIR: &str = "/metadata";
const LIMITS: Limits = Limits {
    segment_bytes: 1 << 20,
    reserve_bytes: 0,
};

/// A disk, and nothing else.
struct DiskOnly(Arc<dyn Disk>);

impl Outside for DiskOnly {
    fn listen<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async { Err::<Box<dyn Listener>, _>(io::ErrorKind::Unsupported.into()) })
    }

    fn connect<'a>(&'a self, _: &'a str, _: u16) -> BoxFuture<'a, io::Result<Stream>> {
        Box::pin(async { Err::<Stream, _>(io::ErrorKind::Unsupported.into()) })
    }

    fn wall_ms(&self) -> i64 {
        0
    }

    fn random_u64(&self) -> u64 {
        0
    }

    fn disk(&self) -> Arc<dyn Disk> {
        self.0.clone()
    }

    fn run_blocking(&self, _: Pool, work: Box<dyn FnOnce() + Send>) {
        work();
    }
}

fn env(disk: &MemoryDisk) -> Env {
    env_on(Arc::new(disk.clone()))
}

pub(super) fn env_on(disk: Arc<dyn Disk>) -> Env {
    Env::new(
        Handle::current(),
        Handle::current(),
        Arc::new(DiskOnly(disk)),
    )
}

fn open(disk: &MemoryDisk) -> Log {
    Log::open(&env(disk), Path::new(DIR), LIMITS)
        .expect("the log opens")
        .0
}

fn id(index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(1, 0), index)
}

fn entries(indexes: std::ops::Range<u64>) -> Vec<Entry> {
    let command = |index: u64| Command::NameCluster {
        cluster_id: format!("{index}").into(),
    };
    indexes
        .map(|i| Entry {
            log_id: id(i),
            payload: EntryPayload::Normal(command(i).into()),
        })
        .collect()
}

async fn indexes(log: &mut Log) -> Vec<u64> {
    let all = log.try_get_log_entries(0..).await.expect("readable");
    all.iter().map(|e| e.log_id.index).collect()
}

/// Gives openraft's suite a fresh log and machine for each of its tests.
struct Fresh;

impl StoreBuilder<Types, Log, Machine, ()> for Fresh {
    async fn build(&self) -> Result<((), Log, Machine), StorageError> {
        let disk = MemoryDisk::new();
        let log = open(&disk);
        let machine = Machine::open(&env(&disk), Path::new(DIR), Arc::new(Published::new()));
        Ok(((), log, machine.expect("the machine opens")))
    }
}

/// Those of openraft's tests whose logs have no holes, as no log of openraft has.
macro_rules! openraft_finds_nothing_wrong {
    ($($test:ident)*) => {
        mod openraft_finds_nothing_wrong {
            use super::*;

            $(
                #[tokio::test]
                async fn $test() {
                    let ((), log, machine) = Fresh.build().await.expect("built");
                    let ended = Suite::<Types, Log, Machine, Fresh, ()>::$test(log, machine).await;
                    ended.expect("the storage does what openraft expects");
                }
            )*
        }
    };
}

openraft_finds_nothing_wrong! {
    last_membership_in_log_initial
    last_membership_in_log
    last_membership_in_log_multi_step
    get_membership_initial
    get_membership_from_log_and_empty_sm
    get_membership_from_empty_log_and_sm
    get_membership_from_log_le_sm_last_applied
    get_membership_from_log_gt_sm_last_applied_1
    get_membership_from_log_gt_sm_last_applied_2
    get_initial_state_without_init
    get_initial_state_with_state
    get_initial_state_last_log_gt_sm
    get_initial_state_last_log_lt_sm
    get_initial_state_log_ids
    get_initial_state_re_apply_committed
    save_vote
    get_log_entries
    limited_get_log_entries
    try_get_log_entry
    initial_logs
    get_log_state
    get_log_id
    last_id_in_log
    last_applied_state
    purge_logs_upto_0
    purge_logs_upto_5
    purge_logs_upto_20
    delete_logs_since_11
    delete_logs_since_0
    append_to_log
    snapshot_meta
    apply_single
    apply_multiple
}

#[tokio::test]
async fn entries_vote_and_purge_survive_a_power_loss() {
    let disk = MemoryDisk::new();
    let mut log = open(&disk);
    log.save_vote(&Vote::new_committed(3, 2))
        .await
        .expect("saved");
    log.blocking_append(entries(0..10)).await.expect("appended");
    log.truncate(id(8)).await.expect("truncated");
    log.purge(id(4)).await.expect("purged");
    disk.crash(1);

    let mut log = open(&disk);
    assert_eq!(
        log.read_vote().await.expect("readable"),
        Some(Vote::new_committed(3, 2))
    );
    let state = log.get_log_state().await.expect("readable");
    assert_eq!(state.last_log_id, Some(id(7)));
    log.blocking_append(entries(8..9))
        .await
        .expect("it goes on");
    assert_eq!(indexes(&mut log).await.last(), Some(&8));
}

/// The consensus asks for both at once when it takes over a snapshot of the leader's (seed 18210).
#[tokio::test]
async fn nothing_is_purged_before_the_snapshot_that_replaces_it_is_on_disk() {
    let disk = MemoryDisk::new();
    let saved = Arc::new(Saved::new(None));
    let mut log = open(&disk).replaced_by(saved.clone());
    log.blocking_append(entries(0..10)).await.expect("appended");
    let early = timeout(Duration::from_millis(20), log.purge(id(4))).await;
    assert!(early.is_err(), "it waits");
    assert_eq!(indexes(&mut log).await.first(), Some(&0));
    saved.write(Some(id(4)), || Ok(())).expect("written");
    log.purge(id(4)).await.expect("purged");
    assert_eq!(indexes(&mut log).await.first(), Some(&5));

    let full = || Err(io::ErrorKind::StorageFull.into());
    assert!(saved.write(Some(id(9)), full).is_err());
    assert!(log.purge(id(9)).await.is_err());
    assert_eq!(indexes(&mut log).await.first(), Some(&5));
    // An older one does not take the place of a newer one.
    saved.write(Some(id(8)), || Ok(())).expect("written");
    let older = || panic!("there is a newer one");
    saved.write(Some(id(3)), older).expect("nothing to write");
    // Which says nothing of the one that could not be written.
    assert!(log.purge(id(9)).await.is_err());
    log.purge(id(8)).await.expect("purged");
}

/// A task that ends by an error, or by a panic, takes the state machine with it.
#[tokio::test]
async fn a_state_machine_that_is_gone_writes_no_snapshot() {
    let disk = MemoryDisk::new();
    let machine = Machine::open(&env(&disk), Path::new(DIR), Arc::new(Published::new()));
    let machine = machine.expect("there is nothing");
    let mut log = open(&disk).replaced_by(machine.saved());
    log.blocking_append(entries(0..10)).await.expect("appended");
    let mut purged = Box::pin(log.purge(id(4)));
    let early = timeout(Duration::from_millis(20), &mut purged).await;
    assert!(early.is_err(), "it waits");
    drop(machine);
    let ended = timeout(Duration::from_secs(10), purged).await;
    assert!(ended.expect("it ends").is_err());
    assert_eq!(indexes(&mut log).await.first(), Some(&0));
}

#[tokio::test]
async fn a_purge_beyond_the_end_begins_anew_behind_it() {
    let disk = MemoryDisk::new();
    let mut log = open(&disk);
    log.blocking_append(entries(0..3)).await.expect("appended");
    log.purge(id(99)).await.expect("purged");
    disk.crash(2);
    let mut log = open(&disk);
    let state = log.get_log_state().await.expect("readable");
    assert_eq!(
        (state.last_purged_log_id, state.last_log_id),
        (Some(id(99)), Some(id(99)))
    );
    log.blocking_append(entries(100..101))
        .await
        .expect("it goes on");
    disk.crash(3);
    assert_eq!(indexes(&mut open(&disk)).await, [100]);
}

#[tokio::test]
async fn a_torn_tail_is_cut_at_the_last_whole_entry() {
    let disk = MemoryDisk::new();
    let mut log = open(&disk);
    log.blocking_append(entries(0..3)).await.expect("appended");
    let path = Path::new(DIR).join("00000000000000000000.raft");
    let file = disk.open(&path).expect("the log's file");
    let whole = file.len().expect("its length");
    for torn in [&[0u8, 0, 0, 9, 1, 2][..], &[0xff; 40], &[0, 0, 0, 0]] {
        disk.open(&path)
            .and_then(|f| f.append(&mut [io::IoSlice::new(torn)]))
            .expect("torn");
        let (mut log, recovered) =
            Log::open(&env(&disk), Path::new(DIR), LIMITS).expect("it opens");
        let cut = recovered.cut.expect("it says what it cut");
        assert_eq!((cut.position, cut.bytes), (whole, torn.len() as u64));
        assert_eq!((cut.path, recovered.entries), (path.clone(), 3));
        assert_eq!(indexes(&mut log).await, [0, 1, 2]);
        assert_eq!(file.len().expect("its length"), whole);
    }
}

#[tokio::test]
async fn damage_before_the_last_file_is_not_taken_for_a_torn_tail() {
    let disk = MemoryDisk::new();
    let mut log = open(&disk);
    log.blocking_append(entries(0..3)).await.expect("appended");
    let first = Path::new(DIR).join("00000000000000000000.raft");
    let second = Path::new(DIR).join("00000000000000000009.raft");
    disk.create(&second)
        .and_then(|f| f.append(&mut [io::IoSlice::new(&read(&disk, &first))]))
        .expect("copied");
    assert!(
        Log::open(&env(&disk), Path::new(DIR), LIMITS).is_err(),
        "the second file does not continue the first"
    );
}

fn read(disk: &MemoryDisk, path: &Path) -> Vec<u8> {
    storage::disk::read_file(disk, path)
        .expect("readable")
        .expect("there")
        .to_vec()
}

#[tokio::test]
async fn a_failed_fsync_reaches_openraft() {
    let disk = MemoryDisk::new();
    let mut log = open(&disk);
    log.blocking_append(entries(0..1)).await.expect("appended");
    disk.inject(Fault::always(Operation::Sync, ".raft"));
    assert!(log.blocking_append(entries(1..2)).await.is_err());
}

#[tokio::test]
async fn on_a_full_disk_the_reserve_makes_room() {
    let disk = MemoryDisk::new();
    let (mut log, _) = Log::open(
        &env(&disk),
        Path::new(DIR),
        Limits {
            reserve_bytes: 4096,
            ..LIMITS
        },
    )
    .expect("it opens");
    log.fill_reserve().expect("there is room");
    log.blocking_append(entries(0..1)).await.expect("appended");
    disk.set_capacity_bytes(Some(disk.used_bytes() + 8));
    log.blocking_append(entries(1..3))
        .await
        .expect("the reserve is used");
    disk.crash(4);
    assert_eq!(indexes(&mut open(&disk)).await, [0, 1, 2]);
}

#[tokio::test]
async fn a_snapshot_survives_and_is_where_the_machine_begins() {
    let disk = MemoryDisk::new();
    drop(open(&disk));
    let published = Arc::new(Published::new());
    let mut machine =
        Machine::open(&env(&disk), Path::new(DIR), published.clone()).expect("it opens");
    machine.apply(entries(0..2)).await.expect("applied");
    assert_eq!(
        published.image().cluster_id().map(|c| c.as_str()),
        Some("0")
    );
    machine
        .get_snapshot_builder()
        .await
        .build_snapshot()
        .await
        .expect("built");
    disk.crash(5);
    let mut again =
        Machine::open(&env(&disk), Path::new(DIR), Arc::new(Published::new())).expect("it opens");
    assert_eq!(
        again.applied_state().await.expect("readable").0,
        Some(id(1))
    );
    let snapshot = again
        .get_current_snapshot()
        .await
        .expect("readable")
        .expect("there");
    let mut other = Machine::open(
        &env(&MemoryDisk::new()),
        Path::new("/"),
        Arc::new(Published::new()),
    )
    .expect("it opens");
    other
        .install_snapshot(&snapshot.meta, snapshot.snapshot)
        .await
        .expect("installed");
    assert_eq!(
        other.applied_state().await.expect("readable").0,
        Some(id(1))
    );
}

#[tokio::test]
async fn a_purge_that_a_power_loss_interrupts_is_completed() {
    // Given a log that is purged far beyond its end, as after a snapshot was installed
    let disk = MemoryDisk::new();
    let mut log = open(&disk);
    log.blocking_append(entries(0..3)).await.expect("appended");

    // When the power fails between the new file and the end of the old one
    disk.inject(Fault {
        after: 2,
        ..Fault::always(Operation::Sync, DIR)
    });
    assert!(log.purge(id(99)).await.is_err(), "the last fsync fails");
    disk.crash(6);

    // Then the log goes on after the snapshot, if that is there
    assert!(open(&disk).complete_purge(Some(id(50))).is_err());
    assert!(open(&disk).complete_purge(None).is_err());
    let mut log = open(&disk);
    log.complete_purge(Some(id(99))).expect("a snapshot has it");
    let state = log.get_log_state().await.expect("readable");
    assert_eq!(state.last_purged_log_id, Some(id(99)));
    let rest = entries(100..101);
    log.blocking_append(rest).await.expect("it goes on");
    disk.crash(7);
    assert_eq!(indexes(&mut open(&disk)).await, [100]);
}

#[tokio::test]
async fn votes_and_snapshots_use_the_reserve_of_a_full_disk_too() {
    for is_vote in [true, false] {
        let disk = MemoryDisk::new();
        let limits = Limits {
            reserve_bytes: 4096,
            ..LIMITS
        };
        let (mut log, _) = Log::open(&env(&disk), Path::new(DIR), limits).expect("it opens");
        log.fill_reserve().expect("there is room");
        let published = Arc::new(Published::new());
        let mut machine = Machine::open(&env(&disk), Path::new(DIR), published).expect("it opens");
        machine.apply(entries(0..2)).await.expect("applied");
        disk.set_capacity_bytes(Some(disk.used_bytes() + 8));
        if is_vote {
            let vote = Vote::new_committed(3, 2);
            log.save_vote(&vote).await.expect("the reserve is used");
        } else {
            let mut builder = machine.get_snapshot_builder().await;
            builder.build_snapshot().await.expect("the reserve is used");
        }
    }
}

#[tokio::test]
async fn a_snapshot_does_not_replace_a_newer_one() {
    let disk = MemoryDisk::new();
    drop(open(&disk));
    let published = Arc::new(Published::new());
    let mut machine =
        Machine::open(&env(&disk), Path::new(DIR), published.clone()).expect("it opens");
    machine.apply(entries(0..2)).await.expect("applied");
    let mut slow = machine.get_snapshot_builder().await;
    machine.apply(entries(2..9)).await.expect("applied");
    let mut fast = machine.get_snapshot_builder().await;
    fast.build_snapshot().await.expect("built");
    slow.build_snapshot().await.expect("built");
    let again = Machine::open(&env(&disk), Path::new(DIR), published).expect("it opens");
    assert_eq!(again.applied(), Some(id(8)));
}

#[tokio::test]
async fn what_was_applied_before_a_snapshot_is_not_told_as_all_there_is() {
    // Given a machine with some entries, and the snapshot of one that is far ahead
    let mut ahead = Fresh.build().await.expect("built").2;
    ahead.apply(entries(0..9)).await.expect("applied");
    let snapshot = ahead.get_snapshot_builder().await.build_snapshot().await;
    let snapshot = snapshot.expect("built");
    let (disk, published) = (MemoryDisk::new(), Arc::new(Published::new()));
    drop(open(&disk));
    let mut machine =
        Machine::open(&env(&disk), Path::new(DIR), published.clone()).expect("it opens");
    machine.apply(entries(0..2)).await.expect("applied");

    // When it is installed
    let installed = machine.install_snapshot(&snapshot.meta, snapshot.snapshot);
    installed.await.expect("installed");

    // Then an observer that has the first entries is given the image, not an empty list
    assert_eq!(published.entries_after(1), None);
}

#[tokio::test]
async fn a_snapshot_on_disk_whose_image_cannot_be_read_is_named() {
    let disk = MemoryDisk::new();
    open(&disk);
    let mut image = encode_image(&Image::default()).expect("it can be written");
    image.pop();
    let stored = Stored {
        meta: Default::default(),
        image,
    };
    let path = Path::new(DIR).join("snapshot");
    write_checked(&disk, &path, &stored).expect("the disk is well");
    let opened = Machine::open(&env(&disk), Path::new(DIR), Arc::new(Published::new()));
    let error = opened.err().expect("nothing can be made of it");
    // This kind gets advice on what to do: see `open::with_advice`.
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    let text = error.to_string();
    assert!(text.starts_with("/metadata/snapshot: "), "{text}");
}
