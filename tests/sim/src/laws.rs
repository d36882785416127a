//! What the metadata may say in no moment, whatever clients see of it.

use engine::metadata::{Image, PartitionState};

use crate::Cluster;

/// Looks at the newest metadata whenever it has changed.
#[derive(Default)]
pub struct Laws {
    seen: u64,
}

impl Laws {
    /// An error if it says what it must not.
    pub fn pass(&mut self, cluster: &mut Cluster<'_>) -> Result<(), String> {
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
