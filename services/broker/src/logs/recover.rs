//! The start: every log in the directories is opened, and checked where the last stop was not in order.

use std::path::Path;
use std::time::Duration;

use futures::stream::{self, StreamExt};
use storage::{Error, Log, LogConfig, OpenState, Recovery};
use tracing::{error, info, warn};

use super::{Logs, Name, OpenError};
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

    /// A log that cannot be opened is left alone; whoever asks for it tries again and gets the error.
    async fn recover_one(&self, place: usize, name: Name) {
        let opened = self.open_log(place, &name, LogConfig::default()).await;
        let mut state = self.state.lock();
        state.places.insert(name.clone(), place);
        match opened {
            Ok(log) => {
                state.recovered.insert(name, log);
            }
            Err(error) => {
                error!(topic = name.0, partition = name.1, %error, "cannot open a log");
            }
        }
    }

    pub(super) async fn open_log(
        &self,
        place: usize,
        name: &Name,
        config: LogConfig,
    ) -> Result<Log, Error> {
        let path = self.directories[place].partition_path(&name.0, name.1);
        let start = self.open_state(place, name);
        let clean = start.clean;
        let (disk, budget, dir) = (self.disk.clone(), self.budget.clone(), path.clone());
        let open = move || Log::open(disk, &dir, config, budget, start);
        let (log, recovery) = self.env.blocking(Pool::Read, open).await?;
        report(&path, clean, &recovery);
        Ok(log)
    }

    fn open_state(&self, place: usize, name: &Name) -> OpenState {
        let directory = &self.directories[place];
        let saved = directory.saved.lock();
        OpenState {
            clean: directory.clean.is_some(),
            recovery_point: saved.recovery_points.get(name).copied().unwrap_or(0),
            log_start: saved.log_starts.get(name).copied().unwrap_or(0),
            cleaned: saved.cleaned.get(name).copied().unwrap_or(0),
            now_ms: self.wall_ms(),
            poison: directory.poison.clone(),
            space: directory.space.clone(),
            before_cut: self.before_cut(place, name),
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
