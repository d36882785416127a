//! The faults: one file per family.

mod away;
mod broker;
mod network;
mod poison;
mod postgres;
mod rebalance;
mod service;

use anyhow::Result;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::field::Field;
use super::fleet::Service;
use super::kind::Kind;
use super::schedule::Blow;
use super::way::Manner;

/// Something bad that happens to the mesh, and its end.
pub trait Fault {
    /// What exactly, for who reads the run's output.
    fn story(&self) -> String;

    /// It begins.
    fn strike(&mut self, field: &mut Field) -> Result<()>;

    /// It ends, and what was hurt is back.
    fn heal(&mut self, field: &mut Field) -> Result<()>;

    /// Whether anybody has felt it; asked before it ends. One that nobody has felt does not count.
    fn has_bitten(&self, _: &Field) -> bool {
        true
    }
}

/// The fault that a schedule asks for.
pub fn make(blow: &Blow) -> Box<dyn Fault> {
    let dice = &mut StdRng::seed_from_u64(blow.dice);
    match blow.kind {
        Kind::KillEtl => Box::new(service::Killed::new(Service::Etl, dice)),
        Kind::KillArchiver => Box::new(service::Killed::new(Service::Archiver, dice)),
        Kind::KillBroker => Box::new(broker::Killed::new(dice)),
        Kind::PauseBroker => Box::new(broker::Paused::new(dice)),
        Kind::PostgresCrash => Box::new(postgres::Crashed::new(dice)),
        Kind::PostgresResets => {
            Box::new(network::Disturbed::new("postgres", network::resets(dice)))
        }
        Kind::OpensearchOutage => Box::new(away::Away::new("opensearch", dice)),
        Kind::OpensearchStorm => Box::new(network::Disturbed::new("opensearch", Manner::Storm)),
        Kind::S3Outage => Box::new(away::Away::new("s3", dice)),
        Kind::S3Storm => Box::new(network::Disturbed::new("s3", Manner::Storm)),
        Kind::Rebalance => Box::new(rebalance::Resized::new(dice)),
        Kind::Poison => Box::new(poison::Poison),
    }
}
