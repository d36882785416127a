//! The faults: one file per kind, and one for the three that a proxy makes.

mod full_disk;
mod kill;
mod memory;
mod one_way;
mod partition;
mod pause;
mod proxied;
mod slow_disk;
mod stop;
mod storm;
mod unreadable;

use anyhow::Result;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::field::Field;
use super::kind::Kind;
use super::schedule::Blow;

/// Something bad that happens to one broker, and its end.
pub trait Fault {
    /// What exactly, for who reads the run's output.
    fn story(&self) -> String;

    /// It begins.
    fn strike(&mut self, field: &mut Field) -> Result<()>;

    /// It ends. The broker need not be well yet.
    fn heal(&mut self, field: &mut Field) -> Result<()>;

    /// Whether the broker has felt it; asked before it ends. One that nobody has felt does not count.
    fn has_bitten(&self, _: &Field) -> Result<bool> {
        Ok(true)
    }

    /// Whether the broker cannot go on leading, so that its clients wait for another.
    fn takes_leadership(&self) -> bool {
        false
    }

    /// Whether the broker may end by itself for that reason.
    fn may_end_the_process(&self) -> bool {
        false
    }
}

/// The fault that a schedule asks for.
pub fn make(blow: &Blow) -> Box<dyn Fault> {
    let mut dice = StdRng::seed_from_u64(blow.dice);
    let victim = blow.victim;
    match blow.kind {
        Kind::Kill => Box::new(kill::Killed::new(victim)),
        Kind::Stop => Box::new(stop::Stopped::new(victim)),
        Kind::Pause => Box::new(pause::Paused::new(victim)),
        Kind::Storm => Box::new(storm::Storm::new(victim, &mut dice)),
        Kind::Partition => Box::new(partition::Partitioned::new(victim, &mut dice)),
        Kind::OneWay => Box::new(one_way::OneWay::new(victim, &mut dice)),
        Kind::Latency => Box::new(proxied::Proxied::late(victim, &mut dice)),
        Kind::Resets => Box::new(proxied::Proxied::reset(victim, &mut dice)),
        Kind::Silence => Box::new(proxied::Proxied::silent(victim, &mut dice)),
        Kind::FullDisk => Box::new(full_disk::Full::new(victim, &mut dice)),
        Kind::Unreadable => Box::new(unreadable::Unreadable::new(victim, &mut dice)),
        Kind::SlowDisk => Box::new(slow_disk::Slow::new(victim, &mut dice)),
        Kind::Memory => Box::new(memory::Tight::new(victim, &mut dice)),
    }
}
