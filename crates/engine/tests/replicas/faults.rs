//! What goes wrong, and the end where nothing does any more.

use engine::metadata::Command;
use rand::Rng;

use crate::controller::PARTITION;
use crate::world::World;

/// Rounds in which a healed cluster must come to rest.
const ROUNDS: usize = 200;

impl World {
    pub fn fault(&mut self) {
        let at = self.any_broker();
        if self.brokers.len() > 3 && self.rng.random_bool(0.4) {
            return self.move_or_leave(at);
        }
        match self.rng.random_range(0..11) {
            0..=1 => self.crash(at),
            2..=5 => self.restart_or_register(at),
            6..=7 => self.unfence(at),
            8 => self.fence(at),
            9 => self.bounce(at),
            _ => self.elect_preferred(),
        }
    }

    fn crash(&mut self, at: usize) {
        if self.brokers[at].life.is_none() {
            return;
        }
        let unsynced = self.brokers[at].disk.unsynced();
        let loses = unsynced > 0 && self.rng.random_bool(0.5);
        if loses && self.may_lose_memory(at) {
            let kept = self.rng.random_range(0..unsynced);
            self.brokers[at].disk.lose_tail(kept);
            self.brokers[at].tainted = true;
            self.brokers[at].memory += 1;
        }
        self.brokers[at].life = None;
    }

    /// A process that is back before anybody has missed it: what was said of the one before is still on its way.
    fn bounce(&mut self, at: usize) {
        self.crash(at);
        for _ in 0..2 {
            self.restart_or_register(at);
        }
        self.unfence(at);
    }

    /// Without `flush.messages=1` any broker may lose what it had not synced, not all that have a record: of the ISR and
    /// the ELR one must keep its memory, and its replica too if replicas are moving away. An ISR that could commit must
    /// not consist of those who have lost theirs and whom nobody has missed yet, as whoever leaves it is not eligible.
    fn may_lose_memory(&self, at: usize) -> bool {
        if self.options.flush_each {
            return true;
        }
        let (image, state) = (self.controller.image(), self.controller.partition());
        let target = state.target();
        let lost = |n: usize| n == at || self.brokers[n].tainted;
        let keeps = |n: usize| {
            let id = self.brokers[n].id;
            !lost(n) && state.is_eligible(id) && target.contains(&id)
        };
        let all = 0..self.brokers.len();
        let unnoticed = |n: &usize| lost(*n) && image.is_unfenced(self.brokers[*n].id);
        all.clone().any(keeps) && all.filter(unnoticed).count() < self.options.min_insync_replicas
    }

    pub fn restart_or_register(&mut self, at: usize) {
        let options = self.options;
        let broker = &mut self.brokers[at];
        if broker.life.is_none() {
            broker.start(options);
            return;
        }
        let id = broker.id;
        let Some(life) = &mut broker.life else { return };
        if life.epoch.is_none() {
            let incarnation = World::incarnation_id(id, life.incarnation);
            life.epoch = Some(self.controller.register(id, incarnation, broker.memory));
            broker.tainted = false;
        }
    }

    pub fn unfence(&mut self, at: usize) {
        let broker = &self.brokers[at];
        let Some(epoch) = broker.life.as_ref().and_then(|life| life.epoch) else {
            return;
        };
        // Refused for a registration that is over.
        let _ = self.controller.apply(&Command::UnfenceBroker {
            broker: broker.id,
            epoch,
        });
    }

    /// The controller has not heard of a broker, which may be dead or merely slow.
    fn fence(&mut self, at: usize) {
        let id = self.brokers[at].id;
        if let Some(epoch) = self.controller.image().broker(id).map(|b| b.epoch) {
            let _ = self
                .controller
                .apply(&Command::FenceBroker { broker: id, epoch });
        }
    }

    fn elect_preferred(&mut self) {
        let _ = self.controller.apply(&Command::ElectPreferred {
            partitions: vec![PARTITION],
        });
    }

    /// Faults stop. Every broker returns, everything is delivered, and soon all is replicated and acknowledged.
    pub fn heal(&mut self) {
        self.hushed = None;
        for _ in 0..ROUNDS {
            self.end_leaving();
            for at in 0..self.brokers.len() {
                self.restart_or_register(at);
                self.restart_or_register(at);
                self.unfence(at);
                self.brokers[at].sync(self.now_ms);
                self.settle();
                self.fetch(at);
                self.forget_lost_answers(at);
                self.propose(at);
            }
            self.retry_producers();
            while !self.bus.is_empty() {
                let message = self.bus.remove(0);
                self.deliver(message);
                self.settle();
            }
            self.now_ms += 10;
            if self.is_at_rest() {
                return;
            }
        }
        panic!(
            "a healed cluster does not come to rest: {:?} {}",
            self.controller.partition(),
            self.summary()
        );
    }

    /// An answer that was lost on the way never comes.
    fn forget_lost_answers(&mut self, at: usize) {
        if let Some(life) = &mut self.brokers[at].life
            && let Some(proposal) = life.proposal.take()
        {
            life.replica.on_isr_unknown(&proposal);
        }
    }

    fn retry_producers(&mut self) {
        let leader = self
            .controller
            .partition()
            .leader
            .map_or(0, |id| id.0 as usize - 1);
        for at in 0..self.producers.len() {
            self.producers[at].reconnect(leader);
            for _ in 0..self.producers[at].unacknowledged.len() {
                self.produce(at);
            }
        }
    }

    fn is_at_rest(&self) -> bool {
        let state = self.controller.partition();
        let replicas = || self.brokers.iter().filter(|b| state.has_replica(b.id));
        let ends: Vec<_> = replicas().map(|b| b.disk.end()).collect();
        let marks = replicas()
            .filter_map(|b| b.life.as_ref())
            .map(|l| l.replica.high_watermark().0);
        let replicated =
            ends.iter().all(|end| *end == ends[0]) && marks.into_iter().all(|mark| mark == ends[0]);
        replicated
            && state.isr.len() == state.replicas.len()
            && !state.is_reassigned()
            && self.producers.iter().all(|p| p.unacknowledged.is_empty())
    }
}
