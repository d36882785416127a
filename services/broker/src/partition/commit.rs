//! Producers that wait, in the order of their offsets: those of acks=all for the high watermark, those of acks=1 for
//! the leader's own fsync where the topic asks for one.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::ids::Offset;
use engine::replica::{Commitment, Error};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use wire::ErrorCode;

use super::Partition;

type Key = (Offset, u64);

/// A queue: what must be safe, and who waits for it.
#[derive(Default)]
pub(super) struct Commits {
    waiting: BTreeMap<Key, oneshot::Sender<Result<(), ErrorCode>>>,
    next: u64,
}

impl Commits {
    fn push(&mut self, next_offset: Offset) -> (Key, oneshot::Receiver<Result<(), ErrorCode>>) {
        let (sender, receiver) = oneshot::channel();
        self.next += 1;
        let key = (next_offset, self.next);
        self.waiting.insert(key, sender);
        (key, receiver)
    }

    /// Answers those who need not wait any longer, as the replica has it.
    pub fn release(&mut self, commitment: impl Fn(Offset) -> Result<Commitment, Error>) {
        while let Some(first) = self.waiting.first_entry() {
            let answer = match commitment(first.key().0) {
                Ok(Commitment::Committed) => Ok(()),
                Ok(Commitment::NotEnoughReplicas) => Err(ErrorCode::NotEnoughReplicasAfterAppend),
                // Whoever waits where another leads is answered by `fail_all`.
                Ok(Commitment::Waiting) | Err(_) => break,
            };
            // Whoever has given up waiting needs no answer.
            let _ = first.remove().send(answer);
        }
    }

    /// This replica no longer leads, so it cannot know what becomes of the records.
    pub fn fail_all(&mut self, error: ErrorCode) {
        for (_, sender) in std::mem::take(&mut self.waiting) {
            let _ = sender.send(Err(error));
        }
    }
}

/// Which queue somebody waits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// Below the high watermark.
    Committed,
    /// With `flush.messages=1` fsynced here.
    Durable,
}

/// A wait until what has been appended is as safe as its producer asks for. Dropping it gives up.
#[must_use = "the records are safe only when the wait ends with Ok"]
pub struct CommitWait {
    partition: Arc<Partition>,
    until: Until,
    key: Key,
    receiver: oneshot::Receiver<Result<(), ErrorCode>>,
}

impl CommitWait {
    /// Begins to wait for everything below `next_offset`; none if that is safe already.
    pub(super) fn begin(
        partition: &Arc<Partition>,
        state: &mut super::State,
        next_offset: Offset,
        until: Until,
    ) -> Option<CommitWait> {
        let is_safe = match until {
            Until::Committed => state.replica.commitment(next_offset) == Ok(Commitment::Committed),
            Until::Durable => state.replica.has_durably(next_offset),
        };
        if is_safe {
            return None;
        }
        let (key, receiver) = state.queue(until).push(next_offset);
        state.release();
        Some(CommitWait {
            partition: partition.clone(),
            until,
            key,
            receiver,
        })
    }

    /// Ends when the records are committed, will not be, or `deadline` is over (REQUEST_TIMED_OUT).
    pub async fn wait(mut self, deadline: Instant) -> Result<(), ErrorCode> {
        match timeout_at(deadline, &mut self.receiver).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(ErrorCode::NotLeaderOrFollower),
            Err(_) => Err(ErrorCode::RequestTimedOut),
        }
    }

    /// Ends when the records are committed or will not be.
    pub(super) async fn done(mut self) {
        // Whichever it is, whoever asks looks for himself.
        let _ = (&mut self.receiver).await;
    }
}

impl Drop for CommitWait {
    fn drop(&mut self) {
        self.partition
            .state
            .lock()
            .queue(self.until)
            .waiting
            .remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A batch that was sent again is waited for by both who have sent it.
    #[tokio::test]
    async fn all_who_wait_for_the_same_offset_are_answered() {
        let mut commits = Commits::default();
        let waiting = [(); 3].map(|()| commits.push(Offset(5)).1);
        commits.release(|_| Ok(Commitment::Committed));
        for receiver in waiting {
            assert_eq!(receiver.await, Ok(Ok(())));
        }
    }
}
