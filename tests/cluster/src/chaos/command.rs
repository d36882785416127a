//! What the command lines of the runs have in common.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};

use super::pace::Pace;

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
pub fn duration(text: &str) -> Result<Duration> {
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
