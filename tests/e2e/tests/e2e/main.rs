//! The whole mesh. KEEP_STACK=1 leaves a failed stack running, to be looked at.

mod mesh;
mod ports;
mod stores;
mod verify;
