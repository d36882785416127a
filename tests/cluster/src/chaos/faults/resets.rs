//! No connection of a broker lives long.

use std::time::Duration;

use anyhow::Result;
use rand::Rng;
use rand::rngs::StdRng;

use super::Fault;
use crate::chaos::detour::Detour;
use crate::chaos::field::Field;
use crate::chaos::proxy::Manner;

pub struct Reset {
    victim: i32,
    within: Duration,
    detour: Option<Detour>,
}

impl Reset {
    pub fn new(victim: i32, dice: &mut StdRng) -> Reset {
        Reset {
            victim,
            within: Duration::from_millis(dice.random_range(100..2_000)),
            detour: None,
        }
    }
}

impl Fault for Reset {
    fn story(&self) -> String {
        format!(
            "broker {}: each connection is reset within {:?}",
            self.victim, self.within
        )
    }

    fn strike(&mut self, field: &mut Field) -> Result<()> {
        let manner = Manner::Reset {
            within: self.within,
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
