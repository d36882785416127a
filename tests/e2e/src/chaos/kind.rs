//! The kinds of faults, each of which must have occurred in a run that counts.

use std::fmt;

/// One way to hurt the mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// kill -9 of one ETL, or of all.
    KillEtl,
    /// kill -9 of one archiver, or of all.
    KillArchiver,
    /// kill -9 of a broker.
    KillBroker,
    /// SIGSTOP of a broker for longer than its session.
    PauseBroker,
    /// PostgreSQL's immediate shutdown: all its processes end at once, and it recovers.
    PostgresCrash,
    /// Connections to PostgreSQL are reset, whatever they are at.
    PostgresResets,
    /// OpenSearch is away.
    OpensearchOutage,
    /// OpenSearch answers that it is busy.
    OpensearchStorm,
    /// The S3 store is away.
    S3Outage,
    /// The S3 store answers that it is busy.
    S3Storm,
    /// Another number of ETLs or archivers, between two and four.
    Rebalance,
    /// Records that some sinks must refuse.
    Poison,
}

impl Kind {
    pub const ALL: [Kind; 12] = [
        Kind::KillEtl,
        Kind::KillArchiver,
        Kind::KillBroker,
        Kind::PauseBroker,
        Kind::PostgresCrash,
        Kind::PostgresResets,
        Kind::OpensearchOutage,
        Kind::OpensearchStorm,
        Kind::S3Outage,
        Kind::S3Storm,
        Kind::Rebalance,
        Kind::Poison,
    ];

    /// What may come amid a fault that lasts.
    pub const AMID: [Kind; 4] = [
        Kind::KillEtl,
        Kind::KillArchiver,
        Kind::KillBroker,
        Kind::Rebalance,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Kind::KillEtl => "kill-etl",
            Kind::KillArchiver => "kill-archiver",
            Kind::KillBroker => "kill-broker",
            Kind::PauseBroker => "pause-broker",
            Kind::PostgresCrash => "postgres-crash",
            Kind::PostgresResets => "postgres-resets",
            Kind::OpensearchOutage => "opensearch-outage",
            Kind::OpensearchStorm => "opensearch-storm",
            Kind::S3Outage => "s3-outage",
            Kind::S3Storm => "s3-storm",
            Kind::Rebalance => "rebalance",
            Kind::Poison => "poison",
        }
    }

    /// Whether it goes on by itself while `other` happens. Two brokers at once are more than is promised to go on.
    pub fn can_be_overlapped_by(self, other: Kind) -> bool {
        match self {
            Kind::PostgresResets
            | Kind::OpensearchOutage
            | Kind::OpensearchStorm
            | Kind::S3Outage
            | Kind::S3Storm => true,
            Kind::PauseBroker => other != Kind::KillBroker,
            _ => false,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
