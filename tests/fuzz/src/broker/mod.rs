//! One real broker in this thread: in memory its disk and its network, and time that passes when nobody has anything to do.

mod files;
mod host;
mod lives;
mod network;

pub use host::Host;
pub use lives::{HTTP_PORT, Life, PORT, QUORUM_PORT, TOPIC, frame};
