//! What the disk has changed of a log, as far as is known. It stays where it is, refused to readers, until the log is cut
//! below it or deleted with its segment.

use std::path::Path;

use super::Log;
use crate::segment::walk::Damage;

impl Log {
    /// The offsets that cannot be read, in order.
    pub fn damage(&self) -> impl Iterator<Item = &Damage> {
        self.segments.iter().flat_map(|s| s.damage.iter())
    }

    /// Whether anything is damaged that could be read.
    pub fn is_damaged(&self) -> bool {
        self.damage().any(|d| d.to > self.log_start)
    }

    /// First offsets of the segments of which something cannot be read.
    pub fn damaged_segments(&self) -> Vec<i64> {
        let damaged = self.segments.iter().filter(|s| !s.damage.is_empty());
        damaged.map(|s| s.base_offset).collect()
    }

    /// How many offsets cannot be read.
    pub fn damaged_offsets(&self) -> u64 {
        let start = self.log_start;
        let lost = |d: &Damage| (d.to - d.from.max(start)).max(0) as u64;
        self.damage().map(lost).sum()
    }

    /// The first damage that ends behind `offset`, and the file that it is in.
    pub(super) fn damage_at_or_after(&self, offset: i64) -> Option<(&Path, &Damage)> {
        // One at the end of a segment may reach beyond the next one's beginning.
        let all = self.segments.iter().flat_map(|segment| {
            let path = segment.path();
            segment.damage.iter().map(move |damage| (path, damage))
        });
        all.into_iter().find(|(_, damage)| damage.to > offset)
    }
}
