//! Files of a log as one is left behind, and the small files beside it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use broker::logs::untrusted;
use storage::disk::read_file;
use storage::memory::MemoryDisk;
use storage::{CacheBudget, Disk, Log, LogConfig, OpenState, checkpoint};
use wire::Uuid;
use wire::batch::Batch;
use wire::record::BatchBuilder;

use super::{Inputs, chunk};
use crate::targets::log_directory;
use crate::targets::log_files::{BESIDE, EXTENSIONS as KINDS};
use crate::targets::memory_files::{BOOT, DIRECTORIES, FILE, NONE};

const DIR: &str = "/logs/topic-0";
const EXTENSIONS: [&str; 4] = ["log", "index", "timeindex", "snapshot"];
const FIRST_BESIDE: usize = KINDS.len();

fn batch(base: i64, epoch: i32) -> Batch {
    let mut builder = BatchBuilder::new(base)
        .base_offset(base)
        .leader_epoch(epoch)
        .producer(4, 0, base as i32);
    builder.append_at(base, Some(b"key"), Some(&[b'v'; 40]), &[]);
    builder.build()
}

/// A log of a few segments, as a process that was killed leaves it.
fn log(batches: i64) -> MemoryDisk {
    opened(batches).0
}

fn opened(batches: i64) -> (MemoryDisk, Log) {
    let disk = MemoryDisk::new();
    disk.create_dir_all(Path::new("/logs")).expect("creates");
    let config = LogConfig {
        segment_bytes: 500,
        index_interval_bytes: 64,
        ..LogConfig::default()
    };
    let (mut log, _) = Log::open(
        Arc::new(disk.clone()),
        Path::new(DIR),
        config,
        CacheBudget::new(0),
        OpenState::default(),
    )
    .expect("opens");
    for base in 0..batches {
        let epoch = (base / 5) as i32;
        log.assign_epoch(epoch, base);
        log.append(&[batch(base, epoch)], 1_000).expect("appends");
    }
    let flushed = log.flush_plan().run().expect("syncs");
    log.on_flushed(&flushed);
    (disk, log)
}

/// One that was cut since its checkpoints were written, and then perhaps begun anew below its log start.
fn cut(begins_anew: bool) -> MemoryDisk {
    let (disk, mut log) = opened(12);
    log.truncate_to(8).expect("cuts");
    if begins_anew {
        let gone = log.advance_log_start(6).expect("it is in the log");
        gone.remove().expect("removes");
        log.truncate_fully_and_start_at(3).expect("cuts");
    }
    disk
}

/// The directory as the target `log_files` takes it.
fn packed(disk: &MemoryDisk, left: [u8; 3]) -> Vec<u8> {
    let mut out = left.to_vec();
    for entry in disk.list(Path::new(DIR)).expect("it is there") {
        let path = Path::new(DIR).join(&entry.name);
        let content = read_file(disk, &path).expect("reads").unwrap_or_default();
        let (base, kind) = match entry.name.split_once('.') {
            Some((base, extension)) => {
                let kind = EXTENSIONS.iter().position(|known| *known == extension);
                (base.parse::<u8>().unwrap_or(0), kind)
            }
            None => {
                let beside = BESIDE.iter().position(|known| *known == entry.name);
                (0, beside.map(|kind| FIRST_BESIDE + kind))
            }
        };
        let Some(kind) = kind else { continue };
        out.push(kind as u8);
        out.push(base);
        chunk(&content, &mut out);
    }
    out
}

pub fn logs() -> Inputs {
    let states = [
        ("unclean", [0, 0, 0]),
        ("clean", [1, 0, 0]),
        ("trusted", [0, 9, 2]),
    ];
    let mut all = Inputs::new();
    for batches in [0, 1, 12] {
        for (name, left) in states {
            all.push((format!("{name}-{batches}"), packed(&log(batches), left)));
        }
    }
    let torn = packed(&log(4), [0, 0, 0]);
    all.push(("torn".into(), torn[..torn.len() - 30].to_vec()));
    all.push(("cut".into(), packed(&cut(false), [0, 12, 0])));
    all.push(("begun-anew".into(), packed(&cut(true), [0, 12, 6])));
    all
}

pub fn checkpoints() -> Inputs {
    let disk = MemoryDisk::new();
    let path = Path::new("/file");
    let take = |kind: u8| {
        let content = read_file(&disk, path).expect("reads").expect("is there");
        [&[kind][..], &content].concat()
    };
    let mut all = Inputs::new();
    let offsets = [
        (("web-logs".to_owned(), 3), 17),
        (("a".to_owned(), 0), i64::MAX),
    ];
    checkpoint::write_offsets(&disk, path, &offsets.into()).expect("writes");
    all.push(("offsets".into(), take(0)));
    checkpoint::write_epochs(&disk, path, &[(0, 0), (4, 100)]).expect("writes");
    all.push(("epochs".into(), take(1)));
    let id = Uuid([7; 16]);
    checkpoint::write_topic_id(&disk, path, id).expect("writes");
    all.push(("topic-id".into(), take(2)));
    let meta = checkpoint::MetaProperties {
        cluster_id: "cluster".into(),
        node_id: 2,
        directory_id: id,
    };
    checkpoint::write_meta_properties(&disk, path, &meta).expect("writes");
    all.push(("meta-properties".into(), take(3)));
    let mark = checkpoint::CleanShutdown {
        broker_epoch: 12,
        directories: Some(2),
    };
    checkpoint::write_clean_shutdown(&disk, path, mark).expect("writes");
    all.push(("clean-shutdown".into(), take(4)));
    all
}

/// The names of the memory as processes leave them in two directories.
pub fn memories() -> Inputs {
    let disk = MemoryDisk::new();
    let paths: Vec<PathBuf> = DIRECTORIES.iter().map(PathBuf::from).collect();
    for path in &paths {
        disk.create_dir_all(path).expect("creates");
    }
    let packed = || {
        let mut out = Vec::new();
        for path in &paths {
            match read_file(&disk, &path.join(FILE)).expect("reads") {
                Some(content) => chunk(&content, &mut out),
                None => out.extend_from_slice(&NONE.to_be_bytes()),
            }
        }
        out
    };
    let start = |boot| untrusted::start(&disk, &paths, boot, Uuid([7; 16])).expect("no faults");
    let mut all = vec![("none".to_owned(), packed())];
    start(BOOT);
    all.push(("new".into(), packed()));
    untrusted::confirm(&disk, &paths);
    all.push(("confirmed".into(), packed()));
    untrusted::forget(&disk, &paths);
    all.push(("forgotten".into(), packed()));
    start("earlier");
    all.push(("earlier-boot".into(), packed()));
    untrusted::lose(&disk, &paths[1], "earlier").expect("no faults");
    all.push(("lost".into(), packed()));
    all
}

/// A broker's directory as it was left, and with each of its files empty, cut, and gone.
pub fn directories() -> Inputs {
    let mut all = Inputs::new();
    for (name, how) in [
        ("closed", 0),
        ("killed", 1),
        ("closed-booted", 2),
        ("killed-booted", 3),
    ] {
        all.push((name.to_owned(), vec![how]));
    }
    let files = log_directory::files(true);
    for (at, (path, content)) in files.iter().enumerate() {
        let name = path.to_string_lossy().replace(['/', '.'], "_");
        let half = (content.len() / 2) as u16;
        for (what, kind, place) in [("gone", 0, 0), ("empty", 1, 0), ("cut", 2, half)] {
            let mut input = vec![0, at as u8, kind];
            input.extend_from_slice(&place.to_be_bytes());
            chunk(&[], &mut input);
            all.push((format!("{what}{name}"), input));
        }
    }
    for name in ["t-0-stray", "t-99", "-0", "t-x", "t-1.0123-delete"] {
        let mut input = vec![0, 0, 5, 0, 0];
        chunk(name.as_bytes(), &mut input);
        all.push((format!("beside-{name}"), input));
    }
    all
}
