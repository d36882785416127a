//! Whether the machine still has in its memory what an earlier process had written and not flushed.
//!
//! Only a loss of that memory takes records from a log: a power loss, a kernel that panics, a virtual machine that is reset.
//! A process that is killed leaves all that it has written to the page cache. So a random name is given to the memory:
//! each log directory has a file with it and with the id of the machine's boot. Where all of them agree, and the boot is
//! the present one, the memory is that of the process before; else it gets a new name. The broker registers with the
//! name, and the controller compares (KIP-966).
//!
//! A directory that is empty, or was put in another's place, has no file or another one. After a failed fsync nobody knows
//! what the page cache holds and what the disk (fsyncgate), so the files go.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use storage::{Disk, disk};
use tracing::{info, warn};
use wire::Uuid;

use crate::env::{Env, Pool};

const FILE: &str = ".memory";

/// What a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    boot: String,
    memory: Uuid,
}

impl Named {
    fn encode(&self) -> String {
        format!(
            "version=1\nboot.id={}\nmemory.id={}\n",
            self.boot, self.memory
        )
    }

    fn decode(text: &str) -> Option<Named> {
        let value = |key: &str| {
            let lines = text.lines().filter_map(|line| line.split_once('='));
            let mut found = lines.filter(|(name, _)| *name == key);
            found.next().map(|(_, value)| value.to_string())
        };
        Some(Named {
            boot: value("version")
                .filter(|version| version == "1")
                .and_then(|_| value("boot.id"))?,
            memory: value("memory.id")?.parse().ok()?,
        })
    }
}

/// The name of the memory that this process writes into; none if it cannot be told.
pub(super) async fn named(
    env: &Env,
    disk: &Arc<dyn Disk>,
    directories: Vec<PathBuf>,
) -> Option<Uuid> {
    let Some(boot) = env.boot_id() else {
        info!("the system tells no id of its boot: only a clean stop is known to lose nothing");
        return None;
    };
    let fresh = Named {
        boot,
        memory: env.random_uuid(),
    };
    let disk = disk.clone();
    env.blocking(Pool::Read, move || {
        find_or_name(&*disk, &directories, fresh)
    })
    .await
}

fn find_or_name(disk: &dyn Disk, directories: &[PathBuf], fresh: Named) -> Option<Uuid> {
    let mut found = directories.iter().map(|directory| read(disk, directory));
    let first = found.next().flatten();
    if let Some(known) = first.filter(|known| known.boot == fresh.boot)
        && found.all(|other| other.as_ref() == Some(&known))
    {
        return Some(known.memory);
    }
    for directory in directories {
        let path = directory.join(FILE);
        if let Err(error) = disk::write_atomic(disk, &path, fresh.encode().as_bytes()) {
            warn!(dir = %directory.display(), %error, "cannot give the memory a name: a crash will count as its loss");
            return None;
        }
    }
    Some(fresh.memory)
}

fn read(disk: &dyn Disk, directory: &Path) -> Option<Named> {
    let bytes = disk::read_file(disk, &directory.join(FILE))
        .ok()
        .flatten()?;
    Named::decode(std::str::from_utf8(&bytes).ok()?)
}

/// The memory is not to be relied upon: the next process gives it another name. One file that goes is enough.
pub(super) fn forget(disk: &dyn Disk, directories: &[PathBuf]) {
    for directory in directories {
        let path = directory.join(FILE);
        if let Err(error) = disk::remove_if_there(disk, &path) {
            warn!(path = %path.display(), %error, "cannot remove the name of the memory");
        }
    }
}

#[cfg(test)]
mod tests {
    use storage::disk::memory::MemoryDisk;

    use super::*;

    fn name(disk: &MemoryDisk, directories: &[&str], boot: &str, fresh: u128) -> Option<Uuid> {
        let directories: Vec<PathBuf> = directories.iter().map(PathBuf::from).collect();
        for directory in &directories {
            disk.create_dir_all(directory).expect("made");
        }
        let fresh = Named {
            boot: boot.into(),
            memory: Uuid::from(fresh),
        };
        find_or_name(disk, &directories, fresh)
    }

    fn id(of: u128) -> Option<Uuid> {
        Some(Uuid::from(of))
    }

    #[test]
    fn the_memory_keeps_its_name_until_the_machine_boots_again() {
        let disk = MemoryDisk::new();
        assert_eq!(name(&disk, &["/a", "/b"], "one", 1), id(1));
        assert_eq!(name(&disk, &["/a", "/b"], "one", 2), id(1));
        assert_eq!(name(&disk, &["/a", "/b"], "two", 3), id(3));
        assert_eq!(name(&disk, &["/a", "/b"], "two", 4), id(3));
        assert_eq!(name(&disk, &["/a", "/b"], "one", 5), id(5));
    }

    #[test]
    fn a_directory_that_is_another_or_empty_gives_it_a_new_name() {
        let disk = MemoryDisk::new();
        name(&disk, &["/a", "/b"], "one", 1);
        assert_eq!(name(&disk, &["/a", "/b", "/c"], "one", 2), id(2));
        name(&disk, &["/d"], "one", 3);
        assert_eq!(name(&disk, &["/a", "/d"], "one", 4), id(4));
        assert_eq!(name(&disk, &["/a", "/d"], "one", 5), id(4));
    }

    #[test]
    fn a_memory_that_was_forgotten_or_whose_file_is_damaged_gets_a_new_name() {
        let disk = MemoryDisk::new();
        name(&disk, &["/a"], "one", 1);
        forget(&disk, &["/a".into()]);
        assert_eq!(name(&disk, &["/a"], "one", 2), id(2));
        let damaged = "version=2\nboot.id=one\nmemory.id=x\n";
        disk::write_atomic(&disk, Path::new("/a/.memory"), damaged.as_bytes()).expect("written");
        assert_eq!(name(&disk, &["/a"], "one", 3), id(3));
    }
}
