//! What the metadata may say in no moment, whatever clients see of it; and what of it is written down for the checker.

use std::collections::{BTreeMap, BTreeSet};

use checker::What;
use checker::history::Place;
use engine::metadata::{Image, PartitionState};

use crate::{Cluster, Scene, replicas};

/// Looks at the metadata of every broker whenever it has changed.
#[derive(Default)]
pub struct Laws {
    seen: u64,
    /// The life and the index of what each broker has shown last.
    shown: BTreeMap<i32, (u64, u64)>,
    /// Where, in which epoch and who, as any broker knows or has known.
    led: BTreeSet<(Place, i32, i32)>,
}

impl Laws {
    /// An error if it says what it must not.
    pub fn pass(&mut self, cluster: &mut Cluster<'_>, scene: &Scene) -> Result<(), String> {
        self.look(cluster, scene);
        let Some(image) = cluster.newest_metadata() else {
            return Ok(());
        };
        if image.index() == self.seen {
            return Ok(());
        }
        self.seen = image.index();
        for (id, p) in image.partitions() {
            if let Some(what) = broken(&image, p) {
                return Err(format!("{what}: {id:?} {p:?}"));
            }
        }
        Ok(())
    }

    /// Writes down how far each broker is, and remembers who it says leads.
    fn look(&mut self, cluster: &Cluster<'_>, scene: &Scene) {
        for id in cluster.brokers() {
            let host = cluster.host(id);
            let Some(quorum) = host.quorum() else {
                continue;
            };
            let image = quorum.image();
            let shown = (host.lives(), image.index());
            if self.shown.insert(id, shown) == Some(shown) {
                continue;
            }
            let what = What::MetadataSeen {
                broker: id,
                incarnation: shown.0,
                index: shown.1,
            };
            scene.record_of(cluster, what);
            let leaders = replicas::partitions(&image, scene)
                .filter_map(|(at, p)| Some((at, p.leader_epoch.0, p.leader?.0)));
            self.led.extend(leaders);
        }
    }

    /// What is told when all clients have ended. Who leads is told only now: from when on an epoch is known, clients rely on
    /// its leader, and a broker that has applied it may still follow the one before. A leader that no client has heard of may
    /// have acknowledged what its predecessor does not know.
    pub fn end(self, cluster: &mut Cluster<'_>, scene: &Scene) -> Result<(), String> {
        for (at, leader_epoch, broker) in self.led {
            let what = What::Leader {
                at,
                broker,
                leader_epoch,
            };
            scene.record_of(cluster, what);
        }
        replicas::tell(cluster, scene)
    }
}

fn broken(image: &Image, p: &PartitionState) -> Option<&'static str> {
    let Some(leader) = p.leader else {
        let waits = |b| p.is_eligible(b) && image.is_unfenced(b);
        let waits = p.replicas.iter().any(|b| waits(*b));
        return waits.then_some("nobody leads, and one is there who has all that is committed");
    };
    if !image.is_unfenced(leader) {
        return Some("one that is fenced leads");
    }
    (!p.is_in_sync(leader)).then_some("a leader is not in the ISR")
}
