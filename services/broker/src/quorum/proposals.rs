//! Numbers for this process's proposals, so that one which is repeated for want of an answer is carried out once.

use std::collections::BTreeSet;
use std::time::Duration;

use engine::ids::BrokerId;
use engine::metadata::{MAX_OPEN_PROPOSALS, ProposalId};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout;
use wire::Uuid;

/// The proposals that this process waits for.
pub struct Proposals {
    broker: BrokerId,
    incarnation: Uuid,
    numbers: Mutex<Numbers>,
    settled: Notify,
}

#[derive(Default)]
struct Numbers {
    next: u64,
    open: BTreeSet<u64>,
}

/// A proposal that is waited for until this is dropped.
pub struct Open<'a> {
    proposals: &'a Proposals,
    /// What names it.
    pub id: ProposalId,
}

impl Proposals {
    /// None yet.
    pub fn new(broker: BrokerId, incarnation: Uuid) -> Proposals {
        Proposals {
            broker,
            incarnation,
            numbers: Mutex::default(),
            settled: Notify::new(),
        }
    }

    /// Takes the next number. Waits while the oldest open proposal is too far behind; none when the time is over.
    pub async fn open(&self, deadline: Duration) -> Option<Open<'_>> {
        let waiting = async {
            loop {
                let settled = self.settled.notified();
                tokio::pin!(settled);
                settled.as_mut().enable();
                if let Some(open) = self.try_open() {
                    return open;
                }
                settled.await;
            }
        };
        timeout(deadline, waiting).await.ok()
    }

    fn try_open(&self) -> Option<Open<'_>> {
        let mut numbers = self.numbers.lock();
        let sequence = numbers.next;
        let settled = numbers.open.first().copied().unwrap_or(sequence);
        if sequence - settled >= MAX_OPEN_PROPOSALS {
            return None;
        }
        numbers.next += 1;
        numbers.open.insert(sequence);
        let id = ProposalId {
            broker: self.broker,
            incarnation: self.incarnation,
            sequence,
            settled,
        };
        Some(Open {
            proposals: self,
            id,
        })
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.proposals.numbers.lock().open.remove(&self.id.sequence);
        self.proposals.settled.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn a_proposer_stays_within_what_the_image_keeps() {
        let proposals = Proposals::new(BrokerId(1), Uuid([1; 16]));
        let oldest = proposals.open(NOW).await.expect("free");
        for _ in 1..MAX_OPEN_PROPOSALS {
            // Answered at once; the oldest still waits.
            let open = proposals.open(NOW).await.expect("free");
            assert_eq!(open.id.settled, oldest.id.sequence);
        }
        assert!(proposals.open(NOW).await.is_none());
        drop(oldest);
        let next = proposals.open(NOW).await.expect("free again");
        assert_eq!(next.id.settled, next.id.sequence);
    }
}
