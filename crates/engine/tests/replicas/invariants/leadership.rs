//! Invariant 3: at most one leader per leader epoch.

use std::collections::BTreeMap;

use engine::ids::{BrokerId, LeaderEpoch};

use crate::broker::Broker;

#[derive(Default)]
pub struct Leadership {
    /// Also the incarnation: a process that starts anew must not lead in the epoch of the one before.
    leaders: BTreeMap<LeaderEpoch, (BrokerId, u8)>,
}

impl Leadership {
    pub fn check(&mut self, brokers: &[Broker]) {
        for broker in brokers {
            if let Some(epoch) = broker.leads() {
                let now = (broker.id, broker.incarnations);
                let first = *self.leaders.entry(epoch).or_insert(now);
                assert_eq!(first, now, "two leaders of epoch {epoch}");
            }
        }
    }

    pub fn count(&self) -> u64 {
        self.leaders.len() as u64
    }
}
