//! `chaos`: real brokers hurt in every way for as long as asked; see docs/chaos.md.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use cluster::chaos::client::{consume, produce};
use cluster::chaos::proxy::{self, Manner, Route};
use cluster::chaos::{Pace, run};
use cluster::command::{Format, Span, ended, stop_on_signal};

/// Hurts three real brokers under load, and says whether they kept their promises.
#[derive(Parser)]
#[command(name = "chaos", args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(flatten)]
    span: Span,
    /// The closing lines
    #[arg(long, default_value = "text")]
    format: Format,
    #[command(subcommand)]
    part: Option<Part>,
}

/// What a run starts by itself.
#[derive(Subcommand)]
#[command(hide = true)]
enum Part {
    #[command(hide = true)]
    Proxy {
        #[arg(long)]
        manner: Manner,
        routes: Vec<Route>,
    },
    #[command(hide = true)]
    Produce {
        bootstrap: String,
        number: u32,
        per_second: u32,
        journal: PathBuf,
    },
    #[command(hide = true)]
    Consume {
        bootstrap: String,
        group: String,
        assignor: String,
        journal: PathBuf,
        #[arg(long)]
        instance: Option<String>,
    },
}

fn main() -> ExitCode {
    ended("chaos", start(Arguments::parse()))
}

/// Whether the run counts and found nothing.
fn start(arguments: Arguments) -> Result<bool> {
    match arguments.part {
        Some(Part::Proxy { manner, routes }) => proxy::run(&routes, manner, 1)?,
        Some(Part::Produce {
            bootstrap,
            number,
            per_second,
            journal,
        }) => produce::run(&bootstrap, number, per_second, &journal)?,
        Some(Part::Consume {
            bootstrap,
            group,
            assignor,
            journal,
            instance,
        }) => {
            let member = consume::Member {
                group: &group,
                instance: instance.as_deref(),
                assignor: &assignor,
            };
            consume::run(&bootstrap, member, &journal)?;
        }
        None => {
            let pace = Pace::default();
            stop_on_signal(&pace)?;
            let summary = run(&arguments.span, pace)?;
            arguments.format.print(&summary, &summary.json());
            return Ok(summary.is_good());
        }
    }
    Ok(true)
}
