//! Brokers beyond the voters: they follow the applied metadata of any voter, and keep none of it on disk.
//!
//! An observer asks for what comes after the index that it has. The voter answers with the entries, or with the whole
//! image where it does not keep them any more, and waits a while when there is nothing new.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::machine::{decode_image, encode_image};
use super::message::{Answer, Refusal, Reply, Request};
use super::node::Node;

/// An answer waits so long for news.
const WAIT: Duration = Duration::from_secs(2);
/// An observer waits so long for an answer.
const DEADLINE: Duration = Duration::from_secs(4);
/// After a failure, before the next voter is asked.
const REST: Duration = Duration::from_millis(100);

impl Node {
    /// Answers an observer.
    pub(super) async fn follow(&self, index: u64) -> Answer {
        if self.raft.is_none() {
            return Err(Refusal::Unavailable("not a voter".into()));
        }
        let mut images = self.published.watch();
        let leader = self.leader();
        // Nothing new within the time is an answer too; the publisher lives as long as this node.
        let news = images.wait_for(|i| {
            i.index() > index || i.controller().map(|b| b.0) != leader.map(|l| l as i32)
        });
        let _ = timeout(WAIT, news).await;
        match self.published.entries_after(index) {
            Some(entries) if index > 0 => Ok(Reply::Entries(entries, self.leader())),
            _ => {
                let image =
                    encode_image(&self.image()).map_err(|e| Refusal::Unavailable(e.to_string()))?;
                Ok(Reply::Image(image, self.leader()))
            }
        }
    }

    /// Follows the metadata until the node ends.
    pub(super) async fn run_observer(self: Arc<Self>) {
        let voters: Vec<u64> = self.peers.keys().copied().collect();
        let mut turn = 0usize;
        loop {
            let target = self
                .leader()
                .or_else(|| voters.get(turn % voters.len().max(1)).copied());
            let Some(peer) = target.and_then(|id| self.peers.get(&id)) else {
                return;
            };
            let index = self.image().index();
            match peer.call(&Request::Follow { index }, DEADLINE).await {
                Ok(reply) => self.take_news(reply),
                Err(error) => {
                    tracing::debug!(%error, "following the metadata");
                    self.set_hint(None);
                    turn += 1;
                    sleep(REST).await;
                }
            }
        }
    }

    fn take_news(&self, reply: Reply) {
        let leader = match reply {
            Reply::Entries(entries, leader) => {
                let mut image = (*self.image()).clone();
                for (index, proposal) in entries {
                    if index != image.index() + 1 {
                        continue;
                    }
                    image = match proposal {
                        Some(proposal) => image.apply_proposal(&proposal, index).0,
                        None => image.at_index(index),
                    };
                }
                self.published.publish(&image);
                leader
            }
            Reply::Image(bytes, leader) => {
                match decode_image(&bytes) {
                    Ok(image) => self.published.publish(&image),
                    Err(error) => tracing::warn!(%error, "an image from a voter cannot be read"),
                }
                leader
            }
            _ => return,
        };
        self.set_hint(leader);
    }
}
