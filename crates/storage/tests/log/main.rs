//! The log as its owner sees it, on a disk in memory that crashes, fails and fills up.

mod compaction;
mod crash;
mod deleted;
mod faults;
mod house;
mod read;
mod real;
mod turns;
