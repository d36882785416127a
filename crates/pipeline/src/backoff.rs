//! Growing, jittered pauses between tries.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Pauses that double from `first` to `most`, each drawn at random from its upper half, so that clients of one outage do
/// not come back in step.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    tries: u32,
}

impl Default for Backoff {
    /// From 200 ms to 15 s: long enough to leave a struggling store alone, short enough that a restart is noticed soon.
    fn default() -> Backoff {
        Backoff::new(Duration::from_millis(200), Duration::from_secs(15))
    }
}

impl Backoff {
    pub fn new(first: Duration, most: Duration) -> Backoff {
        Backoff {
            first,
            most,
            tries: 0,
        }
    }

    /// The next pause.
    pub fn next_pause(&mut self) -> Duration {
        let full = self
            .first
            .saturating_mul(1 << self.tries.min(20))
            .min(self.most);
        self.tries = self.tries.saturating_add(1);
        let jitter = (random_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        full.mul_f64(0.5 + jitter / 2.0)
    }

    /// Waits for the next pause.
    pub async fn wait(&mut self) {
        tokio::time::sleep(self.next_pause()).await;
    }

    /// How many pauses were taken since the start or the last reset.
    pub fn tries(&self) -> u32 {
        self.tries
    }

    /// Starts again from the shortest pause.
    pub fn reset(&mut self) {
        self.tries = 0;
    }
}

/// A number that differs between calls and processes: the standard library seeds its hasher from the operating system.
pub fn random_u64() -> u64 {
    RandomState::new().hash_one(0_u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest_and_start_again_after_a_reset() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        for (low, high) in [
            (50, 100),
            (100, 200),
            (200, 400),
            (400, 800),
            (500, 1000),
            (500, 1000),
        ] {
            let pause = backoff.next_pause();
            assert!(
                Duration::from_millis(low) <= pause && pause <= Duration::from_millis(high),
                "{pause:?}"
            );
        }
        for _ in 0..100 {
            assert!(backoff.next_pause() <= Duration::from_secs(1));
        }
        backoff.reset();
        assert!(backoff.next_pause() <= Duration::from_millis(100));
    }
}
