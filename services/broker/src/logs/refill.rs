//! Fills a compacted log anew of which the disk has changed something.
//!
//! Replicas compact at different times. What another one has of a damaged stretch need not fit the rest of this log: it may
//! lack the tombstone of a key whose older value is still here, or have a value whose tombstone is here no more. Readers would
//! see a deleted key come back. So nothing is pieced together: the replica leaves the ISR, drops its log and fetches all of the
//! leader's, as a new one does. Where the ISR cannot do without it, what is damaged stays refused.

use std::time::Duration;

use engine::ids::BrokerId;
use engine::metadata::Command;
use storage::Error;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::{Logs, Name};
use crate::partition::{Partition, Partitions};
use crate::quorum::Quorum;

/// For the controller's answer, and for its effect to arrive here.
const PATIENCE: Duration = Duration::from_secs(5);

impl Logs {
    /// Whether the log is compacted, or was.
    pub(super) fn is_compacted(&self, name: &Name, partition: &Partition) -> bool {
        let was = || {
            let directory = self.directory_of(name)?;
            directory.saved.lock().cleaned.get(name).copied()
        };
        partition.with_log(|log, _| log.config().compact) || was().is_some_and(|to| to > 0)
    }

    /// Says whether the log was dropped. Where it cannot be yet, it says why if somebody should know.
    pub(super) async fn refill(
        &self,
        name: &Name,
        partition: &Partition,
        partitions: &Partitions,
        quorum: Option<&Quorum>,
    ) -> Result<bool, String> {
        let text = |error: Error| error.to_string();
        partition
            .with_log(|log, _| log.check_writable())
            .map_err(text)?;
        let Some((quorum, epoch)) = quorum.and_then(|q| q.broker_epoch().map(|epoch| (q, epoch)))
        else {
            return Ok(false);
        };
        let (me, id) = (BrokerId(self.config.node_id), partition.id());
        if !partitions.image().may_leave_partition(me, id) {
            return Err(
                "the ISR cannot do without this replica: what is damaged of a compacted log stays refused to readers, \
                 until two others at least, and min.insync.replicas of them, are in sync"
                    .into(),
            );
        }
        // From before it leaves until the log is gone.
        let paused = partition.pause_fetching();
        let command = Command::LeavePartition {
            broker: me,
            epoch,
            partition: id,
        };
        if let Err(error) = quorum.propose(command, PATIENCE).await {
            debug!(topic = name.0, partition = name.1, %error, "a damaged log cannot be filled anew yet");
            return Ok(false);
        }
        let mut changes = partitions.changes();
        let dropped = async {
            loop {
                let image = partitions.image();
                if let Some(now) = image.partition(id.topic, id.index)
                    && paused.drop_log(me, now)?
                {
                    return Ok(true);
                }
                if changes.changed().await.is_err() {
                    return Ok(false);
                }
            }
        };
        let dropped = timeout(PATIENCE, dropped).await.unwrap_or(Ok(false));
        if !dropped.map_err(text)? {
            return Ok(false);
        }
        warn!(
            topic = name.0,
            partition = name.1,
            "dropped a compacted log that the disk has changed: it is fetched anew from the leader"
        );
        self.settle_cuts(partitions).await;
        Ok(true)
    }
}
