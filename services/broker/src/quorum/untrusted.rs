//! Doors for bytes that nobody vouches for: what tests (tests/fuzz) need of this module to try its decoders and its files.

use std::io;
use std::path::Path;
use std::sync::Arc;

use engine::metadata::{Image, Memory, Snapshot as StoredImage};
use openraft::raft::InstallSnapshotRequest;
use openraft::storage::RaftStateMachine;
use openraft::{CommittedLeaderId, EntryPayload, RaftLogReader};
use tokio::io::AsyncRead;
use wire::Uuid;

use super::Quorum;
use super::codec::{self, Layout};
use super::frame;
use super::log::segment::Head;
use super::machine::{Published, Stored, decode_image, encode_image};
use super::message::{Answer, RaftBody, RaftCall, Request};
use super::open::{Identity, Opening};
use super::types::{Entry, LogId, SnapshotMeta, Vote};
use crate::config::Config;
use crate::env::Env;

/// The layouts, as `layouts/golden.txt` calls them.
pub const LAYOUTS: [&str; 8] = [
    "entry", "head", "vote", "identity", "image", "snapshot", "request", "answer",
];

/// Reads what is of this layout, in whatever version, and writes it in the present one; none if there is no such layout.
pub(super) fn rewrite(layout: &str, bytes: &[u8]) -> Option<Result<Vec<u8>, codec::Error>> {
    fn again<T: Layout>(bytes: &[u8]) -> Result<Vec<u8>, codec::Error> {
        let value = codec::decode::<T>(bytes)?;
        Ok(codec::encode(&value).expect("what was decoded can be encoded"))
    }
    Some(match layout {
        "entry" => again::<Entry>(bytes),
        "head" => again::<Head>(bytes),
        "vote" => again::<Vote>(bytes),
        "identity" => again::<Identity>(bytes),
        "image" => again::<StoredImage>(bytes),
        "snapshot" => again::<Stored>(bytes),
        "request" => again::<Request>(bytes),
        "answer" => again::<Answer>(bytes),
        _ => return None,
    })
}

/// The same; none also if it cannot be read.
pub fn rewritten(layout: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    rewrite(layout, bytes)?.ok()
}

/// Reads frames until they end, and gives how many could be read as a request or as an answer.
pub async fn read_frames(from: &mut (impl AsyncRead + Unpin)) -> io::Result<usize> {
    let mut understood = 0;
    while let Some(frame) = frame::read(from).await? {
        let request = frame.decode::<Request>().is_ok();
        understood += usize::from(request || frame.decode::<Answer>().is_ok());
    }
    Ok(understood)
}

/// The metadata as it is after an entry of the log, or a peer's proposal, has been applied to it; none if the bytes are
/// neither.
pub fn applied(image: &Image, bytes: &[u8]) -> Option<Image> {
    let index = image.index() + 1;
    let proposal = match codec::decode::<Entry>(bytes) {
        Ok(entry) => match entry.payload {
            EntryPayload::Normal(proposal) => proposal,
            EntryPayload::Blank | EntryPayload::Membership(_) => return None,
        },
        Err(_) => match codec::decode::<Request>(bytes).ok()? {
            Request::Propose(proposal) => proposal,
            Request::Register(registration) => {
                engine::metadata::Command::RegisterBroker(registration).into()
            }
            Request::RegisterWithMemory {
                registration,
                memory,
                same_disks,
            } => engine::metadata::Command::RegisterWithMemory {
                registration,
                memory: Memory {
                    id: Uuid(memory),
                    same_disks,
                },
            }
            .into(),
            _ => return None,
        },
    };
    Some(image.apply_proposal(&proposal, index).0)
}

/// The metadata as a snapshot holds it.
pub fn snapshot_of(image: &Image) -> Vec<u8> {
    encode_image(image).expect("every image can be written")
}

/// The metadata as a snapshot brings it to another node.
pub fn transferred(image: &Image) -> Image {
    decode_image(&snapshot_of(image)).expect("every image that was written can be read")
}

/// Gives a voter an image of the metadata as a snapshot of this term's active controller, as any node may that reaches its
/// controller listener.
pub async fn offer_snapshot(quorum: &Quorum, image: &[u8], term: u64) -> Result<(), String> {
    let node = &quorum.node;
    let from = node.id + 1;
    let (index, leader) = (node.image().index() + 1, CommittedLeaderId::new(term, from));
    let part = InstallSnapshotRequest {
        vote: Vote::new_committed(term, from),
        meta: SnapshotMeta {
            last_log_id: Some(LogId::new(leader, index)),
            snapshot_id: format!("{term}-{index}"),
            ..SnapshotMeta::default()
        },
        offset: 0,
        data: image.to_vec(),
        done: true,
    };
    let call = RaftCall {
        to: node.directory,
        from,
        from_directory: [7; 16],
        body: RaftBody::Snapshot(part),
    };
    let answer = node.answer(Request::Raft(call), 0).await;
    answer.map(drop).map_err(|refusal| refusal.to_string())
}

/// Opens a voter's metadata directory and applies what its log holds; gives the index of the last entry.
pub async fn open_directory(env: &Env, config: &Arc<Config>, dir: &Path) -> io::Result<u64> {
    let published = Arc::new(Published::new());
    let opening = Opening {
        env: env.clone(),
        config: config.clone(),
        published: published.clone(),
    };
    let opened = opening.open(dir, true)?;
    let (mut log, mut machine) = opened.storage.expect("a voter has a log");
    let first = machine.applied().map_or(0, |id| id.index.saturating_add(1));
    let entries = log.try_get_log_entries(first..).await;
    let entries = entries.map_err(io::Error::other)?;
    machine.apply(entries).await.map_err(io::Error::other)?;
    Ok(published.image().index())
}
