//! Whole connections to a real broker: any bytes, to either of its listeners. Afterwards it serves as before.

use super::take::Take;
use crate::broker::{Life, PORT, QUORUM_PORT};
use crate::memory;

/// What a broker that starts, serves and stops takes at most, with what one connection may cost (docs/hostile-input.md).
const FLOOR: usize = 48 << 20;
const PER_BYTE: usize = 256;

/// How (a byte: which listener, and how many bytes at a time), then what is said.
pub fn connection(input: &[u8]) {
    let mut take = Take(input);
    let how = take.byte();
    let chunk = match how >> 1 {
        0 => usize::MAX,
        size => usize::from(size),
    };
    memory::within(FLOOR + PER_BYTE * input.len(), "a connection", || {
        let mut life = Life::begin();
        if how & 1 == 0 {
            life.hear(PORT, take.0, chunk);
            life.must_go_on();
        } else {
            // Who may speak there may also stop the broker, in words that it understands.
            life.hear(QUORUM_PORT, take.0, chunk);
            life.quorum_must_go_on();
        }
    });
}
