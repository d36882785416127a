//! A log that is dropped, and filled anew as that of a new replica is.

use engine::ids::BrokerId;
use engine::metadata::PartitionState;
use engine::replica::Role;

use super::Partition;

/// Nothing is fetched while this lives: the leader must not take the replica for one that has what it is about to drop.
pub(crate) struct Paused<'a>(&'a Partition);

impl Partition {
    pub(crate) fn pause_fetching(&self) -> Paused<'_> {
        self.state.lock().paused = true;
        Paused(self)
    }
}

impl Paused<'_> {
    /// Drops the log, if the metadata that this replica goes by has `now`, in which nobody counts it as one that has
    /// everything; says whether it has.
    pub(crate) fn drop_log(
        &self,
        me: BrokerId,
        now: &PartitionState,
    ) -> Result<bool, storage::Error> {
        self.0.change(|s| {
            let follows = matches!(s.replica.role(), Role::Follower { .. });
            let is_current = s.replica.leader_epoch() == now.leader_epoch;
            if s.closed || !follows || !is_current || now.is_eligible(me) {
                return Ok(false);
            }
            let start = s.replica.log_start();
            s.log.truncate_fully_and_start_at(start.0)?;
            s.replica.on_restarted_at(start);
            Ok(true)
        })
    }
}

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        self.0.state.lock().paused = false;
        if let Some(fetcher) = &*self.0.fetcher.lock() {
            fetcher.notify_one();
        }
    }
}
