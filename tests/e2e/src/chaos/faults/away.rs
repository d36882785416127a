//! A store that is not there for a while: stopped in order, or killed and stopped.

use anyhow::Result;
use rand::Rng;
use rand::rngs::StdRng;

use super::Fault;
use crate::chaos::field::Field;
use crate::send;

pub struct Away {
    store: &'static str,
    killed: bool,
}

impl Away {
    pub fn new(store: &'static str, dice: &mut StdRng) -> Away {
        Away {
            store,
            killed: dice.random_bool(0.5),
        }
    }
}

impl Fault for Away {
    fn story(&self) -> String {
        let how = if self.killed {
            "kill -9, and"
        } else {
            "stopped,"
        };
        format!("{}: {how} away for a while", self.store)
    }

    fn strike(&mut self, field: &mut Field) -> Result<()> {
        if self.killed {
            send("KILL", field.stack.pid(self.store)?)?;
        }
        // The supervisor would start it again at once.
        field.stack.run(&["down", "--only", self.store]).map(drop)
    }

    fn heal(&mut self, field: &mut Field) -> Result<()> {
        field.stack.run(&["up", "--only", self.store]).map(drop)
    }
}
