//! SIGSTOP for longer than the session: the process stands still with its connections open, and comes back believing
//! that it leads.

use anyhow::Result;

use super::Fault;
use crate::chaos::field::Field;

pub struct Paused {
    victim: i32,
}

impl Paused {
    pub fn new(victim: i32) -> Paused {
        Paused { victim }
    }
}

impl Fault for Paused {
    fn story(&self) -> String {
        format!(
            "broker {}: SIGSTOP, for longer than its session",
            self.victim
        )
    }

    fn strike(&mut self, field: &mut Field) -> Result<()> {
        field.cluster.node(self.victim).pause()
    }

    fn heal(&mut self, field: &mut Field) -> Result<()> {
        field.cluster.node(self.victim).resume()
    }

    fn takes_leadership(&self) -> bool {
        true
    }
}
