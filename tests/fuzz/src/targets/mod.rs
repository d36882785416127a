//! What is fuzzed. Each target takes any bytes, and panics where something is wrong.

mod admin;
pub mod archive;
mod batches;
mod bulk_answers;
mod checkpoints;
mod compressed;
mod configuration;
mod connection;
mod connector;
mod conversation;
mod frames;
mod group_records;
mod http;
mod lines;
pub mod log_directory;
pub mod log_files;
pub mod memory_files;
mod messages;
mod metadata_log;
mod quorum;
pub mod record_headers;
mod records;
mod take;
mod words;

/// One thing that is fuzzed.
pub struct Target {
    /// Also the name of its folder in `corpus/` and `regressions/`.
    pub name: &'static str,
    /// The longest input that is worth trying, bytes.
    pub max_len: usize,
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: &[Target] = &[
    target("requests", 4 << 10, messages::requests),
    target("responses", 4 << 10, messages::responses),
    target("structures", 4 << 10, messages::structures),
    target("frames", 64 << 10, frames::frames),
    target("batches", 8 << 10, batches::batches),
    target("compressed", 8 << 10, compressed::compressed),
    target("log_files", 8 << 10, log_files::log_files),
    target("checkpoints", 2 << 10, checkpoints::checkpoints),
    target("memory_files", 2 << 10, memory_files::memory_files),
    target("log_directory", 4 << 10, log_directory::log_directory),
    target("configuration", 2 << 10, configuration::configuration),
    target("connector", 2 << 10, connector::connector),
    target("records", 4 << 10, records::records),
    target("record_headers", 2 << 10, record_headers::record_headers),
    target("archive", 2 << 10, archive::archive),
    target("bulk_answers", 2 << 10, bulk_answers::bulk_answers),
    target("lines", 2 << 10, lines::lines),
    target("group_records", 4 << 10, group_records::group_records),
    target("quorum_frames", 8 << 10, quorum::frames),
    target("quorum_layouts", 8 << 10, quorum::layouts),
    target("metadata_log", 8 << 10, metadata_log::metadata_log),
    target("connection", 8 << 10, connection::connection),
    target("http", 8 << 10, http::http),
    target("conversation", 4 << 10, conversation::conversation),
];

const fn target(name: &'static str, max_len: usize, run: fn(&[u8])) -> Target {
    Target { name, max_len, run }
}

/// The target of this name.
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
