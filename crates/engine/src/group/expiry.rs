//! Expiry of offsets and of groups that nobody uses any more (KIP-211).

use wire::Str;

use super::effects::Effects;
use super::state::{Group, Phase};
use super::{CommittedOffset, Now, Record, Shard};

impl Shard {
    /// Looks for offsets past their retention and for groups without members and offsets; to be called now and then
    /// (`offsets.retention.check.interval.ms`).
    pub fn expire(&mut self, now: Now, out: &mut Effects) {
        let retention_ms = self.config.offsets_retention_ms;
        let ids: Vec<Str> = self.groups.keys().cloned().collect();
        for id in ids {
            self.step(now, &id, false, out, |group, durable, cx| {
                // What is being written may renew an offset that looks expired here, and would stand before its
                // deletion in the log: an acknowledged commit would be gone. The next look comes soon enough.
                if group.undecided_writes > 0 {
                    return;
                }
                let mut kept = 0;
                let mut records = Vec::new();
                for (topic, partition, offset) in durable.offsets_of(&group.id) {
                    if group.has_expired(topic, offset, now.wall_ms, retention_ms) {
                        records.push(Record::offset(&group.id, topic, partition, None));
                    } else {
                        kept += 1;
                    }
                }
                if kept == 0 && group.is_idle() && durable.group(&group.id).is_some() {
                    records.push(Record::Group {
                        group: group.id.clone(),
                        value: None,
                    });
                }
                cx.write_in_pieces(group, records, Vec::new());
            });
        }
    }
}

impl Group {
    /// A group that has members keeps the offsets of what it is subscribed to. An empty one keeps all of them for
    /// the retention since it became empty; offsets of clients that are no group, since each one's commit.
    fn has_expired(
        &self,
        topic: &str,
        offset: &CommittedOffset,
        wall_ms: i64,
        retention_ms: i64,
    ) -> bool {
        let since = match (&self.protocol_type, self.phase) {
            (None, Phase::Empty) => offset.commit_timestamp_ms,
            (Some(_), Phase::Empty) => self.phase_since_ms.max(offset.commit_timestamp_ms),
            (Some(_), Phase::Stable) if !self.is_subscribed_to(topic) => offset.commit_timestamp_ms,
            _ => return false,
        };
        match offset.expire_timestamp_ms {
            Some(at) => wall_ms >= at,
            None => wall_ms.saturating_sub(since) >= retention_ms,
        }
    }
}
