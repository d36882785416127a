//! Opening a log: interrupted work is finished or undone, what was not durable is checked batch by batch and cut at the
//! first that is not whole, and the producers and epochs are rebuilt from snapshot, checkpoint and batches.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use tracing::warn;

use super::Log;
use super::opening::Opening;
use super::truncation::Truncation;
use crate::cache::CacheBudget;
use crate::config::LogConfig;
use crate::disk::{Disk, remove_if_there};
use crate::producers::{ProducerEntry, ProducerTable};
use crate::segment::walk::{Damage, Step, Walk};
use crate::segment::{SNAPSHOT, file_path};
use crate::{Error, Poison, Space, checkpoint, swap};

/// What is known of a log before it is opened.
#[derive(Clone, Debug, Default)]
pub struct OpenState {
    /// Whether the broker stopped in order: then nothing is checked.
    pub clean: bool,
    /// From `recovery-point-offset-checkpoint`: all below was synced.
    pub recovery_point: i64,
    /// From `log-start-offset-checkpoint`.
    pub log_start: i64,
    /// From `cleaner-offset-checkpoint`: compaction may have left gaps below.
    pub cleaned: i64,
    /// Unix time.
    pub now_ms: u64,
    /// The flag of the log directory.
    pub poison: Poison,
    /// The free space of the log directory.
    pub space: Space,
    pub before_cut: BeforeCut,
}

/// Told before a tail that is not whole is cut off, and whether that is torn, as [`Cut::is_torn`] says; and before a log
/// begins anew because it ends below its log start. Who dies amid the opening, or cannot end it, has cut all the same, and
/// the next one finds nothing to be cut. Where this fails, the opening does, and the log stays as it is.
#[derive(Clone, Default)]
pub struct BeforeCut(Option<Arc<Hook>>);

type Hook = dyn Fn(bool) -> Result<(), Error> + Send + Sync;

impl BeforeCut {
    pub fn new(hook: impl Fn(bool) -> Result<(), Error> + Send + Sync + 'static) -> BeforeCut {
        BeforeCut(Some(Arc::new(hook)))
    }

    pub(super) fn tell(&self, is_torn: bool) -> Result<(), Error> {
        self.0.as_ref().map_or(Ok(()), |hook| hook(is_torn))
    }
}

impl fmt::Debug for BeforeCut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BeforeCut").field(&self.0.is_some()).finish()
    }
}

/// What opening found.
#[derive(Clone, Debug)]
pub struct Recovery {
    /// The tail that was not whole, if there was one.
    pub cut: Option<Cut>,
    /// What was durable once and cannot be read any more.
    pub damage: Vec<Damage>,
    pub epochs: Vec<(i32, i64)>,
    pub producers: Vec<ProducerEntry>,
    pub next_offset: i64,
}

/// Bytes removed from the end of a log because they were not whole batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Where the log ends now.
    pub offset: i64,
    pub bytes: u64,
    pub reason: String,
    /// Whether that was the beginning of one append, and nothing else: all that the end of a process can leave, where the
    /// machine goes on.
    pub is_torn: bool,
}

impl Log {
    /// Opens the log in `dir`, which is created if it is not there.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        config: LogConfig,
        budget: Arc<CacheBudget>,
        start: OpenState,
    ) -> Result<(Log, Recovery), Error> {
        if !disk.exists(dir) {
            create_dir(&*disk, dir)?;
        }
        swap::finish_swaps(&*disk, dir)?;
        let mut opening = Opening {
            truncation: Truncation::read(&*disk, dir)?,
            disk,
            dir: dir.to_path_buf(),
            files: BTreeMap::new(),
            snapshots: Vec::new(),
            config,
            start,
            cut: None,
            remade: BTreeMap::new(),
        };
        opening.list()?;
        let (segments, next_offset, scanned_from) = opening.segments()?;
        opening.tell_remade();
        let cut = opening.cut.clone();
        let mut log = opening.log(segments, next_offset, budget)?;
        if log.log_start > log.next_offset {
            if !log.truncation.is_there() {
                // Nobody has begun it anew before: it has lost its end, of which there is no trace from here on.
                opening.start.before_cut.tell(false)?;
            }
            log.truncate_fully_and_start_at(log.log_start)?;
        }
        log.restore_state(&opening, scanned_from)?;
        let recovery = Recovery {
            cut,
            damage: log.damage().cloned().collect(),
            epochs: log.epochs.clone(),
            producers: log.producers(),
            next_offset: log.next_offset,
        };
        Ok((log, recovery))
    }

    /// Epochs from their checkpoint and producers from the newest snapshot that can be trusted, then the batches after.
    fn restore_state(&mut self, opening: &Opening, scanned_from: Option<i64>) -> Result<(), Error> {
        let trusted = scanned_from.unwrap_or(self.next_offset);
        let path = self.dir.join(checkpoint::LEADER_EPOCH_FILE);
        let epochs = checkpoint::read_epochs(&*self.disk, &path);
        let mut epochs = epochs.unwrap_or_else(without_epochs);
        epochs.retain(|(_, start)| *start < trusted);
        if let Some(wrong) = self.first_wrong(&epochs, trusted) {
            let reason = format!(
                "epoch {} is not what batches from {} on have",
                wrong.0, wrong.1
            );
            epochs = without_epochs(Error::corrupt(&path, reason));
        }
        // They were cut at a log start that is further on than the one which the last checkpoint has.
        if epochs
            .first()
            .is_some_and(|(_, start)| *start > self.log_start)
        {
            epochs.clear();
        }
        let known = !epochs.is_empty();
        self.epochs = epochs;
        let first = self.segments[0].base_offset;
        let snapshot = self.newest_snapshot(opening, trusted)?;
        let (producers_from, entries) = snapshot.unwrap_or((first, Vec::new()));
        self.producers = ProducerTable::from_entries(entries);
        let epochs_from = if known { trusted } else { first };
        self.replay(producers_from, epochs_from)?;
        self.trim_epochs();
        self.prune_snapshots(&opening.snapshots)
    }

    /// No checksum covers the checkpoint, but the batches have their epochs too: the first entry that they contradict.
    fn first_wrong(&self, epochs: &[(i32, i64)], end: i64) -> Option<(i32, i64)> {
        let epoch_at = |offset: i64| {
            let segment = &self.segments[self.segment_of(offset)];
            // What the disk has changed bears no witness.
            if segment
                .damage
                .iter()
                .any(|d| (d.from..d.to).contains(&offset))
            {
                return None;
            }
            let found = segment.find(&*self.disk, offset).ok().flatten()?;
            let header = found.1;
            // Where compaction has left nothing at the offset, there is nothing to compare.
            (header.base_offset <= offset).then_some(header.partition_leader_epoch)
        };
        let ends = epochs.iter().skip(1).map(|(_, start)| *start).chain([end]);
        let is_wrong = |((epoch, start), end): &(&(i32, i64), i64)| {
            let differs = |offset: i64| epoch_at(offset).is_some_and(|at| at != *epoch);
            differs((*start).max(self.log_start)) || differs(end - 1)
        };
        epochs
            .iter()
            .zip(ends)
            .find(is_wrong)
            .map(|(wrong, _)| *wrong)
    }

    /// The newest snapshot that can be trusted; those that were made later, of what has to be read anew, go.
    fn newest_snapshot(
        &self,
        opening: &Opening,
        trusted: i64,
    ) -> Result<Option<(i64, Vec<ProducerEntry>)>, Error> {
        let (known, later): (Vec<i64>, Vec<i64>) =
            opening.snapshots.iter().partition(|s| **s <= trusted);
        for offset in later {
            remove_if_there(&*self.disk, &file_path(&self.dir, offset, SNAPSHOT))?;
        }
        self.read_snapshot(&known)
    }

    /// Reads the headers from the lower of both offsets on.
    pub(super) fn replay(&mut self, producers_from: i64, epochs_from: i64) -> Result<(), Error> {
        let from = producers_from.min(epochs_from);
        if from >= self.next_offset {
            return Ok(());
        }
        for i in self.segment_of(from)..self.segments.len() {
            let end = self.segment_end(i);
            let segment = &self.segments[i];
            let file = segment.file(&*self.disk)?;
            let path = segment.path().to_path_buf();
            let mut damage = Vec::new();
            let known = segment.damage.clone();
            let base = segment.base_offset;
            let mut walk = Walk::headers(&*file, segment.size, base, end, known);
            loop {
                let header = match walk.step().map_err(|e| Error::io("read", &path, e))? {
                    Step::Batch(_, header) => header,
                    Step::Bad(bad) => {
                        damage.push(bad.damage(end));
                        continue;
                    }
                    Step::End => break,
                };
                if header.base_offset >= producers_from {
                    self.producers.apply(&header);
                }
                if header.base_offset >= epochs_from {
                    self.assign_epoch(header.partition_leader_epoch, header.base_offset);
                }
            }
            self.segments[i].note_damage(damage);
        }
        let unread = self.damage().map(|d| (d.from, d.to));
        let unread: Vec<_> = unread.filter(|(_, to)| *to > producers_from).collect();
        self.producers.note_unread(unread.into_iter());
        Ok(())
    }
}

/// They are read off the batches then.
fn without_epochs(error: Error) -> Vec<(i32, i64)> {
    warn!(%error, "going on without the checkpoint of leader epochs");
    Vec::new()
}

fn create_dir(disk: &dyn Disk, dir: &Path) -> Result<(), Error> {
    let created = disk.create_dir_all(dir);
    let synced = created.and_then(|()| dir.parent().map_or(Ok(()), |parent| disk.sync_dir(parent)));
    synced.map_err(|e| Error::io("create", dir, e))
}
