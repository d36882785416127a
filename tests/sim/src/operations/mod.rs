//! What clients do, one file for each kind of operation.

pub mod audit;
pub mod consume;
pub mod elect;
pub mod groups;
pub mod produce;
pub mod reassign;
pub mod topics;

use std::time::Duration;

/// What is under way when everything is healed must end within this: the promise that is put to the test.
pub const LIVENESS: Duration = Duration::from_secs(60);
