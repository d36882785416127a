//! Invariant 1: a committed record is never lost, changed or reordered.
//!
//! Committed is what any replica has had below its high watermark, and what has been acknowledged. It is on as many
//! replicas as `min.insync.replicas` asks for when it becomes so, with `flush.messages=1` on disk. The newest leader must
//! have all of it, wherever the one before has died; and so must every member of the ISR and of the ELR, since each may
//! lead next.

use std::collections::BTreeSet;

use engine::metadata::PartitionState;
use wire::batch::BatchHeader;

use crate::broker::Broker;
use crate::clients::Producer;

#[derive(Default)]
pub struct Committed {
    batches: Vec<BatchHeader>,
    /// How many acknowledgements of each producer have been found among them.
    acknowledged: Vec<usize>,
    /// What each broker has ever had in a way that counts.
    had: Vec<BTreeSet<(u32, i64)>>,
}

fn name(batch: &BatchHeader) -> (u32, i64) {
    (batch.crc, batch.base_offset)
}

impl Committed {
    pub fn batches(&self) -> &[BatchHeader] {
        &self.batches
    }

    pub fn end(&self) -> i64 {
        self.batches.last().map_or(0, BatchHeader::next_offset)
    }

    pub fn check(&mut self, brokers: &[Broker], producers: &[Producer], state: &PartitionState) {
        self.had.resize_with(brokers.len(), BTreeSet::new);
        for (had, broker) in self.had.iter_mut().zip(brokers) {
            had.extend(broker.counted().iter().skip(self.batches.len()).map(name));
        }
        for broker in brokers {
            if let Some(life) = &broker.life {
                self.learn(broker, life.replica.high_watermark().0);
            }
        }
        for broker in brokers {
            if broker.leads() == Some(state.leader_epoch) {
                self.check_leader(broker);
            }
            // What a crash took counts once the controller has heard of it: it then leaves the ISR and the ELR.
            if state.is_eligible(broker.id) && !broker.tainted {
                self.check_member(broker);
            }
        }
        self.check_copies(brokers, state);
        self.check_acknowledged(producers);
    }

    /// Where nothing that counts can be lost by a crash, whatever is committed stays on two of the replicas, however
    /// they move.
    fn check_copies(&self, brokers: &[Broker], state: &PartitionState) {
        let replicas = brokers.iter().filter(|b| state.has_replica(b.id));
        let whole = replicas.filter(|b| b.counted().starts_with(&self.batches));
        assert!(
            !brokers[0].flush_each || whole.count() >= 2,
            "of the replicas {:?} fewer than two have all that is committed",
            state.replicas
        );
    }

    fn learn(&mut self, broker: &Broker, high_watermark: i64) {
        let below = broker
            .disk
            .batches
            .iter()
            .take_while(|b| b.next_offset() <= high_watermark);
        for (at, batch) in below.enumerate() {
            match self.batches.get(at) {
                Some(known) => assert_eq!(
                    known, batch,
                    "broker {} shows another committed batch",
                    broker.id
                ),
                None => {
                    // One may have lost it again since the leader heard that it has it.
                    let copies = self
                        .had
                        .iter()
                        .filter(|had| had.contains(&name(batch)))
                        .count();
                    assert!(
                        copies >= 2,
                        "offset {} is committed on {copies} replica",
                        batch.base_offset
                    );
                    self.batches.push(*batch);
                }
            }
        }
        let end = broker.disk.end();
        assert!(
            end >= high_watermark,
            "broker {}: high watermark {high_watermark} beyond the log end {end}",
            broker.id
        );
    }

    fn check_leader(&self, broker: &Broker) {
        let log = &broker.disk.batches;
        assert!(
            log.len() >= self.batches.len(),
            "leader {} has {} batches, {} are committed",
            broker.id,
            log.len(),
            self.batches.len()
        );
        assert_eq!(
            log[..self.batches.len()],
            self.batches,
            "leader {} has other batches",
            broker.id
        );
    }

    fn check_member(&self, broker: &Broker) {
        let has = broker.counted();
        assert!(
            has.starts_with(&self.batches),
            "broker {} may lead next, but has {} batches, not all {} that are committed",
            broker.id,
            has.len(),
            self.batches.len()
        );
    }

    fn check_acknowledged(&mut self, producers: &[Producer]) {
        self.acknowledged.resize(producers.len(), 0);
        for (seen, producer) in self.acknowledged.iter_mut().zip(producers) {
            for name in &producer.acknowledged[*seen..] {
                let is_there = self.batches.iter().any(|batch| batch.crc == *name);
                assert!(is_there, "batch {name} is acknowledged, but not committed");
            }
            *seen = producer.acknowledged.len();
        }
    }
}
