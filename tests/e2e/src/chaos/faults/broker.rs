//! A broker that is killed, and one that stands still for longer than its session.

use anyhow::Result;
use rand::Rng;
use rand::rngs::StdRng;

use super::Fault;
use crate::chaos::field::{BROKERS, Field};
use crate::send;

fn any(dice: &mut StdRng) -> String {
    format!("broker-{}", dice.random_range(1..=BROKERS))
}

/// kill -9; the supervisor starts it again.
pub struct Killed {
    broker: String,
}

impl Killed {
    pub fn new(dice: &mut StdRng) -> Killed {
        Killed { broker: any(dice) }
    }
}

impl Fault for Killed {
    fn story(&self) -> String {
        format!("{}: kill -9", self.broker)
    }

    fn strike(&mut self, field: &mut Field) -> Result<()> {
        field.stack.kill(&self.broker)
    }

    fn heal(&mut self, field: &mut Field) -> Result<()> {
        field.wait_back(&self.broker)
    }
}

/// SIGSTOP, and SIGCONT when the fault ends, however the run does.
pub struct Paused {
    broker: String,
    pid: Option<u64>,
}

impl Paused {
    pub fn new(dice: &mut StdRng) -> Paused {
        Paused {
            broker: any(dice),
            pid: None,
        }
    }

    fn resume(&mut self) -> Result<()> {
        self.pid.take().map_or(Ok(()), |pid| send("CONT", pid))
    }
}

impl Fault for Paused {
    fn story(&self) -> String {
        format!("{}: SIGSTOP, for longer than its session", self.broker)
    }

    fn strike(&mut self, field: &mut Field) -> Result<()> {
        let pid = field.stack.pid(&self.broker)?;
        self.pid = Some(pid);
        send("STOP", pid)
    }

    fn heal(&mut self, field: &mut Field) -> Result<()> {
        self.resume()?;
        field.wait_back(&self.broker)
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        let _ = self.resume();
    }
}
