//! What source files may hold.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

/// The size by which a file must have been split.
const MAX_LINES: usize = 500;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every Rust file under `folder`.
fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn all_rust_files() -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in ["crates", "services", "tests"] {
        found.extend(rust_files(&root().join(folder))?);
    }
    Ok(found)
}

#[test]
fn engine_has_no_clock_no_disk_no_socket_no_thread_no_dice() -> Result<()> {
    let forbidden = [
        "std::time::Instant",
        "std::time::SystemTime",
        "std::fs",
        "std::net",
        "std::thread",
        "std::process",
        "std::env",
        "rand::",
        "RandomState",
        "HashMap",
        "HashSet",
    ];
    for path in rust_files(&root().join("crates/engine/src"))? {
        let text = fs::read_to_string(&path)?;
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or("");
            for word in forbidden {
                ensure!(
                    !code.contains(word),
                    "{}:{}: engine must not know {word}",
                    path.display(),
                    number + 1
                );
            }
            ensure!(
                !code.contains("std::time") || code.contains("std::time::Duration"),
                "{}:{}: of std::time engine may know Duration only",
                path.display(),
                number + 1
            );
        }
    }
    Ok(())
}

#[test]
fn every_file_says_what_it_is_for() -> Result<()> {
    let mut silent = Vec::new();
    for path in all_rust_files()? {
        if !fs::read_to_string(&path)?.starts_with("//!") {
            silent.push(path);
        }
    }
    ensure!(silent.is_empty(), "no //! at the head of {silent:#?}");
    Ok(())
}

#[test]
fn no_file_owns_everything() -> Result<()> {
    let mut long = Vec::new();
    for path in all_rust_files()? {
        let lines = fs::read_to_string(&path)?.lines().count();
        if lines > MAX_LINES {
            long.push((lines, path));
        }
    }
    ensure!(
        long.is_empty(),
        "split these by {MAX_LINES} lines: {long:#?}"
    );
    Ok(())
}
