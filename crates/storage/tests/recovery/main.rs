//! What a log is after its power has failed at any moment, and after its files were damaged.

mod compacted;
mod every_operation;
mod life;
mod power;
