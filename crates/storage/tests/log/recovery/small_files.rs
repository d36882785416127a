//! Every byte of each file beside the batches is cut off or changed: nothing of the log is lost by that.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use storage::checkpoint::{
    CLEAN_SHUTDOWN_FILE, CleanShutdown, LOG_START_FILE, RECOVERY_POINT_FILE, read_offsets,
    write_clean_shutdown,
};
use storage::memory::MemoryDisk;
use storage::{CacheBudget, Disk, Log, LogConfig, OpenState, ProducerEntry};
use wire::batch::Batch;

use super::image::Image;
use super::life::{self, DIR, HOME, checkpoint, prepare};
use super::lines;
use crate::house::read_all;

const START: i64 = 21;

/// A log of several segments, epochs and producers whose start has been moved, after a clean stop or a crash.
struct Prepared {
    image: Image,
    batches: Vec<Batch>,
    epochs: Vec<(i32, i64)>,
    producers: Vec<ProducerEntry>,
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
    }
}

/// As the broker does: without a checkpoint that cannot be read.
fn open(disk: &Arc<dyn Disk>) -> Log {
    let offset = |file: &str| {
        let offsets = read_offsets(&**disk, &Path::new(HOME).join(file)).unwrap_or_default();
        offsets.get(&("topic".to_string(), 0)).copied().unwrap_or(0)
    };
    let start = OpenState {
        clean: disk
            .open(&Path::new(HOME).join(CLEAN_SHUTDOWN_FILE))
            .is_ok(),
        recovery_point: offset(RECOVERY_POINT_FILE),
        log_start: offset(LOG_START_FILE),
        ..OpenState::default()
    };
    let budget = CacheBudget::new(0);
    let opened = Log::open(disk.clone(), Path::new(DIR), config(), budget, start);
    opened.expect("opens").0
}

impl Prepared {
    fn check(&self, image: &Image, what: &str) {
        let told = lines::of(|| self.check_log(&mut open(&image.disk()), what));
        assert!(told.len() <= 1, "{what}: {told:?}");
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
                prepared.check(&image, &format!("{name}, byte {at} ^ {flip}"));
            }
            let mut image = prepared.image.clone();
            image.file(&path).truncate(at);
            prepared.check(&image, &format!("{name}, cut at {at}"));
        }
        let mut image = prepared.image.clone();
        image.0.remove(&path);
        prepared.check(&image, &format!("{name} removed"));
        let mut image = prepared.image.clone();
        image.file(&path).fill(0);
        prepared.check(&image, &format!("{name} zeroed"));
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
