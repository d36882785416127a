//! Whether the machine still has in its memory what an earlier process had written and not flushed.
//!
//! Only a loss of that memory takes records from a log: a power loss, a kernel that panics, a virtual machine that is reset.
//! A process that is killed leaves all that it has written to the page cache. So a random name is given to the memory:
//! each log directory has a file with it and with the id of the machine's boot. Where all of them agree, and the boot is
//! the present one, the memory is that of the process before; else it gets a new name. The broker registers with the
//! name, and the controller compares (KIP-966).
//!
//! A directory that is empty, or was put in another's place, has no file or another one; one that is not configured any
//! more is missing in the number that each file has. Then the disks are not those of the process before, and what was
//! flushed to them may be gone too. After a failed fsync nobody knows what the page cache holds and what the disk
//! (fsyncgate), so the files say no boot.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::metadata::Memory;
use storage::{Disk, Error, disk};
use tracing::{info, warn};
use wire::Uuid;

use crate::env::{Env, Pool};

const FILE: &str = ".memory";
/// Before the checksum of the lines above: a changed digit reads well, and says what is not so.
const CHECKSUM: &str = "crc32c=";
/// In the place of a boot's id: nothing in memory is to be relied upon.
const FORGOTTEN: &str = "forgotten";

/// What a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub boot: String,
    pub memory: Uuid,
    /// How many directories the broker has.
    pub directories: usize,
    /// The disks are not those of the memory before, and the cluster may not know it yet.
    pub new_disks: bool,
}

impl Named {
    pub fn encode(&self) -> String {
        let text = self.text(2);
        let sum = checksum(&text);
        format!("{text}{CHECKSUM}{sum}\n")
    }

    fn text(&self, version: u8) -> String {
        let disks = if self.new_disks { "disks=new\n" } else { "" };
        format!(
            "version={version}\nboot.id={}\nmemory.id={}\ndirectories={}\n{disks}",
            self.boot, self.memory, self.directories
        )
    }

    fn decode(text: &str) -> Option<Named> {
        let value = |key: &str| {
            let lines = text.lines().filter_map(|line| line.split_once('='));
            let mut found = lines.filter(|(name, _)| *name == key);
            found.next().map(|(_, value)| value.to_string())
        };
        let named = Named {
            boot: value("boot.id")?,
            memory: value("memory.id")?.parse().ok()?,
            directories: value("directories")?.parse().ok()?,
            new_disks: value("disks").is_some(),
        };
        // What is not as it was written is damaged. The version before has no checksum.
        [named.encode(), named.text(1)]
            .iter()
            .any(|written| written == text)
            .then_some(named)
    }
}

fn checksum(text: &str) -> String {
    format!("{:08x}", crc32c::crc32c(text.as_bytes()))
}

/// The memory that this process writes into, and whether it is that of the process before; none if it cannot be told. Where
/// the logs are not `whole`, it was lost, or something of the disks, whatever the files say.
pub(super) async fn named(
    env: &Env,
    disk: &Arc<dyn Disk>,
    directories: Vec<PathBuf>,
    whole: bool,
) -> Option<(Memory, bool)> {
    let Some(boot) = env.boot_id() else {
        info!("the system tells no id of its boot: only a clean stop is known to lose nothing");
        return None;
    };
    let fresh = Named {
        boot,
        memory: env.random_uuid(),
        directories: directories.len(),
        new_disks: false,
    };
    let disk = disk.clone();
    env.blocking(Pool::Read, move || {
        find_or_name(&*disk, &directories, fresh, whole)
    })
    .await
}

pub(super) fn find_or_name(
    disk: &dyn Disk,
    directories: &[PathBuf],
    fresh: Named,
    whole: bool,
) -> Option<(Memory, bool)> {
    let found: Vec<_> = directories.iter().map(|d| look(disk, d)).collect();
    // Which boot it was may differ where the writing of the files was interrupted.
    let is_of = |known: &Named, other: &Option<Named>| {
        other
            .as_ref()
            .is_some_and(|o| o.memory == known.memory && o.directories == directories.len())
    };
    let first = found.first().cloned().flatten();
    let known = first.filter(|known| found.iter().all(|other| is_of(known, other)));
    // Whoever was to tell the cluster so may have ended before.
    let new_disks = found.iter().flatten().any(|each| each.new_disks);
    let is_same_boot = found.iter().flatten().all(|each| each.boot == fresh.boot);
    let kept = known.as_ref().filter(|_| is_same_boot);
    if let Some(known) = kept.filter(|_| whole) {
        let memory = Memory {
            id: known.memory,
            same_disks: !new_disks,
        };
        return Some((memory, true));
    }
    // What is missing although the memory was kept is missing on a disk.
    let same_disks = known.is_some() && kept.is_none() && !new_disks;
    let fresh = Named {
        new_disks: !same_disks,
        ..fresh
    };
    for directory in directories {
        let path = directory.join(FILE);
        if let Err(error) = disk::write_atomic(disk, &path, fresh.encode().as_bytes()) {
            warn!(dir = %directory.display(), %error, "cannot give the memory a name: a crash will count as its loss");
            return None;
        }
    }
    let id = fresh.memory;
    Some((Memory { id, same_disks }, false))
}

fn read(disk: &dyn Disk, directory: &Path) -> Option<Named> {
    let bytes = disk::read_file(disk, &directory.join(FILE));
    decode(&bytes.ok().flatten()?)
}

/// Reads, and tells if what is there is of no use.
fn look(disk: &dyn Disk, directory: &Path) -> Option<Named> {
    let named = read(disk, directory);
    let path = directory.join(FILE);
    if named.is_none() && disk.exists(&path) {
        warn!(
            path = %path.display(),
            "the name of the memory cannot be read: what was only in memory counts as lost, and the disks as new"
        );
    }
    named
}

pub(super) fn decode(bytes: &[u8]) -> Option<Named> {
    Named::decode(std::str::from_utf8(bytes).ok()?)
}

/// The cluster knows whose disks these are.
pub(super) fn confirm(disk: &dyn Disk, directories: &[PathBuf]) {
    for directory in directories {
        let Some(known) = read(disk, directory).filter(|known| known.new_disks) else {
            continue;
        };
        let new_disks = false;
        let confirmed = Named { new_disks, ..known }.encode();
        let path = directory.join(FILE);
        if let Err(error) = disk::write_atomic(disk, &path, confirmed.as_bytes()) {
            warn!(path = %path.display(), %error, "cannot note that the cluster knows these disks");
        }
    }
}

/// What this boot's memory or the disk should have of a directory is lost, whatever comes next: without its file the memory
/// has no name, and the disk is another. What another boot has not flushed is lost anyway, and of that the disk is innocent.
/// Where the directory `was_closed` in order, all of it was on the disk. Says whether the next process knows of it: after a
/// failed fsync it would take it for what that has cost.
pub(super) fn lose(
    disk: &dyn Disk,
    directory: &Path,
    boot: &str,
    was_closed: bool,
) -> Result<bool, Error> {
    let other = read(disk, directory).filter(|known| known.boot != boot);
    if let Some(other) = other.filter(|_| !was_closed) {
        return Ok(other.boot != FORGOTTEN);
    }
    disk::remove_if_there(disk, &directory.join(FILE))?;
    let synced = disk.sync_dir(directory);
    synced.map_err(|e| Error::io("sync", directory, e))?;
    Ok(true)
}

/// The memory is not to be relied upon: the next process gives it another name. One file that says so is enough, or that is
/// not there; tells whether there is one.
pub(super) fn forget(disk: &dyn Disk, directories: &[PathBuf]) -> bool {
    let mut is_forgotten = false;
    for directory in directories {
        let path = directory.join(FILE);
        let known = match disk::read_file(disk, &path) {
            Ok(content) => content.map(|content| decode(&content)),
            // What it says may be read again by the next process.
            Err(error) => {
                warn!(path = %path.display(), %error, "cannot read the name of the memory");
                continue;
            }
        };
        let done = match known {
            None => Ok(()),
            // The next process may read it well.
            Some(None) => disk::remove_if_there(disk, &path),
            Some(Some(known)) => {
                let boot = FORGOTTEN.into();
                let forgotten = Named { boot, ..known }.encode();
                // A disk that takes nothing any more may still let a file go.
                disk::write_atomic(disk, &path, forgotten.as_bytes())
                    .or_else(|_| disk::remove_if_there(disk, &path))
            }
        };
        match done {
            Ok(()) => is_forgotten = true,
            Err(error) => {
                warn!(path = %path.display(), %error, "cannot remove the name of the memory");
            }
        }
    }
    is_forgotten
}

#[cfg(test)]
mod tests {
    use storage::disk::memory::MemoryDisk;

    use super::*;

    /// What is told where this many directories are configured, on this boot.
    fn named(disk: &MemoryDisk, directories: &[&str], boot: &str, fresh: u128) -> (u128, bool) {
        started(disk, directories, (boot, fresh), true, true)
    }

    /// The same where the logs may not be whole, of a process that may end before it registers.
    fn started(
        disk: &MemoryDisk,
        directories: &[&str],
        (boot, fresh): (&str, u128),
        whole: bool,
        registers: bool,
    ) -> (u128, bool) {
        let directories: Vec<PathBuf> = directories.iter().map(PathBuf::from).collect();
        for directory in &directories {
            disk.create_dir_all(directory).expect("made");
        }
        let fresh = Named {
            boot: boot.into(),
            memory: Uuid::from(fresh),
            directories: directories.len(),
            new_disks: false,
        };
        let (memory, _) = find_or_name(disk, &directories, fresh, whole).expect("a name");
        if registers {
            confirm(disk, &directories);
        }
        (u128::from_be_bytes(memory.id.0), memory.same_disks)
    }

    #[test]
    fn the_memory_keeps_its_name_until_the_machine_boots_again() {
        let disk = MemoryDisk::new();
        assert_eq!(named(&disk, &["/a", "/b"], "one", 1), (1, false));
        assert_eq!(named(&disk, &["/a", "/b"], "one", 2), (1, true));
        assert_eq!(named(&disk, &["/a", "/b"], "two", 3), (3, true));
        assert_eq!(named(&disk, &["/a", "/b"], "two", 4), (3, true));
        assert_eq!(named(&disk, &["/a", "/b"], "one", 5), (5, true));
    }

    #[test]
    fn a_directory_that_is_another_or_empty_gives_it_a_new_name() {
        let disk = MemoryDisk::new();
        named(&disk, &["/a", "/b"], "one", 1);
        assert_eq!(named(&disk, &["/a", "/b", "/c"], "one", 2), (2, false));
        named(&disk, &["/d"], "one", 3);
        assert_eq!(named(&disk, &["/a", "/d"], "one", 4), (4, false));
        assert_eq!(named(&disk, &["/a", "/d"], "one", 5), (4, true));
    }

    #[test]
    fn a_memory_of_which_something_is_missing_gets_a_new_name() {
        let disk = MemoryDisk::new();
        named(&disk, &["/a"], "one", 1);
        assert_eq!(started(&disk, &["/a"], ("one", 2), false, true), (2, false));
        assert_eq!(named(&disk, &["/a"], "one", 3), (2, true));
        // After another boot it is no wonder.
        assert_eq!(started(&disk, &["/a"], ("two", 4), false, true), (4, true));
    }

    #[test]
    fn that_the_disks_are_new_is_told_until_the_cluster_has_heard_it() {
        let disk = MemoryDisk::new();
        let start =
            |boot, fresh, registers| started(&disk, &["/a", "/b"], (boot, fresh), true, registers);
        assert_eq!(start("one", 1, false), (1, false));
        assert_eq!(start("one", 2, false), (1, false));
        assert_eq!(start("two", 3, true), (3, false));
        assert_eq!(start("two", 4, true), (3, true));
        lose(&disk, Path::new("/b"), "two", false).expect("the disk is well");
        assert_eq!(start("two", 5, false), (5, false));
        assert_eq!(start("two", 6, true), (5, false));
        // The end of a log that was only in the memory of the boot before says nothing of the disk.
        lose(&disk, Path::new("/b"), "three", false).expect("the disk is well");
        assert_eq!(start("three", 7, true), (7, true));
        lose(&disk, Path::new("/b"), "four", true).expect("the disk is well");
        assert_eq!(start("four", 8, true), (8, false));
    }

    #[test]
    fn a_directory_that_is_not_configured_any_more_takes_what_was_in_it_along() {
        let disk = MemoryDisk::new();
        named(&disk, &["/a", "/b"], "one", 1);
        assert_eq!(named(&disk, &["/a"], "one", 2), (2, false));
    }

    #[test]
    fn a_memory_that_was_forgotten_or_whose_file_is_damaged_gets_a_new_name() {
        let disk = MemoryDisk::new();
        named(&disk, &["/a"], "one", 1);
        forget(&disk, &["/a".into()]);
        assert_eq!(named(&disk, &["/a"], "one", 2), (2, true));
        let damaged = "version=2\nboot.id=one\nmemory.id=x\n";
        disk::write_atomic(&disk, Path::new("/a/.memory"), damaged.as_bytes()).expect("written");
        assert_eq!(named(&disk, &["/a"], "one", 3), (3, false));
    }

    #[test]
    fn a_file_of_the_version_before_is_read() {
        let disk = MemoryDisk::new();
        named(&disk, &["/a"], "one", 1);
        let id = Uuid::from(1u128);
        let old = format!("version=1\nboot.id=one\nmemory.id={id}\ndirectories=1\n");
        disk::write_atomic(&disk, Path::new("/a/.memory"), old.as_bytes()).expect("written");
        assert_eq!(named(&disk, &["/a"], "one", 2), (1, true));
    }

    #[test]
    fn what_the_disk_has_changed_is_not_taken_for_another_word() {
        let named = Named {
            boot: "one".into(),
            memory: Uuid::from(1u128),
            directories: 1,
            new_disks: true,
        };
        let text = named.encode();
        for at in 0..text.len() {
            for flip in [1, 2, 4, 0x20, 0x80, 0xff] {
                let mut changed = text.clone().into_bytes();
                changed[at] ^= flip;
                let read = decode(&changed);
                assert_eq!(read, None, "byte {at} ^ {flip}");
            }
            let read = decode(&text.as_bytes()[..at]);
            assert_eq!(read, None, "cut at {at}");
        }
    }
}
