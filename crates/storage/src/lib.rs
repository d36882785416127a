//! The partition log on disk, in Kafka's own formats, behind a small Disk trait.

pub mod checkpoint;
pub mod disk;
mod error;

pub use disk::{Disk, File, RealDisk, memory};
pub use error::Error;
