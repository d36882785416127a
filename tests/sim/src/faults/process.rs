//! Faults of a machine itself.

use rand::Rng;
use rand::rngs::StdRng;

use crate::Cluster;

/// Far enough to pass every timeout, and to be in another day.
const JUMP_MS: i64 = 100_000_000;

/// The wall clock jumps, ahead or back.
pub fn jump(cluster: &mut Cluster<'_>, victim: i32, dice: &mut StdRng) {
    let skew_ms = dice.random_range(-JUMP_MS..JUMP_MS);
    cluster.host(victim).set_skew_ms(skew_ms);
}
