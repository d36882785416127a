//! A disk that is slow, or stands still for longer than a broker may stall.

use std::path::PathBuf;

use anyhow::Result;
use rand::Rng;
use rand::rngs::StdRng;

use super::Fault;
use crate::binary;
use crate::chaos::field::Field;
use crate::chaos::slowness::{Slowness, VARIABLE};

/// The broker that reads how slow its disk is.
const PROGRAM: &str = "slow-disk-broker";

pub struct Slow {
    victim: i32,
    slowness: Slowness,
    file: Option<PathBuf>,
}

impl Slow {
    pub fn new(victim: i32, dice: &mut StdRng) -> Slow {
        let stalls = dice.random_bool(0.4);
        let slowness = match stalls {
            // Longer than `broker.stall.timeout.ms`.
            true => Slowness {
                read_ms: 0,
                append_ms: 0,
                sync_ms: 8_000,
            },
            false => Slowness {
                read_ms: dice.random_range(0..20),
                append_ms: dice.random_range(0..10),
                sync_ms: dice.random_range(10..500),
            },
        };
        Slow {
            victim,
            slowness,
            file: None,
        }
    }
}

impl Fault for Slow {
    fn story(&self) -> String {
        let Slowness {
            read_ms,
            append_ms,
            sync_ms,
        } = self.slowness;
        format!(
            "broker {}: restarted on a disk whose reads take {read_ms} ms, appends {append_ms} ms, fsyncs {sync_ms} ms",
            self.victim
        )
    }

    fn strike(&mut self, field: &mut Field) -> Result<()> {
        let file = field
            .cluster
            .directory()
            .join(format!("slowness-{}", self.victim));
        Slowness::default().write(&file)?;
        field.cluster.node(self.victim).stop()?;
        field.revive_with(self.victim, &binary(PROGRAM)?, (VARIABLE, &file))?;
        field.wait_whole()?;
        self.slowness.write(&file)?;
        self.file = Some(file);
        Ok(())
    }

    fn heal(&mut self, _: &mut Field) -> Result<()> {
        // The broker goes on with this program until it is started again.
        match self.file.take() {
            Some(file) => Slowness::default().write(&file),
            None => Ok(()),
        }
    }
}
