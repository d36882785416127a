//! What a proxy on a broker's machine does to its connections: they are late, are reset, or go silent.

use std::time::Duration;

use anyhow::Result;
use rand::Rng;
use rand::rngs::StdRng;

use super::Fault;
use crate::chaos::detour::Detour;
use crate::chaos::field::Field;
use crate::chaos::proxy::Manner;

pub struct Proxied {
    victim: i32,
    manner: Manner,
    detour: Option<Detour>,
}

impl Proxied {
    /// Everything to and from the broker takes longer.
    pub fn late(victim: i32, dice: &mut StdRng) -> Proxied {
        let least = dice.random_range(5..100);
        let manner = Manner::Late {
            least: Duration::from_millis(least),
            most: Duration::from_millis(least + dice.random_range(1..100)),
        };
        Proxied::new(victim, manner)
    }

    /// No connection lives long.
    pub fn reset(victim: i32, dice: &mut StdRng) -> Proxied {
        let within = Duration::from_millis(dice.random_range(100..2_000));
        Proxied::new(victim, Manner::Reset { within })
    }

    /// Connections stay open and acknowledged, and carry nothing any more in one direction.
    pub fn silent(victim: i32, dice: &mut StdRng) -> Proxied {
        let requests = dice.random();
        Proxied::new(victim, Manner::Silent { requests })
    }

    fn new(victim: i32, manner: Manner) -> Proxied {
        Proxied {
            victim,
            manner,
            detour: None,
        }
    }
}

impl Fault for Proxied {
    fn story(&self) -> String {
        let what = match self.manner {
            Manner::Late { least, most } => format!("everything comes {least:?} to {most:?} late"),
            Manner::Reset { within } => format!("each connection is reset within {within:?}"),
            Manner::Silent { requests: true } => {
                "connections stay open, and requests vanish".into()
            }
            Manner::Silent { requests: false } => {
                "connections stay open, and answers vanish".into()
            }
        };
        format!("broker {}: {what}", self.victim)
    }

    fn strike(&mut self, field: &mut Field) -> Result<()> {
        self.detour = Some(Detour::open(field, self.victim, self.manner)?);
        Ok(())
    }

    fn heal(&mut self, _: &mut Field) -> Result<()> {
        self.detour.take().map_or(Ok(()), Detour::close)
    }

    fn has_bitten(&self, _: &Field) -> Result<bool> {
        let detour = self.detour.as_ref();
        detour.map_or(Ok(false), Detour::has_been_taken)
    }
}
