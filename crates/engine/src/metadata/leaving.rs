//! Brokers that go: for a while, in order, or for good.
//!
//! A broker that wants to stop gives its leaderships away at once, and stays in its ISRs, and replicates, until none of
//! them would fall below `min.insync.replicas` without it. What must not happen: that brokers which stop together wait
//! for one another. So a partition holds nobody who could not be replaced in it, and nothing holds the last broker
//! that is not about to stop itself. All of it is decided in the order of the log: of two brokers that could each go
//! but not both, one goes and the other waits.

use std::sync::Arc;

use super::{
    BrokerState, ConfigChange, ConfigEdit, DRAINED, Image, Outcome, PartitionId, PartitionState,
    Rejection, Resource,
};
use crate::ids::{BrokerEpoch, BrokerId};

/// The topic's own setting.
const MIN_ISR: &str = "min.insync.replicas";
/// How many partitions an answer names.
const NAMED: usize = 20;

impl Image {
    pub(super) fn leave_broker(
        &mut self,
        broker: BrokerId,
        epoch: BrokerEpoch,
        min_insync_replicas: u16,
        at_once: bool,
    ) -> Result<Outcome, Rejection> {
        self.check_epoch(broker, epoch)?;
        if let Some(stays) = self.broker_mut(broker).filter(|b| !b.leaving) {
            stays.leaving = true;
            self.settle_broker(broker);
        }
        let mut held = self.holding(broker, min_insync_replicas);
        if at_once || held.is_empty() {
            return self.shut_down_broker(broker, epoch);
        }
        let waiting = u32::try_from(held.len()).unwrap_or(u32::MAX);
        held.truncate(NAMED);
        Ok(Outcome::Leaving {
            waiting,
            partitions: held,
        })
    }

    /// The partitions for whose sake a broker should not leave its ISRs now.
    pub fn holding(&self, broker: BrokerId, min_insync_replicas: u16) -> Vec<PartitionId> {
        let stays = |b: &BrokerState| !b.fenced && !b.leaving && !b.shutting_down;
        // If nobody stays, nobody is left to be served.
        if !self.brokers().any(|b| b.id != broker && stays(b)) {
            return Vec::new();
        }
        self.partitions()
            .filter(|(id, p)| self.holds(*id, p, broker, min_insync_replicas))
            .map(|(id, _)| id)
            .collect()
    }

    fn holds(
        &self,
        id: PartitionId,
        p: &PartitionState,
        broker: BrokerId,
        min_insync_replicas: u16,
    ) -> bool {
        if !p.is_in_sync(broker) {
            return false;
        }
        let least = p.min_isr(self.min_insync_or(id, min_insync_replicas));
        let others = p.isr.len() - 1;
        // One that has stopped may come back, and one that only wants to stop will go.
        let may_be_in_sync = |b: &BrokerState| b.fenced || b.shutting_down || !b.leaving;
        let possible = p.replicas.iter().filter(|r| **r != broker);
        let possible = possible.filter(|r| self.broker(**r).is_some_and(|b| may_be_in_sync(b)));
        others < least && possible.count() >= least
    }

    /// The partitions that have fewer in sync without this broker than they should.
    pub fn suffering(&self, broker: BrokerId, min_insync_replicas: u16) -> Vec<PartitionId> {
        self.partitions()
            .filter(|(id, p)| {
                let least = p.min_isr(self.min_insync_or(*id, min_insync_replicas));
                let others = p.isr.iter().filter(|b| **b != broker).count();
                p.has_replica(broker) && others < least
            })
            .map(|(id, _)| id)
            .collect()
    }

    /// `min.insync.replicas` of a partition's topic, not bounded by its replicas.
    pub fn min_insync_replicas(&self, id: PartitionId) -> usize {
        self.min_insync_or(id, 1)
    }

    /// The same; `default` counts where nobody has set it, and no controller has said what it is then.
    fn min_insync_or(&self, id: PartitionId, default: u16) -> usize {
        let topic = self.topic_by_id(id.topic);
        let of_topic =
            topic.and_then(|t| self.config(&Resource::Topic(t.name.to_string()), MIN_ISR));
        let set = of_topic.or_else(|| self.config(&Resource::AllBrokers, MIN_ISR));
        let set = set.and_then(|value| value.parse().ok());
        let default = self.min_insync_default().unwrap_or(default);
        set.unwrap_or_else(|| usize::from(default))
    }

    /// Forgets a broker. It must have stopped, or it would be back at once; and it must not have replicas: whoever
    /// comes with its id later is another, and knows nothing of their records.
    pub(super) fn unregister_broker(&mut self, broker: BrokerId) -> Result<Outcome, Rejection> {
        let state = self.broker(broker).ok_or(Rejection::BrokerNotRegistered)?;
        if !state.fenced {
            return Err(Rejection::InvalidRequest(format!(
                "Broker {broker} is running: stop it first."
            )));
        }
        let held = self.partitions().filter(|(_, p)| p.has_replica(broker));
        let held: Vec<_> = held.map(|(id, _)| id).collect();
        if let Some(id) = held.first() {
            let topic = self.topic_by_id(id.topic).map_or("", |t| t.name.as_str());
            return Err(Rejection::InvalidRequest(format!(
                "Broker {broker} has replicas of {} partition(s), {topic}-{} among them: move them to other brokers first.",
                held.len(),
                id.index
            )));
        }
        Arc::make_mut(&mut self.brokers).remove(&broker);
        Arc::make_mut(&mut self.answers).remove(&broker);
        if self.is_drained(broker) {
            let edit = ConfigEdit::Subtract {
                items: broker.to_string(),
                default: String::new(),
            };
            self.alter_configs(&[ConfigChange {
                resource: Resource::AllBrokers,
                edits: vec![(DRAINED.to_owned(), edit)],
            }]);
        }
        Ok(Outcome::Done)
    }
}
