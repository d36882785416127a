//! Puts cleaned segments in the place of the old ones.

use super::{Cleaned, Group};
use crate::Error;
use crate::disk::remove_if_there;
use crate::log::{DeletedSegments, Log};
use crate::swap::{CLEANED, Replaced, paths};

impl Log {
    /// Swaps the files. Segments that were deleted meanwhile are left as they are; nothing is done, and `None` told, where
    /// the log was cut meanwhile: a segment that begins with the same offset may hold other records now. The caller removes
    /// the old files without the log's lock.
    pub fn install_cleaned(&mut self, cleaned: Cleaned) -> Result<Option<DeletedSegments>, Error> {
        if let Err(error) = self.poison.check() {
            self.discard(&cleaned.groups)?;
            return Err(error);
        }
        if self.generation() != cleaned.generation {
            self.discard(&cleaned.groups)?;
            return Ok(None);
        }
        let poison = self.poison.clone();
        let mut deleted = DeletedSegments::on(self.disk.clone());
        for group in cleaned.groups {
            let first = self
                .segments
                .iter()
                .position(|s| s.base_offset == group.bases[0]);
            let last = first.map_or(0, |first| first + group.bases.len());
            // The last segment is appended to; it was not when the plan was made.
            let unchanged = first.is_some_and(|first| {
                last < self.segments.len()
                    && self.segments[first..last]
                        .iter()
                        .map(|s| s.base_offset)
                        .eq(group.bases.iter().copied())
            });
            match first {
                Some(first) if unchanged => {
                    let replaced = Replaced {
                        first,
                        bases: &group.bases,
                        suffix: CLEANED,
                    };
                    self.swap(&replaced, group.segment, &mut deleted)
                        .map_err(|e| poison.by_unfinished(e))?;
                }
                _ => self.discard(&[group])?,
            }
        }
        Ok(Some(deleted))
    }

    fn discard(&self, groups: &[Group]) -> Result<(), Error> {
        let bases = groups.iter().map(|group| group.segment.base_offset);
        bases
            .flat_map(|base| paths(&self.dir, base, CLEANED))
            .try_for_each(|path| remove_if_there(&*self.disk, &path))
    }
}
