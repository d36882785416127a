//! The state machine under the consensus: the image, its snapshots, and where everybody reads it.

use std::collections::VecDeque;
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use engine::ids::BrokerId;
use engine::metadata::{
    Elections, Image, Proposal, Snapshot as StoredImage, SnapshotV1, SnapshotV2, SnapshotV3,
};
use openraft::storage::RaftStateMachine;
use openraft::{AnyError, EntryPayload, OptionalSend, RaftSnapshotBuilder, StorageIOError};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::codec::{self, Layout};
use super::log::{read_checked, unreadable, with_reserve, write_checked};
use super::saved::Saved;
use super::types::{
    Applied, Entry, LogId, Snapshot, SnapshotMeta, StorageError, StoredMembership, Types,
};
use crate::env::{Env, Pool, watch};

const SNAPSHOT_FILE: &str = "snapshot";
/// Applied commands kept for observers, which else get the whole image.
const RECENT: usize = 1024;

/// Where the newest image is read, without a lock, and where its changes are watched.
pub struct Published {
    image: ArcSwap<Image>,
    changes: watch::Sender<Arc<Image>>,
    recent: Mutex<Recent>,
    /// Of the commands that were applied one by one.
    elections: Mutex<Elections>,
}

/// The last applied entries, without holes.
#[derive(Default)]
struct Recent {
    /// A blank or membership entry has no proposal.
    entries: VecDeque<(u64, Option<Arc<Proposal>>)>,
}

impl Published {
    /// An empty image.
    pub fn new() -> Published {
        let first = Arc::new(Image::default());
        let changes = watch::Sender::new(first.clone());
        Published {
            image: ArcSwap::new(first),
            changes,
            recent: Mutex::default(),
            elections: Mutex::default(),
        }
    }

    /// The newest image.
    pub fn image(&self) -> Arc<Image> {
        self.image.load_full()
    }

    /// Sees the newest image and each later one, of which some may be skipped.
    pub fn watch(&self) -> watch::Receiver<Arc<Image>> {
        self.changes.subscribe()
    }

    /// Replaces the metadata. An older image than the present one is ignored: what brokers see only moves forward.
    pub fn publish(&self, image: &Image) {
        self.change(|now| {
            (image.index() >= now.index()).then(|| image.with_controller(now.controller()))
        });
    }

    /// Tells who the active controller is.
    pub fn set_controller(&self, controller: Option<BrokerId>) {
        self.change(|now| {
            (now.controller() != controller).then(|| now.with_controller(controller))
        });
    }

    fn change(&self, next: impl FnOnce(&Image) -> Option<Image>) {
        self.changes
            .send_if_modified(|current| match next(current) {
                Some(image) => {
                    *current = Arc::new(image);
                    self.image.store(current.clone());
                    true
                }
                None => false,
            });
    }

    /// The elections that this node has seen since it began, those of the log that it has read again at its start too.
    pub fn elections(&self) -> Elections {
        *self.elections.lock()
    }

    fn count(&self, elections: Elections) {
        if elections.unclean > 0 {
            tracing::debug!(
                partitions = elections.unclean,
                "replicas that may lack committed records were elected"
            );
        }
        let mut all = self.elections.lock();
        all.clean += elections.clean;
        all.unclean += elections.unclean;
    }

    /// The entries that follow do not continue those that are kept.
    fn forget_recent(&self) {
        self.recent.lock().entries.clear();
    }

    fn remember(&self, index: u64, proposal: Option<Arc<Proposal>>) {
        let mut recent = self.recent.lock();
        if recent
            .entries
            .back()
            .is_some_and(|(last, _)| last + 1 != index)
        {
            recent.entries.clear();
        }
        recent.entries.push_back((index, proposal));
        if recent.entries.len() > RECENT {
            recent.entries.pop_front();
        }
    }

    /// The applied entries after `index`; none if some of them are not kept any more.
    pub fn entries_after(&self, index: u64) -> Option<Vec<(u64, Option<Arc<Proposal>>)>> {
        let recent = self.recent.lock();
        let first = recent.entries.front()?.0;
        (first <= index + 1).then(|| {
            recent
                .entries
                .iter()
                .filter(|(i, _)| *i > index)
                .cloned()
                .collect()
        })
    }
}

/// What a snapshot's file holds.
#[derive(Serialize, Deserialize)]
pub struct Stored {
    pub meta: SnapshotMeta,
    pub image: Vec<u8>,
}

codec::same_since_version_1! { Stored, "metadata snapshot"; }

impl Layout for StoredImage {
    const NAME: &'static str = "image of the metadata";
    /// The third has replicas that move and brokers that leave, the fourth has ELRs.
    const VERSION: u8 = 4;

    fn version(&self) -> u8 {
        self.layout()
    }

    fn decode_older(version: u8, body: &[u8]) -> Option<Result<StoredImage, codec::Error>> {
        match version {
            1 => Some(codec::decode_body::<Self, SnapshotV1>(version, body).map(Self::from)),
            2 => Some(codec::decode_body::<Self, SnapshotV2>(version, body).map(Self::from)),
            3 => Some(codec::decode_body::<Self, SnapshotV3>(version, body).map(Self::from)),
            _ => None,
        }
    }
}

/// The state machine of one node.
pub struct Machine {
    env: Env,
    path: PathBuf,
    published: Arc<Published>,
    image: Image,
    applied: Option<LogId>,
    membership: StoredMembership,
    /// How far the snapshot on disk reaches.
    saved: Arc<Saved>,
}

impl Drop for Machine {
    /// Its task may end by an error while the log waits for it.
    fn drop(&mut self) {
        self.saved.end();
    }
}

impl Machine {
    /// Begins with the snapshot in `dir`, if there is one. Blocks.
    pub fn open(env: &Env, dir: &Path, published: Arc<Published>) -> io::Result<Machine> {
        let path = dir.join(SNAPSHOT_FILE);
        let stored = read_checked::<Stored>(&*env.disk(), &path)?;
        let mut machine = Machine {
            env: env.clone(),
            path,
            published,
            image: Image::default(),
            applied: None,
            membership: StoredMembership::default(),
            saved: Arc::new(Saved::new(None)),
        };
        if let Some(stored) = stored {
            let image = decode_image(&stored.image);
            let image = image.map_err(|error| unreadable(&machine.path, &error))?;
            machine.take_over(&stored.meta, image);
            machine.saved = Arc::new(Saved::new(machine.applied));
        }
        Ok(machine)
    }

    /// How far the snapshot on disk reaches, for the log that it shortens.
    pub fn saved(&self) -> Arc<Saved> {
        self.saved.clone()
    }

    /// The last entry that is in the image.
    pub fn applied(&self) -> Option<LogId> {
        self.applied
    }

    fn take_over(&mut self, meta: &SnapshotMeta, image: Image) {
        self.applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        self.image = image;
        self.published.forget_recent();
        self.published.publish(&self.image);
    }

    fn apply_one(&mut self, entry: Entry) -> Applied {
        let index = entry.log_id.index;
        self.applied = Some(entry.log_id);
        match entry.payload {
            EntryPayload::Normal(proposal) => {
                let (next, outcome) = self.image.apply_proposal(&proposal, index);
                if let Err(rejection) = &outcome {
                    tracing::debug!(index, %rejection, "metadata command rejected");
                }
                let elections = next.elections(&self.image, &proposal.command);
                self.published.count(elections);
                self.image = next;
                self.published.remember(index, Some(Arc::new(proposal)));
                Some(outcome)
            }
            EntryPayload::Membership(membership) => {
                self.membership = StoredMembership::new(self.applied, membership);
                self.skip(index)
            }
            EntryPayload::Blank => self.skip(index),
        }
    }

    fn skip(&mut self, index: u64) -> Applied {
        self.image = self.image.at_index(index);
        self.published.remember(index, None);
        None
    }
}

/// The bytes of an image, as they are stored and sent.
pub fn encode_image(image: &Image) -> Result<Vec<u8>, codec::Error> {
    codec::encode(&StoredImage::from(image))
}

/// The image of some bytes.
pub fn decode_image(bytes: &[u8]) -> Result<Image, codec::Error> {
    Ok(codec::decode::<StoredImage>(bytes)?.into())
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), StorageError> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Applied>, StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let answers = entries
            .into_iter()
            .map(|entry| self.apply_one(entry))
            .collect();
        self.published.publish(&self.image);
        Ok(answers)
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        let index = self.applied.map_or(0, |id| id.index);
        let term = self.applied.map_or(0, |id| id.leader_id.term);
        let meta = SnapshotMeta {
            last_log_id: self.applied,
            last_membership: self.membership.clone(),
            snapshot_id: format!("{term}-{index}"),
        };
        Builder {
            env: self.env.clone(),
            path: self.path.clone(),
            saved: self.saved.clone(),
            meta,
            image: self.image.clone(),
        }
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Cursor<Vec<u8>>>, StorageError> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: Box<Cursor<Vec<u8>>>,
    ) -> Result<(), StorageError> {
        let bytes = snapshot.into_inner();
        let image = decode_image(&bytes)
            .map_err(|e| StorageIOError::read_snapshot(None, AnyError::new(&e)))?;
        save(&self.env, &self.path, &self.saved, meta.clone(), bytes).await?;
        tracing::info!(
            index = meta.last_log_id.map(|id| id.index),
            "took over a snapshot of the metadata"
        );
        self.take_over(meta, image);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, StorageError> {
        let (disk, path) = (self.env.disk(), self.path.clone());
        let stored = self
            .env
            .blocking(Pool::Control, move || read_checked::<Stored>(&*disk, &path))
            .await;
        let stored = stored.map_err(|e| StorageIOError::read_snapshot(None, AnyError::new(&e)))?;
        Ok(stored.map(|s| Snapshot {
            meta: s.meta,
            snapshot: Box::new(Cursor::new(s.image)),
        }))
    }
}

/// Writes a snapshot of the image as it was when this was made.
pub struct Builder {
    env: Env,
    path: PathBuf,
    saved: Arc<Saved>,
    meta: SnapshotMeta,
    image: Image,
}

impl RaftSnapshotBuilder<Types> for Builder {
    async fn build_snapshot(&mut self) -> Result<Snapshot, StorageError> {
        let bytes = encode_image(&self.image)
            .map_err(|e| StorageIOError::write_snapshot(None, AnyError::new(&e)))?;
        save(
            &self.env,
            &self.path,
            &self.saved,
            self.meta.clone(),
            bytes.clone(),
        )
        .await?;
        Ok(Snapshot {
            meta: self.meta.clone(),
            snapshot: Box::new(Cursor::new(bytes)),
        })
    }
}

/// Replaces the snapshot on disk, durably, unless that is newer.
async fn save(
    env: &Env,
    path: &Path,
    saved: &Arc<Saved>,
    meta: SnapshotMeta,
    image: Vec<u8>,
) -> Result<(), StorageError> {
    let (disk, path, saved) = (env.disk(), path.to_owned(), saved.clone());
    let written = env
        .blocking(Pool::Control, move || {
            saved.write(meta.last_log_id, || {
                let stored = Stored { meta, image };
                let dir = path.parent().unwrap_or(&path);
                with_reserve(&*disk, dir, || write_checked(&*disk, &path, &stored))
            })
        })
        .await;
    written.map_err(|e: io::Error| StorageIOError::write_snapshot(None, AnyError::new(&e)).into())
}
