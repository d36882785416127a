//! One file of the metadata log: framed entries, each with its length and CRC-32C.
//!
//! The first frame is the file's head: which entry stands before the first. A file is only ever appended to or cut,
//! so an interrupted write can only leave a torn tail, which [`Segment::open`] cuts. What else is not whole was durable
//! once, and a voter that forgets it may help to elect a leader that lacks what was committed: then it is refused.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use storage::{Disk, File};

use super::damage::{damaged, unreadable};
use crate::quorum::codec::{self, Layout};
use crate::quorum::types::{Entry, LogId};

/// Length and CRC before each frame.
const FRAME_HEAD: usize = 8;
/// Set in the layout version of an entry that was written in one go with the one before it. Where one stands behind a
/// frame that is not whole, so that nothing else does, that frame may never have been durable.
const CONTINUED: u8 = 0x80;
/// A write that was interrupted leaves a file that is too short, or at least so many zeros.
const SECTOR_BYTES: usize = 64;
/// Set in the layout version of whatever has [`END`] behind it, which is none of its own.
const ENDED: u8 = 0x40;
/// The last byte of a frame: where a file ends with zeros, something is missing.
const END: u8 = 0xff;
/// No entry is larger: the frames of the controller listener are bounded below this.
const MAX_FRAME: usize = 128 << 20;

/// What the first frame of a file says.
#[derive(Debug, Serialize, Deserialize)]
pub struct Head {
    /// The entry before the first of this file; none at the beginning of the log.
    pub before: Option<LogId>,
    /// The index of the first entry, present or to come.
    pub first: u64,
}

codec::same_since_version_1! { Head, "head of a metadata log file"; }

/// An open file of the log.
pub struct Segment {
    path: PathBuf,
    file: Arc<dyn File>,
    /// The entry before the first of this file.
    pub before: Option<LogId>,
    /// The index of the first entry, present or to come.
    pub first: u64,
    /// Where the frame of each entry begins, from `first` on.
    starts: Vec<u64>,
    /// The length of the file.
    len: u64,
    last_append_bytes: u64,
}

/// What [`Segment::open`] found.
pub struct Opened {
    /// The file, ready to be appended to.
    pub segment: Segment,
    /// Its entries.
    pub entries: Vec<Entry>,
    /// The torn tail that was cut.
    pub cut: Option<Cut>,
}

/// What an interrupted write had left at the end of a file, and what was taken off it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    pub path: PathBuf,
    /// Where the file ends now; it is gone if it had not even a head.
    pub position: u64,
    pub bytes: u64,
}

/// The index of the entry after `before`.
pub fn next_index(before: Option<&LogId>) -> u64 {
    before.map_or(0, |id| id.index + 1)
}

/// Puts a value into a frame; `continues` if it is written in one go with the one before.
fn frame<T: Layout>(value: &T, continues: bool) -> io::Result<Vec<u8>> {
    let mut body = codec::encode(value).map_err(io::Error::other)?;
    body[0] |= ENDED;
    if continues {
        body[0] |= CONTINUED;
    }
    body.push(END);
    let len = u32::try_from(body.len())
        .ok()
        .filter(|l| *l as usize <= MAX_FRAME);
    let len = len.ok_or_else(|| io::Error::other("an entry is too large"))?;
    let mut frame = Vec::with_capacity(FRAME_HEAD + body.len());
    frame.extend_from_slice(&len.to_be_bytes());
    frame.extend_from_slice(&crc32c::crc32c(&body).to_be_bytes());
    frame.extend_from_slice(&body);
    Ok(frame)
}

/// The body of the frame at the beginning of `bytes`; none if it is not whole and sound.
fn body(bytes: &[u8]) -> Option<&[u8]> {
    let len = u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
    let crc = u32::from_be_bytes(bytes.get(4..8)?.try_into().ok()?);
    let body = bytes.get(FRAME_HEAD..FRAME_HEAD.checked_add(len)?)?;
    // The CRC of nothing is zero too: zeros are no frame.
    (len > 0 && crc32c::crc32c(body) == crc).then_some(body)
}

/// Reads an entry, and whether it was written in one go with the one before it.
fn entry(path: &Path, body: &[u8]) -> io::Result<(Entry, bool)> {
    let is_continued = body.first().is_some_and(|version| version & CONTINUED > 0);
    Ok((decode(path, body)?, is_continued))
}

/// Whether the end of a file from `at` on, where a frame is not whole, is what an interrupted write has left.
fn is_torn(path: &Path, bytes: &[u8], at: usize) -> bool {
    let rest = &bytes[at..];
    let begins_later = |from: usize| {
        let found = body(&rest[from..]).map(|body| entry(path, body));
        matches!(found, Some(Ok((_, false))))
    };
    if (1..rest.len()).any(begins_later) {
        return false;
    }
    let Some((head, body)) = rest.split_first_chunk::<FRAME_HEAD>() else {
        return true;
    };
    let [len, crc] = [&head[..4], &head[4..]]
        .map(|word| u32::from_be_bytes(word.try_into().expect("a half of the head is four bytes")));
    if has_other_length(body, crc) {
        return false;
    }
    let zeros = |run: &[u8]| run.iter().all(|b| *b == 0);
    let first_sector = at / SECTOR_BYTES * SECTOR_BYTES;
    body.len() < len as usize || bytes[first_sector..].chunks(SECTOR_BYTES).any(zeros)
}

/// Whether a frame, of which this is all that is behind its head, is whole but for its length: the CRC is that of what ends
/// where another whole frame begins, or the file ends.
fn has_other_length(rest: &[u8], crc: u32) -> bool {
    let (mut sum, mut summed) = (0, 0);
    for end in 1..=rest.len() {
        if end == rest.len() || body(&rest[end..]).is_some() {
            sum = crc32c::crc32c_append(sum, &rest[summed..end]);
            summed = end;
            if sum == crc {
                return true;
            }
        }
    }
    false
}

/// Reads the body of a frame; of former versions none has an end of its own.
fn decode<T: Layout>(path: &Path, body: &[u8]) -> io::Result<T> {
    let mut plain = body.to_vec();
    if let Some(version) = plain.first_mut() {
        let is_ended = *version & ENDED > 0;
        *version &= !(CONTINUED | ENDED);
        if is_ended && plain.pop() != Some(END) {
            return Err(damaged(path, "a frame does not end as it was written"));
        }
    }
    codec::decode(&plain).map_err(|e| unreadable(path, &e))
}

/// The name of the file whose first entry has this index.
pub fn file_name(first: u64) -> String {
    format!("{first:020}.raft")
}

impl Segment {
    /// Makes an empty file for the entries from `first` on, durably. `before` is the entry before them.
    pub fn create(
        disk: &dyn Disk,
        dir: &Path,
        before: Option<LogId>,
        first: u64,
    ) -> io::Result<Segment> {
        let path = dir.join(file_name(first));
        let file = disk.create(&path)?;
        let head = frame(&Head { before, first }, false)?;
        file.append(&mut [IoSlice::new(&head)])?;
        file.sync_data()?;
        disk.sync_dir(dir)?;
        Ok(Segment {
            path,
            file,
            before,
            first,
            starts: Vec::new(),
            len: head.len() as u64,
            last_append_bytes: 0,
        })
    }

    /// Opens a file and reads all of it. The torn tail of the newest file is cut; none if not even its head is whole.
    pub fn open(disk: &dyn Disk, path: &Path, is_newest: bool) -> io::Result<Option<Opened>> {
        let file = disk.open(path)?;
        let len = file.len()?;
        if is_newest {
            // What is read here counts as durable from now on, and the process before may have died, or failed, before it
            // was. After a failure the cache may have what the disk has not.
            file.sync_data()?;
            file.forget_cached(0, len);
        }
        let size = usize::try_from(len).map_err(|e| damaged(path, e))?;
        let bytes = storage::disk::read(&*file, 0, size)?;
        let check_torn = |at: usize| -> io::Result<()> {
            if !is_newest || !is_torn(path, &bytes, at) {
                let why = format!("what is at position {at} was changed");
                return Err(damaged(path, why));
            }
            // A disk may give once what is not on it; what is cut is gone.
            file.forget_cached(0, len);
            match storage::disk::read(&*file, 0, size)? == bytes {
                true => Ok(()),
                false => Err(damaged(path, "two reads of it differ")),
            }
        };
        let Some(head) = body(&bytes) else {
            return check_torn(0).map(|()| None);
        };
        let Head { before, first } = decode::<Head>(path, head)?;
        let mut at = FRAME_HEAD + head.len();
        let (mut starts, mut entries) = (Vec::new(), Vec::<Entry>::new());
        while let Some(found) = body(&bytes[at..]) {
            let (entry, _) = entry(path, found)?;
            if entry.log_id.index != first + starts.len() as u64 {
                return Err(damaged(
                    path,
                    format!("entry {} is out of order", entry.log_id.index),
                ));
            }
            starts.push(at as u64);
            entries.push(entry);
            at += FRAME_HEAD + found.len();
        }
        let position = at as u64;
        let cut = (len > position).then(|| Cut {
            path: path.into(),
            position,
            bytes: len - position,
        });
        if cut.is_some() {
            check_torn(at)?;
            file.truncate(position)?;
            file.sync_data()?;
        }
        let segment = Segment {
            path: path.into(),
            file,
            before,
            first,
            starts,
            len: position,
            last_append_bytes: 0,
        };
        Ok(Some(Opened {
            segment,
            entries,
            cut,
        }))
    }

    /// The index of the entry to come.
    pub fn next(&self) -> u64 {
        self.first + self.starts.len() as u64
    }

    /// How many bytes the file has.
    pub fn size_bytes(&self) -> u64 {
        self.len
    }

    /// How many bytes the last append has written.
    pub fn last_append_bytes(&self) -> u64 {
        self.last_append_bytes
    }

    /// Appends entries, which must continue the file, and makes them durable.
    pub fn append(&mut self, entries: &[Entry]) -> io::Result<()> {
        let mut buffer = Vec::new();
        let mut starts = Vec::with_capacity(entries.len());
        for (entry, expected) in entries.iter().zip(self.next()..) {
            assert_eq!(entry.log_id.index, expected, "the log has no holes");
            starts.push(self.len + buffer.len() as u64);
            buffer.extend_from_slice(&frame(entry, !buffer.is_empty())?);
        }
        let written = self
            .file
            .append(&mut [IoSlice::new(&buffer)])
            .and_then(|()| self.file.sync_data());
        if let Err(e) = written {
            // What is on disk is unknown. A full disk is recovered from: cut what may be there.
            if e.kind() == io::ErrorKind::StorageFull {
                self.file.truncate(self.len)?;
            }
            return Err(e);
        }
        self.len += buffer.len() as u64;
        self.last_append_bytes = buffer.len() as u64;
        self.starts.append(&mut starts);
        Ok(())
    }

    /// Cuts the entries from `index` on, durably.
    pub fn truncate(&mut self, index: u64) -> io::Result<()> {
        let keep = usize::try_from(index.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let Some(&start) = self.starts.get(keep) else {
            return Ok(());
        };
        self.file.truncate(start)?;
        self.file.sync_data()?;
        self.starts.truncate(keep);
        self.len = start;
        Ok(())
    }

    /// Removes the file.
    pub fn remove(self, disk: &dyn Disk) -> io::Result<()> {
        disk.remove_file(&self.path)
    }
}
