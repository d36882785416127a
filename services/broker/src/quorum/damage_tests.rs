//! Every byte of a metadata directory's files is cut off or changed. What was durable is there, or the voter does not vote
//! with less: it says what is damaged, or has given all up for what the others have, with one line. Only an end that is cut
//! off the newest file is what an interrupted write leaves too: then all before it is there.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use storage::Disk;
use storage::memory::MemoryDisk;

use super::log::Log;
use super::open::Opened;
use super::recovery_tests::{DIR, Facts, alone, begin, config, live, open_as};
use crate::config::Config;
use crate::image::Image;
use crate::lines::Listening;

const FLIPS: [u8; 4] = [1, 0x40, 0x80, 0xff];
/// Of the bytes on real files every so many.
const SAMPLE: usize = 97;

struct Lived {
    config: Arc<Config>,
    image: Image,
    facts: Facts,
    /// The file that is appended to.
    newest: PathBuf,
}

impl Lived {
    fn of(config: Arc<Config>, disk: &MemoryDisk, facts: Facts) -> Lived {
        let image = Image::of(disk, Path::new(DIR));
        let is_log = |path: &&PathBuf| path.extension().is_some_and(|e| e == "raft");
        Lived {
            newest: image.0.keys().rfind(is_log).expect("there is one").clone(),
            config,
            image,
            facts,
        }
    }

    /// Several files, of which the snapshot has taken the place of the first.
    async fn long() -> Lived {
        let disk = MemoryDisk::new();
        let on: Arc<dyn Disk> = Arc::new(disk.clone());
        let mut life = begin(&alone(), &on).expect("opens");
        live(&mut life).await.expect("lives");
        life.append(5, 105..120).await.expect("lives");
        life.append(5, 120..123).await.expect("lives");
        life.append(5, 123..124).await.expect("lives");
        let lived = Lived::of(alone(), &disk, life.facts);
        assert!(lived.image.0.len() > 5, "{:?}", lived.image.0.keys());
        lived
    }

    /// One file, with several appends of several entries.
    async fn short() -> Lived {
        let config = config("1@localhost:9093", 1 << 20);
        let disk = MemoryDisk::new();
        let on: Arc<dyn Disk> = Arc::new(disk.clone());
        let mut life = begin(&config, &on).expect("opens");
        life.vote(1).await.expect("voted");
        for indexes in [0..3, 3..4, 4..6, 6..11] {
            life.append(1, indexes).await.expect("appended");
        }
        Lived::of(config, &disk, life.facts)
    }

    fn bytes(&self) -> impl Iterator<Item = (&PathBuf, usize)> {
        let files = self.image.0.iter();
        files.flat_map(|(path, content)| (0..content.len()).map(move |at| (path, at)))
    }

    fn changed(&self, path: &Path, at: usize, flip: u8) -> Image {
        let mut image = self.image.clone();
        image.file(path)[at] ^= flip;
        image
    }

    fn cut(&self, path: &Path, at: usize) -> Image {
        let mut image = self.image.clone();
        image.file(path).truncate(at);
        image
    }

    /// Of the only voter nothing is repaired that was durable: it says what is damaged.
    fn check_told(&self, disk: &Arc<dyn Disk>, path: &Path, what: &str) {
        let (opened, told) = heard(&self.config, disk);
        let error = opened.err().unwrap_or_else(|| panic!("{what}: it opens"));
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{what}: {error}");
        assert!(names(&error.to_string(), path), "{what}: {error}");
        assert!(
            error.to_string().contains("restore that directory"),
            "{what}: {error}"
        );
        assert_eq!(told, [""; 0], "{what}");
    }

    /// The newest file ends early: all entries that end before are there, and none behind.
    async fn check_cut(&self, disk: &Arc<dyn Disk>, at: usize) {
        let what = format!("{} cut at {at}", self.newest.display());
        let ends = ends(&self.image.0[&self.newest]);
        let name = self.newest.file_stem().expect("has one").to_string_lossy();
        let first: u64 = name.parse().expect("a number");
        let kept = ends.iter().filter(|end| **end <= at).count();
        let mut facts = self.facts.clone();
        facts
            .stored
            .split_off(&(first + kept.saturating_sub(1) as u64));
        let (opened, told) = heard(&self.config, disk);
        let opened = opened.unwrap_or_else(|e| panic!("{what}: {e}"));
        let (mut log, machine) = opened.storage.expect("a voter has a log");
        facts.check(&mut log, &machine, &what).await;
        // Between two entries nothing tells that there were more.
        let is_between = ends.contains(&at);
        assert_eq!(told.len(), usize::from(!is_between), "{what}: {told:?}");
        assert!(
            told.iter().all(|line| names(line, &self.newest)),
            "{what}: {told:?}"
        );
    }

    /// Another file than the newest ends early: what it had is in the snapshot, or its loss is told.
    async fn check_short(&self, disk: &Arc<dyn Disk>, path: &Path, what: &str) {
        let (opened, told) = heard(&self.config, disk);
        assert_eq!(told, [""; 0], "{what}");
        match opened {
            Ok(opened) => {
                let (mut log, machine) = opened.storage.expect("a voter has a log");
                self.facts.check(&mut log, &machine, what).await;
            }
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{what}: {error}");
                // What lacks of the log may be so because of any file.
                let is_missing = error.to_string().contains("in no snapshot");
                let is_named = names(&error.to_string(), path);
                assert!(is_named || is_missing, "{what}: {error}");
            }
        }
    }
}

fn names(text: &str, path: &Path) -> bool {
    text.contains(&*path.to_string_lossy())
}

/// Opens, and gives what was logged.
fn heard(config: &Arc<Config>, disk: &Arc<dyn Disk>) -> (io::Result<Opened>, Vec<String>) {
    let listening = Listening::begin();
    let opened = open_as(config, disk);
    (opened, listening.heard())
}

/// Where the frames of a file end, that of its head first.
fn ends(file: &[u8]) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut at = 0;
    while at < file.len() {
        let len: [u8; 4] = file[at..at + 4].try_into().expect("four bytes");
        at += 8 + u32::from_be_bytes(len) as usize;
        ends.push(at);
    }
    ends
}

#[tokio::test]
async fn a_changed_byte_in_any_file_is_told_and_nothing_is_forgotten() {
    for lived in [Lived::long().await, Lived::short().await] {
        for (path, at) in lived.bytes() {
            for flip in FLIPS {
                let what = format!("{} byte {at} ^ {flip}", path.display());
                let image = lived.changed(path, at, flip);
                lived.check_told(&image.disk(), path, &what);
            }
        }
    }
}

#[tokio::test]
async fn a_file_that_is_cut_anywhere_loses_only_what_could_have_been_under_way() {
    for lived in [Lived::long().await, Lived::short().await] {
        for (path, at) in lived.bytes() {
            let disk = lived.cut(path, at).disk();
            match *path == lived.newest {
                true => lived.check_cut(&disk, at).await,
                false => {
                    let what = format!("{} cut at {at}", path.display());
                    lived.check_short(&disk, path, &what).await;
                }
            }
        }
        for path in lived.image.0.keys().filter(|path| **path != lived.newest) {
            let mut image = lived.image.clone();
            image.0.remove(path);
            let what = format!("{} removed", path.display());
            lived.check_short(&image.disk(), path, &what).await;
        }
    }
}

#[tokio::test]
async fn the_same_on_real_files() {
    let home = tempfile::tempdir().expect("makes one");
    let lived = Lived::long().await;
    for (path, at) in lived.bytes().step_by(SAMPLE) {
        let disk = lived.changed(path, at, 0x41).real_disk(home.path());
        lived.check_told(&disk, path, &format!("{} byte {at}", path.display()));
        let disk = lived.cut(path, at).real_disk(home.path());
        match *path == lived.newest {
            true => lived.check_cut(&disk, at).await,
            false => {
                let what = format!("{} cut at {at}", path.display());
                lived.check_short(&disk, path, &what).await;
            }
        }
    }
}

fn of_three() -> Arc<Config> {
    config("1@localhost:9093,2@localhost:9094,3@localhost:9095", 200)
}

fn log_of(opened: &Opened) -> &Log {
    &opened.storage.as_ref().expect("a voter has a log").0
}

/// The directory begins anew, with one line, and what was in it is kept beside it.
fn check_given_up(lived: &Lived, image: &Image, disk: &Arc<dyn Disk>, path: &Path, what: &str) {
    let (opened, told) = heard(&of_three(), disk);
    let opened = opened.unwrap_or_else(|e| panic!("{what}: {e}"));
    assert!(opened.is_rejoining, "{what}: it passes for new");
    assert!(
        log_of(&opened).is_empty(),
        "{what}: it votes with what is left"
    );
    assert_eq!(told.len(), 1, "{what}: {told:?}");
    assert!(names(&told[0], path), "{what}: {told:?}");
    let kept = Image::of(&**disk, &Path::new(DIR).join("damaged"));
    for (path, content) in &image.0 {
        let name = path.file_name().expect("has one");
        let kept = &kept.0[&Path::new(DIR).join("damaged").join(name)];
        // A torn end may have been cut before.
        assert!(content.starts_with(kept), "{what}: {}", path.display());
    }
    assert_eq!(kept.0.len(), lived.image.0.len(), "{what}");
    let (again, told) = heard(&of_three(), disk);
    assert!(again.expect("opens").is_rejoining, "{what}");
    assert_eq!(told, [""; 0], "{what}");
}

#[tokio::test]
async fn one_voter_among_three_gives_a_damaged_directory_up_for_what_the_others_have() {
    let home = tempfile::tempdir().expect("makes one");
    let lived = Lived::long().await;
    for (n, (path, at)) in lived.bytes().enumerate() {
        let what = format!("{} byte {at}", path.display());
        let image = lived.changed(path, at, FLIPS[n % 4]);
        check_given_up(&lived, &image, &image.disk(), path, &what);
        if n % SAMPLE == 0 {
            let disk = image.real_disk(home.path());
            check_given_up(&lived, &image, &disk, path, &what);
        }
    }
    // What is well is not touched.
    let (opened, told) = heard(&of_three(), &lived.image.disk());
    assert!(!opened.expect("opens").is_rejoining);
    assert_eq!(told, [""; 0]);
}

#[tokio::test]
async fn a_byte_that_is_read_right_the_second_time_costs_nothing() {
    let disk = MemoryDisk::new();
    let on: Arc<dyn Disk> = Arc::new(disk.clone());
    let mut life = begin(&of_three(), &on).expect("opens");
    life.vote(1).await.expect("voted");
    life.append(1, 0..3).await.expect("appended");
    let fault = storage::memory::Fault::once(storage::memory::Operation::Flip, ".raft");
    disk.inject(fault);
    let (opened, told) = heard(&of_three(), &on);
    let opened = opened.expect("opens");
    assert!(!opened.is_rejoining && !log_of(&opened).is_empty());
    assert_eq!(told.len(), 1, "{told:?}");
}

#[tokio::test]
async fn a_power_loss_while_a_directory_is_given_up_leaves_nobody_who_passes_for_new_or_votes() {
    for operations in 0.. {
        let disk = MemoryDisk::new();
        let on: Arc<dyn Disk> = Arc::new(disk.clone());
        let mut life = begin(&of_three(), &on).expect("opens");
        life.vote(1).await.expect("voted");
        life.append(1, 0..3).await.expect("appended");
        let vote = Path::new(DIR).join("vote");
        disk.flip(&vote, 5, 1).expect("it is there");
        disk.fail_power_after(operations);
        let is_done = open_as(&of_three(), &on).is_ok();
        disk.crash(operations);
        let opened = open_as(&of_three(), &on);
        let opened = opened.unwrap_or_else(|e| panic!("after {operations} operations: {e}"));
        assert!(opened.is_rejoining, "after {operations} operations");
        assert!(log_of(&opened).is_empty(), "after {operations} operations");
        // Who has died amid it gives up the rest once more.
        let places = ["damaged", "damaged-2"].map(|place| Path::new(DIR).join(place));
        let kept = places
            .iter()
            .flat_map(|place| disk.list(place).unwrap_or_default());
        let kept: Vec<String> = kept.map(|entry| entry.name).collect();
        // Of a file that goes from one directory to another this disk may lose both names, as no journal does.
        let all = ["00000000000000000000.raft", "identity", "vote"];
        let is_kept = all.map(|name| kept.iter().any(|kept| kept == name));
        let lacks = is_kept.iter().filter(|kept| !**kept).count();
        assert!(lacks <= 1, "after {operations} operations: {kept:?}");
        if is_done {
            assert!(operations > 15, "{operations} operations");
            break;
        }
    }
}

#[tokio::test]
async fn what_is_damaged_again_before_it_was_let_in_does_not_cost_what_was_kept() {
    let disk = MemoryDisk::new();
    let on: Arc<dyn Disk> = Arc::new(disk.clone());
    let mut life = begin(&of_three(), &on).expect("opens");
    life.vote(1).await.expect("voted");
    life.append(1, 0..3).await.expect("appended");
    drop(life);
    let vote = Path::new(DIR).join("vote");
    disk.flip(&vote, 5, 1).expect("it is there");
    open_as(&of_three(), &on).expect("it is given up");
    disk.flip(&Path::new(DIR).join("identity"), 5, 1)
        .expect("it is there");
    let opened = open_as(&of_three(), &on).expect("it is given up again");
    assert!(opened.is_rejoining);
    for (place, file) in [("damaged", "vote"), ("damaged-2", "identity")] {
        let path = Path::new(DIR).join(place).join(file);
        assert!(disk.exists(&path), "{}", path.display());
    }
}

#[tokio::test]
async fn what_a_process_had_not_made_durable_is_when_the_next_one_relies_on_it() {
    for seed in 0..8 {
        let disk = MemoryDisk::new();
        let on: Arc<dyn Disk> = Arc::new(disk.clone());
        let mut life = begin(&of_three(), &on).expect("opens");
        life.vote(1).await.expect("voted");
        life.append(1, 0..3).await.expect("appended");
        // Written, and neither durable nor acknowledged when the process dies.
        let fault = storage::memory::Fault::once(storage::memory::Operation::Sync, ".raft");
        disk.inject(fault);
        life.append(1, 3..5).await.expect_err("not durable");
        drop(life);
        disk.kill();
        let last = || {
            let opened = open_as(&of_three(), &on).expect("opens");
            assert!(!opened.is_rejoining, "seed {seed}");
            log_of(&opened).last()
        };
        let read = last();
        disk.crash(seed);
        assert_eq!(last(), read, "seed {seed}");
    }
}
