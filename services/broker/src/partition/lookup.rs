//! Offsets by name or by time, for ListOffsets and OffsetForLeaderEpoch.

use engine::epochs::EpochEnd;
use engine::ids::{LeaderEpoch, Offset};
use engine::replica::Reader;
use wire::ErrorCode;

use super::Partition;
use crate::env::Pool;

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    Earliest,
    Latest,
    /// The record with the largest timestamp (KIP-734).
    MaxTimestamp,
    /// The first record with this timestamp or a later one.
    AtTime(i64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundOffset {
    pub offset: Offset,
    /// -1 where the offset was not found by time.
    pub timestamp_ms: i64,
    pub leader_epoch: LeaderEpoch,
}

impl Partition {
    /// Finds an offset; `None` if no record that the reader may see fits.
    pub async fn find_offset(
        &self,
        wanted: Wanted,
        reader: Reader,
        leader_epoch: Option<LeaderEpoch>,
    ) -> Result<Option<FoundOffset>, ErrorCode> {
        let lookup = {
            let s = self.state.lock();
            s.check_open()?;
            s.replica
                .check_leader_epoch(leader_epoch)
                .map_err(|e| e.code())?;
            let plan = match wanted {
                Wanted::Earliest => return Ok(Some(s.earliest())),
                Wanted::Latest => return s.latest(reader).map(Some),
                Wanted::MaxTimestamp => s.log.max_timestamp(),
                Wanted::AtTime(timestamp) => s.log.offset_for_timestamp(timestamp),
            };
            plan.map_err(|error| self.on_failed_read(&error))?
        };
        let found = self.env.blocking(Pool::Read, move || lookup.run()).await;
        let found = found
            .map_err(|error| self.on_failed_read(&error))?
            .map(|found| FoundOffset {
                offset: Offset(found.offset),
                timestamp_ms: found.timestamp,
                leader_epoch: LeaderEpoch(found.leader_epoch),
            });
        let s = self.state.lock();
        let visible = match s.replica.latest_offset(reader) {
            Ok(end) => found.filter(|f| f.offset < end),
            Err(engine::replica::Error::OffsetNotAvailable) => {
                let committed = found.filter(|f| f.offset < s.replica.high_watermark());
                // The record may be one that the leader before has shown already (KIP-207).
                return committed.map(Some).ok_or(ErrorCode::OffsetNotAvailable);
            }
            Err(error) => return Err(error.code()),
        };
        Ok(visible)
    }

    /// Where an epoch ends in this leader's log.
    pub fn end_of_epoch(
        &self,
        asked: LeaderEpoch,
        current: Option<LeaderEpoch>,
    ) -> Result<Option<EpochEnd>, ErrorCode> {
        let s = self.state.lock();
        s.check_open()?;
        s.replica
            .end_of_epoch(asked, current)
            .map_err(|error| error.code())
    }
}

impl super::State {
    fn earliest(&self) -> FoundOffset {
        let epochs = self.replica.epochs();
        let first = epochs
            .entries()
            .first()
            .map_or(LeaderEpoch::NONE, |e| e.epoch);
        FoundOffset {
            offset: self.replica.log_start(),
            timestamp_ms: -1,
            leader_epoch: first,
        }
    }

    fn latest(&self, reader: Reader) -> Result<FoundOffset, ErrorCode> {
        let offset = self
            .replica
            .latest_offset(reader)
            .map_err(|error| error.code())?;
        Ok(FoundOffset {
            offset,
            timestamp_ms: -1,
            leader_epoch: self.replica.leader_epoch(),
        })
    }
}
