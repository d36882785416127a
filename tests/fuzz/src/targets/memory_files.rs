//! The files that name the machine's memory, of two log directories: what is believed of them is what was written.

use std::io::IoSlice;
use std::path::{Path, PathBuf};

use broker::logs::untrusted::{confirm, forget, lose, rewritten, start};
use storage::Disk;
use storage::disk::read_file;
use storage::memory::MemoryDisk;
use wire::Uuid;

use super::take::Take;
use crate::memory;

const FLOOR: usize = 64 << 10;
const PER_BYTE: usize = 64;
pub const DIRECTORIES: [&str; 2] = ["/a", "/b"];
pub const FILE: &str = ".memory";
/// The present boot.
pub const BOOT: &str = "present";
/// A length that stands for no file.
pub const NONE: u16 = u16::MAX;

/// A file for each directory, behind its length (2 bytes); 65535 stands for none.
pub fn memory_files(input: &[u8]) {
    memory::within(FLOOR + PER_BYTE * input.len(), "files", || {
        let disk = MemoryDisk::new();
        let mut take = Take(input);
        for directory in DIRECTORIES {
            disk.create_dir_all(Path::new(directory)).expect("creates");
            match take.u16() {
                NONE => {}
                length => write(&disk, directory, take.bytes(usize::from(length))),
            }
        }
        let before = DIRECTORIES.map(|directory| text(&disk, directory));
        for text in before.iter().flatten() {
            if let Some(again) = rewritten(text) {
                // The version before is the same without a checksum.
                let (plain, _) = again.rsplit_once("crc32c=").expect("it has a checksum");
                let older = plain.replacen("version=2", "version=1", 1);
                let written = [again.as_bytes(), older.as_bytes()];
                assert!(
                    written.contains(&&text[..]),
                    "what is read is what was written"
                );
            }
        }
        lives(&disk, before);
    });
}

fn write(disk: &MemoryDisk, directory: &str, content: &[u8]) {
    let file = disk.create(&Path::new(directory).join(FILE));
    let file = file.expect("the directory is there");
    file.append(&mut [IoSlice::new(content)]).expect("writes");
}

fn text(disk: &MemoryDisk, directory: &str) -> Option<Vec<u8>> {
    let content = read_file(disk, &Path::new(directory).join(FILE));
    content.expect("the disk has no faults").map(Into::into)
}

/// Processes that start on these disks, one after the other.
fn lives(disk: &MemoryDisk, before: [Option<Vec<u8>>; 2]) {
    let paths: Vec<PathBuf> = DIRECTORIES.iter().map(PathBuf::from).collect();
    let begin = |boot: &str, fresh: u8| {
        let found = start(disk, &paths, boot, Uuid([fresh; 16]));
        found.expect("the disk has no faults")
    };
    let (first, is_kept) = begin(BOOT, 1);
    let older = format!(
        "version=1\nboot.id={BOOT}\nmemory.id={}\ndirectories=2\n",
        first.id
    );
    let older_new = format!("{older}disks=new\n");
    let newer = |text: &String| rewritten(text.as_bytes()).expect("it is still read");
    let (plain, new) = (newer(&older), newer(&older_new));
    if is_kept {
        let [a, b] = before.map(|text| text.expect("memory is kept that all files name"));
        let (same, new) = (
            [plain.as_bytes(), older.as_bytes()],
            [new.as_bytes(), older_new.as_bytes()],
        );
        let is_same = [a, b].map(|text| {
            same.contains(&&text[..]) || {
                assert!(new.contains(&&text[..]));
                false
            }
        });
        assert_eq!(first.same_disks, is_same == [true, true]);
    } else {
        assert_eq!(first.id, Uuid([1; 16]));
    }
    let (second, is_kept) = begin(BOOT, 2);
    assert!(is_kept && second == first, "what was told is told again");
    confirm(disk, &paths);
    let (third, is_kept) = begin(BOOT, 3);
    assert!(is_kept && third.id == first.id && third.same_disks);
    for directory in DIRECTORIES {
        let text = text(disk, directory).expect("it is there");
        assert!([plain.as_bytes(), older.as_bytes()].contains(&&text[..]));
    }
    let (fourth, is_kept) = begin("another", 4);
    assert!(!is_kept && fourth.id == Uuid([4; 16]) && fourth.same_disks);
    assert!(forget(disk, &paths));
    let (fifth, is_kept) = begin("another", 5);
    assert!(!is_kept && fifth.id == Uuid([5; 16]));
    assert!(lose(disk, &paths[1], "another").expect("the disk has no faults"));
    let (sixth, is_kept) = begin("another", 6);
    assert!(!is_kept && !sixth.same_disks);
}
