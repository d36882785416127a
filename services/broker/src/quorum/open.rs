//! From a directory and a configuration to a consensus that runs.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use openraft::SnapshotPolicy;
use serde::{Deserialize, Serialize};

use super::describe::Contacts;
use super::log::{self, Log, is_damage};
use super::machine::{Machine, Published};
use super::network::{Network, Strangers};
use super::node::node_id;
use super::succession;
use super::types::{Raft, SEED};
use super::{Error, aside, codec};
use crate::config::Config;
use crate::env::{Env, Listener};

/// Says whose the directory is.
pub(super) const IDENTITY_FILE: &str = "identity";
/// A snapshot is made after so many entries.
const SNAPSHOT_ENTRIES: u64 = 5_000;
/// Entries that are kept although a snapshot has them, for followers that are a little behind.
const KEPT_ENTRIES: u64 = 1_000;
/// What an entry has at least, where little is to be kept.
const ENTRY_BYTES: u64 = 100;
/// The largest file of the log.
const SEGMENT_BYTES: u64 = 4 << 20;
/// Parts in which a snapshot is sent.
const SNAPSHOT_PART_BYTES: u64 = 8 << 20;

/// Whose a metadata directory is.
#[derive(Debug, Serialize, Deserialize)]
pub struct Identity {
    pub node_id: i32,
    pub directory: [u8; 16],
}

codec::same_since_version_1! { Identity, "identity of the metadata directory"; }

/// So many voters still have a majority when one of them is gone, and can let it in again.
const VOTERS_TO_SPARE_ONE: usize = 3;

/// What has to be read before the consensus can start.
pub(super) struct Opening {
    pub env: Env,
    pub config: Arc<Config>,
    pub published: Arc<Published>,
}

/// What was read.
pub(super) struct Opened {
    /// The directory's id.
    pub directory: [u8; 16],
    /// A voter that has given up what it had, and has not been let in again.
    pub is_rejoining: bool,
    /// A voter's log and state machine.
    pub storage: Option<(Log, Machine)>,
}

impl Opening {
    fn limits(&self) -> log::Limits {
        let config = &self.config.quorum;
        log::Limits {
            segment_bytes: config.snapshot_bytes.min(SEGMENT_BYTES),
            reserve_bytes: config.reserve_bytes,
        }
    }

    fn can_spare_one(&self) -> bool {
        self.config.quorum.voters.len() >= VOTERS_TO_SPARE_ONE
    }

    /// Reads it, making what is not there yet. Blocks.
    ///
    /// # Errors
    /// Where the files cannot be read, or the disk has changed them and there are too few voters to get them from.
    pub fn open(&self, dir: &Path, is_voter: bool) -> io::Result<Opened> {
        let opened = match self.read(dir, is_voter) {
            Err(error) if is_damage(&error) => self.open_damaged(dir, is_voter, error),
            opened => opened,
        };
        opened.map_err(|e| with_advice(dir, !is_voter || self.can_spare_one(), e))
    }

    /// What the disk has changed is fetched anew, where others have it.
    fn open_damaged(&self, dir: &Path, is_voter: bool, error: io::Error) -> io::Result<Opened> {
        let disk = self.env.disk();
        // A disk may give once what is not on it.
        for entry in disk.list(dir)?.into_iter().filter(|e| !e.is_dir) {
            disk.open(&dir.join(&entry.name))?
                .forget_cached(0, entry.len);
        }
        let error = match self.read(dir, is_voter) {
            Err(again) if is_damage(&again) => again,
            Ok(opened) => {
                tracing::warn!(%error, "the disk has given something else than what is on it");
                return Ok(opened);
            }
            Err(again) => return Err(again),
        };
        if is_voter && !self.can_spare_one() {
            return Err(error);
        }
        let kept = aside::set_aside(&*disk, dir, is_voter)?;
        tracing::warn!(
            %error, kept = %kept.display(),
            "the metadata on this node's disk was damaged: it is fetched anew from the other voters, and this node does not \
             vote until they let it"
        );
        self.read(dir, is_voter)
    }

    fn read(&self, dir: &Path, is_voter: bool) -> io::Result<Opened> {
        let disk = self.env.disk();
        log::create_dir(&*disk, dir)?;
        // What is found here counts as durable: a name that the process before has given may not be, yet.
        disk.sync_dir(dir)?;
        aside::finish(&*disk, dir)?;
        let path = dir.join(IDENTITY_FILE);
        let directory = match log::read_checked::<Identity>(&*disk, &path)? {
            Some(identity) if identity.node_id != self.config.node_id => {
                let why = format!(
                    "{} belongs to node.id {}, this node has {}",
                    dir.display(),
                    identity.node_id,
                    self.config.node_id
                );
                return Err(io::Error::other(why));
            }
            Some(identity) => identity.directory,
            None => {
                let identity = Identity {
                    node_id: self.config.node_id,
                    directory: self.env.random_uuid().0,
                };
                log::write_checked(&*disk, &path, &identity)?;
                identity.directory
            }
        };
        if !is_voter {
            return Ok(Opened {
                directory,
                is_rejoining: false,
                storage: None,
            });
        }
        let (log, recovered) = Log::open(&self.env, dir, self.limits())?;
        if let Some(cut) = recovered.cut {
            tracing::warn!(
                file = %cut.path.display(), position = cut.position, bytes = cut.bytes,
                "cut a torn tail off the metadata log"
            );
        }
        let machine = Machine::open(&self.env, dir, self.published.clone())?;
        log.complete_purge(machine.applied())?;
        log.check_vote()?;
        Ok(Opened {
            directory,
            is_rejoining: aside::is_rejoining(&*disk, dir),
            storage: Some((log.replaced_by(machine.saved()), machine)),
        })
    }
}

/// What was durable and is not there any more must not be forgotten in silence: others count on this voter's memory. That
/// of one among three or more is replaced without anybody's help: see [`aside`].
fn with_advice(dir: &Path, can_spare_one: bool, error: io::Error) -> io::Error {
    if error.kind() != io::ErrorKind::InvalidData {
        return error;
    }
    let advice = match can_spare_one {
        true => {
            "If most of the other voters are well, move that directory away and start again: this node gets the metadata \
             from them, and votes again when they let it. If not, restore it from a backup"
        }
        false => {
            "There are too few other voters to get it from: restore that directory from a backup. A start without it would \
             begin another cluster, or none"
        }
    };
    let why = format!(
        "{error}. The metadata in {} is not what was written there. {advice}",
        dir.display()
    );
    io::Error::new(error.kind(), why)
}

/// Binds the controller listener.
pub(super) async fn listen(env: &Env, config: &Config) -> Result<Box<dyn Listener>, Error> {
    let Some(endpoint) = &config.listeners.controller else {
        return Err(Error::Consensus(
            "a voter needs a controller listener".into(),
        ));
    };
    let address = endpoint.bind_address();
    let bound = env.listen(&address).await;
    bound.map_err(|e| {
        Error::Storage(io::Error::new(
            e.kind(),
            format!("controller listener {address}: {e}"),
        ))
    })
}

/// Starts the consensus.
pub(super) async fn start_raft(
    env: &Env,
    config: &Config,
    directory: [u8; 16],
    (strangers, contacts): (Strangers, Contacts),
    log: Log,
    machine: Machine,
) -> Result<Raft, Error> {
    let timing = succession::timing(&config.quorum);
    let raft_config = openraft::Config {
        cluster_name: "metadata".into(),
        heartbeat_interval: timing.heartbeat.as_millis() as u64,
        // How long a vote is waited for, and the lease; this node looks after its leader itself.
        election_timeout_min: timing.lease.as_millis() as u64 - 1,
        election_timeout_max: timing.lease.as_millis() as u64,
        enable_elect: false,
        install_snapshot_timeout: 10_000,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(SNAPSHOT_ENTRIES),
        snapshot_max_chunk_size: SNAPSHOT_PART_BYTES,
        max_in_snapshot_log_to_keep: KEPT_ENTRIES.min(config.quorum.snapshot_bytes / ENTRY_BYTES),
        ..openraft::Config::default()
    };
    let consensus = |e: &dyn std::fmt::Display| Error::Consensus(e.to_string());
    let raft_config = Arc::new(raft_config.validate().map_err(|e| consensus(&e))?);
    let id = node_id(config.node_id);
    let addresses: BTreeMap<u64, (String, u16)> = config
        .quorum
        .voters
        .iter()
        .map(|v| (node_id(v.id), (v.host.clone(), v.port)))
        .collect();
    let network = Network {
        env: env.clone(),
        node: id,
        directory,
        strangers,
        contacts,
        log: log.clone(),
        addresses,
    };
    let raft = SEED
        .scope(
            env.random_u64(),
            Raft::new(id, raft_config, network, log, machine),
        )
        .await;
    raft.map_err(|e| consensus(&e))
}
