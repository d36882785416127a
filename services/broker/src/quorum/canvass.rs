//! Who would follow: asked by a voter before it runs for the office, so that one that cannot win changes no term.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use openraft::ServerState;
use tokio::time::timeout;

use super::log::Log;
use super::message::{Answer, Canvass, Refusal, Reply, Request};
use super::node::Node;
use super::succession::timing;
use super::types::Raft;

/// An answer is waited for at most so long, as part of the lease.
const SHARE: u32 = 2;

impl Node {
    /// Whether a majority of the voters, this one included, would follow this node.
    pub(super) async fn canvass(&self, raft: &Raft, gone: bool) -> bool {
        let voters: Vec<u64> = {
            let metrics = raft.metrics();
            let m = metrics.borrow();
            m.membership_config.voter_ids().collect()
        };
        let majority = voters.len() / 2 + 1;
        let question = Request::Canvass(Canvass {
            from: self.id,
            last: self.log.as_ref().and_then(Log::last),
            gone,
        });
        let limit = timing(&self.config.quorum).lease / SHARE;
        let peers = voters.iter().filter(|v| **v != self.id);
        let mut answers: FuturesUnordered<_> = peers
            .filter_map(|v| self.peers.get(v))
            .map(|peer| peer.call(&question, limit))
            .collect();
        let mut supporters = 1;
        let counted = timeout(limit, async {
            while supporters < majority
                && let Some(answer) = answers.next().await
            {
                supporters += usize::from(matches!(answer, Ok(Reply::Support(true))));
            }
        });
        // Who has not answered by then does not count.
        let _ = counted.await;
        supporters >= majority
    }

    /// Whether this voter would follow another.
    pub(super) fn answer_canvass(&self, canvass: &Canvass) -> Answer {
        let raft = self
            .raft
            .as_ref()
            .ok_or_else(|| Refusal::Unavailable("not a voter".into()))?;
        let leads = raft.metrics().borrow().state == ServerState::Leader;
        let resigned = self.resigned.load(Ordering::Relaxed);
        let has_more = self.log.as_ref().and_then(Log::last) > canvass.last;
        // Of two that ask each other at the same time, the one with the lower id goes first.
        let goes_first = self.inbound.lock().canvassing && self.id < canvass.from;
        let silence = self.silence();
        let timing = timing(&self.config.quorum);
        // The candidate has waited for the whole patience; this node may have heard the same last word a little later.
        let due = if canvass.gone {
            timing.lease
        } else {
            timing.patience * 2 / 3
        };
        let supports = (!leads || resigned) && !has_more && !goes_first && silence >= due;
        Ok(Reply::Support(supports))
    }

    /// For how long no leader has spoken to this node and it has voted for nobody.
    fn silence(&self) -> Duration {
        let last_word = self.inbound.lock().last_word;
        self.env.now().saturating_duration_since(last_word)
    }
}
