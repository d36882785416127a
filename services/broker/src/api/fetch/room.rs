//! The bytes of answers to consumers that may be in memory at once.
//!
//! A consumer that asks and does not read keeps what it was answered alive, be it read from disk or shared with the
//! cache of recent batches. Followers are not counted: producers wait for them.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wire::Records;

/// Permits are counted in units of this many bytes, since a permit count is bounded by 32 bits.
const UNIT_BYTES: usize = 1024;

/// Room for answers that have not been taken yet (`queued.max.response.bytes`).
#[derive(Debug)]
pub struct Room {
    free: Arc<Semaphore>,
    units: u32,
}

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
        let units = u32::try_from(bytes / UNIT_BYTES)
            .unwrap_or(u32::MAX >> 3)
            .clamp(1, u32::MAX >> 3);
        Room {
            free: Arc::new(Semaphore::new(units as usize)),
            units,
        }
    }

    /// The records, which hold room until the last of their bytes is gone; nothing where there is no room, and the
    /// fetch goes on waiting. What is larger than the whole room needs all of it, so that it is answered alone rather
    /// than never.
    pub(super) fn hold(&self, records: Records) -> Records {
        let Some((last, before)) = records.chunks().split_last() else {
            return records;
        };
        let units = u32::try_from(records.len().div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX);
        let units = units.min(self.units);
        let Ok(room) = self.free.clone().try_acquire_many_owned(units) else {
            return Records::default();
        };
        let held = Held {
            bytes: last.clone(),
            _room: room,
        };
        let mut chunks = before.to_vec();
        chunks.push(Bytes::from_owner(held));
        Records::from(chunks)
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
