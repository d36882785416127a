//! Registration of brokers and the changes of their state, each with all that follows for their partitions.

use std::sync::Arc;

use super::{BrokerState, Image, Memory, Outcome, Registration, Rejection};
use crate::ids::{BrokerEpoch, BrokerId};

impl Image {
    /// Takes in a broker's new incarnation, fenced until it has caught up with the log.
    ///
    /// `memory` names what its machine keeps written pages in. If the earlier incarnation has not stopped cleanly, and
    /// that memory is another one or unknown, records that it had are gone: the new one leaves every ISR and ELR in
    /// this same write (KIP-966), but for those where all was flushed to disks that are still there. A repeated
    /// registration of the same incarnation changes nothing.
    pub(super) fn register_broker(
        &mut self,
        new: &Registration,
        memory: Option<Memory>,
    ) -> Result<Outcome, Rejection> {
        self.check_cluster(new)?;
        let before = self.broker(new.broker).cloned();
        let clean = before.as_ref().is_none_or(|b| {
            new.clean_epoch == Some(b.epoch)
                || memory.is_some_and(|memory| b.memory == Some(memory.id))
        });
        if let Some(same) = before.filter(|b| b.incarnation == new.incarnation) {
            return Ok(Outcome::Registered {
                epoch: same.epoch,
                clean,
            });
        }
        if new.endpoints.is_empty() {
            return Err(Rejection::InvalidRequest(
                "a broker needs at least one listener".into(),
            ));
        }
        // The entry's index: it only grows, and no two registrations share one.
        let epoch = BrokerEpoch(self.index as i64);
        let state = BrokerState {
            id: new.broker,
            incarnation: new.incarnation,
            directory: new.directory,
            epoch,
            endpoints: new.endpoints.clone(),
            rack: new.rack.clone(),
            fenced: true,
            shutting_down: false,
            stalled: false,
            leaving: false,
            memory: memory.map(|memory| memory.id),
        };
        Arc::make_mut(&mut self.brokers).insert(new.broker, Arc::new(state));
        Arc::make_mut(&mut self.answers).remove(&new.broker);
        match clean {
            true => self.settle_broker(new.broker),
            false => {
                let same_disks = memory.is_some_and(|memory| memory.same_disks);
                self.settle_unclean(new.broker, same_disks);
            }
        }
        Ok(Outcome::Registered { epoch, clean })
    }

    fn check_cluster(&self, new: &Registration) -> Result<(), Rejection> {
        match (&self.cluster_id, &new.cluster_id) {
            (Some(ours), Some(theirs)) if ours != theirs => Err(Rejection::InconsistentClusterId {
                ours: ours.to_string(),
                theirs: theirs.to_string(),
            }),
            _ => Ok(()),
        }
    }

    pub(super) fn unfence_broker(
        &mut self,
        broker: BrokerId,
        epoch: BrokerEpoch,
    ) -> Result<Outcome, Rejection> {
        self.change_broker(broker, epoch, |b| b.fenced = false)
    }

    pub(super) fn fence_broker(
        &mut self,
        broker: BrokerId,
        epoch: BrokerEpoch,
    ) -> Result<Outcome, Rejection> {
        self.change_broker(broker, epoch, |b| b.fenced = true)
    }

    pub(super) fn stall_broker(
        &mut self,
        broker: BrokerId,
        epoch: BrokerEpoch,
        stalled: bool,
    ) -> Result<Outcome, Rejection> {
        self.change_broker(broker, epoch, |b| b.stalled = stalled)
    }

    pub(super) fn shut_down_broker(
        &mut self,
        broker: BrokerId,
        epoch: BrokerEpoch,
    ) -> Result<Outcome, Rejection> {
        self.change_broker(broker, epoch, |b| b.shutting_down = true)?;
        let remaining = self.leaderships(broker);
        Ok(Outcome::ShuttingDown {
            remaining_leaderships: u32::try_from(remaining).unwrap_or(u32::MAX),
        })
    }

    /// The memory that the broker registered with is not to be relied upon any more. What it holds now may still be
    /// needed by others, so it leaves no ISR before it registers again.
    pub(super) fn forget_memory(
        &mut self,
        broker: BrokerId,
        epoch: BrokerEpoch,
    ) -> Result<Outcome, Rejection> {
        self.change_broker(broker, epoch, |b| b.memory = None)
    }

    fn change_broker(
        &mut self,
        broker: BrokerId,
        epoch: BrokerEpoch,
        change: impl FnOnce(&mut BrokerState),
    ) -> Result<Outcome, Rejection> {
        self.check_epoch(broker, epoch)?;
        self.broker_mut(broker).map(change);
        self.settle_broker(broker);
        Ok(Outcome::Done)
    }
}
