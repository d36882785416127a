//! Puts what the disk has changed right, with what another replica has: as soon as a read has failed, a scrub or a
//! recovery has found something, and again from time to time where no replica had it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use engine::ids::BrokerId;
use engine::metadata::{Image, PartitionId};
use storage::{Error, Repair};
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::checkpoints::Checkpoint;
use super::scrub::Reading;
use super::upkeep::ticks;
use super::{Logs, Name};
use crate::env::Pool;
use crate::partition::{Partition, Partitions};
use crate::quorum::Quorum;
use crate::replication::refetch;

/// Between two tries.
const RETRY: Duration = Duration::from_secs(5);
/// A segment in which a scrub finds nothing is not read again so soon, however many reads fail.
const REST: Duration = Duration::from_secs(10);

/// What nobody else has is read again at least so often, and no log is dropped more often.
const LONGEST: Duration = Duration::from_secs(600);

/// A segment of a partition, by its first offset.
type Place = (PartitionId, i64);

#[derive(Default)]
struct Known {
    /// When segments were last looked at because a read had failed.
    looked: BTreeMap<Place, Instant>,
    /// Where the medium has failed to give a segment, and since when. It may only have done so once.
    unreadable: BTreeMap<Place, Instant>,
    /// When what is known to be damaged is read again, and how long after the time before.
    again: BTreeMap<Place, (Instant, Duration)>,
    /// When logs were last dropped, to be filled anew.
    dropped: BTreeMap<PartitionId, Instant>,
    /// What it has been told of that nobody has it.
    told: BTreeSet<Place>,
    /// What has been told of logs that could not be repaired.
    failed: BTreeMap<PartitionId, String>,
}

impl Known {
    /// What keeps a log from being repaired is told once.
    fn tell(&mut self, partition: &Partition, failed: Option<String>) {
        let Some(error) = failed else {
            self.failed.remove(&partition.id());
            return;
        };
        let before = self.failed.insert(partition.id(), error.clone());
        if before.as_ref() != Some(&error) {
            warn!(topic = %partition.topic(), partition = partition.id().index, error, "cannot repair a log");
        }
    }

    fn forget_gone(&mut self, partitions: &Partitions, now: Instant) {
        self.dropped
            .retain(|_, dropped| now.duration_since(*dropped) < LONGEST);
        self.told.retain(|(id, _)| partitions.get(*id).is_some());
        self.failed.retain(|id, _| partitions.get(*id).is_some());
        let is_damaged = |id| {
            let partition = partitions.get(id);
            partition.is_some_and(|p| p.with_log(|log, _| log.is_damaged()))
        };
        self.again.retain(|(id, _), _| is_damaged(*id));
    }
}

impl Logs {
    pub(super) async fn run_repair(
        self: Arc<Self>,
        partitions: Arc<Partitions>,
        quorum: Option<Arc<Quorum>>,
    ) {
        let mut ticks = ticks(RETRY);
        let mut known = Known::default();
        loop {
            tokio::select! {
                biased;
                _ = ticks.tick() => {}
                () = partitions.suspects.changed() => {}
            }
            for (id, offset) in partitions.suspects.take() {
                if let Some(partition) = partitions.get(id) {
                    self.look_at(&partition, offset, &partitions, &mut known)
                        .await;
                }
            }
            self.look_again(&partitions, &mut known).await;
            let held = self.by_directory(&partitions).into_iter().flatten();
            for (name, partition) in held.collect::<Vec<_>>() {
                if partition.with_log(|log, _| log.is_damaged()) {
                    let is_certain = self
                        .look_at_damaged(&partition, &partitions, &mut known)
                        .await;
                    let failed = match self.is_compacted(&name, &partition) {
                        // A disk that goes on changing records does not have its logs dropped again and again.
                        true if is_certain && !known.dropped.contains_key(&partition.id()) => {
                            let refilled =
                                self.refill(&name, &partition, &partitions, quorum.as_deref());
                            let refilled = refilled.await;
                            if refilled == Ok(true) {
                                known.dropped.insert(partition.id(), self.env.now());
                            }
                            refilled.err()
                        }
                        true => None,
                        false => {
                            let repaired = self.repair(&name, &partition, &partitions, &mut known);
                            repaired.await.err().map(|error| error.to_string())
                        }
                    };
                    known.tell(&partition, failed);
                }
            }
            known.forget_gone(&partitions, self.env.now());
        }
    }

    /// Reads the segment again in which a read has failed.
    async fn look_at(
        &self,
        partition: &Arc<Partition>,
        offset: i64,
        partitions: &Partitions,
        known: &mut Known,
    ) {
        let now = self.env.now();
        known
            .looked
            .retain(|_, looked| now.duration_since(*looked) < REST);
        let base = partition.with_log(|log, _| log.segment_base(offset));
        let place = (partition.id(), base);
        if known.looked.contains_key(&place) {
            return;
        }
        known.looked.insert(place, now);
        self.read_again(partition, base, Reading::Strict, partitions, known)
            .await;
    }

    /// Reads again what the medium has not given a while ago. What it still does not give is damaged.
    async fn look_again(&self, partitions: &Partitions, known: &mut Known) {
        let now = self.env.now();
        let is_due = |since: &Instant| now.duration_since(*since) >= REST;
        let due = known.unreadable.extract_if(.., |_, since| is_due(since));
        for ((id, base), _) in due.collect::<Vec<_>>() {
            if let Some(partition) = partitions.get(id) {
                self.read_again(&partition, base, Reading::Salvaging, partitions, known)
                    .await;
            }
        }
    }

    /// Reads again what is known to be damaged, less and less often: nobody else may have it, and a disk, or what is between
    /// it and here, may have given it wrong for a while only. Says whether something still is damaged that was read again.
    async fn look_at_damaged(
        &self,
        partition: &Arc<Partition>,
        partitions: &Partitions,
        known: &mut Known,
    ) -> bool {
        let now = self.env.now();
        let mut is_certain = false;
        for base in partition.with_log(|log, _| log.damaged_segments()) {
            let place = (partition.id(), base);
            let (due, rest) = known.again.entry(place).or_insert((now + RETRY, RETRY));
            if now < *due {
                continue;
            }
            *rest = (*rest * 2).min(LONGEST);
            *due = now + *rest;
            self.read_again(partition, base, Reading::Strict, partitions, known)
                .await;
            is_certain = partition.with_log(|log, _| log.is_damaged());
        }
        is_certain
    }

    async fn read_again(
        &self,
        partition: &Arc<Partition>,
        base: i64,
        reading: Reading,
        partitions: &Partitions,
        known: &mut Known,
    ) {
        let counters = &partitions.metrics().damage;
        let read = self.scrub_segment(partition, base, reading, None, &counters.scrubbed_bytes);
        match read.await {
            Ok(damage) => {
                self.tell_damage(partition, &damage);
                counters.read.inc_by(damage.len() as u64);
            }
            Err(error) => {
                if error.unreadable_at().is_some() {
                    let place = (partition.id(), base);
                    known.unreadable.entry(place).or_insert(self.env.now());
                }
                warn!(topic = %partition.topic(), partition = partition.id().index, %error, "cannot read a segment again");
            }
        }
    }

    /// Repairs each damaged segment that is committed and durable.
    async fn repair(
        &self,
        name: &Name,
        partition: &Arc<Partition>,
        partitions: &Partitions,
        known: &mut Known,
    ) -> Result<(), Error> {
        let now_ms = self.wall_ms();
        partition.with_log(|log, _| {
            log.check_writable()?;
            log.close_damaged(now_ms)
        })?;
        partition.flush(&self.env).await?;
        self.write_checkpoint(Checkpoint::RecoveryPoint, partitions)
            .await;
        let durable = self.checkpointed(name).unwrap_or(0);
        let mut from = 0;
        while let Some(repair) =
            partition.with_log(|log, hw| log.repair(from, hw.0.min(durable), now_ms))?
        {
            let base = repair.base_offset();
            from = base + 1;
            let image = partitions.image();
            let Some(peers) = refetch::peers(&image, partition.id(), self.config.node_id) else {
                return Ok(());
            };
            let place = (partition.id(), base);
            match self.refetch(partition, &image, &peers, repair).await? {
                Ok(repair) => {
                    self.install(partition, partitions, repair).await?;
                    known.told.remove(&place);
                }
                Err(why) if known.told.insert(place) => error!(
                    topic = %partition.topic(), partition = partition.id().index, segment = base, why,
                    "no other replica in sync has the records that the disk has changed: they stay refused to readers, \
                     and are asked for again"
                ),
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// Fetches what is missing, from one replica after the other; or tells what the last one has said.
    async fn refetch(
        &self,
        partition: &Partition,
        image: &Image,
        peers: &[BrokerId],
        mut repair: Repair,
    ) -> Result<Result<Repair, String>, Error> {
        let mut why = "there is none".to_string();
        for peer in peers.iter().copied() {
            let source = refetch::Source {
                env: &self.env,
                config: &self.config,
                image,
                id: partition.id(),
                peer,
            };
            let (back, fetched) = source.fetch(repair).await;
            repair = back;
            match fetched {
                Ok(()) => return Ok(Ok(repair)),
                Err(refetch::Error::Log(error)) => return Err(error),
                Err(error) => why = format!("broker {peer}: {error}"),
            }
        }
        Ok(Err(why))
    }

    async fn install(
        &self,
        partition: &Arc<Partition>,
        partitions: &Partitions,
        repair: Repair,
    ) -> Result<(), Error> {
        let base = repair.base_offset();
        let finished = self.env.blocking(Pool::Read, move || repair.finish()).await;
        if let Err(Error::Corrupt { .. }) = finished {
            partitions.suspects.report(partition.id(), base);
        }
        let repaired = finished?;
        let Some(deleted) = partition.with_log(|log, _| log.install_repaired(repaired))? else {
            return Ok(());
        };
        self.env
            .blocking(Pool::Sync, move || deleted.remove())
            .await?;
        partitions.metrics().damage.repaired_segments.inc();
        info!(
            topic = %partition.topic(), partition = partition.id().index, segment = base,
            "repaired a segment with what another replica has; the damaged file is kept as .damaged"
        );
        Ok(())
    }
}
