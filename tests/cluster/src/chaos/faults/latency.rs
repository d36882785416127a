//! Everything to and from a broker takes longer.

use std::time::Duration;

use anyhow::Result;
use rand::Rng;
use rand::rngs::StdRng;

use super::Fault;
use crate::chaos::detour::Detour;
use crate::chaos::field::Field;
use crate::chaos::proxy::Manner;

pub struct Late {
    victim: i32,
    least: Duration,
    most: Duration,
    detour: Option<Detour>,
}

impl Late {
    pub fn new(victim: i32, dice: &mut StdRng) -> Late {
        let least = dice.random_range(5..100);
        Late {
            victim,
            least: Duration::from_millis(least),
            most: Duration::from_millis(least + dice.random_range(1..100)),
            detour: None,
        }
    }
}

impl Fault for Late {
    fn story(&self) -> String {
        format!(
            "broker {}: everything comes {:?} to {:?} late",
            self.victim, self.least, self.most
        )
    }

    fn strike(&mut self, field: &mut Field) -> Result<()> {
        let manner = Manner::Late {
            least: self.least,
            most: self.most,
        };
        self.detour = Some(Detour::open(field, self.victim, manner)?);
        Ok(())
    }

    fn heal(&mut self, _: &mut Field) -> Result<()> {
        self.detour.take().map_or(Ok(()), Detour::close)
    }
    fn has_bitten(&self, _: &Field) -> Result<bool> {
        self.detour
            .as_ref()
            .map_or(Ok(false), Detour::has_been_taken)
    }
}
