//! PostgreSQL's immediate shutdown, perhaps more than once: SIGQUIT ends all its processes where they stand.

use anyhow::Result;
use rand::Rng;
use rand::rngs::StdRng;

use super::Fault;
use crate::chaos::field::Field;

pub struct Crashed {
    times: u32,
}

impl Crashed {
    pub fn new(dice: &mut StdRng) -> Crashed {
        Crashed {
            times: dice.random_range(1..=3),
        }
    }
}

impl Fault for Crashed {
    fn story(&self) -> String {
        format!(
            "postgres: immediate shutdown, {} times in a row",
            self.times
        )
    }

    fn strike(&mut self, field: &mut Field) -> Result<()> {
        for time in 1..=self.times {
            if time > 1 {
                field.wait_back("postgres")?;
            }
            field.stack.end("postgres", "QUIT")?;
        }
        Ok(())
    }

    fn heal(&mut self, field: &mut Field) -> Result<()> {
        field.wait_back("postgres")
    }
}
