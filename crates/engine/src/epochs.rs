//! Which leader epoch begins at which offset of a log (KIP-101): what a truncation is decided by.

use crate::ids::{LeaderEpoch, Offset};

/// The start of one leader epoch in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochStart {
    pub epoch: LeaderEpoch,
    pub start: Offset,
}

/// Where an epoch ends: the largest epoch that is not above the one asked for, and the offset after its last record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEnd {
    pub epoch: LeaderEpoch,
    pub end: Offset,
}

/// The epochs of one log, oldest first; epochs and starts both only grow. The last one may have no record yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Epochs {
    entries: Vec<EpochStart>,
}

impl Epochs {
    /// Takes entries as they are stored; what does not grow is dropped, as the later entry is the better witness.
    pub fn new(entries: impl IntoIterator<Item = EpochStart>) -> Epochs {
        let mut epochs = Epochs::default();
        for entry in entries {
            epochs.assign(entry.epoch, entry.start);
        }
        epochs
    }

    pub fn entries(&self) -> &[EpochStart] {
        &self.entries
    }

    pub fn latest(&self) -> Option<LeaderEpoch> {
        self.entries.last().map(|e| e.epoch)
    }

    /// The epoch that the record before `offset` was written in.
    pub fn epoch_before(&self, offset: Offset) -> Option<LeaderEpoch> {
        self.entries
            .iter()
            .rev()
            .find(|e| e.start < offset)
            .map(|e| e.epoch)
    }

    /// Notes that `epoch` begins at `start`. An epoch that is known stays where it began; entries that the new one
    /// contradicts (a later epoch, or another at the same or a later start) go. Returns whether anything has changed.
    pub fn assign(&mut self, epoch: LeaderEpoch, start: Offset) -> bool {
        if epoch.0 < 0 {
            return false;
        }
        let before = self.entries.len();
        self.entries.retain(|e| {
            (e.epoch < epoch && e.start < start) || (e.epoch == epoch && e.start <= start)
        });
        let known = self.latest() == Some(epoch);
        if !known {
            self.entries.push(EpochStart { epoch, start });
        }
        !known || self.entries.len() != before
    }

    /// Where the largest epoch that is at most `asked` ends in a log that ends at `log_end`; none if the log knows
    /// nothing of such old epochs, or `asked` is later than all it knows.
    pub fn end_of(&self, asked: LeaderEpoch, log_end: Offset) -> Option<EpochEnd> {
        let after = self.entries.partition_point(|e| e.epoch <= asked);
        match (after.checked_sub(1), self.entries.get(after)) {
            // The current epoch has not ended: it reaches to the log end.
            (Some(at), None) if self.entries[at].epoch == asked => Some(EpochEnd {
                epoch: asked,
                end: log_end,
            }),
            (_, None) => None,
            (Some(at), Some(next)) => Some(EpochEnd {
                epoch: self.entries[at].epoch,
                end: next.start,
            }),
            // Older than all that is left: nothing of it exists past the first known start.
            (None, Some(first)) => Some(EpochEnd {
                epoch: asked,
                end: first.start,
            }),
        }
    }

    /// Forgets what begins at or after `end`, where the log has been cut.
    pub fn truncate_end(&mut self, end: Offset) {
        self.entries.retain(|e| e.start < end);
    }

    /// Moves up to a log start: the epoch that reaches over it now begins there.
    pub fn truncate_start(&mut self, start: Offset) {
        let after = self.entries.partition_point(|e| e.start <= start);
        if let Some(at) = after.checked_sub(1) {
            self.entries.drain(..at);
            self.entries[0].start = start;
        }
    }

    pub fn clear(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(entries: &[(i32, i64)]) -> Epochs {
        Epochs::new(entries.iter().map(|&(epoch, start)| EpochStart {
            epoch: LeaderEpoch(epoch),
            start: Offset(start),
        }))
    }

    fn end(epochs: &Epochs, asked: i32) -> Option<(i32, i64)> {
        epochs
            .end_of(LeaderEpoch(asked), Offset(30))
            .map(|e| (e.epoch.0, e.end.0))
    }

    #[test]
    fn an_epoch_ends_where_the_next_one_begins() {
        let known = epochs(&[(2, 5), (4, 10), (7, 20)]);
        assert_eq!(end(&known, 1), Some((1, 5)));
        assert_eq!(end(&known, 2), Some((2, 10)));
        assert_eq!(end(&known, 3), Some((2, 10)));
        assert_eq!(end(&known, 6), Some((4, 20)));
        assert_eq!(end(&known, 7), Some((7, 30)));
        assert_eq!(end(&known, 8), None);
        assert_eq!(end(&Epochs::default(), 0), None);
    }

    #[test]
    fn a_new_leadership_replaces_an_epoch_that_has_no_record() {
        let mut known = epochs(&[(2, 5), (4, 10)]);
        assert!(known.assign(LeaderEpoch(6), Offset(10)));
        assert_eq!(known, epochs(&[(2, 5), (6, 10)]));
        assert!(!known.assign(LeaderEpoch(6), Offset(12)));
    }

    #[test]
    fn cutting_either_end_keeps_what_the_log_still_has() {
        let mut known = epochs(&[(2, 5), (4, 10), (7, 20)]);
        known.truncate_end(Offset(20));
        assert_eq!(known, epochs(&[(2, 5), (4, 10)]));
        known.truncate_start(Offset(12));
        assert_eq!(known, epochs(&[(4, 12)]));
        assert_eq!(known.epoch_before(Offset(12)), None);
        assert_eq!(known.epoch_before(Offset(13)), Some(LeaderEpoch(4)));
    }
}
