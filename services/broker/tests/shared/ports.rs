//! Loopback ports for nodes that are told their port before they start.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the range from which the kernel takes ports for outgoing connections and for port 0, so that nobody else is
/// given the port of a node while that node is down.
const FIRST: u32 = 20_000;
const COUNT: u32 = 12_000;

/// How many have been handed out: tests run side by side, and none gets the port of another's node.
static TAKEN: AtomicU32 = AtomicU32::new(0);

/// A port that nobody listens on.
pub fn free() -> u16 {
    let start = std::process::id().wrapping_mul(97);
    loop {
        let step = TAKEN.fetch_add(1, Ordering::Relaxed);
        assert!(step < COUNT, "no free port from {FIRST} on");
        let port = (FIRST + start.wrapping_add(step) % COUNT) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
