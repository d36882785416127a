//! The mark that a log was cut since its checkpoints were written, cut off or changed at every byte: nothing that is durable
//! is lost, what is torn behind the cut is not taken for damage, and a mark that cannot be read has its line.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use storage::Disk;
use storage::memory::MemoryDisk;
use wire::batch::Batch;

use super::image::Image;
use super::life::{DIR, HOME, batches_after, checkpoint, config, open, prepare};
use super::lines::Listening;
use crate::house::{flush, read_all, stored};

/// Where the log was cut.
const CUT: i64 = 30;

struct Prepared {
    image: Image,
    batches: Vec<Batch>,
    /// The mark, and the file that is appended to.
    mark: PathBuf,
    newest: PathBuf,
}

/// A log whose checkpoints are of before the cut, with other batches behind it, not all of them flushed.
fn prepared() -> Prepared {
    let disk = MemoryDisk::new();
    prepare(&disk);
    let on: Arc<dyn Disk> = Arc::new(disk.clone());
    let (mut log, _) = open(&on, config()).expect("opens");
    for _ in 0..3 {
        log.append(&batches_after(&log), 0).expect("appends");
    }
    flush(&mut log);
    checkpoint(&*on, &log).expect("writes");
    log.truncate_to(CUT).expect("cuts");
    log.append(&batches_after(&log), 0).expect("appends");
    flush(&mut log);
    log.append(&batches_after(&log)[..3], 0).expect("appends");
    let newest = format!("{:020}.log", log.active_base_offset());
    Prepared {
        image: Image::of(&disk, Path::new(HOME)),
        batches: read_all(&log),
        mark: Path::new(DIR).join("truncation-offset"),
        newest: Path::new(DIR).join(newest),
    }
}

impl Prepared {
    fn check(&self, mut image: Image, what: &str) {
        self.check_found(&image, self.batches.len(), what);
        let end = image.file(&self.newest);
        end.truncate(end.len() - 5);
        self.check_found(&image, self.batches.len() - 1, &format!("{what}, torn"));
    }

    fn check_found(&self, image: &Image, batches: usize, what: &str) {
        let listening = Listening::begin();
        let (log, recovery) = open(&image.disk(), config()).expect("opens");
        let told = listening.heard();
        assert_eq!(
            stored(&read_all(&log)),
            stored(&self.batches[..batches]),
            "{what}"
        );
        let is_torn = batches < self.batches.len();
        assert_eq!(
            (recovery.damage.len(), recovery.cut.is_some()),
            (0, is_torn),
            "{what}"
        );
        let limit = log.still_promised(i64::MAX);
        let is_unread = limit == 0;
        assert!(is_unread || limit == CUT, "{what}: {limit}");
        assert_eq!(told.len(), usize::from(is_unread), "{what}: {told:?}");
        let names_it = |line: &String| line.contains("truncation-offset");
        assert!(told.iter().all(names_it), "{what}: {told:?}");
    }
}

#[test]
fn a_damaged_mark_of_a_cut_takes_back_all_that_checkpoints_say_and_nothing_of_the_log() {
    let prepared = prepared();
    prepared.check(prepared.image.clone(), "whole");
    for at in 0..prepared.image.0[&prepared.mark].len() {
        for flip in [1, 2, 0x80, 0xff] {
            let mut image = prepared.image.clone();
            image.file(&prepared.mark)[at] ^= flip;
            prepared.check(image, &format!("byte {at} ^ {flip}"));
        }
        let mut image = prepared.image.clone();
        image.file(&prepared.mark).truncate(at);
        prepared.check(image, &format!("cut at {at}"));
    }
}
