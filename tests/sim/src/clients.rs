//! The tests' own Kafka client over the simulated network.

use std::io;
use std::time::Duration;

use anyhow::Context;
use tokio::time::sleep;
use turmoil::net::TcpStream;
use wire_client::Network;
pub use wire_client::{Identity, SESSION_MS, Trouble};

use crate::world::{PORT, broker_name};

/// Rest between two tries.
const REST: Duration = Duration::from_millis(50);
/// Tries before a step has failed: with the rest, minutes of simulated time.
const TRIES: usize = 600;

/// The network of a life.
#[derive(Clone, Copy, Debug, Default)]
pub struct Simulated;

impl Network for Simulated {
    type Stream = TcpStream;

    async fn connect(&self, broker: i32) -> io::Result<TcpStream> {
        TcpStream::connect((broker_name(broker).as_str(), PORT)).await
    }
}

pub type Client = wire_client::Client<TcpStream>;
pub type Session = wire_client::Session<Simulated>;
pub type Group = wire_client::Group<Simulated>;

/// Tries every broker in turn until `step` succeeds with one.
pub async fn until_some<T>(
    brokers: &[i32],
    what: &str,
    mut step: impl AsyncFnMut(&mut Client) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let mut last = None;
    for _ in 0..TRIES {
        for id in brokers {
            let tried = match Client::connect(&Simulated, *id).await {
                Ok(mut client) => step(&mut client).await,
                Err(error) => Err(error.into()),
            };
            match tried {
                Ok(value) => return Ok(value),
                Err(error) => last = Some(error),
            }
        }
        sleep(REST).await;
    }
    Err(last
        .context("no broker was named")?
        .context(format!("gave up on: {what}")))
}
