//! A planned stop, and a start.

use anyhow::Result;

use super::Fault;
use crate::chaos::field::Field;

pub struct Stopped {
    victim: i32,
}

impl Stopped {
    pub fn new(victim: i32) -> Stopped {
        Stopped { victim }
    }
}

impl Fault for Stopped {
    fn story(&self) -> String {
        format!("broker {}: SIGTERM", self.victim)
    }

    fn strike(&mut self, field: &mut Field) -> Result<()> {
        field.cluster.node(self.victim).stop()
    }

    fn heal(&mut self, field: &mut Field) -> Result<()> {
        field.revive(self.victim)
    }

    fn takes_leadership(&self) -> bool {
        true
    }
}
