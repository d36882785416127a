//! Administration: topics, settings, groups.

pub mod configs;
pub mod groups;
mod secured;
pub mod topics;

use std::time::Duration;

use clap::Args;
use pipeline::KafkaOptions;

/// How long one question may take.
pub const TIMEOUT: Duration = Duration::from_secs(15);

/// The cluster, and how to print.
#[derive(Args)]
pub struct Common {
    #[command(flatten)]
    pub kafka: KafkaOptions,

    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

/// `NAME=VALUE` on the command line.
pub fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("{text:?} is not NAME=VALUE"))?;
    if name.trim().is_empty() {
        return Err(format!("{text:?} is not NAME=VALUE"));
    }
    Ok((name.trim().to_owned(), value.to_owned()))
}
