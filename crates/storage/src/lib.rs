//! The partition log on disk, in Kafka's own formats, behind a small Disk trait.
