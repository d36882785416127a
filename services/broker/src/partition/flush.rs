//! Group commit: partitions whose topics ask for an fsync per record are synced together, round by round.
//!
//! While one round syncs, the next one gathers; so there is at most one fsync per file and round, however many
//! producers wait.

use std::sync::Arc;

use engine::ids::Offset;
use futures::future::join_all;

use super::{Due, Partition, Partitions};
use crate::env::{Env, Pool};

/// Syncs what is due, until the task is dropped.
pub async fn run_flusher(env: Env, partitions: Arc<Partitions>, due: Arc<Due>) {
    loop {
        let ids = due.take().await;
        let round = ids
            .iter()
            .filter_map(|id| partitions.get(*id))
            .map(|p| flush(&env, p));
        join_all(round).await;
    }
}

async fn flush(env: &Env, partition: Arc<Partition>) {
    let result = partition.flush(env).await;
    if let Err(error) = result {
        tracing::error!(
            topic = %partition.topic(), partition = partition.id().index, %error,
            "cannot fsync; the log directory is out of service"
        );
    }
}

impl Partition {
    /// Makes everything durable that is in the log now; the fsyncs run on the pool, without the lock.
    pub async fn flush(&self, env: &Env) -> Result<(), storage::Error> {
        let plan = self.state.lock().log.flush_plan();
        let flushed = env.blocking(Pool::Sync, move || plan.run()).await?;
        let now_ms = self.env.elapsed_ms();
        self.change(|s| {
            s.log.on_flushed(&flushed);
            // The log's own word: it knows whether it was truncated meanwhile.
            s.replica.on_flushed(Offset(s.log.recovery_point()), now_ms);
        });
        self.wake_fetcher();
        Ok(())
    }

    /// A follower that had to fsync first may fetch on.
    pub(super) fn wake_fetcher(&self) {
        if let Some(fetcher) = &*self.fetcher.lock() {
            fetcher.notify_one();
        }
    }
}
