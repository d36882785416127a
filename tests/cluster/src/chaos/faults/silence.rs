//! Connections that stay open and acknowledged, and carry nothing any more in one direction.

use anyhow::Result;
use rand::Rng;
use rand::rngs::StdRng;

use super::Fault;
use crate::chaos::detour::Detour;
use crate::chaos::field::Field;
use crate::chaos::proxy::Manner;

pub struct Silent {
    victim: i32,
    /// Whether requests are lost on the way; otherwise answers are.
    requests: bool,
    detour: Option<Detour>,
}

impl Silent {
    pub fn new(victim: i32, dice: &mut StdRng) -> Silent {
        Silent {
            victim,
            requests: dice.random(),
            detour: None,
        }
    }
}

impl Fault for Silent {
    fn story(&self) -> String {
        let what = ["answers", "requests"][usize::from(self.requests)];
        format!(
            "broker {}: connections stay open, and {what} vanish",
            self.victim
        )
    }

    fn strike(&mut self, field: &mut Field) -> Result<()> {
        let manner = Manner::Silent {
            requests: self.requests,
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
