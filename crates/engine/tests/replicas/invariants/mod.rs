//! The invariants of the design, section 5, that one partition can break. Each panics when it is broken.

mod agreement;
mod committed;
mod idempotence;
mod latest;
mod leadership;

use engine::ids::Offset;
use engine::metadata::PartitionState;

use crate::broker::Broker;
use crate::clients::{Consumer, Producer};

#[derive(Default)]
pub struct Invariants {
    committed: committed::Committed,
    leadership: leadership::Leadership,
    idempotence: idempotence::Idempotence,
}

impl Invariants {
    pub fn check(&mut self, brokers: &[Broker], producers: &[Producer], state: &PartitionState) {
        self.leadership.check(brokers);
        agreement::check(brokers);
        self.committed.check(brokers, producers, state);
        self.idempotence.check(self.committed.batches());
    }

    pub fn on_latest(&mut self, consumer: &mut Consumer, latest: Offset) {
        latest::check(consumer, latest, self.committed.end());
    }

    pub fn committed(&self) -> usize {
        self.committed.batches().len()
    }

    pub fn leaderships(&self) -> u64 {
        self.leadership.count()
    }
}
