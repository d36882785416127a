//! A store that is there, behind a way that does not carry everything: resets, or answers that it is too busy.

use std::time::Duration;

use anyhow::Result;
use rand::Rng;
use rand::rngs::StdRng;

use super::Fault;
use crate::chaos::field::Field;
use crate::chaos::way::{Manner, Way};

pub struct Disturbed {
    store: &'static str,
    manner: Manner,
    felt_before: u64,
}

impl Disturbed {
    pub fn new(store: &'static str, manner: Manner) -> Disturbed {
        Disturbed {
            store,
            manner,
            felt_before: 0,
        }
    }

    fn way<'a>(&self, field: &'a Field) -> &'a Way {
        match self.store {
            "postgres" => &field.ways.postgres,
            "opensearch" => &field.ways.opensearch,
            _ => &field.ways.s3,
        }
    }
}

/// No connection lives long.
pub fn resets(dice: &mut StdRng) -> Manner {
    Manner::Resets {
        within: Duration::from_millis(dice.random_range(50..1_500)),
    }
}

impl Fault for Disturbed {
    fn story(&self) -> String {
        let store = self.store;
        match self.manner {
            Manner::Resets { within } => {
                format!("{store}: each connection is reset within {within:?}")
            }
            _ => format!("{store}: most requests are answered that it is too busy"),
        }
    }

    fn strike(&mut self, field: &mut Field) -> Result<()> {
        self.felt_before = self.way(field).felt();
        self.way(field).set(self.manner);
        Ok(())
    }

    fn heal(&mut self, field: &mut Field) -> Result<()> {
        self.way(field).set(Manner::Calm);
        Ok(())
    }

    fn has_bitten(&self, field: &Field) -> bool {
        self.way(field).felt() > self.felt_before
    }
}
