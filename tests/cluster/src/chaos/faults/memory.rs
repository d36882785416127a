//! A limit on memory just above what the process has: the page cache is taken away, and who asks for more is killed.

use anyhow::Result;
use rand::Rng;
use rand::rngs::StdRng;

use super::Fault;
use crate::chaos::field::Field;

pub struct Tight {
    victim: i32,
    /// What it may have besides.
    slack_kib: u64,
    /// How often the limit had been hit before.
    hits: u64,
}

impl Tight {
    pub fn new(victim: i32, dice: &mut StdRng) -> Tight {
        Tight {
            victim,
            slack_kib: dice.random_range(256..3_072),
            hits: 0,
        }
    }
}

impl Fault for Tight {
    fn story(&self) -> String {
        format!(
            "broker {}: memory limited to {} KiB more than it has",
            self.victim, self.slack_kib
        )
    }

    fn strike(&mut self, field: &mut Field) -> Result<()> {
        let cgroup = field.cgroup(self.victim);
        self.hits = cgroup.hits()?;
        cgroup.limit_near(cgroup.fixed_bytes()? + (self.slack_kib << 10))
    }

    fn heal(&mut self, field: &mut Field) -> Result<()> {
        field.cgroup(self.victim).limit(None)?;
        field.revive(self.victim)
    }

    fn has_bitten(&self, field: &Field) -> Result<bool> {
        Ok(field.cgroup(self.victim).hits()? > self.hits)
    }

    fn may_end_the_process(&self) -> bool {
        true
    }
}
