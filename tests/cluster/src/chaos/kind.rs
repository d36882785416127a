//! The kinds of faults, each of which must have occurred in a run that counts.

use std::fmt;

/// One way to hurt a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// kill -9.
    Kill,
    /// SIGTERM, and started again.
    Stop,
    /// SIGSTOP for longer than the session, and SIGCONT.
    Pause,
    /// Killed and started again and again, never given the time to come back; or several at once.
    Storm,
    /// Packets dropped in both directions.
    Partition,
    /// Packets dropped in one direction.
    OneWay,
    /// Every byte comes late.
    Latency,
    /// Connections are reset, again and again.
    Resets,
    /// Connections stay open, and one direction of each carries nothing any more.
    Silence,
    /// A file system without room.
    FullDisk,
    /// A log directory that the process may not enter.
    Unreadable,
    /// A disk that takes its time, or stands still.
    SlowDisk,
    /// A limit on memory just above what the process has.
    Memory,
}

impl Kind {
    pub const ALL: [Kind; 13] = [
        Kind::Kill,
        Kind::Stop,
        Kind::Pause,
        Kind::Storm,
        Kind::Partition,
        Kind::OneWay,
        Kind::Latency,
        Kind::Resets,
        Kind::Silence,
        Kind::FullDisk,
        Kind::Unreadable,
        Kind::SlowDisk,
        Kind::Memory,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Kill => "kill",
            Kind::Stop => "stop",
            Kind::Pause => "pause",
            Kind::Storm => "storm",
            Kind::Partition => "partition",
            Kind::OneWay => "one-way",
            Kind::Latency => "latency",
            Kind::Resets => "resets",
            Kind::Silence => "silence",
            Kind::FullDisk => "full-disk",
            Kind::Unreadable => "unreadable",
            Kind::SlowDisk => "slow-disk",
            Kind::Memory => "memory",
        }
    }

    /// Whether it goes on by itself while something else happens to the same broker.
    pub fn can_be_overlapped(self) -> bool {
        !matches!(self, Kind::Kill | Kind::Stop | Kind::Pause | Kind::Storm)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
