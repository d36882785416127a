//! A rolling restart: each broker is told to stop, is waited for, starts again, and only then the next one.

use std::time::Duration;

use crate::{Cluster, Scene};

/// Whoever does it does not wait for one broker for ever.
const PATIENCE: Duration = Duration::from_secs(5);

/// How far it is.
#[derive(Default)]
pub struct Rolling {
    /// The broker whose turn it is, and since when it has stopped or run again.
    turn: i32,
    since: Duration,
    stopping: bool,
}

impl Rolling {
    /// The next step, if it is time for one; tells of it.
    pub fn pass(
        &mut self,
        cluster: &mut Cluster<'_>,
        scene: &Scene,
        now: Duration,
    ) -> Option<String> {
        let count = cluster.brokers().len() as i32;
        let waited = now.saturating_sub(self.since);
        if self.stopping {
            if !cluster.is_up(self.turn) || waited > PATIENCE {
                cluster.restart(self.turn);
                (self.stopping, self.since) = (false, now);
                return Some(format!("broker {} starts again, in its turn", self.turn));
            }
            return None;
        }
        if self.turn >= count || (scene.whole() <= self.since && waited < PATIENCE) {
            return None;
        }
        self.turn += 1;
        self.since = now;
        if !cluster.is_up(self.turn) || cluster.down().contains(&self.turn) {
            return None;
        }
        cluster.stop(self.turn);
        self.stopping = true;
        Some(format!("broker {} is told to stop, in its turn", self.turn))
    }
}
