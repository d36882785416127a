//! `chaos-mesh`: the whole mesh hurt in every way for as long as asked; see docs/chaos.md.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use cluster::chaos::Pace;
use cluster::command::{Format, Span, ended, stop_on_signal};
use e2e::chaos::run;

/// Hurts ETLs, archivers, brokers and stores while records flow, and says whether each record came to each sink once.
#[derive(Parser)]
#[command(name = "chaos-mesh")]
struct Arguments {
    #[command(flatten)]
    span: Span,
    /// The closing lines
    #[arg(long, default_value = "text")]
    format: Format,
}

fn main() -> ExitCode {
    ended("chaos-mesh", start(&Arguments::parse()))
}

/// Whether the run counts and found nothing.
fn start(arguments: &Arguments) -> Result<bool> {
    let pace = Pace::default();
    stop_on_signal(&pace)?;
    let summary = run(&arguments.span, pace)?;
    arguments.format.print(&summary, &summary.json());
    Ok(summary.is_good())
}
