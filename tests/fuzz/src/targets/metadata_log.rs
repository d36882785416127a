//! The metadata directory of a voter, garbled: log files, vote, snapshot, identity. It opens, repaired, or says why not.

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

use broker::config::Config;
use broker::quorum::untrusted::open_directory;
use storage::Disk;
use storage::memory::MemoryDisk;
use tokio::runtime::Builder;

use super::take::Take;
use crate::broker::Host;
use crate::memory;

const DIR: &str = "/metadata";
const FLOOR: usize = 4 << 20;
const PER_BYTE: usize = 512;
const FILES: [&str; 6] = [
    "00000000000000000000.raft",
    "00000000000000000002.raft",
    "00000000000000000100.raft",
    "vote",
    "snapshot",
    "identity",
];

/// Files: which (a byte; the high bit says that its checksum is to be made right), length (2 bytes), bytes.
pub fn metadata_log(input: &[u8]) {
    let host = Host::new(1);
    let disk = host.disk().clone();
    disk.create_dir_all(Path::new(DIR)).expect("creates");
    let mut take = Take(input);
    while !take.is_empty() {
        let kind = take.byte();
        let name = FILES[usize::from(kind & 0x7f) % FILES.len()];
        let content = take.chunk();
        let content = match kind & 0x80 {
            0 => content.to_vec(),
            _ if name.ends_with(".raft") => framed(content),
            _ => [&crc32c::crc32c(content).to_be_bytes()[..], content].concat(),
        };
        write(&disk, name, &content);
    }
    let runtime = Builder::new_current_thread()
        .build()
        .expect("a runtime without drivers");
    let config = Arc::new(config());
    memory::within(FLOOR + PER_BYTE * input.len(), "a metadata log", || {
        runtime.block_on(async {
            let env = host.env();
            let opened = open_directory(&env, &config, Path::new(DIR)).await;
            let Ok(last) = opened else { return };
            // What was repaired opens again, as it was.
            let again = open_directory(&env, &config, Path::new(DIR)).await;
            assert_eq!(again.expect("it was just repaired"), last);
        });
    });
}

/// Each chunk behind its length as a frame with its length and its checksum.
fn framed(content: &[u8]) -> Vec<u8> {
    let mut take = Take(content);
    let mut out = Vec::new();
    while !take.is_empty() {
        let body = take.chunk();
        out.extend_from_slice(&(body.len() as u32).to_be_bytes());
        out.extend_from_slice(&crc32c::crc32c(body).to_be_bytes());
        out.extend_from_slice(body);
    }
    out
}

fn write(disk: &MemoryDisk, name: &str, content: &[u8]) {
    let file = disk.create(&Path::new(DIR).join(name));
    let file = file.expect("the directory is there");
    file.append(&mut [IoSlice::new(content)]).expect("writes");
}

fn config() -> Config {
    let given = [
        ("node.id", "1"),
        ("log.dirs", "/data"),
        ("metadata.log.reserve.bytes", "0"),
    ];
    let given = given.map(|(key, value)| (key.to_owned(), value.to_owned()));
    Config::from_map(BTreeMap::from(given))
        .expect("a configuration")
        .0
}
