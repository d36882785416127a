//! How long faults go on: as long as asked, and longer where some kind has not occurred by then.

use std::time::Duration;

/// What becomes of a step of the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    Strike,
    /// Time is over, and the step brings nothing that is lacking.
    Skip,
    End,
}

/// How long a run was asked to go on, and how much longer it may until each kind of fault has occurred.
#[derive(Debug, Clone, Copy)]
pub struct Length {
    pub asked: Duration,
    pub extra: Duration,
}

impl Length {
    /// After `elapsed`, of a step that `brings` these kinds, where those are `lacking` that have not occurred.
    pub fn next<K: PartialEq>(&self, elapsed: Duration, lacking: &[K], brings: &[K]) -> Next {
        if elapsed < self.asked {
            return Next::Strike;
        }
        if lacking.is_empty() || elapsed >= self.asked + self.extra {
            return Next::End;
        }
        match brings.iter().any(|kind| lacking.contains(kind)) {
            true => Next::Strike,
            false => Next::Skip,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Length = Length {
        asked: Duration::from_secs(60),
        extra: Duration::from_secs(30),
    };

    fn next(elapsed_s: u64, lacking: &[&str], brings: &[&str]) -> Next {
        LENGTH.next(Duration::from_secs(elapsed_s), lacking, brings)
    }

    #[test]
    fn within_the_time_everything_strikes() {
        assert_eq!(next(59, &[], &["kill"]), Next::Strike);
    }

    #[test]
    fn afterwards_only_what_is_lacking_strikes_alone_or_amid_something() {
        assert_eq!(next(60, &["kill"], &["memory", "kill"]), Next::Strike);
        assert_eq!(next(60, &["kill"], &["memory"]), Next::Skip);
        assert_eq!(next(60, &[], &["memory"]), Next::End);
    }

    #[test]
    fn it_ends_even_where_something_never_occurs() {
        assert_eq!(next(90, &["kill"], &["kill"]), Next::End);
    }
}
