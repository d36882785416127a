//! A log directory that the process may not enter any more; perhaps it is started so.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use anyhow::Result;
use rand::Rng;
use rand::rngs::StdRng;

use super::Fault;
use crate::chaos::field::Field;

pub struct Unreadable {
    victim: i32,
    /// The first directory holds the metadata log too.
    first: bool,
    restarted: bool,
    directory: Option<PathBuf>,
}

impl Unreadable {
    pub fn new(victim: i32, dice: &mut StdRng) -> Unreadable {
        Unreadable {
            victim,
            first: dice.random_bool(0.3),
            restarted: dice.random_bool(0.5),
            directory: None,
        }
    }
}

impl Fault for Unreadable {
    fn story(&self) -> String {
        let which = ["second", "first"][usize::from(self.first)];
        let how = ["", ", and it is started so"][usize::from(self.restarted)];
        let victim = self.victim;
        format!("broker {victim}: its {which} log directory cannot be entered{how}")
    }

    fn strike(&mut self, field: &mut Field) -> Result<()> {
        let directories = field.directories(self.victim);
        let directory = directories[usize::from(!self.first)].clone();
        fs::set_permissions(&directory, Permissions::from_mode(0o000))?;
        self.directory = Some(directory);
        if self.restarted {
            field.cluster.node(self.victim).kill()?;
            field.revive(self.victim)?;
        }
        Ok(())
    }

    fn heal(&mut self, field: &mut Field) -> Result<()> {
        if let Some(directory) = self.directory.take() {
            fs::set_permissions(&directory, Permissions::from_mode(0o755))?;
        }
        // A directory that has failed stays out of service until the broker is started again.
        if field.cluster.node(self.victim).is_running() {
            field.cluster.node(self.victim).kill()?;
        }
        field.revive(self.victim)
    }

    fn may_end_the_process(&self) -> bool {
        true
    }
}
