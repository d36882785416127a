//! The corpus: real messages and real files, small, for a fuzzer to begin with. `cargo run -p fuzz --bin corpus` writes it.

mod files;
mod protocol;
mod quorum;
mod services;
mod texts;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::targets::TARGETS;

/// The inputs of one target, by name.
pub type Inputs = Vec<(String, Vec<u8>)>;

/// Every target with its inputs.
pub fn all() -> Vec<(&'static str, Inputs)> {
    let of = |name: &str| match name {
        "requests" => protocol::requests(),
        "responses" => protocol::responses(),
        "structures" => protocol::structures(),
        "frames" => protocol::frames(),
        "batches" => protocol::batches(),
        "compressed" => protocol::compressed(),
        "connection" => protocol::connections(),
        "log_files" => files::logs(),
        "checkpoints" => files::checkpoints(),
        "configuration" => texts::configurations(),
        "memory_files" => files::memories(),
        "log_directory" => files::directories(),
        "connector" => texts::connectors(),
        "records" => services::records(),
        "record_headers" => services::headers(),
        "archive" => services::archives(),
        "bulk_answers" => services::bulk_answers(),
        "lines" => texts::lines(),
        "http" => texts::pages(),
        "group_records" => texts::group_records(),
        "quorum_frames" => quorum::frames(),
        "quorum_layouts" => quorum::layouts(),
        "metadata_log" => quorum::directories(),
        "conversation" => noise(),
        other => panic!("{other} has no corpus"),
    };
    let named = TARGETS.iter().map(|target| (target.name, of(target.name)));
    named.collect()
}

/// For a target that makes its own sense of any bytes.
fn noise() -> Inputs {
    let one = |seed: u64| {
        let mut random = StdRng::seed_from_u64(seed);
        let length = random.random_range(64..1024);
        let bytes = (0..length).map(|_| random.random()).collect();
        (format!("noise-{seed}"), bytes)
    };
    (1..=16).map(one).collect()
}

/// Bytes behind their length, which has two bytes.
fn chunk(bytes: &[u8], out: &mut Vec<u8>) {
    let length = u16::try_from(bytes.len()).expect("inputs of a corpus are small");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
}
