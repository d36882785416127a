//! `chaos-mesh`: the whole mesh hurt in every way for as long as asked; see docs/chaos.md.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use cluster::chaos::Pace;
use cluster::chaos::command::{duration, stop_on_signal};
use e2e::chaos::{Options, run};

/// Hurts ETLs, archivers, brokers and stores while records flow, and says whether each record came to each sink once.
#[derive(Parser)]
#[command(name = "chaos-mesh")]
struct Arguments {
    /// How long faults go on: 90s, 10m, 1h
    #[arg(long, default_value = "10m", value_parser = duration)]
    duration: Duration,
    /// Decides which faults, in which order
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The closing lines: text or json
    #[arg(long, default_value = "text", value_parser = ["text", "json"])]
    format: String,
}

fn main() -> ExitCode {
    match start(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("chaos-mesh: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether the run counts and found nothing.
fn start(arguments: &Arguments) -> Result<bool> {
    let options = Options {
        duration: arguments.duration,
        seed: arguments.seed,
    };
    let pace = Pace::default();
    stop_on_signal(&pace)?;
    let summary = run(&options, pace)?;
    match arguments.format.as_str() {
        "json" => println!("{:#}", summary.json()),
        _ => println!("{summary}"),
    }
    Ok(summary.is_good())
}
