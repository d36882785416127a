//! Free loopback ports for processes that are told their port before they start.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::TcpListener;

use anyhow::{Result, bail};

/// Below the range from which the kernel takes ports for outgoing connections, so that no connection of the test
/// itself sits on a port while its broker is down.
const FIRST: u16 = 12_000;
const COUNT: u16 = 8_000;

/// `wanted` ports that nobody listens on. They are all held until the last has been found.
pub fn free(wanted: usize) -> Result<Vec<u16>> {
    let start = RandomState::new().build_hasher().finish() as u16 % COUNT;
    let mut held = Vec::with_capacity(wanted);
    for step in 0..COUNT {
        let port = FIRST + (start + step) % COUNT;
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            held.push((port, listener));
        }
        if held.len() == wanted {
            return Ok(held.into_iter().map(|(port, _)| port).collect());
        }
    }
    bail!("fewer than {wanted} free ports from {FIRST} on")
}
