//! Every byte of the files that a log directory has beside its logs is cut off or changed, and the ends of the logs: nothing
//! that was flushed is lost by that, and of what could not be read there is one line.

use std::collections::BTreeMap;

use storage::checkpoint::{Offsets, read_offsets};

use super::super::checkpoints::Checkpoint;
use super::*;
use crate::image::Image as DiskImage;
use crate::lines::Listening;

const MEMORY: &str = "/a/.memory";
const META: &str = "/a/meta.properties";

/// What a process that was killed has left, and what must be found of it.
struct Left {
    machine: Machine,
    image: DiskImage,
    /// Topic → log start, log end, bytes.
    logs: BTreeMap<String, (i64, i64, u64)>,
    /// Its records.
    records: Vec<u8>,
}

/// A compacted topic, and one whose records have been deleted up to the third, both flushed; each checkpoint tells of them.
async fn left() -> Left {
    let mut machine = Machine::new();
    machine.settings.push(("log.dirs", "/a"));
    machine.settings.push(("log.scrub.interval.ms", "50"));
    machine.settings.push(("record.cache.bytes", "0"));
    let segment = ("segment.bytes", "1048576");
    machine.create_topic("keyed", &[segment, ("cleanup.policy", "compact")]);
    machine.create_topic("t", &[]);
    let running = machine.start().await;
    let (keyed, plain) = (running.partition("keyed"), running.partition("t"));
    for _ in 0..5 {
        append(&keyed, "k", 300_000).unwrap();
    }
    for _ in 0..9 {
        append(&plain, "k", 100).unwrap();
    }
    for partition in [&keyed, &plain] {
        partition
            .flush(&machine.env())
            .await
            .expect("the disk is well");
    }
    let gone = plain.with_log(|log, _| log.advance_log_start(3));
    gone.and_then(|gone| gone.remove()).expect("it moves");
    assert!(running.logs.clean_dirtiest(&running.partitions).await);
    let upkeep = running.keep();
    saved(&machine, "scrub-time-checkpoint", NOW_MS).await;
    drop(upkeep);
    for which in Checkpoint::ALL {
        let written = running.logs.write_checkpoint(which, &running.partitions);
        written.await;
    }
    running.logs.registered().await;
    drop((running, keyed, plain));
    machine.disk.kill();

    let image = DiskImage::of(&machine.disk, Path::new("/"));
    let mut left = Left {
        image,
        machine,
        logs: BTreeMap::new(),
        records: Vec::new(),
    };
    let (logs, told) = left.open(&left.image).await;
    let logs = logs.expect("the directory opens");
    assert_eq!(told, [""; 0], "of what is well nothing is told");
    (left.logs, left.records) = found(&logs);
    assert_eq!(left.logs["t"].0, 3);
    assert!(left.logs["keyed"].2 < 1_000_000, "it is compacted");
    left
}

/// The start, the end and the size of each log, and the records of the one that has small ones.
type Found = (BTreeMap<String, (i64, i64, u64)>, Vec<u8>);

fn found(logs: &Logs) -> Found {
    let state = logs.state.lock();
    let place = |log: &storage::Log| (log.log_start(), log.next_offset(), log.size_bytes());
    let places = state.recovered.iter();
    let places = places.map(|(name, log)| (name.0.clone(), place(log)));
    let log = &state.recovered[&("t".to_string(), 0)];
    let read = log.read(3, i64::MAX, 1 << 20, true);
    let records = read.and_then(|plan| plan.run()).expect("it can be read");
    (places.collect(), records.to_bytes().to_vec())
}

impl Left {
    async fn open(&self, image: &DiskImage) -> (Result<Arc<Logs>, OpenError>, Vec<String>) {
        let env = self.machine.env_on(image.disk());
        let listening = Listening::begin();
        let opened = Logs::open(env, self.machine.config("1")).await;
        (opened, listening.heard())
    }

    async fn check(&self, image: &DiskImage, path: &Path, what: &str) {
        let (logs, told) = self.open(image).await;
        let name = path.to_string_lossy();
        let logs = match logs {
            Ok(logs) => logs,
            Err(error) => {
                let error = error.to_string();
                assert_eq!(name, META, "{what}: {error}");
                assert!(error.contains(META), "{what}: {error}");
                assert!(error.contains("Remove the file"), "{what}: {error}");
                assert_eq!(told, [""; 0], "{what}");
                return;
            }
        };
        let (mut places, records) = found(&logs);
        if name.ends_with("log-start-offset-checkpoint") {
            // What was deleted is there again until it is deleted anew.
            places.get_mut("t").expect("is there").0 = 3;
        }
        assert_eq!(places, self.logs, "{what}");
        assert!(records == self.records, "{what}: {} bytes", records.len());
        let is_unread = image.0.contains_key(path) && self.is_unread(&logs, image, path);
        assert_eq!(told.len(), usize::from(is_unread), "{what}: {told:?}");
        assert!(
            told.iter().all(|line| line.contains(&*name)),
            "{what}: {told:?}"
        );
    }

    /// Whether nothing is known of what a file says; else all of it must be.
    fn is_unread(&self, logs: &Logs, image: &DiskImage, path: &Path) -> bool {
        let name = path.to_string_lossy();
        match &*name {
            META => false,
            MEMORY => {
                // Chance gives each the same name here.
                !logs.memory().expect("the machine tells it").same_disks
            }
            _ => {
                let which = Checkpoint::ALL
                    .into_iter()
                    .find(|w| name.ends_with(w.file()));
                let which = which.expect("all others are checkpoints");
                let written = of_topics(&*self.image.disk(), path).expect("it is well");
                let read = which.of(&mut logs.directories[0].saved.lock()).clone();
                let is_unread = of_topics(&*image.disk(), path).is_none();
                let expected = if is_unread { Offsets::new() } else { written };
                assert_eq!(read, expected, "{name}");
                is_unread
            }
        }
    }
}

/// What a checkpoint has of the topics that there are.
fn of_topics(disk: &dyn Disk, path: &Path) -> Option<Offsets> {
    let mut offsets = read_offsets(disk, path).ok()?;
    offsets.retain(|(topic, _), _| topic == "t" || topic == "keyed");
    Some(offsets)
}

#[tokio::test]
async fn what_is_damaged_of_the_files_beside_the_logs_is_as_if_it_were_absent() {
    let left = left().await;
    let checkpoints = Checkpoint::ALL.map(|which| Path::new("/a").join(which.file()));
    let beside = [MEMORY, META].map(PathBuf::from);
    for path in checkpoints.iter().chain(&beside) {
        for at in 0..left.image.0[path].len() {
            for flip in [1, 0x80] {
                let mut image = left.image.clone();
                image.file(path)[at] ^= flip;
                let what = format!("{}, byte {at} ^ {flip}", path.display());
                left.check(&image, path, &what).await;
            }
            let mut image = left.image.clone();
            image.file(path).truncate(at);
            let what = format!("{}, cut at {at}", path.display());
            left.check(&image, path, &what).await;
        }
        let mut image = left.image.clone();
        image.0.remove(path);
        left.check(&image, path, &format!("{} removed", path.display()))
            .await;
    }
}

#[tokio::test]
async fn of_a_log_whose_end_is_damaged_there_is_one_line() {
    let left = left().await;
    let path = Path::new("/a/t-0/00000000000000000000.log");
    let recovery_point = Path::new("/a").join(Checkpoint::RecoveryPoint.file());
    let size = left.image.0[path].len();
    let batch = size / 9;
    for (is_durable, is_cut) in [(true, true), (true, false), (false, true), (false, false)] {
        for at in (size - 3 * batch..size).step_by(7) {
            if !is_cut && at % batch < 16 {
                // No CRC covers offset, length and epoch.
                continue;
            }
            let mut image = left.image.clone();
            match is_cut {
                true => image.file(path).truncate(at),
                false => image.file(path)[at] ^= 0x10,
            }
            if !is_durable {
                image.0.remove(&recovery_point);
            }
            let what = format!("durable {is_durable}, cut {is_cut}, at {at}");
            let (logs, told) = left.open(&image).await;
            let logs = logs.expect("the directory opens");
            let log_end = logs.state.lock().recovered[&("t".to_string(), 0)].next_offset();
            let expected = if is_durable { 9 } else { at / batch };
            assert_eq!(log_end, expected as i64, "{what}");
            // That the memory counts as lost is another thing: all logs have one line of that.
            let of_log = told.iter().filter(|line| line.contains("/a/t-0")).count();
            let is_between = is_cut && !is_durable && at % batch == 0;
            assert_eq!(of_log, usize::from(!is_between), "{what}: {told:?}");
            assert!(!told.is_empty(), "{what}");
        }
    }
}
