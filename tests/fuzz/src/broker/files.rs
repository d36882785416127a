//! What is in the logs, read off the disk without the broker: every batch whole, and one behind the other.

use std::path::Path;

use bytes::Bytes;
use storage::Disk;
use storage::disk::read_file;
use storage::memory::MemoryDisk;
use wire::batch::split;

/// Looks at every segment below `dir`.
///
/// # Panics
/// If one is damaged.
pub fn are_sound(disk: &MemoryDisk, dir: &Path) {
    for entry in disk.list(dir).expect("the disk has no faults") {
        let path = dir.join(&entry.name);
        if entry.is_dir {
            are_sound(disk, &path);
        } else if entry.name.ends_with(".log") {
            let content = read_file(disk, &path).expect("the disk has no faults");
            is_sound(&path, content.expect("it was just listed"));
        }
    }
}

fn is_sound(path: &Path, content: Bytes) {
    let mut next = 0;
    for batch in split(content) {
        let batch = batch.unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        let header = &batch.header;
        assert_eq!(batch.verify_crc(), Ok(()), "{}", path.display());
        assert!(
            header.base_offset >= next,
            "{}: offset {} after {next}",
            path.display(),
            header.base_offset
        );
        next = header.next_offset();
    }
}
