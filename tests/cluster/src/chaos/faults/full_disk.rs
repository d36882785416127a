//! The second disk has no room left, or hardly any.

use anyhow::Result;
use rand::Rng;
use rand::rngs::StdRng;

use super::Fault;
use crate::chaos::field::{FLOOR_MIB, Field, SMALL_DISK_MIB};

pub struct Full {
    victim: i32,
    /// What is left.
    left_kib: u64,
}

impl Full {
    pub fn new(victim: i32, dice: &mut StdRng) -> Full {
        let left_kib = match dice.random_bool(0.5) {
            true => 0,
            false => dice.random_range(0..FLOOR_MIB << 9),
        };
        Full { victim, left_kib }
    }
}

impl Fault for Full {
    fn story(&self) -> String {
        format!(
            "broker {}: its second disk is full, {} KiB are left",
            self.victim, self.left_kib
        )
    }

    fn strike(&mut self, field: &mut Field) -> Result<()> {
        field.small_disk(self.victim).shrink(self.left_kib)
    }

    fn heal(&mut self, field: &mut Field) -> Result<()> {
        field.small_disk(self.victim).grow(SMALL_DISK_MIB)
    }
}
