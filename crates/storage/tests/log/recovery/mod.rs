//! What a log is after its power has failed at any moment, and after its files were damaged.

mod compacted;
mod cut_mark;
mod damaged;
mod every_operation;
mod image;
mod life;
mod lines;
mod repaired;
mod small_files;
