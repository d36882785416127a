//! The power fails at every operation of a metadata log's life: what was promised is there.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use openraft::storage::{RaftLogStorage, RaftLogStorageExt, RaftStateMachine};
use openraft::{CommittedLeaderId, EntryPayload, RaftLogReader, RaftSnapshotBuilder};
use storage::Disk;
use storage::memory::MemoryDisk;

use super::log::Log;
use super::machine::{Machine, Published};
use super::open::{Opened, Opening};
use super::storage_tests::env_on;
use super::types::{Entry, LogId, StorageError, Vote};
use crate::config::Config;
use crate::image::Image;
use engine::metadata::Command;

pub(super) const DIR: &str = "/metadata";

fn entry(term: u64, index: u64) -> Entry {
    // Nothing in it looks like a page that was never written.
    let name: String = (0..20)
        .map(|i| char::from(b'a' + ((index + i) % 26) as u8))
        .collect();
    let command = Command::NameCluster {
        cluster_id: format!("{term}-{index}-{name}").into(),
    };
    Entry {
        log_id: LogId::new(CommittedLeaderId::new(term, 0), index),
        payload: EntryPayload::Normal(command.into()),
    }
}

/// What must be there, and what may be.
#[derive(Clone, Default)]
pub(super) struct Facts {
    /// Stored, and neither cut off nor purged.
    pub(super) stored: BTreeMap<u64, Entry>,
    /// A file goes when all of its entries do.
    purged: BTreeMap<u64, Entry>,
    /// On its way in or out.
    underway: BTreeMap<u64, Entry>,
    votes: Vec<Option<Vote>>,
    applied: Vec<Option<LogId>>,
}

pub(super) struct Life {
    log: Log,
    machine: Machine,
    pub(super) facts: Facts,
}

/// A voter's configuration; its log's files have at least so many bytes.
pub(super) fn config(voters: &str, segment_bytes: u64) -> Arc<Config> {
    let segment_bytes = segment_bytes.to_string();
    let given = [
        ("node.id", "1"),
        ("log.dirs", "/data"),
        ("controller.quorum.voters", voters),
        ("metadata.log.reserve.bytes", "0"),
        (
            "metadata.log.max.record.bytes.between.snapshots",
            &segment_bytes,
        ),
    ];
    let given = given.map(|(key, value)| (key.to_owned(), value.to_owned()));
    Arc::new(Config::from_map(given.into()).expect("valid").0)
}

/// The only voter, whose files hold a few entries each.
pub(super) fn alone() -> Arc<Config> {
    static ALONE: OnceLock<Arc<Config>> = OnceLock::new();
    let config = || config("1@localhost:9093", 200);
    ALONE.get_or_init(config).clone()
}

/// As [`super::Quorum::start`] does it.
pub(super) fn open_as(config: &Arc<Config>, disk: &Arc<dyn Disk>) -> io::Result<Opened> {
    let opening = Opening {
        env: env_on(disk.clone()),
        config: config.clone(),
        published: Arc::new(Published::new()),
    };
    opening.open(Path::new(DIR), true)
}

pub(super) fn open(disk: &Arc<dyn Disk>) -> io::Result<(Log, Machine)> {
    let opened = open_as(&alone(), disk)?;
    Ok(opened.storage.expect("a voter has a log"))
}

impl Life {
    pub(super) async fn vote(&mut self, term: u64) -> Result<(), StorageError> {
        let vote = Vote::new(term, 1);
        self.facts.votes.push(Some(vote));
        self.log.save_vote(&vote).await?;
        self.facts.votes = vec![Some(vote)];
        Ok(())
    }

    pub(super) async fn append(
        &mut self,
        term: u64,
        indexes: std::ops::Range<u64>,
    ) -> Result<(), StorageError> {
        let entries: Vec<Entry> = indexes.map(|index| entry(term, index)).collect();
        let keyed = entries.iter().map(|e| (e.log_id.index, e.clone()));
        self.facts.underway = keyed.clone().collect();
        self.log.blocking_append(entries.clone()).await?;
        self.facts.stored.extend(keyed);
        self.facts.underway.clear();
        Ok(())
    }

    async fn truncate(&mut self, index: u64) -> Result<(), StorageError> {
        let from = self.facts.stored[&index].log_id;
        self.facts.underway = self.facts.stored.split_off(&index);
        self.log.truncate(from).await?;
        self.facts.underway.clear();
        Ok(())
    }

    /// Applies all up to an entry, and makes a snapshot of that.
    async fn snapshot(&mut self, index: u64) -> Result<(), StorageError> {
        let from = self.machine.applied().map_or(0, |id| id.index + 1);
        let entries: Vec<Entry> = (from..=index)
            .map(|i| self.facts.stored[&i].clone())
            .collect();
        self.machine.apply(entries).await?;
        let applied = self.machine.applied();
        self.facts.applied.push(applied);
        self.machine
            .get_snapshot_builder()
            .await
            .build_snapshot()
            .await?;
        self.facts.applied = vec![applied];
        Ok(())
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), StorageError> {
        let stays = self.facts.stored.split_off(&(upto.index + 1));
        let goes = std::mem::replace(&mut self.facts.stored, stays);
        self.facts.purged.extend(goes);
        self.log.purge(upto).await
    }

    /// The snapshot of another node, which is far ahead.
    async fn install(&mut self, index: u64) -> Result<(), StorageError> {
        let mut ahead = Machine::open(
            &env_on(Arc::new(MemoryDisk::new())),
            Path::new("/"),
            Arc::new(Published::new()),
        )
        .expect("opens");
        ahead.apply([entry(5, index)]).await?;
        let snapshot = ahead.get_snapshot_builder().await.build_snapshot().await?;
        self.facts.applied.push(ahead.applied());
        let installed = self
            .machine
            .install_snapshot(&snapshot.meta, snapshot.snapshot);
        installed.await?;
        self.facts.applied = vec![ahead.applied()];
        let upto = ahead.applied().expect("has applied one");
        self.purge(upto).await
    }
}

pub(super) async fn live(life: &mut Life) -> Result<(), StorageError> {
    life.vote(1).await?;
    life.append(1, 0..3).await?;
    life.append(1, 3..4).await?;
    life.append(1, 4..9).await?;
    life.vote(2).await?;
    life.append(1, 9..20).await?;
    life.truncate(6).await?;
    life.append(2, 6..8).await?;
    life.append(2, 8..16).await?;
    life.snapshot(9).await?;
    life.purge(entry(2, 7).log_id).await?;
    life.append(2, 16..18).await?;
    life.truncate(17).await?;
    life.vote(5).await?;
    life.append(5, 17..30).await?;
    life.snapshot(20).await?;
    life.purge(entry(5, 19).log_id).await?;
    life.install(99).await?;
    life.append(5, 100..104).await?;
    life.append(5, 104..105).await
}

impl Facts {
    pub(super) async fn check(&self, log: &mut Log, machine: &Machine, what: &str) {
        let vote = log.read_vote().await.expect("readable");
        assert!(
            self.votes.contains(&vote),
            "{what}: vote {vote:?} of {:?}",
            self.votes
        );
        let applied = machine.applied();
        assert!(
            self.applied.contains(&applied),
            "{what}: applied {applied:?}"
        );
        let found = log.try_get_log_entries(0..).await.expect("readable");
        let found: BTreeMap<u64, Entry> = found.into_iter().map(|e| (e.log_id.index, e)).collect();
        for (index, entry) in &self.stored {
            assert_eq!(found.get(index), Some(entry), "{what}: entry {index}");
        }
        for (index, entry) in &found {
            let known = self.stored.get(index).or(self.underway.get(index));
            let known = known.or(self.purged.get(index));
            assert_eq!(known, Some(entry), "{what}: entry {index}");
        }
        let indexes: Vec<u64> = found.keys().copied().collect();
        assert!(
            indexes.windows(2).all(|two| two[0] + 1 == two[1]),
            "{what}: {indexes:?}"
        );
    }
}

pub(super) fn begin(config: &Arc<Config>, disk: &Arc<dyn Disk>) -> io::Result<Life> {
    let opened = open_as(config, disk)?;
    let (log, machine) = opened.storage.expect("a voter has a log");
    let facts = Facts {
        votes: vec![None],
        applied: vec![None],
        ..Facts::default()
    };
    Ok(Life {
        log,
        machine,
        facts,
    })
}

#[tokio::test]
async fn a_power_loss_at_any_operation_forgets_nothing_that_was_promised() {
    for seed in 0..12 {
        for operations in 0.. {
            let disk = MemoryDisk::new();
            disk.fail_power_after(operations);
            let Ok(mut life) = begin(&alone(), &(Arc::new(disk.clone()) as Arc<dyn Disk>)) else {
                continue;
            };
            let ended = live(&mut life).await;
            assert!(ended.is_ok() || !disk.has_power(), "{ended:?}");
            let mut dice = (seed << 32) + operations;
            disk.crash(dice);
            for operations in 0.. {
                disk.fail_power_after(operations);
                let Err(error) = open(&(Arc::new(disk.clone()) as Arc<dyn Disk>)) else {
                    break;
                };
                assert!(!disk.has_power(), "the recovery fails: {error}");
                dice += 1;
                disk.crash(dice);
            }
            disk.crash(dice + 1);
            let what = format!("power failed after {operations} operations, seed {seed}");
            let on: Arc<dyn Disk> = Arc::new(disk.clone());
            let (mut log, machine) = open(&on).unwrap_or_else(|e| panic!("{what}: {e}"));
            life.facts.check(&mut log, &machine, &what).await;

            // It goes on, and what is stored now is there after the next power loss.
            let next = log.last().map_or(0, |last| last.index + 1);
            log.save_vote(&Vote::new(9, 1)).await.expect("saved");
            log.blocking_append([entry(9, next)])
                .await
                .expect("appended");
            disk.crash(dice + 2);
            let (log, _) = open(&on).unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_eq!(log.last(), Some(entry(9, next).log_id), "{what}");
            if ended.is_ok() {
                assert!(operations > 70, "the life is a short one: {operations}");
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_page_that_was_never_written_within_one_append_is_cut_with_what_is_behind() {
    let disk = MemoryDisk::new();
    let on: Arc<dyn Disk> = Arc::new(disk.clone());
    let mut life = begin(&alone(), &on).expect("opens");
    life.vote(1).await.expect("voted");
    life.append(1, 0..1).await.expect("appended");
    let image = Image::of(&disk, Path::new(DIR));
    let path = Path::new(DIR).join("00000000000000000000.raft");
    let before = image.0[&path].len();
    life.append(1, 1..12).await.expect("appended");
    let image = Image::of(&disk, Path::new(DIR));
    let first = before.next_multiple_of(64);
    for from in (first..image.0[&path].len() - 64).step_by(64) {
        let mut image = image.clone();
        image.file(&path)[from..from + 64].fill(0);
        let (log, _) = open(&image.disk()).expect("a torn tail is cut");
        assert!(log.last() >= Some(entry(1, 0).log_id));
    }
    // The same, but it was promised: something has been appended behind it.
    life.append(1, 12..13).await.expect("appended");
    let mut image = Image::of(&disk, Path::new(DIR));
    image.file(&path)[first..first + 64].fill(0);
    let refused = open(&image.disk()).err().map(|e| e.kind());
    assert_eq!(refused, Some(io::ErrorKind::InvalidData));
}
