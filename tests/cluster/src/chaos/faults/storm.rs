//! Brokers that are killed before they have come back from being killed.

use std::time::Duration;

use anyhow::Result;
use rand::Rng;
use rand::rngs::StdRng;

use super::Fault;
use crate::chaos::field::{BROKERS, Field};

/// Who is killed, and how long afterwards the next one is.
pub struct Storm {
    victim: i32,
    deaths: Vec<(Vec<i32>, Duration)>,
    shape: &'static str,
}

impl Storm {
    pub fn new(victim: i32, dice: &mut StdRng) -> Storm {
        let shape = ["one", "each in turn", "two at once", "all at once"][dice.random_range(0..4)];
        let count = dice.random_range(3..7);
        let deaths = (0..count).map(|number| {
            let turn = |of: i32| (victim - 1 + of) % BROKERS + 1;
            let who = match shape {
                "one" => vec![victim],
                "each in turn" => vec![turn(number)],
                "two at once" => vec![turn(number), turn(number + 1)],
                _ => (1..=BROKERS).collect(),
            };
            (who, Duration::from_millis(dice.random_range(50..1500)))
        });
        Storm {
            victim,
            deaths: deaths.collect(),
            shape,
        }
    }
}

impl Fault for Storm {
    fn story(&self) -> String {
        format!(
            "broker {}: killed and started {} times, {}",
            self.victim,
            self.deaths.len(),
            self.shape
        )
    }

    fn strike(&mut self, field: &mut Field) -> Result<()> {
        for (who, time) in &self.deaths {
            for id in who {
                field.cluster.node(*id).kill()?;
            }
            for id in who {
                field.revive(*id)?;
            }
            field.pace.pause(*time);
        }
        Ok(())
    }

    fn heal(&mut self, field: &mut Field) -> Result<()> {
        (1..=BROKERS).try_for_each(|id| field.revive(id))
    }
}
