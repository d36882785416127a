//! A segment as it was when somebody took a look: its open file outlives its deletion, and is read without any lock.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::warn;
use wire::batch::BatchHeader;

use super::index::OffsetEntry;
use super::scan::{Found, Scanner};
use super::walk::Damage;
use crate::Error;
use crate::disk::File;

/// What is needed to find a batch.
pub(crate) struct View {
    pub path: PathBuf,
    pub file: Arc<dyn File>,
    pub size: u64,
    pub damage: Arc<[Damage]>,
    pub distrust: Distrust,
}

/// Whether it has been told that a segment's index is wrong.
#[derive(Clone, Default)]
pub(crate) struct Distrust(Arc<AtomicBool>);

impl Distrust {
    #[cfg(test)]
    pub fn is_told(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn tell(&self, path: &Path) {
        if !self.0.swap(true, Ordering::Relaxed) {
            warn!(log = %path.display(), "an index does not fit its segment: reading without it until it is made anew");
        }
    }
}

impl View {
    /// The first batch from `start` on that is `wanted`, past what is known to be damaged.
    pub fn find(
        &self,
        start: Option<OffsetEntry>,
        wanted: impl Fn(&BatchHeader) -> bool,
    ) -> Result<Option<(u64, BatchHeader)>, Error> {
        let mut scanner = Scanner::sparse(&*self.file, self.size);
        let io = |e| Error::io("read", &self.path, e);
        let mut position = self.start(&mut scanner, start).map_err(io)?;
        loop {
            position = behind(&self.damage, position);
            match scanner.header(position).map_err(io)? {
                Found::Batch(header) if wanted(&header) => return Ok(Some((position, header))),
                Found::Batch(header) => position += header.size_bytes() as u64,
                Found::End => return Ok(None),
                Found::Broken(why) => {
                    let reason = format!("at position {position}: {why}");
                    return Err(Error::corrupt(&self.path, reason));
                }
            }
        }
    }

    /// Gives the headers from a position on, past what is damaged. Where there is none and it is not known why, it fails:
    /// what is behind would be left out.
    pub fn each(&self, from: u64, mut visit: impl FnMut(&BatchHeader)) -> Result<(), Error> {
        let mut scanner = Scanner::sequential(&*self.file, self.size);
        let mut position = behind(&self.damage, from);
        let io = |e| Error::io("read", &self.path, e);
        loop {
            match scanner.header(position).map_err(io)? {
                Found::Batch(header) => {
                    visit(&header);
                    position = behind(&self.damage, position + header.size_bytes() as u64);
                }
                Found::End => return Ok(()),
                Found::Broken(why) => return Err(Error::corrupt(&self.path, why.to_string())),
            }
        }
    }

    pub fn distrust(&self) {
        self.distrust.tell(&self.path);
    }

    /// Where to begin, given what the index says. No checksum covers an index; but an entry that names the batch which
    /// is at its position cannot lead astray.
    pub fn start(
        &self,
        scanner: &mut Scanner<'_>,
        entry: Option<OffsetEntry>,
    ) -> std::io::Result<u64> {
        let Some(entry) = entry else { return Ok(0) };
        let position = u64::from(entry.position);
        match scanner.header(position)? {
            Found::Batch(header) if header.last_offset() == entry.offset => Ok(position),
            _ => {
                self.distrust.tell(&self.path);
                Ok(0)
            }
        }
    }
}

/// The position itself, or where the damage that begins there ends, and what follows on it.
pub(crate) fn behind(damage: &[Damage], position: u64) -> u64 {
    let mut position = position;
    while let Some(here) = damage.iter().find(|d| d.begins_at(position)) {
        position = here.end();
    }
    position
}
