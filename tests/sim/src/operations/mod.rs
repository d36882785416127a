//! What clients do, one file for each kind of operation.

pub mod audit;
pub mod configure;
pub mod consume;
pub mod elect;
pub mod forget;
pub mod groups;
pub mod grow;
pub mod lane;
pub mod pipeline;
pub mod produce;
pub mod reassign;
pub mod recreate;
pub mod topics;
pub mod unregister;

use std::time::Duration;

use anyhow::ensure;
use rand::rngs::StdRng;
use tokio::time::Instant;

use crate::{Scene, Stage};

/// What is under way when everything is healed must end within this: the promise that is put to the test.
pub const LIVENESS: Duration = Duration::from_secs(60);

/// What is tried in vain since everything was healed.
#[derive(Default)]
pub struct Patience(Option<Instant>);

impl Patience {
    /// How long it has been tried since everything was healed.
    pub fn since(&self) -> Duration {
        self.0.map_or(Duration::ZERO, |begun| begun.elapsed())
    }

    /// Fails when it has been tried for too long. `what` it is, and why it does not work.
    pub fn check(&mut self, scene: &Scene, what: impl FnOnce() -> String) -> anyhow::Result<()> {
        if scene.stage() < Stage::Settling {
            return Ok(());
        }
        let since = self.0.get_or_insert_with(Instant::now).elapsed();
        ensure!(
            since < LIVENESS,
            "{}, {since:?} after everything was healed",
            what()
        );
        Ok(())
    }
}

/// After so long without faults whoever may lead does.
const ALONE: Duration = Duration::from_secs(10);

/// What one client does to the cluster besides producing and reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Replicas are moved.
    Reassign,
    /// Preferred leaders are elected, and unclean ones where they may.
    Elect,
    /// Settings of topics and of brokers change.
    Configure,
    /// Topics get more partitions.
    Grow,
    /// A topic is deleted and made again.
    Recreate,
    /// What a group has committed is forgotten, at times with the group.
    Forget,
    /// Brokers are unregistered: those that are gone and have no replica.
    Unregister,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 7] = [
        Kind::Reassign,
        Kind::Elect,
        Kind::Configure,
        Kind::Grow,
        Kind::Recreate,
        Kind::Forget,
        Kind::Unregister,
    ];

    /// Whether it has something to end when everything is healed.
    pub fn has_work_to_end(self) -> bool {
        matches!(self, Kind::Grow | Kind::Recreate | Kind::Forget)
    }

    /// Goes on until everything is healed.
    pub async fn run(self, scene: Scene, dice: StdRng) -> anyhow::Result<()> {
        match self {
            Kind::Reassign => reassign::run(scene, dice).await,
            Kind::Elect => elect::run(scene, dice).await,
            Kind::Configure => configure::run(scene, dice).await,
            Kind::Grow => grow::run(scene, dice).await,
            Kind::Recreate => recreate::run(scene, dice).await,
            Kind::Forget => forget::run(scene, dice).await,
            Kind::Unregister => unregister::run(scene, dice).await,
        }
    }
}
