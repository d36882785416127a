//! The partition log on disk, in Kafka's own formats, behind a small Disk trait.
//!
//! [`Log`] is one partition: segments with their indexes, producer snapshots and leader epochs. It is synchronous and
//! is driven from outside: the owner decides which thread blocks. [`checkpoint`] has the small files around it,
//! [`compaction`] the cleaner, [`disk`] the file system, real or simulated.

pub mod checkpoint;
pub mod compaction;
pub mod compression;
pub mod disk;

mod cache;
mod config;
mod error;
mod log;
mod poison;
mod producers;
mod segment;
mod space;
mod swap;

pub use cache::CacheBudget;
pub use compaction::{CleanPlan, Cleaned, Dirtiness};
pub use config::LogConfig;
pub use disk::{Disk, File, RealDisk, memory};
pub use error::Error;
pub use log::{
    BeforeCut, ColdRead, Cut, DeletedSegments, FlushPlan, Flushed, Log, OpenState, ReadPlan,
    Recovery, Repair, Repaired, Scrub, Scrubbed, TimestampLookup, TimestampOffset,
};
pub use poison::Poison;
pub use producers::ProducerEntry;
pub use segment::walk::Damage;
pub use space::Space;
