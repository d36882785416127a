//! The load of `make test-k8s`, as a program of a pod: `produce` until SIGTERM, then `check` what is in the topic.
//!
//! Everything it says is JSON, one object a line, for the test that reads the pod's log.

mod check;
mod deliveries;
mod produce;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// A producer that remembers how long each record waited, and the check of every acknowledged one.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write numbered records with acks=all until SIGTERM, then wait for the last acknowledgement
    Produce(produce::Options),
    /// Read the whole topic, and say what of each run is there, and whether once and in order
    Check(check::Options),
}

#[tokio::main]
async fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Produce(options) => produce::run(options).await,
        Command::Check(options) => check::run(&options),
    }
}
