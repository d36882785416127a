//! The port of /metrics, /healthz and /readyz of a real broker: any bytes. Afterwards it answers as before.

use super::take::Take;
use crate::broker::{HTTP_PORT, Life};
use crate::memory;

/// What a broker that starts, serves and stops takes at most, with what one connection may cost.
const FLOOR: usize = 48 << 20;
const PER_BYTE: usize = 256;

/// How many bytes at a time (a byte; all of them for 0), then what is said.
pub fn http(input: &[u8]) {
    let mut take = Take(input);
    let chunk = match take.byte() {
        0 => usize::MAX,
        size => usize::from(size),
    };
    memory::within(FLOOR + PER_BYTE * input.len(), "a connection", || {
        let mut life = Life::begin();
        life.hear(HTTP_PORT, take.0, chunk);
        life.http_must_go_on();
        life.must_go_on();
    });
}
