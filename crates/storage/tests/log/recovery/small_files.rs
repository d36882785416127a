//! Every byte of each file beside the batches is cut off or changed: nothing of the log is lost by that, and of what has to
//! be made anew there is one line.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use storage::checkpoint::{
    CLEAN_SHUTDOWN_FILE, CleanShutdown, LEADER_EPOCH_FILE, LOG_START_FILE, RECOVERY_POINT_FILE,
    read_clean_shutdown, read_epochs, read_offsets, write_clean_shutdown,
};
use storage::memory::MemoryDisk;
use storage::{CacheBudget, Disk, Log, LogConfig, OpenState, ProducerEntry};
use wire::batch::Batch;

use super::image::Image;
use super::life::{self, DIR, HOME, checkpoint, prepare};
use super::lines::Listening;
use crate::house::read_all;

const START: i64 = 21;

/// A log of several segments, epochs and producers whose start has been moved, after a clean stop or a crash.
struct Prepared {
    image: Image,
    batches: Vec<Batch>,
    epochs: Vec<(i32, i64)>,
    producers: Vec<ProducerEntry>,
    is_clean: bool,
    /// Where the log ends, and where its last segment begins.
    end: i64,
    active: i64,
}

/// What has become of a file.
#[derive(Clone, Copy, Debug)]
enum Harm {
    /// A byte is another one.
    Changed(usize),
    Cut(usize),
    Removed,
    Zeroed,
}

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 2000,
        index_interval_bytes: 100,
        ..LogConfig::default()
    }
}

fn prepared(is_clean: bool) -> Prepared {
    let disk = MemoryDisk::new();
    prepare(&disk);
    let on: Arc<dyn Disk> = Arc::new(disk.clone());
    let (mut log, _) = life::open(&on, config()).expect("opens");
    for _ in 0..4 {
        log.append(&life::batches_after(&log), 0).expect("appends");
        log.append(&life::batches_after(&log), 0).expect("appends");
        let flushed = log.flush_plan().run().expect("syncs");
        log.on_flushed(&flushed);
    }
    log.advance_log_start(START)
        .and_then(|gone| gone.remove())
        .expect("moves");
    let flushed = log.close_plan().and_then(|plan| plan.run()).expect("syncs");
    log.on_flushed(&flushed);
    checkpoint(&*on, &log).expect("writes");
    if is_clean {
        let mark = Path::new(HOME).join(CLEAN_SHUTDOWN_FILE);
        write_clean_shutdown(
            &*on,
            &mark,
            CleanShutdown {
                broker_epoch: 7,
                directories: Some(2),
            },
        )
        .expect("writes");
    }
    Prepared {
        image: Image::of(&disk, Path::new(HOME)),
        batches: read_all(&log),
        epochs: log.epochs().to_vec(),
        producers: log.producers(),
        is_clean,
        end: log.next_offset(),
        active: log.active_base_offset(),
    }
}

/// As the broker does: without a checkpoint that cannot be read.
fn open(disk: &Arc<dyn Disk>) -> Log {
    let offset = |file: &str| {
        let offsets = read_offsets(&**disk, &Path::new(HOME).join(file)).unwrap_or_default();
        offsets.get(&("topic".to_string(), 0)).copied().unwrap_or(0)
    };
    let start = OpenState {
        clean: read_clean_shutdown(&**disk, &Path::new(HOME).join(CLEAN_SHUTDOWN_FILE))
            .expect("reads")
            .is_some(),
        recovery_point: offset(RECOVERY_POINT_FILE),
        log_start: offset(LOG_START_FILE),
        ..OpenState::default()
    };
    let budget = CacheBudget::new(0);
    let opened = Log::open(disk.clone(), Path::new(DIR), config(), budget, start);
    opened.expect("opens").0
}

impl Prepared {
    fn check(&self, image: &Image, path: &Path, harm: Harm, what: &str) {
        self.check_on(&image.disk(), image, path, harm, what);
    }

    fn check_on(&self, disk: &Arc<dyn Disk>, image: &Image, path: &Path, harm: Harm, what: &str) {
        let listening = Listening::begin();
        self.check_log(&mut open(disk), what);
        let told = listening.heard();
        let expected = self.expected(image, path, harm);
        assert!(
            expected.contains(&told.len()),
            "{what}: {told:?}, not {expected:?}"
        );
        // An index has the name of its segment.
        let stem = path.file_stem().expect("has one").to_string_lossy();
        assert!(
            told.iter().all(|line| line.contains(&*stem)),
            "{what}: {told:?}"
        );
    }

    /// How many lines there must be of a file: one where something had to be made anew, and none where nothing had. What
    /// no checksum covers may read well, or never be looked at.
    fn expected(&self, image: &Image, path: &Path, harm: Harm) -> RangeInclusive<usize> {
        let count = |is_told| usize::from(is_told)..=usize::from(is_told);
        let name = path.file_name().expect("has one").to_string_lossy();
        let (stem, extension) = name.split_once('.').unwrap_or((&*name, ""));
        if name == CLEAN_SHUTDOWN_FILE {
            let mark = read_clean_shutdown(&*image.disk(), path).expect("reads");
            return count(mark.is_some_and(|mark| mark.broker_epoch < 0));
        }
        if name == LEADER_EPOCH_FILE {
            let read = |image: &Image| read_epochs(&*image.disk(), path);
            return match read(image) {
                _ if matches!(harm, Harm::Removed) => 0..=0,
                Err(_) => 1..=1,
                Ok(epochs) if Some(&epochs) == read(&self.image).ok().as_ref() => 0..=0,
                Ok(_) => 0..=1,
            };
        }
        let Ok(base) = stem.parse::<i64>() else {
            // The checkpoints of all logs are for the broker to read, which tells.
            return 0..=0;
        };
        let len = self.image.0[path].len();
        match extension {
            // After a crash the last segment is read again, and what was known of it is not relied upon.
            "snapshot" => {
                let read = if self.is_clean { self.end } else { self.active };
                count(base == read && !matches!(harm, Harm::Removed))
            }
            _ if base == self.active && !self.is_clean => 0..=0,
            "index" => self.expected_of_index(8, base, len, harm),
            "timeindex" => self.expected_of_index(12, base, len, harm),
            other => panic!("{other} is new"),
        }
    }

    fn expected_of_index(
        &self,
        entry_bytes: usize,
        base: i64,
        len: usize,
        harm: Harm,
    ) -> RangeInclusive<usize> {
        let is_sealed = base != self.active;
        let is_first = base <= START;
        match harm {
            Harm::Removed => 1..=1,
            Harm::Cut(to) if to % entry_bytes > 0 => 1..=1,
            // The entry leads to another batch than that which it names, and somebody reads from there on.
            Harm::Changed(at) if entry_bytes == 8 && at % 8 >= 4 && !is_first => 1..=1,
            // The largest timestamp is looked up in each.
            Harm::Cut(_) if entry_bytes == 12 && is_sealed => 1..=1,
            Harm::Changed(at) if entry_bytes == 12 && is_sealed && at + 12 >= len => 1..=1,
            _ => 0..=1,
        }
    }

    fn check_log(&self, log: &mut Log, what: &str) {
        let bytes =
            |batches: &[Batch]| -> Vec<_> { batches.iter().map(Batch::stored_bytes).collect() };
        let found = read_all(log);
        // Without its checkpoint the log begins with the segment that holds its start.
        let at = found.iter().position(|b| b.header.last_offset() >= START);
        let found = &found[at.expect("the log start is there")..];
        assert!(
            bytes(found) == bytes(&self.batches),
            "{what}: {} batches",
            found.len()
        );
        let later = |epochs: &[(i32, i64)]| -> Vec<_> {
            epochs
                .iter()
                .filter(|(_, start)| *start > START)
                .copied()
                .collect()
        };
        assert_eq!(later(log.epochs()), later(&self.epochs), "{what}");
        for producer in &self.producers {
            assert!(log.producers().contains(producer), "{what}: {producer:?}");
        }
        let ends = [START, START + 30, log.next_offset() - 1];
        for offset in ends {
            let found = log.offset_for_timestamp(offset).and_then(|look| look.run());
            assert_eq!(
                found.expect("reads").map(|f| f.offset),
                Some(offset),
                "{what}"
            );
        }
        // Nothing is old enough to go but what ends before.
        log.set_config(LogConfig {
            retention_ms: Some(1),
            ..config()
        });
        let gone = log.retention((START + 40) as u64, i64::MAX).expect("looks");
        assert!(
            log.log_start() <= START + 40,
            "{what}: {} segments went",
            gone.segments
        );
    }
}

fn small_files(image: &Image) -> Vec<PathBuf> {
    let is_small = |path: &&PathBuf| path.extension().is_none_or(|e| e != "log");
    image.0.keys().filter(is_small).cloned().collect()
}

fn damage_everywhere(is_clean: bool) {
    let prepared = prepared(is_clean);
    let files = small_files(&prepared.image);
    assert!(files.len() > 15, "{files:?}");
    for path in files {
        let len = prepared.image.0[&path].len();
        let name = path
            .file_name()
            .expect("has one")
            .to_string_lossy()
            .into_owned();
        for at in 0..len {
            for flip in [1, 2, 0x80, 0xff] {
                let mut image = prepared.image.clone();
                image.file(&path)[at] ^= flip;
                let what = format!("{name}, byte {at} ^ {flip}");
                prepared.check(&image, &path, Harm::Changed(at), &what);
            }
            let mut image = prepared.image.clone();
            image.file(&path).truncate(at);
            prepared.check(
                &image,
                &path,
                Harm::Cut(at),
                &format!("{name}, cut at {at}"),
            );
        }
        let mut image = prepared.image.clone();
        image.0.remove(&path);
        prepared.check(&image, &path, Harm::Removed, &format!("{name} removed"));
        let mut image = prepared.image.clone();
        image.file(&path).fill(0);
        prepared.check(&image, &path, Harm::Zeroed, &format!("{name} zeroed"));
    }
}

#[test]
fn after_a_crash_no_damage_to_a_small_file_loses_anything_of_the_log() {
    damage_everywhere(false);
}

#[test]
fn after_a_clean_stop_no_damage_to_a_small_file_loses_anything_of_the_log() {
    damage_everywhere(true);
}

#[test]
fn of_several_files_of_a_kind_that_are_damaged_there_is_one_line() {
    let prepared = prepared(true);
    for extension in ["index", "timeindex", "snapshot"] {
        let mut image = prepared.image.clone();
        let files: Vec<PathBuf> = small_files(&image)
            .into_iter()
            .filter(|path| path.extension().is_some_and(|e| e == extension))
            .filter(|path| !image.0[path].is_empty())
            .collect();
        assert!(files.len() > 2, "{files:?}");
        for path in &files {
            let len = image.0[path].len();
            image.file(path).truncate(len - 1);
        }
        let listening = Listening::begin();
        prepared.check_log(&mut open(&image.disk()), extension);
        let told = listening.heard();
        assert_eq!(told.len(), 1, "{told:?}");
        let told_all = told[0].contains(&format!("={}", files.len()));
        assert!(told_all || extension == "snapshot", "{told:?}");
    }
}

/// Every so many bytes of all files.
#[test]
fn the_same_on_real_files() {
    const STEP: usize = 97;
    let home = tempfile::tempdir().expect("makes one");
    for is_clean in [false, true] {
        let prepared = prepared(is_clean);
        let mut before = 0usize;
        let mut damaged = 0;
        for path in small_files(&prepared.image) {
            let len = prepared.image.0[&path].len();
            let first = before.next_multiple_of(STEP) - before;
            before += len;
            for at in (first..len).step_by(STEP) {
                for harm in [Harm::Changed(at), Harm::Cut(at)] {
                    let mut image = prepared.image.clone();
                    match harm {
                        Harm::Cut(at) => image.file(&path).truncate(at),
                        _ => image.file(&path)[at] ^= 0x41,
                    }
                    let what = format!("{} {harm:?}", path.display());
                    let disk = image.real_disk(home.path());
                    prepared.check_on(&disk, &image, &path, harm, &what);
                    damaged += 1;
                }
            }
        }
        assert!(damaged > 30, "{damaged}");
    }
}
