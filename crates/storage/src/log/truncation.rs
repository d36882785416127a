//! Where the log was cut below what checkpoints may say of it.
//!
//! The recovery point promises that all below was made durable, so that a batch which is not whole there was changed by the
//! disk, and cutting the log at it would lose what is behind it. The high watermark promises that the log was there so far.
//! After a truncation both are void from the cut on.
//! Where the log begins anew below its log start, the checkpoint of that is void too: it would hide, or have removed, what
//! has taken the place of what was there. A small file beside the segments says so, before anything is cut, and until the
//! checkpoints have been written again.

use std::path::{Path, PathBuf};

use tracing::warn;

use crate::Error;
use crate::disk::{Disk, read_file, remove_if_there, write_atomic};

const FILE: &str = "truncation-offset";

/// The lowest cut since the checkpoints were written.
#[derive(Default)]
pub(super) struct Truncation(Option<Cut>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cut {
    offset: i64,
    start: Option<NewStart>,
}

/// The log start was moved back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NewStart {
    pub from: i64,
    pub to: i64,
}

impl Truncation {
    /// Reads the file; what cannot be understood takes back the whole promise.
    pub fn read(disk: &dyn Disk, dir: &Path) -> Result<Truncation, Error> {
        let Some(bytes) = read_file(disk, &path(dir))? else {
            return Ok(Truncation(None));
        };
        let cut = parse(&bytes).unwrap_or_else(|| {
            warn!(
                path = %path(dir).display(),
                "the mark of a cut cannot be read: nothing that checkpoints say of this log is relied upon"
            );
            Cut {
                offset: 0,
                start: None,
            }
        });
        Ok(Truncation(Some(cut)))
    }

    /// The part of what a checkpoint promises that holds.
    pub fn limit(&self, told: i64) -> i64 {
        self.0.map_or(told, |cut| cut.offset.min(told))
    }

    /// The log start, which a checkpoint has told.
    pub fn log_start(&self, told: i64) -> i64 {
        let start = self.0.and_then(|cut| cut.start);
        let void = start.filter(|start| start.to < told && told <= start.from);
        void.map_or(told, |start| start.to)
    }

    /// To be called before a cut at `offset`, which may move the log start back; `told` is the most that a checkpoint may
    /// say.
    pub fn begin(
        &mut self,
        disk: &dyn Disk,
        dir: &Path,
        offset: i64,
        start: Option<NewStart>,
        told: i64,
    ) -> Result<(), Error> {
        if self.limit(told) <= offset && start.is_none() {
            return Ok(());
        }
        let before = self.0.and_then(|cut| cut.start);
        let start = match (before, start) {
            (Some(before), Some(start)) => Some(NewStart {
                from: before.from.max(start.from),
                to: start.to,
            }),
            (before, start) => start.or(before),
        };
        let cut = Cut {
            offset: self.limit(offset),
            start,
        };
        write_atomic(disk, &path(dir), cut.encode().as_bytes())?;
        self.0 = Some(cut);
        Ok(())
    }

    pub fn is_there(&self) -> bool {
        self.0.is_some()
    }

    /// The checkpoints say what is there.
    pub fn end(&mut self, disk: &dyn Disk, dir: &Path) -> Result<(), Error> {
        remove_if_there(disk, &path(dir))?;
        let synced = disk.sync_dir(dir);
        synced.map_err(|e| Error::io("sync", dir, e))?;
        self.0 = None;
        Ok(())
    }
}

impl Cut {
    /// The numbers, and their CRC.
    fn encode(&self) -> String {
        let start = self.start.map(|start| [start.from, start.to]);
        let numbers = [self.offset].into_iter().chain(start.into_iter().flatten());
        let numbers: Vec<i64> = numbers.collect();
        let text: Vec<String> = numbers.iter().map(i64::to_string).collect();
        format!("{} {}\n", text.join(" "), crc(&numbers))
    }
}

fn crc(numbers: &[i64]) -> u32 {
    let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_be_bytes()).collect();
    crc32c::crc32c(&bytes)
}

fn path(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

fn parse(bytes: &[u8]) -> Option<Cut> {
    let (numbers, told) = std::str::from_utf8(bytes)
        .ok()?
        .trim_end()
        .rsplit_once(' ')?;
    let numbers: Option<Vec<i64>> = numbers.split(' ').map(|n| n.parse().ok()).collect();
    let numbers = numbers?;
    let start = match numbers[..] {
        [_] => None,
        [_, from, to] => Some(NewStart { from, to }),
        _ => return None,
    };
    let told: u32 = told.parse().ok()?;
    let offset = numbers[0];
    (told == crc(&numbers)).then_some(Cut { offset, start })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::memory::MemoryDisk;

    fn reread(disk: &MemoryDisk) -> Truncation {
        Truncation::read(disk, Path::new("/")).expect("the disk is well")
    }

    #[test]
    fn a_cut_takes_back_what_checkpoints_say_until_they_are_written_again() {
        let (disk, dir) = (MemoryDisk::new(), Path::new("/"));
        let mut truncation = reread(&disk);
        assert_eq!(
            (truncation.limit(500), truncation.log_start(300)),
            (500, 300)
        );
        // Nothing is promised from there on.
        truncation.begin(&disk, dir, 500, None, 500).expect("well");
        assert!(!disk.exists(&path(dir)));
        truncation.begin(&disk, dir, 400, None, 500).expect("well");
        truncation.begin(&disk, dir, 450, None, 500).expect("well");
        let start = Some(NewStart { from: 300, to: 200 });
        assert_eq!(reread(&disk).limit(500), 400);
        truncation.begin(&disk, dir, 150, start, 500).expect("well");
        let start = Some(NewStart { from: 250, to: 100 });
        truncation.begin(&disk, dir, 100, start, 500).expect("well");
        truncation.begin(&disk, dir, 120, None, 500).expect("well");
        for read in [&truncation, &reread(&disk)] {
            assert_eq!(read.limit(500), 100);
            for (told, meant) in [(90, 90), (100, 100), (101, 100), (300, 100), (301, 301)] {
                assert_eq!(read.log_start(told), meant, "{told}");
            }
        }
        assert!(truncation.is_there());
        truncation.end(&disk, dir).expect("well");
        assert!(!truncation.is_there());
        assert_eq!(
            (truncation.limit(500), reread(&disk).limit(500)),
            (500, 500)
        );
    }

    #[test]
    fn of_what_cannot_be_understood_nothing_holds() {
        let (disk, dir) = (MemoryDisk::new(), Path::new("/"));
        let one = Cut {
            offset: 7,
            start: None,
        };
        assert_eq!(parse(one.encode().as_bytes()), Some(one));
        // One that the disk has changed.
        let other = format!("8{}", &one.encode()[1..]);
        assert_eq!(parse(other.as_bytes()), None);
        for text in ["", "7", "7 1", "7 9 1", "x 1", "1 2 3 4 5"] {
            write_atomic(&disk, &path(dir), text.as_bytes()).expect("the disk is well");
            let read = reread(&disk);
            assert_eq!((read.limit(5), read.log_start(5)), (0, 5), "{text}");
        }
    }
}
