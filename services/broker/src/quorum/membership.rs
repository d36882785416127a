//! Who votes: the first start of a quorum, and the return of a voter that has lost its directory.
//!
//! A quorum is initialised once, by the voter with the lowest id, and only when every voter was reached and says that
//! it is empty: an empty voter among others that are not has lost its directory, and with it votes and entries that it
//! had acknowledged. It never votes in its old name (each call names the directory that it is meant for), and asks the
//! active controller to be made a learner, and a voter again when it has caught up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::ChangeMembers;
use tokio::time::{Instant, sleep, timeout};

use super::message::{Answer, Identity, Refusal, Reply, Request};
use super::node::Node;
use super::peer::Error;
use super::succession;
use super::types::{Member, Raft};
use super::{DIRECTORY, aside};
use crate::env::{Plane, Pool};

/// Between two looks at the other voters.
const LOOK: Duration = Duration::from_millis(50);
/// How long one voter may take to say who it is.
const IDENTIFY: Duration = Duration::from_secs(1);
/// A learner that has not caught up by then stays a learner until it asks again.
const CATCH_UP: Duration = Duration::from_secs(60);
/// Who waits to be let in again for longer says so, and again after as long.
const WAITING: Duration = Duration::from_secs(30);

impl Node {
    /// Makes sure that this voter belongs to a quorum; returns when it does.
    pub(super) async fn enter_quorum(self: Arc<Self>) {
        let Some(raft) = self.raft.clone() else {
            return;
        };
        let began = self.env.now();
        let mut told = None;
        while !self.belongs(&raft) {
            let others = self.identify_others().await;
            self.tell_waiting(began, &mut told, &others);
            let complete = others.len() + 1 == self.config.quorum.voters.len();
            let someone_has_data = others.iter().any(|o| !o.empty);
            if someone_has_data {
                self.ask_to_rejoin().await;
            } else if complete
                && others.iter().all(|o| self.id < o.node)
                && !self.is_rejoining.load(Ordering::Relaxed)
            {
                self.initialize(&raft, &others).await;
            }
            sleep(LOOK).await;
        }
        self.end_rejoining().await;
        let voters = raft
            .metrics()
            .borrow()
            .membership_config
            .voter_ids()
            .count();
        if voters == 1 {
            // Nobody else could be elected: not a moment is waited. An error means that the consensus has ended.
            let _ = raft.trigger().elect().await;
        }
    }

    /// Now and then says what a voter waits for that has given up what it had.
    fn tell_waiting(&self, began: Instant, told: &mut Option<Instant>, others: &[Identity]) {
        let now = self.env.now();
        let is_due = now.duration_since(told.unwrap_or(began)) > WAITING;
        if !is_due || !self.is_rejoining.load(Ordering::Relaxed) {
            return;
        }
        *told = Some(now);
        let with_metadata = others.iter().filter(|other| !other.empty).count();
        tracing::warn!(
            voters = self.config.quorum.voters.len(),
            answering = others.len(),
            with_metadata,
            "still waiting to be let in again: most of the voters have to be well for that. Where they cannot be, put back              the files that were set aside on one that lacks them, or restore its metadata from a backup"
        );
    }

    /// The mark of a directory that was made anew has done its part.
    async fn end_rejoining(&self) {
        if !self.is_rejoining.load(Ordering::Relaxed) {
            return;
        }
        let (disk, dir) = (
            self.env.disk(),
            self.config.log.metadata_dir.join(DIRECTORY),
        );
        let end = move || aside::end_rejoining(&*disk, &dir);
        match self.env.blocking(Pool::Control, end).await {
            Ok(()) => self.is_rejoining.store(false, Ordering::Relaxed),
            // It is harmless: the next start looks again.
            Err(error) => {
                tracing::warn!(%error, "the mark of a metadata directory that was made anew stays")
            }
        }
    }

    /// Whether the quorum's own record of its members has this node in this directory, as a voter.
    fn belongs(&self, raft: &Raft) -> bool {
        let metrics = raft.metrics();
        let m = metrics.borrow();
        let membership = m.membership_config.membership();
        let is_voter = membership.voter_ids().any(|v| v == self.id);
        is_voter
            && membership
                .get_node(&self.id)
                .is_some_and(|member| member.directory == self.directory)
    }

    async fn identify_others(&self) -> Vec<Identity> {
        let asked =
            self.peers
                .iter()
                .filter(|(id, _)| **id != self.id)
                .map(|(id, peer)| async move {
                    match peer.call(&Request::Identify, IDENTIFY).await {
                        Ok(Reply::Identity(identity)) if identity.node == *id => Some(identity),
                        Ok(Reply::Identity(other)) => {
                            tracing::error!(
                                expected = *id,
                                found = other.node,
                                "another node answers at a voter's address"
                            );
                            None
                        }
                        _ => None,
                    }
                });
        futures::future::join_all(asked)
            .await
            .into_iter()
            .flatten()
            .collect()
    }

    async fn initialize(&self, raft: &Raft, others: &[Identity]) {
        let directories = others
            .iter()
            .map(|o| (o.node, o.directory))
            .chain([(self.id, self.directory)]);
        let members: BTreeMap<u64, Member> = directories
            .filter_map(|(id, directory)| {
                Some((
                    id,
                    Member {
                        directory,
                        ..self.voter(id)?
                    },
                ))
            })
            .collect();
        tracing::info!(
            voters = members.len(),
            "every voter is empty: initialising the quorum"
        );
        if let Err(error) = raft.initialize(members).await {
            tracing::warn!(%error, "the quorum could not be initialised");
        }
    }

    async fn ask_to_rejoin(self: &Arc<Self>) {
        let Some(me) = self.voter(self.id) else {
            return;
        };
        let member = Member {
            directory: self.directory,
            ..me
        };
        let request = Request::Rejoin {
            node: self.id,
            member,
        };
        let leaders = self.peers.iter().filter(|(id, _)| **id != self.id);
        for (_, peer) in leaders {
            // Whoever is not the active controller refuses.
            match peer.call(&request, IDENTIFY).await {
                Ok(_) => return,
                Err(Error::Refused(Refusal::NotController { .. })) => {}
                Err(error) => tracing::debug!(%error, "asking to be let into the quorum"),
            }
        }
    }

    /// A configured voter says that it is in another directory now.
    pub(super) async fn rejoin(self: &Arc<Self>, node: u64, member: Member) -> Answer {
        if self.active_term().is_none() {
            return Err(Refusal::NotController {
                leader: self.leader().filter(|l| *l != self.id),
            });
        }
        if self.voter(node).is_none() {
            return Err(Refusal::Unavailable(
                "not in controller.quorum.voters".into(),
            ));
        }
        if self.would_wait(node, member.directory) {
            return Err(Refusal::Unavailable(
                "most of the other voters have to be well first".into(),
            ));
        }
        self.readmit(node, member.directory);
        Ok(Reply::Done)
    }

    /// Whether a voter that is in another directory now cannot be taken out for the time being. What is proposed is in force
    /// here at once, whether or not it can be committed: then nothing could be, until just those come back whom it names.
    fn would_wait(&self, node: u64, directory: [u8; 16]) -> bool {
        let Some(raft) = &self.raft else {
            return true;
        };
        let metrics = raft.metrics();
        let m = metrics.borrow();
        let membership = m.membership_config.membership();
        let known = membership.get_node(&node).map(|member| member.directory);
        if known == Some(directory) || !membership.voter_ids().any(|voter| voter == node) {
            return false;
        }
        let now_ms = self.env.wall_ms();
        let patience = 2 * succession::timing(&self.config.quorum).patience;
        let (contacts, strangers) = (self.contacts.lock(), self.strangers.lock());
        let is_well = |voter: u64| {
            let heard_ms = contacts
                .get(&voter)
                .map_or(i64::MIN, |contact| contact.heard_ms);
            let is_heard = now_ms.saturating_sub(heard_ms) <= patience.as_millis() as i64;
            voter == self.id || (is_heard && !strangers.contains_key(&voter))
        };
        let others = membership.voter_ids().filter(|voter| *voter != node);
        let (well, others) = others.fold((0, 0), |(well, all), voter| {
            (well + usize::from(is_well(voter)), all + 1)
        });
        well <= others / 2
    }

    /// Lets in the voters that calls have found in other directories.
    pub(super) fn readmit_strangers(self: &Arc<Self>) {
        let strangers = self.strangers.lock().clone();
        for (node, directory) in strangers {
            if !self.would_wait(node, directory) {
                self.strangers.lock().remove(&node);
                self.readmit(node, directory);
            }
        }
    }

    fn readmit(self: &Arc<Self>, node: u64, directory: [u8; 16]) {
        let Some(raft) = self.raft.clone() else {
            return;
        };
        let Ok(turn) = self.membership_turn.clone().try_lock_owned() else {
            return;
        };
        let this = self.clone();
        self.env
            .spawn(Plane::Control, "quorum-readmit", async move {
                let _turn = turn;
                if let Err(error) = this.readmit_now(&raft, node, directory).await {
                    tracing::warn!(
                        node,
                        error,
                        "a voter could not be let in again; it will be tried later"
                    );
                }
            });
    }

    /// Out as the voter that it was, in as a learner, and a voter once it has caught up.
    async fn readmit_now(&self, raft: &Raft, node: u64, directory: [u8; 16]) -> Result<(), String> {
        let (is_voter, known) = {
            let metrics = raft.metrics();
            let m = metrics.borrow();
            let membership = m.membership_config.membership();
            (
                membership.voter_ids().any(|v| v == node),
                membership.get_node(&node).map(|n| n.directory),
            )
        };
        if is_voter && known == Some(directory) {
            return Ok(());
        }
        let only = BTreeSet::from([node]);
        let failed = |e: &dyn std::fmt::Display| e.to_string();
        if known.is_some_and(|d| d != directory) {
            tracing::warn!(
                node,
                "a voter has lost its directory: taking its vote until it has caught up"
            );
            let out = if is_voter {
                ChangeMembers::RemoveVoters(only.clone())
            } else {
                ChangeMembers::RemoveNodes(only.clone())
            };
            raft.change_membership(out, false)
                .await
                .map_err(|e| failed(&e))?;
        }
        let member = Member {
            directory,
            ..self.voter(node).unwrap_or_default()
        };
        let learnt = timeout(CATCH_UP, raft.add_learner(node, member, true)).await;
        learnt
            .map_err(|_| "it does not catch up".to_owned())?
            .map_err(|e| failed(&e))?;
        raft.change_membership(ChangeMembers::AddVoterIds(only), false)
            .await
            .map_err(|e| failed(&e))?;
        tracing::info!(node, "the voter votes again");
        Ok(())
    }
}
