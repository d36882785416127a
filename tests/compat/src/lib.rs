//! Other people's clients: Apache Kafka's own tools, kafka-python, kcat and franz-go, as commands; and what they left on disk.
//!
//! `scripts/stack install clients` brings them: the jars, the Python environment and the Go program under `.cache/`,
//! kcat as a Debian package.

mod page;
mod running;
mod stored;
mod tools;

pub use page::{Block, blocks};
pub use running::Running;
pub use stored::codecs_of;
pub use tools::Tools;
