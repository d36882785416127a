//! The small files beside the logs. What can be read can be written, and reads back as the same.

use std::io::IoSlice;
use std::path::Path;

use storage::memory::MemoryDisk;
use storage::{Disk, checkpoint};

use crate::memory;

const FLOOR: usize = 64 << 10;
/// A line of five bytes becomes an entry of a map, and is written and read again.
const PER_BYTE: usize = 256;

/// Which file (a byte), and its content.
pub fn checkpoints(input: &[u8]) {
    let Some((kind, content)) = input.split_first() else {
        return;
    };
    memory::within(FLOOR + PER_BYTE * input.len(), "a checkpoint", || {
        let disk = MemoryDisk::new();
        let path = Path::new("/file");
        let file = disk.create(path).expect("creates");
        file.append(&mut [IoSlice::new(content)]).expect("writes");
        read(*kind, &disk, path);
    });
}

fn read(kind: u8, disk: &MemoryDisk, path: &Path) {
    /// Reads; where that is possible writes and reads again.
    macro_rules! again {
        ($read:ident, $write:ident, $value:ident => $given:expr) => {
            if let Ok($value) = checkpoint::$read(disk, path) {
                checkpoint::$write(disk, path, $given).expect("writes");
                assert_eq!(checkpoint::$read(disk, path).expect("reads"), $value);
            }
        };
        ($read:ident, $write:ident, optional $value:ident => $given:expr) => {
            if let Ok(Some($value)) = checkpoint::$read(disk, path) {
                checkpoint::$write(disk, path, $given).expect("writes");
                assert_eq!(checkpoint::$read(disk, path).expect("reads"), Some($value));
            }
        };
    }
    match kind % 5 {
        0 => again!(read_offsets, write_offsets, value => &value),
        1 => again!(read_epochs, write_epochs, value => &value),
        2 => again!(read_topic_id, write_topic_id, optional value => value),
        3 => again!(read_meta_properties, write_meta_properties, optional value => &value),
        _ => again!(read_clean_shutdown, write_clean_shutdown, optional value => value),
    }
}
