//! Real chaos: three broker processes on machines of their own, hurt in every way while clients write and read.
//!
//! [`schedule`] makes the faults out of a seed, [`faults`] carries them out on the [`field`], [`workload`] keeps clients
//! busy, which write [`history`]s, and [`raw`] ones tell what those do not; [`run`] puts it together, and [`verdict`] hands the histories to the checker.

mod cgroup;
pub mod client;
mod clock;
mod detour;
mod faults;
mod field;
mod histories;
mod history;
mod java;
mod kind;
mod length;
mod looks;
mod pace;
mod packet_filter;
mod progress;
pub mod proxy;
mod raw;
mod record;
mod report;
mod run;
mod schedule;
pub mod slowness;
mod turns;
mod verdict;
mod watch;
mod workload;

pub use field::Field;
pub use kind::Kind;
pub use length::{Length, Next};
pub use pace::Pace;
pub use progress::Progress;
pub use report::Summary;
pub use run::run;
pub use turns::Turns;
