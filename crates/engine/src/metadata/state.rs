//! What the image says of one broker, one topic and one partition.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wire::{Str, Uuid};

use super::stored;
use crate::ids::{BrokerEpoch, BrokerId, LeaderEpoch, PartitionEpoch};

/// Where a broker can be reached through one of its listeners.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The listener's name, for example `PLAINTEXT`.
    #[serde(with = "stored::text")]
    pub listener: Str,
    /// The advertised host.
    #[serde(with = "stored::text")]
    pub host: Str,
    /// The advertised port.
    pub port: u16,
}

/// One registered broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerState {
    /// Its `node.id`.
    pub id: BrokerId,
    /// Random, made at each start of the process.
    #[serde(with = "stored::uuid")]
    pub incarnation: Uuid,
    /// The id of its log directory.
    #[serde(with = "stored::uuid")]
    pub directory: Uuid,
    /// The log index of its registration: a request with an older one is refused.
    pub epoch: BrokerEpoch,
    /// One endpoint per listener, in the order of its configuration.
    pub endpoints: Vec<Endpoint>,
    /// `broker.rack`
    #[serde(with = "stored::optional_text")]
    pub rack: Option<Str>,
    /// A fenced broker leads nothing and joins no ISR. Every registration begins fenced.
    pub fenced: bool,
    /// It has asked to stop: it leads nothing that another can lead and joins no ISR.
    pub shutting_down: bool,
    /// Its disk or CPU hangs (gray failure): it leads nothing that another can lead and joins no ISR.
    pub stalled: bool,
    /// It wants to stop: it leads nothing that another can lead and joins no ISR, but stays in those where it is needed.
    #[serde(skip)]
    pub leaving: bool,
    /// Names the memory in which its machine keeps what it has written and not yet fsynced, where it can tell: a process
    /// that registers with another name finds on its disk only what had been fsynced.
    #[serde(skip)]
    pub memory: Option<Uuid>,
}

impl BrokerState {
    /// Whether it may be given leaderships and ISR memberships.
    pub fn is_active(&self) -> bool {
        self.is_well() && !self.leaving
    }

    /// Whether an ISR that it is in keeps it.
    pub fn is_well(&self) -> bool {
        !self.fenced && !self.shutting_down && !self.stalled
    }

    /// Its endpoint for a listener.
    pub fn endpoint(&self, listener: &str) -> Option<&Endpoint> {
        self.endpoints
            .iter()
            .find(|e| e.listener.as_str() == listener)
    }
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicState {
    /// Never used again once the topic is deleted.
    #[serde(with = "stored::uuid")]
    pub id: Uuid,
    /// Its name; another topic may get it after this one is deleted.
    #[serde(with = "stored::text")]
    pub name: Str,
    /// Partition 0 and so on.
    pub partitions: Vec<Arc<PartitionState>>,
    /// It was made with `flush.messages=1` and has had it ever since: whatever a replica has said to have is on its disk.
    #[serde(skip)]
    pub flushed: bool,
}

impl TopicState {
    /// One of its partitions.
    pub fn partition(&self, index: i32) -> Option<&Arc<PartitionState>> {
        usize::try_from(index)
            .ok()
            .and_then(|i| self.partitions.get(i))
    }

    /// The partitions with their indexes.
    pub fn iter(&self) -> impl Iterator<Item = (i32, &Arc<PartitionState>)> {
        (0i32..).zip(&self.partitions)
    }

    /// How many replicas its first partition has, or will have: what new partitions get.
    pub fn replication_factor(&self) -> usize {
        let first = self.partitions.first();
        first.map_or(0, |p| p.replicas.len() - p.removing.len())
    }
}

/// One partition as the controller sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionState {
    /// The assignment; the first is the preferred leader. While replicas move: the target, then those to be removed.
    pub replicas: Vec<BrokerId>,
    /// The in-sync replicas, among `replicas`. Empty only while there is no leader.
    pub isr: Vec<BrokerId>,
    /// None while nobody is alive who has all that is committed.
    pub leader: Option<BrokerId>,
    /// Grows by one with each change of `leader`, also to none, and with each removal of a replica: what a leader knows
    /// of a replica that goes and comes back must not outlive its log.
    pub leader_epoch: LeaderEpoch,
    /// Grows by one with each change of anything here.
    pub partition_epoch: PartitionEpoch,
    /// Replicas that a reassignment adds: among `replicas`, and none of them once all of the target are in sync.
    #[serde(skip)]
    pub adding: Vec<BrokerId>,
    /// Replicas that a reassignment removes then: the end of `replicas`.
    #[serde(skip)]
    pub removing: Vec<BrokerId>,
    /// The eligible leader replicas (KIP-966): not in the ISR, but with all that is committed. They left it when it fell
    /// below `min.insync.replicas`, since when nothing is committed; so there are none while it is not below.
    #[serde(skip)]
    pub elr: Vec<BrokerId>,
    /// Who was in the ISR or the ELR since then and is in neither, the last one first: it has lost its memory, and with it
    /// perhaps what is committed. Whoever asks for an unclean election gets the first of these that is alive.
    #[serde(skip)]
    pub last_known_elr: Vec<BrokerId>,
}

impl PartitionState {
    /// The first replica of the assignment.
    pub fn preferred(&self) -> Option<BrokerId> {
        self.replicas.first().copied()
    }

    /// Whether replicas are being added or removed.
    pub fn is_reassigned(&self) -> bool {
        !self.adding.is_empty() || !self.removing.is_empty()
    }

    /// The replicas that it shall have when nothing moves any more.
    pub fn target(&self) -> Vec<BrokerId> {
        without(&self.replicas, &self.removing)
    }

    /// The replicas that it had before the reassignment.
    pub fn original(&self) -> Vec<BrokerId> {
        without(&self.replicas, &self.adding)
    }

    /// How many replicas there are besides those that are only being added: what `min.insync.replicas` is bounded by.
    pub fn factor(&self) -> usize {
        self.replicas.len() - self.adding.len()
    }

    /// The smallest ISR that may commit: a topic cannot ask for more replicas than it has.
    pub fn min_isr(&self, min_insync_replicas: usize) -> usize {
        min_insync_replicas.min(self.factor()).max(1)
    }

    /// Whether a replica is in the ISR.
    pub fn is_in_sync(&self, broker: BrokerId) -> bool {
        self.isr.contains(&broker)
    }

    /// Whether a replica has all that is committed: it may lead.
    pub fn is_eligible(&self, broker: BrokerId) -> bool {
        self.is_in_sync(broker) || self.elr.contains(&broker)
    }

    /// With another ISR. Who leaves it has all that it had.
    #[must_use]
    pub(super) fn with_isr(mut self, isr: Vec<BrokerId>) -> PartitionState {
        let eligible = |b: &BrokerId| self.is_eligible(*b) && !isr.contains(b);
        self.elr = self.replicas.iter().copied().filter(eligible).collect();
        self.isr = isr;
        self
    }

    /// Without one that may lack by now what is committed.
    #[must_use]
    pub(super) fn without_member(mut self, lost: BrokerId) -> PartitionState {
        if self.is_eligible(lost) {
            self.isr.retain(|b| *b != lost);
            self.elr.retain(|b| *b != lost);
            self.last_known_elr.insert(0, lost);
        }
        self
    }

    /// Led by one that may lack what is committed: what it has is committed from now on.
    #[must_use]
    pub(super) fn begun_anew_by(self, leader: BrokerId) -> PartitionState {
        PartitionState {
            leader: Some(leader),
            isr: vec![leader],
            elr: Vec::new(),
            last_known_elr: Vec::new(),
            ..self
        }
    }

    /// Nobody stands in the ISR and the ELR at once, and nobody in them without a replica.
    pub(super) fn trim_elr(&mut self) {
        let (replicas, isr) = (&self.replicas, &self.isr);
        self.elr
            .retain(|b| replicas.contains(b) && !isr.contains(b));
        let elr = &self.elr;
        let known = |b: &BrokerId| replicas.contains(b) && !isr.contains(b) && !elr.contains(b);
        self.last_known_elr.retain(known);
    }

    /// Whether a broker hosts a replica.
    pub fn has_replica(&self, broker: BrokerId) -> bool {
        self.replicas.contains(&broker)
    }
}

/// Those of `all` that are not among `these`, in order.
pub(super) fn without(all: &[BrokerId], these: &[BrokerId]) -> Vec<BrokerId> {
    let kept = all.iter().filter(|b| !these.contains(b));
    kept.copied().collect()
}
