//! `check FILE...`: reads histories, says what is wrong in them, and exits non-zero if anything is.

use std::fs::File;
use std::io::BufReader;
use std::process::ExitCode;

use anyhow::Context;
use checker::{check, history};

/// Anomalies that are told with their events.
const TOLD: usize = 10;

fn main() -> anyhow::Result<ExitCode> {
    let files: Vec<String> = std::env::args().skip(1).collect();
    if files.is_empty() || files.iter().any(|file| file.starts_with('-')) {
        eprintln!(
            "usage: check FILE...\n\nReads histories (JSON lines, docs/checking.md) and says what is wrong in them."
        );
        return Ok(ExitCode::from(2));
    }
    let mut clean = true;
    for file in &files {
        let opened = File::open(file).with_context(|| format!("{file} cannot be read"))?;
        let events = history::read(BufReader::new(opened)).with_context(|| file.clone())?;
        let report = check(&events);
        print!("{}", report.story(&events, TOLD));
        println!("{file}: {report}");
        clean &= report.anomalies.is_empty();
    }
    Ok(match clean {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
