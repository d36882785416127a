//! A Kafka client of a few lines, on the wire crate, in the words of the checker: unlike a library it retries nothing and hides nothing, so it can
//! tell what one broker said, in which leader epoch and in which generation. The simulator's clients and those of the chaos run
//! are the same; only the network is another one.

mod connection;
mod group;
mod reads;
mod session;

use std::future::Future;
use std::io;

use tokio::io::{AsyncRead, AsyncWrite};

pub use connection::Client;
pub use group::{Group, Identity, SESSION_MS, Trouble, patient, shares};
pub use reads::{EARLIEST, LATEST, Listed, Read};
pub use session::Session;

/// How brokers are reached.
pub trait Network {
    type Stream: AsyncRead + AsyncWrite + Unpin;

    /// A connection to a broker.
    fn connect(&self, broker: i32) -> impl Future<Output = io::Result<Self::Stream>>;
}
