//! Whose memory is gone, and whether what is promised holds without another one's.
//!
//! What is acknowledged is kept as long as one replica keeps its memory that was in the ISR or the ELR then (KIP-966). So
//! power may fail at any machine, at several too, as long as one of those who are in them now keeps its memory: they have
//! all that is acknowledged. One thing more must hold, since others go meanwhile: who leaves an ISR that may still commit is
//! not eligible any more. An ISR that is large enough to commit must therefore not consist of machines that have lost
//! their memory while the controller takes them for alive.

use std::collections::{BTreeMap, BTreeSet};

use engine::ids::BrokerId;
use engine::metadata::{Image, PartitionId, PartitionState};
use wire::Uuid;

use crate::{Cluster, Scene};

/// The losses that the controller does not know of yet.
#[derive(Default)]
pub struct Losses {
    /// With the process that is registered: the next one says what its machine has lost.
    unknown: BTreeMap<BrokerId, Option<Uuid>>,
    /// Whatever process there is may lose it, until that is over.
    coming: BTreeSet<BrokerId>,
}

impl Losses {
    /// Whether what is promised still holds, which is nothing of topics with unclean elections, when a broker loses what it has only in memory. If so, it is counted as lost,
    /// and where it may be lost `later`, for as long as [`Losses::over`] has not been said.
    pub fn allow(
        &mut self,
        cluster: &mut Cluster<'_>,
        scene: &Scene,
        victim: i32,
        later: bool,
    ) -> bool {
        if !cluster.is_up(victim) || cluster.down().contains(&victim) {
            return false;
        }
        let Some(image) = cluster.newest_metadata() else {
            return false;
        };
        self.unknown
            .retain(|id, process| incarnation(&image, *id) == *process);
        let victim = BrokerId(victim);
        let (unknown, coming) = (&self.unknown, &self.coming);
        let lost = |id: BrokerId| id == victim || unknown.contains_key(&id) || coming.contains(&id);
        let topics = scene.topics.iter().filter(|topic| topic.elects_unclean());
        let unsafe_ones: Vec<Uuid> = topics
            .filter_map(|topic| image.topic(&topic.name).map(|state| state.id))
            .collect();
        let mut held = image
            .partitions()
            .filter(|(id, p)| p.has_replica(victim) && !unsafe_ones.contains(&id.topic));
        if !held.all(|(id, p)| is_kept(&image, id, p, lost)) {
            return false;
        }
        match later {
            true => self.coming.insert(victim),
            false => self.note(&image, victim),
        }
    }

    /// Its next process has lost it, and the ones after that have what they write.
    pub fn over(&mut self, cluster: &mut Cluster<'_>, victim: i32) {
        let victim = BrokerId(victim);
        if let Some(image) = cluster.newest_metadata() {
            self.note(&image, victim);
            self.coming.remove(&victim);
        }
    }

    fn note(&mut self, image: &Image, victim: BrokerId) -> bool {
        self.unknown.insert(victim, incarnation(image, victim));
        true
    }
}

fn incarnation(image: &Image, broker: BrokerId) -> Option<Uuid> {
    image.broker(broker).map(|state| state.incarnation)
}

/// Whether no acknowledged record of a partition can be lost with the memories of these brokers.
fn is_kept(
    image: &Image,
    id: PartitionId,
    p: &PartitionState,
    lost: impl Fn(BrokerId) -> bool,
) -> bool {
    if image.topic_by_id(id.topic).is_some_and(|t| t.flushed) {
        return true;
    }
    let target = p.target();
    let one_keeps = target.iter().any(|b| p.is_eligible(*b) && !lost(*b));
    let unnoticed = p
        .replicas
        .iter()
        .filter(|b| lost(**b) && image.is_unfenced(**b));
    one_keeps && unnoticed.count() < p.min_isr(image.min_insync_replicas(id))
}
