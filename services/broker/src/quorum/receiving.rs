//! A snapshot on its way to this node, in parts.
//!
//! The consensus takes a snapshot that cannot be read for a disk that has failed, and ends the process. So nothing gets
//! to it that has not been read before.

use std::io::Cursor;

use engine::metadata::Image;
use openraft::raft::{InstallSnapshotRequest, InstallSnapshotResponse};

use super::machine::decode_image;
use super::message::{Answer, Refusal, Reply};
use super::node::Node;
use super::types::{Raft, Snapshot, SnapshotMeta, Types};

/// The largest image. A million partitions are well below it.
const IMAGE_MAX_BYTES: usize = 256 << 20;

/// What has come of a snapshot.
#[derive(Default)]
pub struct Receiving {
    meta: SnapshotMeta,
    bytes: Vec<u8>,
}

/// Why it is not taken. The sender begins anew.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("a part of a snapshot begins at byte {at} where {has} are there")]
    OutOfOrder { at: u64, has: usize },
    #[error("a snapshot of more than {IMAGE_MAX_BYTES} bytes")]
    TooLarge,
    #[error("the snapshot is refused: {0}")]
    Unreadable(String),
}

impl Receiving {
    /// Adds a part; gives the whole with the last one, if it can be read.
    pub fn on_part(
        &mut self,
        part: InstallSnapshotRequest<Types>,
    ) -> Result<Option<Receiving>, Error> {
        if part.offset == 0 {
            // Its memory goes too: another one may be much smaller.
            *self = Receiving {
                meta: part.meta.clone(),
                bytes: Vec::new(),
            };
        }
        let has = self.bytes.len();
        let end = part.offset.checked_add(part.data.len() as u64);
        // The last part is repeated where its answer got lost.
        let is_repeated = end == Some(has as u64) && has > 0;
        let is_next = part.offset == has as u64 || is_repeated;
        if !is_next || part.meta != self.meta {
            let at = part.offset;
            return Err(Error::OutOfOrder { at, has });
        }
        if !is_repeated {
            if has + part.data.len() > IMAGE_MAX_BYTES {
                *self = Receiving::default();
                return Err(Error::TooLarge);
            }
            self.bytes.extend_from_slice(&part.data);
        }
        if !part.done {
            return Ok(None);
        }
        let whole = std::mem::take(self);
        check(&whole)?;
        Ok(Some(whole))
    }
}

impl Node {
    /// Takes a part of a snapshot, and installs it with the last one.
    pub(super) async fn take_snapshot(
        &self,
        raft: &Raft,
        part: InstallSnapshotRequest<Types>,
        from: u64,
    ) -> Answer {
        let vote = raft.metrics().borrow().vote;
        let taken = |vote| Ok(Reply::SnapshotTaken(InstallSnapshotResponse { vote }));
        if part.vote < vote {
            return taken(vote);
        }
        let sender = part.vote;
        let received = self.receiving.lock().on_part(part);
        let received = received.map_err(|error| {
            if matches!(error, Error::Unreadable(_)) {
                tracing::error!(from, %error, "a node has sent metadata that cannot be read; its own copy may be damaged");
            }
            Refusal::Unavailable(error.to_string())
        })?;
        let Some(Receiving { meta, bytes }) = received else {
            return taken(vote);
        };
        let snapshot = Snapshot {
            meta,
            snapshot: Box::new(Cursor::new(bytes)),
        };
        let installed = raft.install_full_snapshot(sender, snapshot).await;
        let installed = installed.map_err(|e| Refusal::Unavailable(e.to_string()))?;
        taken(installed.vote)
    }
}

/// Whether its image can be read and is the one that it is said to be.
fn check(whole: &Receiving) -> Result<(), Error> {
    let image: Image =
        decode_image(&whole.bytes).map_err(|error| Error::Unreadable(error.to_string()))?;
    let (is, said) = (image.index(), whole.meta.last_log_id.map(|id| id.index));
    if said.is_some_and(|said| said != is) {
        let why = format!("its image is of entry {is}, not of {said:?}");
        return Err(Error::Unreadable(why));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use openraft::CommittedLeaderId;

    use super::super::machine::encode_image;
    use super::super::types::{LogId, Vote};
    use super::*;

    fn parts(bytes: &[u8], size: usize, index: u64) -> Vec<InstallSnapshotRequest<Types>> {
        let meta = SnapshotMeta {
            last_log_id: Some(LogId::new(CommittedLeaderId::new(1, 0), index)),
            snapshot_id: format!("1-{index}"),
            ..SnapshotMeta::default()
        };
        let count = bytes.len().div_ceil(size);
        let chunks = bytes.chunks(size).enumerate();
        chunks
            .map(|(number, chunk)| InstallSnapshotRequest {
                vote: Vote::new_committed(1, 0),
                meta: meta.clone(),
                offset: (number * size) as u64,
                data: chunk.to_vec(),
                done: number + 1 == count,
            })
            .collect()
    }

    fn image() -> Vec<u8> {
        encode_image(&Image::default().at_index(7)).expect("it can be written")
    }

    #[test]
    fn parts_make_the_whole_however_they_are_cut_and_repeated() {
        for size in 1..=image().len() {
            let mut receiving = Receiving::default();
            let mut whole = None;
            for part in parts(&image(), size, 7) {
                if !part.done {
                    let repeated = receiving.on_part(part.clone());
                    assert!(repeated.is_ok_and(|whole| whole.is_none()));
                }
                whole = receiving.on_part(part).expect("they are in order");
            }
            assert_eq!(whole.map(|whole| whole.bytes), Some(image()), "{size}");
        }
    }

    #[test]
    fn parts_out_of_order_or_of_another_snapshot_are_refused() {
        let mut receiving = Receiving::default();
        let (parts, others) = (parts(&image(), 4, 7), parts(&image(), 4, 8));
        receiving.on_part(parts[0].clone()).expect("the first");
        let mut far = parts[1].clone();
        far.offset = u64::MAX - 1;
        for part in [far, parts[2].clone(), others[1].clone()] {
            let refused = receiving.on_part(part);
            assert!(matches!(refused, Err(Error::OutOfOrder { .. })));
        }
        assert!(receiving.on_part(parts[1].clone()).is_ok());
    }

    #[test]
    fn what_is_no_image_or_another_is_refused() {
        for (bytes, index) in [
            (vec![0xff; 100], 7),
            (image(), 8),
            (image()[1..].to_vec(), 7),
        ] {
            let [part] = &parts(&bytes, bytes.len(), index)[..] else {
                panic!("one part");
            };
            let refused = Receiving::default().on_part(part.clone());
            assert!(matches!(refused, Err(Error::Unreadable(_))));
        }
    }
}
