//! The whole mesh. KEEP_STACK=1 leaves a failed stack running, to be looked at.

mod chaos;
mod corruption;
mod dashboards;
mod kills;
mod mesh;
mod ports;
mod positions;
mod retention;
mod stores;
mod topics;
mod traces;
