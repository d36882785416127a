//! For each anomaly: a history that has it is rejected with just that kind, and its innocent neighbour is accepted.

mod clients;
mod compaction;
mod events;
mod promises;
mod records;
