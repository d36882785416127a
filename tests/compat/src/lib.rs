//! Other people's clients: Apache Kafka's own tools, kafka-python and kcat, as commands; and what they left on disk.
//!
//! `scripts/stack install clients` brings them: the jars and the Python environment under `.cache/`, kcat as a Debian
//! package.

mod page;
mod stored;
mod tools;

pub use page::{Block, blocks};
pub use stored::codecs_of;
pub use tools::Tools;
