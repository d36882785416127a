//! Elections since this broker is there: what it has read again of the log at its start is old news.

use engine::metadata::Elections as Count;
use parking_lot::Mutex;

/// Partitions that have got another leader.
#[derive(Default)]
pub(super) struct Elections(Mutex<State>);

#[derive(Default)]
struct State {
    /// What had been counted when this broker had caught up.
    before: Count,
    now: Count,
    caught_up: bool,
}

impl Elections {
    /// Notes what the quorum has counted; `caught_up`: this broker has read the log up to its own start.
    pub fn look(&self, counted: Count, caught_up: bool) {
        let mut state = self.0.lock();
        state.now = counted;
        if !state.caught_up {
            state.before = counted;
            state.caught_up = caught_up;
        }
    }

    pub fn count(&self) -> Count {
        let state = self.0.lock();
        Count {
            clean: state.now.clean - state.before.clean,
            unclean: state.now.unclean - state.before.unclean,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_before_does_not_count() {
        let (old, newer) = (count(7, 1), count(9, 2));
        let elections = Elections::default();
        elections.look(count(3, 1), false);
        elections.look(old, true);
        assert_eq!(elections.count(), count(0, 0));
        elections.look(newer, false);
        assert_eq!(elections.count(), count(2, 1));
    }

    fn count(clean: u64, unclean: u64) -> Count {
        Count { clean, unclean }
    }
}
