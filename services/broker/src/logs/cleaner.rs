//! Compacts logs with `cleanup.policy=compact`, the dirtiest first, one at a time.

use std::sync::Arc;

use storage::Error;
use tracing::{debug, info, warn};

use super::checkpoints::Checkpoint;
use super::{Directory, Logs, Name};
use crate::env::Pool;
use crate::partition::{Partition, Partitions};

/// Memory for the keys of one round (Kafka's `log.cleaner.dedupe.buffer.size` is as large for all its threads).
const DEDUPE_BYTES: usize = 128 << 20;

/// A log that is worth to be compacted.
struct Candidate {
    name: Name,
    partition: Arc<Partition>,
    first_dirty: i64,
    /// The log's, then.
    generation: u64,
    ratio: f64,
}

impl Logs {
    pub(super) async fn run_cleaner(self: Arc<Self>, partitions: Arc<Partitions>) {
        loop {
            if !self.clean_dirtiest(&partitions).await {
                tokio::time::sleep(self.config.log.cleaner_backoff).await;
            }
        }
    }

    /// Where the part of a log begins that was not compacted, and the log's generation: what has taken the place of cut
    /// records has not been compacted here, and a tombstone among it might go while an older value of its key is still there.
    fn first_dirty(directory: &Directory, name: &Name, partition: &Partition) -> (i64, u64) {
        // As one step: who has heard of a cut has taken it into account.
        let mut saved = directory.saved.lock();
        let (cut, generation) = partition.with_log(|log, _| (log.take_cut(), log.generation()));
        let Some(cleaned) = saved.cleaned.get_mut(name) else {
            return (0, generation);
        };
        *cleaned = cut.map_or(*cleaned, |cut| cut.min(*cleaned));
        (*cleaned, generation)
    }

    /// Takes cuts into account, durably.
    pub(super) async fn forget_cut(&self, partitions: &Partitions) {
        let held = self.by_directory(partitions);
        for (directory, held) in self.directories.iter().zip(held) {
            for (name, partition) in held {
                Self::first_dirty(directory, &name, &partition);
            }
            let changed = directory.saved.lock().cleaned != directory.written.lock().cleaned;
            if changed && directory.poison.reason().is_none() {
                self.save(directory, Checkpoint::Cleaned).await;
            }
        }
    }

    /// Whether something was compacted.
    pub(super) async fn clean_dirtiest(&self, partitions: &Partitions) -> bool {
        self.forget_cut(partitions).await;
        let held = self.by_directory(partitions).into_iter().flatten();
        let candidates = held.filter_map(|(name, partition)| self.candidate(name, partition));
        let dirtiest = candidates.max_by(|a, b| a.ratio.total_cmp(&b.ratio));
        let Some(candidate) = dirtiest else {
            return false;
        };
        let (topic, index) = (candidate.name.0.clone(), candidate.name.1);
        let id = candidate.partition.id();
        match self.clean(candidate, partitions).await {
            Ok(progress) => progress,
            Err(error) => {
                warn!(topic, partition = index, %error, "compaction failed");
                if let Some(offset) = error.damaged_at().or_else(|| error.unreadable_at()) {
                    partitions.suspects.report(id, offset);
                }
                false
            }
        }
    }

    fn candidate(&self, name: Name, partition: Arc<Partition>) -> Option<Candidate> {
        let directory = self.directory_of(&name)?;
        if directory.poison.reason().is_some() || directory.space.is_low() {
            return None;
        }
        let (first_dirty, generation) = Self::first_dirty(directory, &name, &partition);
        let now_ms = self.wall_ms();
        let dirtiness = partition.with_log(|log, high_watermark| -> Result<_, Error> {
            if !log.config().compact {
                return Ok(None);
            }
            log.roll_if_due(now_ms)?;
            let first_dirty = first_dirty.min(log.next_offset());
            let dirtiness = log.dirtiness(first_dirty, high_watermark.0, now_ms)?;
            let worth =
                dirtiness.overdue || dirtiness.ratio() > log.config().min_cleanable_dirty_ratio;
            Ok((worth && dirtiness.dirty_bytes > 0).then(|| (first_dirty, dirtiness.ratio())))
        });
        match dirtiness {
            Ok(worth) => worth.map(|(first_dirty, ratio)| Candidate {
                name,
                partition,
                first_dirty,
                generation,
                ratio,
            }),
            Err(error) => {
                debug!(topic = name.0, partition = name.1, %error, "not compacted");
                None
            }
        }
    }

    async fn clean(&self, candidate: Candidate, partitions: &Partitions) -> Result<bool, Error> {
        let Candidate {
            name,
            partition,
            first_dirty,
            generation,
            ..
        } = candidate;
        self.write_checkpoint(Checkpoint::RecoveryPoint, partitions)
            .await;
        // A recovery takes a gap above the recovery point that it finds for a loss, and cuts the log there.
        let Some(durable) = self.checkpointed(&name) else {
            return Ok(false);
        };
        let now_ms = self.wall_ms();
        let plan = partition.with_log(|log, high_watermark| {
            if log.generation() != generation {
                return Ok(None);
            }
            log.clean_plan(first_dirty, high_watermark.0.min(durable), now_ms)
        })?;
        let Some(plan) = plan else {
            return Ok(false);
        };
        let cleaned = self
            .env
            .blocking(Pool::Read, move || plan.run(DEDUPE_BYTES))
            .await?;
        let (cleaned_to, before, after) = (
            cleaned.cleaned_to,
            cleaned.bytes_before,
            cleaned.bytes_after,
        );
        let deleted = partition.with_log(|log, _| log.install_cleaned(cleaned))?;
        let Some(deleted) = deleted else {
            return Ok(false);
        };
        if let Some(directory) = self.directory_of(&name).cloned() {
            {
                let mut saved = directory.saved.lock();
                // Where it has been deleted meanwhile, the name may be another's; where it was cut, others may be there.
                if partition.with_log(|log, _| !log.is_retired() && log.generation() == generation)
                {
                    saved.cleaned.insert(name.clone(), cleaned_to);
                }
            }
            self.save(&directory, Checkpoint::Cleaned).await;
        }
        self.env
            .blocking(Pool::Sync, move || deleted.remove())
            .await?;
        info!(
            topic = name.0,
            partition = name.1,
            cleaned_to,
            bytes_before = before,
            bytes_after = after,
            "compacted"
        );
        Ok(cleaned_to > first_dirty)
    }

    /// The recovery point that the next start would find.
    pub(super) fn checkpointed(&self, name: &Name) -> Option<i64> {
        let directory = self.directory_of(name)?;
        let written = directory.written.lock();
        written.recovery_points.get(name).copied()
    }
}
