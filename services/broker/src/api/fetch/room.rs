//! The bytes of answers to consumers that may be in memory at once.
//!
//! A consumer that asks and does not read keeps what it was answered alive, be it read from disk or shared with the
//! cache of recent batches. Followers are not counted: producers wait for them.

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use wire::Records;

use crate::net::{Share, Usage};

/// Room for answers that have not been taken yet (`queued.max.response.bytes`).
#[derive(Debug)]
pub struct Room(Share);

/// The end of an answer; dropping it, written or not, gives the room back.
struct Held {
    bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Room {
    /// Room for `bytes`.
    pub fn new(bytes: usize) -> Room {
        Room(Share::new(bytes))
    }

    pub fn usage(&self) -> Usage {
        self.0.usage()
    }

    /// The records, which hold room until the last of their bytes is gone; nothing where there is no room, and the
    /// fetch goes on waiting.
    pub(super) fn hold(&self, mut records: Records) -> Records {
        if records.is_empty() {
            return records;
        }
        let Some(room) = self.0.try_take(records.len()) else {
            return Records::default();
        };
        records.map_last(|bytes| Bytes::from_owner(Held { bytes, _room: room }));
        records
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(kib: usize) -> Records {
        let half = Bytes::from(vec![7; kib * 512]);
        Records::from(vec![half.clone(), half])
    }

    #[test]
    fn answers_hold_room_until_they_are_gone() {
        let room = Room::new(10 * 1024);
        let first = room.hold(records(6));
        assert_eq!(first, records(6));
        assert!(room.hold(records(6)).is_empty());
        let second = room.hold(records(4));
        assert_eq!(second.len(), 4 * 1024);
        let last = first.chunks()[1].slice(1..2);
        drop(first);
        assert!(room.hold(records(1)).is_empty(), "still being written");
        drop(last);
        assert_eq!(room.hold(records(6)).len(), 6 * 1024);
    }

    #[test]
    fn what_is_larger_than_all_room_is_answered_alone() {
        let room = Room::new(4 * 1024);
        let alone = room.hold(records(100));
        assert_eq!(alone.len(), 100 * 1024);
        assert!(room.hold(records(1)).is_empty());
        drop(alone);
        assert!(!room.hold(records(1)).is_empty());
        assert!(room.hold(Records::default()).is_empty());
    }
}
