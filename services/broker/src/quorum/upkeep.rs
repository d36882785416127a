//! What the metadata log needs now and then: its reserve on the disk, and snapshots.

use std::sync::Arc;
use std::time::Duration;

use super::node::Node;
use crate::env::Pool;

/// Before the reserve is made.
const AFTER_START: Duration = Duration::from_secs(3);
/// Between two looks at the reserve.
const RESERVE_CHECK: Duration = Duration::from_secs(60);

impl Node {
    /// Keeps the file that makes room for the metadata log on a full disk.
    pub(super) async fn keep_reserve(self: Arc<Self>) {
        let Some(log) = self.log.clone() else { return };
        // A start has better things to write. Not on the log's own pool: its fsyncs would wait behind this one.
        let mut wait = AFTER_START;
        loop {
            tokio::time::sleep(wait).await;
            wait = RESERVE_CHECK;
            let filling = log.clone();
            let filled = self
                .env
                .blocking(Pool::Read, move || filling.fill_reserve())
                .await;
            if let Err(error) = filled {
                tracing::warn!(%error, "no reserve for the metadata log");
            }
        }
    }
}

impl Node {
    /// Has a snapshot made when the log has grown by the configured bytes; openraft does so by number of entries.
    pub(super) async fn keep_compact(self: Arc<Self>) {
        let (Some(raft), Some(log)) = (&self.raft, &self.log) else {
            return;
        };
        let mut applied = raft.data_metrics();
        loop {
            // An error means that the consensus has ended.
            if applied.changed().await.is_err() {
                return;
            }
            if log.take_growth(self.config.quorum.snapshot_bytes)
                && raft.trigger().snapshot().await.is_err()
            {
                return;
            }
        }
    }
}
