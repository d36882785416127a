//! Reads every log again, slowly, once per `log.scrub.interval.ms`: what nobody reads is found damaged while another
//! replica still has it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use engine::metadata::PartitionId;
use storage::{Damage, Error};
use telemetry::metrics::Counter;
use tokio::time::{Instant, sleep};
use tracing::{error, info, warn};

use super::checkpoints::Checkpoint;
use super::upkeep::ticks;
use super::{Logs, Name};
use crate::env::Pool;
use crate::partition::{Partition, Partitions};

/// What is read at a time.
const PART_BYTES: u64 = 1 << 20;
/// The most between two looks for logs that are due, and between two writes of what was done.
const TICK: Duration = Duration::from_secs(60);

/// When each log was last read again: Unix time in milliseconds, as far as this process knows.
type Done = BTreeMap<PartitionId, i64>;

/// What becomes of what the medium does not give.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// It ends the reading.
    Strict,
    /// It is damaged.
    Salvaging,
}

impl Logs {
    pub(super) async fn run_scrub(self: Arc<Self>, partitions: Arc<Partitions>) {
        let mut ticks = ticks(TICK.min(self.config.log.scrub_interval / 10));
        let mut done = Done::new();
        // At a start there is enough to read.
        ticks.tick().await;
        loop {
            ticks.tick().await;
            let held = self.by_directory(&partitions).into_iter().flatten();
            let held: Vec<_> = held.collect();
            done.retain(|id, _| held.iter().any(|(_, partition)| partition.id() == *id));
            let mut saved = self.env.now();
            for (name, partition) in held {
                if self.is_scrub_due(&name, &partition, &done) {
                    self.scrub_log(&name, &partition, &partitions).await;
                    done.insert(partition.id(), self.env.wall_ms());
                }
                if self.env.now().duration_since(saved) > TICK {
                    saved = self.env.now();
                    self.save_scrubbed().await;
                }
            }
            self.save_scrubbed().await;
        }
    }

    async fn save_scrubbed(&self) {
        for directory in &self.directories {
            let changed = directory.saved.lock().scrubbed != directory.written.lock().scrubbed;
            if changed && directory.poison.reason().is_none() {
                self.save(directory, Checkpoint::Scrubbed).await;
            }
        }
    }

    fn is_scrub_due(&self, name: &Name, partition: &Partition, done: &Done) -> bool {
        let saved = || {
            let directory = self.directory_of(name)?;
            directory.saved.lock().scrubbed.get(name).copied()
        };
        let last = done.get(&partition.id()).copied().or_else(saved);
        let interval_ms = self.config.log.scrub_interval.as_millis() as i64;
        // A clock that was set back says nothing.
        last.is_none_or(|last| !(0..interval_ms).contains(&(self.env.wall_ms() - last)))
    }

    /// Reads all of a log that is durable.
    async fn scrub_log(&self, name: &Name, partition: &Arc<Partition>, partitions: &Partitions) {
        let counters = &partitions.metrics().damage;
        let pace = Some(self.config.log.scrub_bytes_per_second);
        let mut is_whole = true;
        for base in partition.with_log(|log, _| log.durable_segments()) {
            let bytes = &counters.scrubbed_bytes;
            let read = self.scrub_segment(partition, base, Reading::Strict, pace, bytes);
            match read.await {
                Ok(damage) => {
                    self.tell_damage(partition, &damage);
                    counters.scrub.inc_by(damage.len() as u64);
                    if !damage.is_empty() {
                        partitions.suspects.wake();
                    }
                }
                Err(_) if partition.with_log(|log, _| log.is_retired()) => return,
                Err(error) => {
                    is_whole = false;
                    if let Some(offset) = error.unreadable_at() {
                        partitions.suspects.report(partition.id(), offset);
                    }
                    let index = partition.id().index;
                    warn!(topic = %partition.topic(), partition = index, %error, "a scrub cannot read a segment");
                }
            }
        }
        // What is damaged is looked at again after the next start, which has forgotten it.
        is_whole &= partition.with_log(|log, _| !log.is_damaged() && !log.is_retired());
        if is_whole && let Some(directory) = self.directory_of(name) {
            let now_ms = self.env.wall_ms();
            directory.saved.lock().scrubbed.insert(name.clone(), now_ms);
        }
    }

    /// Reads a segment again, at a pace of bytes per second; gives what was not known to be damaged.
    pub(super) async fn scrub_segment(
        &self,
        partition: &Arc<Partition>,
        base: i64,
        reading: Reading,
        pace: Option<u64>,
        scrubbed: &Counter,
    ) -> Result<Vec<Damage>, Error> {
        let Some(mut scrub) = partition.with_log(|log, _| log.scrub(base))? else {
            return Ok(Vec::new());
        };
        if reading == Reading::Salvaging {
            scrub = scrub.salvaging();
        }
        loop {
            let began: Instant = self.env.now();
            let part = move || (scrub.advance(PART_BYTES), scrub);
            let (read, back) = self.env.blocking(Pool::Read, part).await;
            scrub = back;
            let read = read?;
            if read == 0 {
                break;
            }
            scrubbed.inc_by(read);
            if let Some(bytes_per_second) = pace {
                let takes = Duration::from_secs_f64(read as f64 / bytes_per_second as f64);
                sleep(takes.saturating_sub(self.env.now().duration_since(began))).await;
            }
        }
        let scrubbed = partition.with_log(|log, _| log.on_scrubbed(&scrub));
        for damage in scrubbed.gone {
            info!(
                topic = %partition.topic(), partition = partition.id().index, from = damage.from, to = damage.to,
                "the disk gives records as they were written that it had given changed: they are served again"
            );
        }
        Ok(scrubbed.new)
    }

    pub(super) fn tell_damage(&self, partition: &Partition, damage: &[Damage]) {
        for damage in damage {
            error!(
                topic = %partition.topic(), partition = partition.id().index,
                from = damage.from, to = damage.to, reason = damage.reason,
                "the disk has changed records: they are refused to readers until they are fetched from another replica"
            );
        }
    }
}
