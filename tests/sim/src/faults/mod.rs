//! What goes wrong: one function that begins it and one that ends it for each kind.

mod disk;
mod network;
mod process;
mod rolling;

use std::time::Duration;

use rand::rngs::StdRng;

use crate::Cluster;

pub use rolling::Rolling;

/// The kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The machine stops; what was not synced is lost or torn.
    PowerLoss,
    /// The process dies; what it had written stays.
    Kill,
    /// It is told to stop, and hands over what others can take.
    Stop,
    /// The other brokers cannot reach it, nor it them. Clients can.
    CutOff,
    /// Nobody can reach it, clients neither.
    Isolated,
    /// What it sends is lost, to other brokers, to clients or to both; what they send arrives.
    Mute,
    /// What is sent to it is lost, by other brokers, by clients or by both; what it sends arrives.
    Deaf,
    /// What is sent to and by it arrives when this is over.
    Delayed,
    /// Everything travels slowly, everywhere.
    SlowNetwork,
    /// Some of its connections are reset, both ends live on.
    Resets,
    /// Some of its connections are half open: neither end learns that nothing of it arrives any more.
    HalfOpen,
    /// Some of what it and others say to one another is lost, and with it what that connection would say.
    Loss,
    /// Its clock jumps, and back.
    ClockJump,
    /// Its disk has room for a few more bytes only.
    FullDisk,
    /// An fsync of a log, of the metadata or of a checkpoint fails.
    FailedSync,
    /// Reads of its logs fail, a few times.
    FailedReads,
    /// Reads of its logs give changed bits, a few times.
    FlippedReads,
    /// Cold reads and fsyncs take long.
    SlowDisk,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 18] = [
        Kind::PowerLoss,
        Kind::Kill,
        Kind::Stop,
        Kind::CutOff,
        Kind::Isolated,
        Kind::Mute,
        Kind::Deaf,
        Kind::Delayed,
        Kind::SlowNetwork,
        Kind::Resets,
        Kind::HalfOpen,
        Kind::Loss,
        Kind::ClockJump,
        Kind::FullDisk,
        Kind::FailedSync,
        Kind::FailedReads,
        Kind::FlippedReads,
        Kind::SlowDisk,
    ];

    /// Whether a log directory may be out of service for it, whose next process does not rely on what this one has left in
    /// the memory.
    pub fn may_end_memory(self) -> bool {
        matches!(self, Kind::FailedSync | Kind::FailedReads)
    }

    /// Begins it, if it does anything. A broker that does not run cannot be hurt.
    pub fn begin(self, cluster: &mut Cluster<'_>, victim: i32, dice: &mut StdRng) -> bool {
        if !cluster.is_up(victim) || cluster.down().contains(&victim) {
            return false;
        }
        match self {
            Kind::PowerLoss => cluster.crash(victim),
            Kind::Kill => cluster.kill(victim),
            Kind::Stop => cluster.stop(victim),
            Kind::CutOff => network::cut_off(cluster, victim),
            Kind::Isolated => network::isolate(cluster, victim),
            Kind::Mute => network::mute(cluster, victim, dice),
            Kind::Deaf => network::deafen(cluster, victim, dice),
            Kind::Delayed => network::delay(cluster, victim),
            Kind::SlowNetwork => cluster.set_latency(Duration::from_millis(200)),
            Kind::Resets => return network::reset(cluster, victim, dice) > 0,
            Kind::HalfOpen => return network::half_open(cluster, victim, dice) > 0,
            Kind::Loss => network::lose(cluster, victim, dice),
            Kind::ClockJump => process::jump(cluster, victim, dice),
            Kind::FullDisk => disk::fill(cluster, victim, dice),
            Kind::FailedSync => disk::fail_sync(cluster, victim, dice),
            Kind::FailedReads => disk::fail_reads(cluster, victim, dice),
            Kind::FlippedReads => disk::flip_reads(cluster, victim, dice),
            Kind::SlowDisk => disk::slow(cluster, victim, dice),
        }
        true
    }

    /// Ends it.
    pub fn end(self, cluster: &mut Cluster<'_>, victim: i32) {
        match self {
            Kind::PowerLoss | Kind::Kill | Kind::Stop => cluster.restart(victim),
            Kind::CutOff | Kind::Isolated | Kind::Mute | Kind::Deaf => {
                network::heal(cluster, victim)
            }
            Kind::Delayed => network::deliver(cluster, victim),
            Kind::SlowNetwork => cluster.reset_latency(),
            Kind::Resets | Kind::HalfOpen => {}
            Kind::Loss => network::heal_loss(cluster, victim),
            Kind::ClockJump => cluster.host(victim).set_skew_ms(0),
            Kind::FullDisk => cluster.host(victim).disk().set_capacity_bytes(None),
            Kind::FailedSync | Kind::FailedReads => disk::replace(cluster, victim),
            Kind::FlippedReads => cluster.host(victim).disk().heal(),
            Kind::SlowDisk => cluster.host(victim).set_stall(Duration::ZERO),
        }
    }
}
