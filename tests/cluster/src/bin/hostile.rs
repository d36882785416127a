//! `hostile`: crowds that do not behave, at real brokers, beside a client that does; see docs/hostile-input.md.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};
use cluster::command::{Format, ended};
use cluster::hostile::{Kind, Options, Target, join, run};

/// Bothers a broker with thousands of connections, and says whether its memory stayed within its bound and others had
/// their answers.
#[derive(Parser)]
#[command(name = "hostile", args_conflicts_with_subcommands = true)]
struct Arguments {
    #[arg(long, default_value_t = 3)]
    brokers: usize,
    /// Of each phase
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Idle connections
    #[arg(long, default_value_t = 10_000)]
    idle: usize,
    /// Busy connections
    #[arg(long, default_value_t = 1_000)]
    busy: usize,
    /// Connections of each kind that is slow or lies
    #[arg(long, default_value_t = 1_000)]
    slow: usize,
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
    Crowd {
        kind: Kind,
        count: usize,
        broker: SocketAddr,
        full: String,
        noise: String,
        frame_max: usize,
    },
}

fn main() -> ExitCode {
    ended("hostile", start(Arguments::parse()))
}

/// Whether every bound held.
fn start(arguments: Arguments) -> Result<bool> {
    if let Some(Part::Crowd {
        kind,
        count,
        broker,
        full,
        noise,
        frame_max,
    }) = arguments.part
    {
        let target = Target {
            broker,
            full,
            noise,
            frame_max,
        };
        join(kind, count, target)?;
        return Ok(true);
    }
    let options = Options {
        brokers: arguments.brokers,
        lasting: Duration::from_secs(arguments.seconds),
        idle: arguments.idle,
        busy: arguments.busy,
        slow: arguments.slow,
    };
    let summary = run(&options)?;
    arguments.format.print(&summary, &summary.json());
    Ok(summary.is_good())
}
