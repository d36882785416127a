//! What the brokers use of memory, and what they may: the formula of docs/hostile-input.md.

use std::fs;

use crate::Node;

const MIB: u64 = 1 << 20;
const KIB: u64 = 1 << 10;

/// The settings that decide on a broker's memory, small enough to be reached.
#[derive(Clone, Debug)]
pub struct Limits {
    /// `max.connections`.
    pub connections: u64,
}

/// `queued.max.request.bytes`, `queued.max.response.bytes`, `socket.request.max.bytes`, `record.cache.bytes`,
/// `fetch.max.bytes`, `num.io.threads`.
const REQUESTS: u64 = 64 * MIB;
const ANSWERS: u64 = 64 * MIB;
pub const FRAME: u64 = 16 * MIB;
const CACHE: u64 = 32 * MIB;
const FETCH: u64 = 8 * MIB;
const READS: u64 = 4;
/// What a connection may have outside of every budget.
const CONNECTION: u64 = 40 * KIB;
/// The controller listener's own: twice its largest frame for requests, a frame more that goes on where there is no
/// room, and one for answers; and its connections.
const CONTROLLER: u64 = (2 + 1 + 1) * 64 * MIB + 4096 * CONNECTION;
/// The HTTP port's connections, each with what it has read of a head or with a page of this cluster's metrics.
const HTTP: u64 = 64 * MIB;
/// What another node may send of a snapshot.
const SNAPSHOT: u64 = 256 * MIB;

impl Limits {
    /// The lines of a broker's configuration.
    pub fn properties(&self) -> Vec<(String, String)> {
        let lines = [
            ("max.connections", self.connections),
            ("queued.max.request.bytes", REQUESTS),
            ("queued.max.response.bytes", ANSWERS),
            ("socket.request.max.bytes", FRAME),
            ("record.cache.bytes", CACHE),
            ("fetch.max.bytes", FETCH),
            ("num.io.threads", READS),
        ];
        let line = |(key, value): (&str, u64)| (key.to_owned(), value.to_string());
        lines.into_iter().map(line).collect()
    }

    /// Bytes that a broker may use, which used so many at rest.
    pub fn bound(&self, at_rest: u64) -> u64 {
        let requests = REQUESTS + FRAME + 64 * KIB;
        let reads = READS * FETCH;
        let connections = self.connections * CONNECTION;
        at_rest + requests + ANSWERS + CACHE + reads + connections + CONTROLLER + HTTP + SNAPSHOT
    }
}

/// Has the kernel begin anew with a broker's peak, where it lets us; else it is that of all phases so far.
pub fn forget_peak(node: &Node) {
    if let Some(pid) = node.pid() {
        // Only for a process of the same user, and not where the machine is locked down.
        let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
    }
}
