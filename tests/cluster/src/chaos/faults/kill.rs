//! kill -9, and a start.

use anyhow::Result;

use super::Fault;
use crate::chaos::field::Field;

pub struct Killed {
    victim: i32,
}

impl Killed {
    pub fn new(victim: i32) -> Killed {
        Killed { victim }
    }
}

impl Fault for Killed {
    fn story(&self) -> String {
        format!("broker {}: kill -9", self.victim)
    }

    fn strike(&mut self, field: &mut Field) -> Result<()> {
        field.cluster.node(self.victim).kill()
    }

    fn heal(&mut self, field: &mut Field) -> Result<()> {
        field.revive(self.victim)
    }

    fn takes_leadership(&self) -> bool {
        true
    }
}
