//! What the command lines of the runs have in common.

use std::fmt::Display;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use crate::chaos::Pace;

/// What is chosen about a run of faults.
#[derive(Debug, Clone, Args)]
pub struct Span {
    /// How long faults go on: 90s, 10m, 1h
    #[arg(long, default_value = "10m", value_parser = duration)]
    pub duration: Duration,
    /// Decides which faults, in which order
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// For whom the closing lines are.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Format {
    Text,
    Json,
}

impl Format {
    /// Prints the closing lines.
    pub fn print(self, text: &impl Display, json: &Value) {
        match self {
            Format::Text => println!("{text}"),
            Format::Json => println!("{json:#}"),
        }
    }
}

/// The exit code of `program`, which has found nothing, or something, or could not do its work.
pub fn ended(program: &str, outcome: Result<bool>) -> ExitCode {
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{program}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// SIGINT and SIGTERM end the run, and it takes everything away that it has made.
pub fn stop_on_signal(pace: &Pace) -> Result<()> {
    let pace = pace.clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            let (Ok(mut interrupt), Ok(mut terminate)) = (
                signal(SignalKind::interrupt()),
                signal(SignalKind::terminate()),
            ) else {
                return;
            };
            tokio::select! {
                biased;
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            pace.stop();
        });
    });
    Ok(())
}

/// `90s`, `10m`, `1h`.
fn duration(text: &str) -> Result<Duration> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let number: u64 = text[..text.len() - unit.len()]
        .parse()
        .context("30s, 10m or 1h")?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => anyhow::bail!("{unit:?}: s, m or h"),
    };
    Ok(Duration::from_secs(number * seconds))
}
