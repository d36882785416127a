//! The whole directory of a broker that has lived: checkpoints, marks, logs, the metadata; changed, cut, removed, and with
//! directories of any name beside them. The next broker starts and answers, or says why not.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use storage::Disk;
use storage::disk::read_file;
use storage::memory::MemoryDisk;

use super::take::Take;
use crate::broker::{Host, Life};
use crate::memory;

/// What a broker that starts, serves and stops takes at most, with its logs and their indexes.
const FLOOR: usize = 64 << 20;
const PER_BYTE: usize = 256;
const DIR: &str = "/data";

/// The files of a broker, by path.
pub type Files = Vec<(PathBuf, Vec<u8>)>;

static CLOSED: LazyLock<Files> = LazyLock::new(|| left(true));
static KILLED: LazyLock<Files> = LazyLock::new(|| left(false));

/// What a broker leaves that has stopped in order, or was killed.
pub fn files(is_closed: bool) -> &'static Files {
    match is_closed {
        true => &CLOSED,
        false => &KILLED,
    }
}

fn left(is_closed: bool) -> Files {
    let host = Host::new(7);
    let mut life = Life::begin_on(host.clone());
    assert_eq!(life.add_one(), 0);
    if is_closed {
        life.end();
    }
    let mut files = Files::new();
    gather(host.disk(), Path::new(DIR), &mut files);
    files.sort();
    files
}

fn gather(disk: &MemoryDisk, dir: &Path, files: &mut Files) {
    for entry in disk.list(dir).expect("the disk has no faults") {
        let path = dir.join(&entry.name);
        if entry.is_dir {
            gather(disk, &path, files);
        } else {
            let content = read_file(disk, &path).expect("the disk has no faults");
            files.push((path, content.unwrap_or_default().to_vec()));
        }
    }
}

/// How it was left (a byte: 1 killed, 2 and the machine has booted since), then changes: of which file (a byte), which (a
/// byte), where (2 bytes), and what with (behind its length, 2 bytes).
pub fn log_directory(input: &[u8]) {
    let mut take = Take(input);
    let how = take.byte();
    let (is_killed, has_booted) = (how & 1 == 1, how & 2 == 2);
    let mut files = files(!is_killed).clone();
    let is_whole = take.is_empty();
    let disk = MemoryDisk::new();
    disk.create_dir_all(Path::new(DIR)).expect("creates");
    while !take.is_empty() {
        change(&disk, &mut files, &mut take);
    }
    for (path, content) in &files {
        let parent = path.parent().expect("it is below the directory");
        disk.create_dir_all(parent).expect("creates");
        let file = disk.create(path).expect("creates");
        file.append(&mut [IoSlice::new(content)]).expect("writes");
    }
    let boot = if has_booted { "another" } else { "boot" };
    memory::within(FLOOR + PER_BYTE * input.len(), "a directory", || {
        let host = Host::with_disk(8, disk, boot);
        match Life::start(host) {
            Ok(mut life) => {
                life.must_answer();
                // Whoever may have lost its memory does not lead until somebody asks for it.
                if is_whole && !(is_killed && has_booted) {
                    assert_eq!(life.add_one(), 1, "what was acknowledged is there");
                }
                life.end();
            }
            Err(error) => {
                assert!(!is_whole, "{error:#}");
                assert!(!error.to_string().is_empty());
            }
        }
    });
}

fn change(disk: &MemoryDisk, files: &mut Files, take: &mut Take) {
    let (which, kind) = (usize::from(take.byte()), take.byte());
    let (at, with) = (usize::from(take.u16()), take.chunk());
    if kind % 6 == 5 || files.is_empty() {
        let name = String::from_utf8_lossy(with).replace(['/', '\0'], "-");
        if !matches!(&*name, "" | "." | "..") {
            let made = disk.create_dir_all(&Path::new(DIR).join(name));
            made.expect("nothing is in its way");
        }
        return;
    }
    let which = which % files.len();
    let content = &mut files[which].1;
    let at = at.min(content.len());
    match kind % 6 {
        0 => drop(files.remove(which)),
        1 => *content = with.to_vec(),
        2 => content.truncate(at),
        3 => {
            let end = content.len().min(at + with.len());
            content[at..end].copy_from_slice(&with[..end - at]);
        }
        _ => drop(content.splice(at..at, with.iter().copied())),
    }
}
