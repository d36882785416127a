//! The log as its owner sees it, on a disk in memory that crashes, fails and fills up, and after its power has failed or its files were damaged.

mod compaction;
mod crash;
mod cuts;
mod deleted;
mod faults;
mod flushes;
mod house;
mod producers;
mod read;
mod real;
mod recovery;
mod scrub;
mod starts;
mod turns;
