//! kill -9 of one instance of a service, or of all, and a start.

use anyhow::Result;
use rand::Rng;
use rand::rngs::StdRng;

use super::Fault;
use crate::chaos::field::Field;
use crate::chaos::fleet::Service;

pub struct Killed {
    service: Service,
    all: bool,
    dice: usize,
    killed: Vec<usize>,
}

impl Killed {
    pub fn new(service: Service, dice: &mut StdRng) -> Killed {
        Killed {
            service,
            all: dice.random_bool(0.25),
            dice: dice.random_range(0..1_000),
            killed: Vec::new(),
        }
    }
}

impl Fault for Killed {
    fn story(&self) -> String {
        let who = if self.all { "every" } else { "one" };
        format!("{who} {}: kill -9", self.service.name())
    }

    fn strike(&mut self, field: &mut Field) -> Result<()> {
        let fleet = field.fleet(self.service);
        let running = fleet.running();
        self.killed = match self.all {
            true => running,
            false => running
                .get(self.dice % running.len().max(1))
                .copied()
                .into_iter()
                .collect(),
        };
        self.killed.iter().try_for_each(|place| fleet.kill(*place))
    }

    fn heal(&mut self, field: &mut Field) -> Result<()> {
        let fleet = field.fleet(self.service);
        self.killed.iter().try_for_each(|place| fleet.start(*place))
    }

    fn has_bitten(&self, _: &Field) -> bool {
        !self.killed.is_empty()
    }
}
