//! The bytes of answers that may be in memory at once (`queued.max.response.bytes`).
//!
//! Who asks and does not read keeps what it was answered alive, be it made for it, read from disk, or shared with the
//! cache of recent batches. An answer that is there is counted whatever its size, and others that nobody takes go for
//! it; only the records of large fetches wait until there is room, as they are what much memory goes into.

use std::sync::Arc;

use bytes::Bytes;
use wire::Records;

use super::share::{Cut, Held, Share, Transfer, Usage};

/// A fetch gets so much even where there is no room: consumers at the end of a log have no less latency because others
/// do not read.
const SMALL_BYTES: usize = 64 * 1024;

/// Room for the answers of all connections.
#[derive(Debug)]
pub struct Answers(Share);

/// The end of an answer; dropping it, written or not, gives the room back.
struct Owner {
    bytes: Bytes,
    _room: Held,
}

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Answers {
    /// Room for `bytes`.
    pub fn new(bytes: usize) -> Answers {
        Answers(Share::new(bytes))
    }

    pub fn usage(&self) -> Usage {
        self.0.usage()
    }

    /// Room for an answer that is there.
    pub fn take(&self, bytes: usize) -> Held {
        self.0.take(bytes)
    }

    /// An answer of `bytes` waits for its peer.
    pub fn wait_for_peer(&self, cut: &Arc<Cut>, bytes: usize) -> Transfer {
        self.0.begin(cut, bytes)
    }

    /// The records of a consumer, whose answer has `before` bytes already. They hold room until the last of their bytes is
    /// gone. Nothing where there is no room, and the fetch goes on waiting.
    pub fn hold(&self, records: Records, before: usize) -> Records {
        if records.is_empty() {
            return records;
        }
        if before + records.len() <= SMALL_BYTES {
            return self.hold_anyway(records);
        }
        match self.0.try_take(records.len()) {
            Some(room) => owned(records, room),
            None => Records::default(),
        }
    }

    /// The records of a follower: producers wait for them.
    pub fn hold_anyway(&self, records: Records) -> Records {
        let room = self.0.take(records.len());
        owned(records, room)
    }
}

fn owned(mut records: Records, room: Held) -> Records {
    records.map_last(|bytes| Bytes::from_owner(Owner { bytes, _room: room }));
    records
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt;
    use tokio::time::advance;

    use super::*;
    use crate::net::share::GRACE;

    fn records(kib: usize) -> Records {
        let half = Bytes::from(vec![7; kib * 512]);
        Records::from(vec![half.clone(), half])
    }

    #[tokio::test]
    async fn answers_hold_room_until_they_are_gone() {
        let room = Answers::new(1000 * 1024);
        let first = room.hold(records(600), 0);
        assert_eq!(first, records(600));
        assert!(room.hold(records(600), 0).is_empty());
        let second = room.hold(records(400), 0);
        assert_eq!(second.len(), 400 * 1024);
        let last = first.chunks()[1].slice(1..2);
        drop(first);
        assert!(room.hold(records(100), 0).is_empty(), "still being written");
        drop(last);
        assert_eq!(room.hold(records(600), 0).len(), 600 * 1024);
    }

    #[tokio::test]
    async fn what_is_larger_than_all_room_is_answered_alone() {
        let room = Answers::new(4 * 1024);
        let alone = room.hold(records(100), 0);
        assert_eq!(alone.len(), 100 * 1024);
        assert!(room.hold(records(100), 0).is_empty());
        drop(alone);
        assert!(!room.hold(records(100), 0).is_empty());
        assert!(room.hold(Records::default(), 0).is_empty());
    }

    #[tokio::test]
    async fn little_is_answered_even_where_there_is_no_room_but_not_much_in_little_pieces() {
        let room = Answers::new(100 * 1024);
        let _all = room.hold(records(100), 0);
        assert!(!room.hold(records(4), 0).is_empty());
        assert!(room.hold(records(4), SMALL_BYTES - 1024).is_empty());
        assert!(!room.hold_anyway(records(100)).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_take_its_answer_goes_when_others_need_the_room() {
        // Given two that were answered, and one of them takes it, slowly but well enough
        let room = Answers::new(1000 * 1024);
        let _records = room.hold(records(500), 0);
        let (slow, good) = (Arc::<Cut>::default(), Arc::<Cut>::default());
        let _slow = room.wait_for_peer(&slow, 500 * 1024);
        let _others = room.hold(records(500), 0);
        let takes = room.wait_for_peer(&good, 500 * 1024);
        assert!(
            room.hold(records(200), 0).is_empty(),
            "they have just begun"
        );
        for _ in 0..10 {
            advance(Duration::from_millis(300)).await;
            takes.moved(32 << 10);
        }
        assert!(slow.told().now_or_never().is_none(), "nobody needs more");

        // When a third needs room, then the one goes, and only that one
        assert!(!room.hold(records(200), 0).is_empty());
        assert!(slow.told().now_or_never().is_some());
        assert!(good.told().now_or_never().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_there_never_waits_for_those_that_are_not_taken() {
        // Given nothing but answers that are just being taken
        let room = Answers::new(100 * 1024);
        let cuts: Vec<Arc<Cut>> = (0..4).map(|_| Arc::default()).collect();
        let mut held = Vec::new();
        for cut in &cuts {
            held.push((room.take(25 * 1024), room.wait_for_peer(cut, 25 * 1024)));
            advance(GRACE / 10).await;
        }

        // Then one goes for each that comes, the one first that has waited for longest
        for (index, cut) in cuts.iter().enumerate() {
            assert!(cut.told().now_or_never().is_none(), "{index}");
            held.push((room.take(20 * 1024), room.wait_for_peer(&Arc::default(), 0)));
            assert!(cut.told().now_or_never().is_some(), "{index}");
        }
        drop(held);
        assert_eq!(room.usage().used_bytes, 0);
    }
}
