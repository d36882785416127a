//! Replicas that move, moves that are taken back, brokers that stop in order.

use engine::ids::BrokerId;
use engine::metadata::{Command, Outcome, Reassignment};
use rand::Rng;

use crate::controller::PARTITION;
use crate::network::Message;
use crate::world::World;

impl World {
    pub fn move_or_leave(&mut self, at: usize) {
        match self.rng.random_range(0..7) {
            0..=2 => self.reassign(),
            3 => self.take_back(),
            4 => self.away_and_back(at),
            _ => self.leave(at),
        }
    }

    /// To two, three or four brokers in any order, whatever else is under way.
    fn reassign(&mut self) {
        let wanted = self.rng.random_range(2..=4);
        let mut target: Vec<BrokerId> = Vec::new();
        while target.len() < wanted {
            let id = BrokerId(self.rng.random_range(1..=self.brokers.len() as i32));
            if !target.contains(&id) {
                target.push(id);
            }
        }
        self.alter(Some(target));
    }

    fn take_back(&mut self) {
        self.alter(None);
    }

    /// The hard case: a replica goes, deletes its log and comes back before its leader has heard of anything.
    fn away_and_back(&mut self, at: usize) {
        let (id, before) = (self.brokers[at].id, self.controller.partition().clone());
        let rest: Vec<BrokerId> = before.target().into_iter().filter(|b| *b != id).collect();
        if before.leader == Some(id) || rest.len() < 2 {
            return;
        }
        self.alter(Some(rest.clone()));
        if self.controller.partition().has_replica(id) {
            return;
        }
        let version = self.controller.versions() - 1;
        self.deliver(Message::Image { to: at, version });
        self.alter(Some(rest.into_iter().chain([id]).collect()));
    }

    fn alter(&mut self, target: Option<Vec<BrokerId>>) {
        // The last who has what is committed must not go.
        let tainted = self.brokers.iter().any(|broker| broker.tainted);
        if tainted && !self.options.flush_each {
            return;
        }
        let wish = Reassignment {
            partition: PARTITION,
            target,
            min_insync_replicas: self.options.min_insync_replicas as u16,
        };
        // It may be refused: what must hold is what it leaves behind.
        let _ = self.controller.apply(&Command::AlterReassignments {
            partitions: vec![wish],
            allow_factor_change: true,
        });
    }

    /// A broker stops in order, or waits to be let go.
    fn leave(&mut self, at: usize) {
        let broker = &self.brokers[at];
        let Some(epoch) = broker.life.as_ref().and_then(|life| life.epoch) else {
            return;
        };
        let id = self.brokers[at].id;
        let at_once = self.rng.random_bool(0.2);
        let left = self.controller.apply(&Command::LeaveBroker {
            broker: id,
            epoch,
            min_insync_replicas: self.options.min_insync_replicas as u16,
            at_once,
        });
        if matches!(left, Ok(Outcome::ShuttingDown { .. })) {
            self.brokers[at].disk.sync();
            self.brokers[at].life = None;
        }
    }

    /// Whoever still waits to be let go stops.
    pub fn end_leaving(&mut self) {
        for at in 0..self.brokers.len() {
            let id = self.brokers[at].id;
            let image = self.controller.image();
            let leaving = image.broker(id).is_some_and(|b| b.leaving);
            if leaving && self.brokers[at].life.is_some() {
                self.brokers[at].disk.sync();
                self.brokers[at].life = None;
            }
        }
    }

    pub fn moves(&self) -> u64 {
        self.deletions
    }
}
