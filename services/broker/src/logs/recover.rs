//! The start: every log in the directories is opened, and checked where the last stop was not in order.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt};
use storage::{Error, Log, LogConfig, OpenState, Recovery};
use tracing::{error, info, warn};

use super::{Directory, Logs, Name, OpenError, memory};
use crate::env::Pool;

/// Between lines that tell how far a long recovery has come.
const PROGRESS: Duration = Duration::from_secs(2);

impl Logs {
    pub(super) async fn recover(&self) -> Result<(), OpenError> {
        let began = self.env.now();
        let mut work = Vec::new();
        for (place, directory) in self.directories.iter().enumerate() {
            let (disk, listed) = (self.disk.clone(), directory.clone());
            let found = self
                .env
                .blocking(Pool::Read, move || listed.partitions(&*disk))
                .await?;
            directory.saved.lock().keep_only(&found);
            let clean = directory.clean.is_some();
            if !found.is_empty() {
                info!(dir = %directory.path.display(), logs = found.len(), clean, "opening logs");
            }
            work.extend(found.into_iter().map(|name| (place, name)));
        }
        let total = work.len();
        let at_a_time = self.config.log.recovery_threads.max(1) * self.directories.len();
        let opening = work
            .into_iter()
            .map(|(place, name)| self.recover_one(place, name));
        let mut opening = stream::iter(opening).buffered(at_a_time);
        let (mut done, mut told) = (0, began);
        while opening.next().await.is_some() {
            done += 1;
            let now = self.env.now();
            if now.duration_since(told) >= PROGRESS {
                info!(done, total, "recovering logs");
                told = now;
            }
        }
        drop(opening);
        if total > 0 {
            let took_ms = self.env.now().duration_since(began).as_millis() as u64;
            info!(logs = total, took_ms, "logs are open");
        }
        Ok(())
    }

    /// Whether no log ends below what was known to be committed of it, and none had to be cut but for an append that the end
    /// of the process has interrupted. The death of a process alone does not make that, so memory was lost, or the disk has
    /// lost something.
    pub(super) fn has_all_written(&self) -> bool {
        let state = self.state.lock();
        let mut has_all = state.shortened.is_empty();
        if let Some((topic, partition)) = state.shortened.first() {
            warn!(
                logs = state.shortened.len(),
                topic,
                partition,
                "logs had to be cut more than the end of a process explains: what was only in memory counts as lost"
            );
        }
        for (name, log) in &state.recovered {
            let place = state.places.get(name);
            let known = place.and_then(|place| {
                let saved = self.directories[*place].saved.lock();
                saved.high_watermarks.get(name).copied()
            });
            let (known, log_end) = (known.unwrap_or(0), log.next_offset());
            if log_end < known {
                has_all = false;
                warn!(
                    topic = name.0,
                    partition = name.1,
                    log_end,
                    high_watermark = known,
                    "a log ends below what was committed: what was only in memory counts as lost"
                );
            }
        }
        has_all
    }

    /// A log that cannot be opened is left alone; whoever asks for it tries again and gets the error.
    async fn recover_one(&self, place: usize, name: Name) {
        match self.open_log(place, &name, LogConfig::default()).await {
            Ok((log, recovery)) => {
                let clean = self.directories[place].clean.is_some();
                let is_shortened = recovery.cut.is_some_and(|cut| clean || !cut.is_torn);
                if is_shortened {
                    self.lose_memory(place).await;
                }
                let mut state = self.state.lock();
                if is_shortened {
                    state.shortened.insert(name.clone());
                }
                state.places.insert(name.clone(), place);
                state.recovered.insert(name, log);
            }
            Err(error) => {
                self.state.lock().places.insert(name.clone(), place);
                error!(topic = name.0, partition = name.1, %error, "cannot open a log");
            }
        }
    }

    /// At once: whoever starts next does not find what was cut by this one.
    async fn lose_memory(&self, place: usize) {
        let Some(boot) = self.env.boot_id() else {
            return;
        };
        let (disk, directory) = (self.disk.clone(), self.directories[place].clone());
        let lose = move || memory::lose(&*disk, &directory.path, &boot);
        self.env.blocking(Pool::Sync, lose).await;
    }

    pub(super) async fn open_log(
        &self,
        place: usize,
        name: &Name,
        config: LogConfig,
    ) -> Result<(Log, Recovery), Error> {
        let directory = &self.directories[place];
        let path = directory.partition_path(&name.0, name.1);
        let start = self.open_state(directory, name);
        let clean = start.clean;
        let (disk, budget, dir) = (self.disk.clone(), self.budget.clone(), path.clone());
        let opened = self
            .env
            .blocking(Pool::Read, move || {
                Log::open(disk, &dir, config, budget, start)
            })
            .await?;
        report(&path, clean, &opened.1);
        Ok(opened)
    }

    fn open_state(&self, directory: &Arc<Directory>, name: &Name) -> OpenState {
        let saved = directory.saved.lock();
        OpenState {
            clean: directory.clean.is_some(),
            recovery_point: saved.recovery_points.get(name).copied().unwrap_or(0),
            log_start: saved.log_starts.get(name).copied().unwrap_or(0),
            now_ms: self.wall_ms(),
            poison: directory.poison.clone(),
            space: directory.space.clone(),
        }
    }

    /// Unix time, for what is compared with the time of records.
    pub(super) fn wall_ms(&self) -> u64 {
        self.env.wall_ms().max(0) as u64
    }
}

fn report(path: &Path, clean: bool, recovery: &Recovery) {
    if let Some(first) = recovery.damage.first() {
        let offsets: i64 = recovery.damage.iter().map(|d| d.to - d.from).sum();
        error!(
            log = %path.display(), from = first.from, to = first.to, offsets, reason = first.reason,
            "the disk has changed records that were durable: they are refused to readers until they are fetched from \
             another replica"
        );
    }
    match &recovery.cut {
        Some(cut) => warn!(
            log = %path.display(), offset = cut.offset, bytes = cut.bytes, reason = cut.reason,
            "cut the end of a log that is not whole batches"
        ),
        None if !clean && recovery.next_offset > 0 => {
            info!(log = %path.display(), log_end = recovery.next_offset, "recovered");
        }
        None => {}
    }
}
