//! What every consuming service shares: consumer loop, batching, back-pressure, dead letters.
//!
//! A sink implements [`Sink`] (what it remembers of a partition) and [`Writer`] (how a batch is stored); [`run`] does the
//! rest: group membership, positions, gaps, pausing, retries, hand-over. Generators use [`generator`].

pub mod cluster;
pub mod dead_letter;
pub mod families;
pub mod generator;

mod backoff;
mod consumer;
mod native;
mod options;
mod record;
mod secret;
mod security;
mod service;
mod spans;
mod unfinished;

pub use backoff::{Backoff, random_u64};
pub use consumer::{
    Batch, BatchLimits, Error, Gap, LogRange, Partition, Settings, Sink, Source, Stages, Writer,
    run,
};
pub use dead_letter::{DeadLetters, Rejection};
pub use options::KafkaOptions;
pub use record::{COUNTER_HEADER, Header, RUN_ID_HEADER, Record};
pub use secret::Secret;
pub use security::Security;
pub use service::{Action, Service, TRACES_GRACE};
pub use spans::{BASE_OFFSET, LAST_OFFSET};
pub use tokio_util::sync::CancellationToken;
pub use unfinished::unfinished;
