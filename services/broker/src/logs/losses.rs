//! What the logs lack: what can be told at the start, and what becomes of a log that lacks something.
//!
//! The death of a process takes nothing from a log but the rest of the append that it was at, or of the cut, of which there
//! is a mark. So where more had to be cut, or a log ends below its log start or what was known to be committed of it, memory
//! was lost or the disk has lost something. The broker then registers as one that has lost its memory, or its disks (see
//! [`memory`]), and that must not be forgotten by a process that ends before it has registered: the name of the memory is
//! removed before the log is cut.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use storage::{BeforeCut, Error, Log};
use tracing::warn;

use super::checkpoints::Checkpoint;
use super::{Logs, Name, memory};
use crate::env::Pool;

pub(super) struct Losses {
    /// Those of which more was cut than the end of a process explains.
    shortened: Mutex<BTreeSet<Name>>,
    /// Whether the cluster counts on this broker for all that an earlier process has written: as long as it has not been
    /// told otherwise.
    is_counted_on: AtomicBool,
    /// Whether something turned out to be missing after the start.
    is_late: AtomicBool,
}

impl Losses {
    pub fn new() -> Arc<Losses> {
        Arc::new(Losses {
            shortened: Mutex::default(),
            is_counted_on: AtomicBool::new(true),
            is_late: AtomicBool::new(false),
        })
    }

    /// With what the broker registers is settled.
    pub fn settle(&self, is_counted_on: bool) {
        self.is_counted_on.store(is_counted_on, Ordering::SeqCst);
    }

    fn is_counted_on(&self) -> bool {
        self.is_counted_on.load(Ordering::SeqCst)
    }

    /// The partition is deleted: its name may be another's.
    pub fn forget(&self, name: &Name) {
        self.shortened.lock().remove(name);
    }

    pub fn is_late(&self) -> bool {
        self.is_late.load(Ordering::SeqCst)
    }
}

impl Logs {
    /// For the opening of a log.
    pub(super) fn before_cut(&self, place: usize, name: &Name) -> BeforeCut {
        let (disk, directory) = (self.disk.clone(), self.directories[place].clone());
        let (losses, boot, name) = (self.losses.clone(), self.env.boot_id(), name.clone());
        BeforeCut::new(move |is_torn| {
            let was_closed = directory.clean.is_some();
            if (is_torn && !was_closed) || !losses.is_counted_on() {
                return Ok(());
            }
            losses.shortened.lock().insert(name.clone());
            if let Some(boot) = &boot {
                memory::lose(&*disk, &directory.path, boot, was_closed)?;
            }
            Ok(())
        })
    }

    /// Whether the logs have all that an earlier process has written, as far as this one can tell.
    pub(super) async fn has_all_written(&self) -> bool {
        let short = self.short();
        let shortened = self.losses.shortened.lock().clone();
        if let Some((topic, partition)) = shortened.first() {
            let logs = shortened.len();
            warn!(
                logs,
                topic,
                partition,
                "logs had to be cut more than the end of a process explains: what was only in memory counts as lost"
            );
        }
        let places: BTreeSet<usize> = short.iter().map(|(place, ..)| *place).collect();
        for place in places {
            if !self.lose_memory(place).await {
                continue;
            }
            // Told once. A process that starts after this one, on the same boot, would find the loss again, and blame the
            // disk for what a power loss has taken.
            let ends = short.iter().filter(|(at, ..)| *at == place);
            for (_, name, log_end) in ends {
                self.lower_high_watermark(place, name, *log_end);
            }
            let directory = &self.directories[place];
            self.save(directory, Checkpoint::HighWatermark).await;
        }
        short.is_empty() && shortened.is_empty()
    }

    /// The logs that end below what was known to be committed of them, with where they end.
    fn short(&self) -> Vec<(usize, Name, i64)> {
        let state = self.state.lock();
        let mut short = Vec::new();
        for (name, log) in &state.recovered {
            let Some(&place) = state.places.get(name) else {
                continue;
            };
            let known = self.known_end(place, name, log);
            let log_end = log.next_offset();
            if log_end < known {
                warn!(
                    topic = name.0,
                    partition = name.1,
                    log_end,
                    high_watermark = known,
                    "a log ends below what was committed: what was only in memory counts as lost"
                );
                short.push((place, name.clone(), log_end));
            }
        }
        short
    }

    /// Where the log of a partition ends at least: the high watermark, by the checkpoint.
    pub(super) fn known_end(&self, place: usize, name: &Name, log: &Log) -> i64 {
        let saved = self.directories[place].saved.lock();
        let told = saved.high_watermarks.get(name).copied();
        log.still_promised(told.unwrap_or(0))
    }

    fn lower_high_watermark(&self, place: usize, name: &Name, log_end: i64) {
        let mut saved = self.directories[place].saved.lock();
        saved.high_watermarks.insert(name.clone(), log_end);
    }

    /// For a log that could not be opened at the start, when all were judged, and can be now. Where it lacks something and
    /// the cluster counts on it, its directory is of no use until the next start has registered anew.
    pub(super) async fn judge_late(
        &self,
        place: usize,
        name: &Name,
        log: &Log,
    ) -> Result<(), Error> {
        let known = self.known_end(place, name, log);
        let is_short = log.next_offset() < known;
        let is_shortened = self.losses.shortened.lock().contains(name);
        if !is_short && !is_shortened {
            return Ok(());
        }
        let is_counted_on = self.losses.is_counted_on();
        if is_counted_on {
            self.losses.is_late.store(true, Ordering::SeqCst);
        }
        let directory = &self.directories[place];
        if !is_counted_on || self.lose_memory(place).await {
            self.lower_high_watermark(place, name, log.next_offset());
            self.save(directory, Checkpoint::HighWatermark).await;
        }
        if is_counted_on {
            directory.poison.set(format!(
                "the log of {}-{}, which could not be opened at the start, lacks what it had: restart the broker",
                name.0, name.1
            ));
        }
        directory.poison.check()
    }

    /// At once: whoever starts next may not find what is missing. Says whether that process cannot overlook it.
    pub(super) async fn lose_memory(&self, place: usize) -> bool {
        let Some(boot) = self.env.boot_id() else {
            return true;
        };
        let (disk, directory) = (self.disk.clone(), self.directories[place].clone());
        let was_closed = directory.clean.is_some();
        let lose = move || memory::lose(&*disk, &directory.path, &boot, was_closed);
        let lost = self.env.blocking(Pool::Sync, lose).await;
        lost.unwrap_or_else(|error| {
            warn!(%error, "cannot remove the name of the memory");
            false
        })
    }
}
