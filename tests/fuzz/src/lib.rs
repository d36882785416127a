//! What is fuzzed, and with what: docs/hostile-input.md says how to run it.
//!
//! A target ([`targets::TARGETS`]) takes any bytes and panics where something is wrong. Ordinary tests run each on its
//! corpus, on the inputs that once were too much (`regressions/`), and on seeded changes of them ([`mutate`]); the
//! program `libfuzzer` has them guided by coverage.

mod broker;
pub mod corpus;
pub mod memory;
pub mod mutate;
mod panics;
mod programs;
pub mod targets;

use std::fs;
use std::path::{Path, PathBuf};

// Where these modules look for one another.
use programs::{connector, model, order, ranges};

/// Where a target's inputs are: `corpus` (made by the program `corpus`) or `regressions` (found, named and kept).
pub fn folder(kind: &str, target: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join(kind).join(target)
}

/// The inputs in a folder with their names, sorted; none where the folder is not there.
pub fn inputs(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut found: Vec<_> = entries
        .map(|entry| {
            let path = entry.expect("the folder is readable").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            (name.into_owned(), fs::read(&path).expect("it is readable"))
        })
        .collect();
    found.sort();
    found
}
