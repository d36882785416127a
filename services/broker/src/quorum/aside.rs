//! A metadata directory that the disk has changed is given up, where others have what was in it.
//!
//! A voter that has forgotten a vote or an entry must not vote in its old name: it might help to elect a leader that lacks
//! what was committed, or a second one. But one with a new directory is nobody's voter until the others have made it one
//! again: see [`super::membership`]. So the files are set aside, and the directory gets another identity. A mark says that
//! its emptiness is not that of a new cluster, until this node votes again: where all voters had lost their directories, they
//! would begin another cluster.

use std::io;
use std::path::{Path, PathBuf};

use storage::Disk;

use super::log::{RESERVE_FILE, create_dir};
use super::open::IDENTITY_FILE;

/// The mark of who waits to be let in again.
const MARK_FILE: &str = "rejoining";
/// What was set aside last, for who wants to look at it, or to put it back.
pub(super) const ASIDE_DIR: &str = "damaged";

/// Whether this directory's emptiness means that its content was given up.
pub(super) fn is_rejoining(disk: &dyn Disk, dir: &Path) -> bool {
    disk.exists(&dir.join(MARK_FILE))
}

/// The directories of what was set aside since this node last voted, and the next one.
fn places(disk: &dyn Disk, dir: &Path) -> (Vec<PathBuf>, PathBuf) {
    let name = |number: u32| match number {
        1 => ASIDE_DIR.to_owned(),
        number => format!("{ASIDE_DIR}-{number}"),
    };
    let mut all: Vec<PathBuf> = Vec::new();
    loop {
        let next = dir.join(name(all.len() as u32 + 1));
        if !disk.exists(&next) {
            return (all, next);
        }
        all.push(next);
    }
}

/// Gives up what is in the directory, and says where it is kept. It can be read when this has ended.
pub(super) fn set_aside(disk: &dyn Disk, dir: &Path, is_voter: bool) -> io::Result<PathBuf> {
    let (former, mut aside) = places(disk, dir);
    for place in former.iter().rev() {
        // What was set aside by one who has not been let in since may be the last that there is of it.
        if is_rejoining(disk, dir) && !disk.list(place)?.is_empty() {
            break;
        }
        disk.remove_dir_all(place)?;
        aside.clone_from(place);
    }
    create_dir(disk, &aside)?;
    if is_voter {
        disk.create(&dir.join(MARK_FILE))?.sync_data()?;
    }
    disk.sync_dir(dir)?;
    move_all(disk, dir, &aside)?;
    Ok(aside)
}

/// Ends what a process that has ended meanwhile had begun.
pub(super) fn finish(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    if is_rejoining(disk, dir) && !disk.exists(&dir.join(IDENTITY_FILE)) {
        let (mut begun, next) = places(disk, dir);
        move_all(disk, dir, &begun.pop().unwrap_or(next))?;
    }
    Ok(())
}

/// The identity goes first: with the next one, which is made when all the rest is gone, this has ended.
fn move_all(disk: &dyn Disk, dir: &Path, aside: &Path) -> io::Result<()> {
    create_dir(disk, aside)?;
    let moved = |name: &str| -> io::Result<()> {
        disk.rename(&dir.join(name), &aside.join(name))?;
        disk.sync_dir(aside)?;
        disk.sync_dir(dir)
    };
    if disk.exists(&dir.join(IDENTITY_FILE)) {
        moved(IDENTITY_FILE)?;
    }
    for entry in disk.list(dir)? {
        let stays = entry.is_dir || [MARK_FILE, RESERVE_FILE].contains(&&*entry.name);
        if !stays {
            moved(&entry.name)?;
        }
    }
    Ok(())
}

/// This node votes again: from now on it is as every other.
pub(super) fn end_rejoining(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    disk.remove_file(&dir.join(MARK_FILE))?;
    disk.sync_dir(dir)
}
