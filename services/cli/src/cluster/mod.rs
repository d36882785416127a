//! `millrace cluster`: brokers and where replicas are, and how replicas are moved.

mod describe;
mod drain;
mod moves;
mod plan;
mod quorum;
mod view;

pub use view::View;

use clap::{Args, Subcommand};
use pipeline::KafkaOptions;
use std::time::Duration;

use crate::admin::Common;

#[derive(Subcommand)]
pub enum Command {
    /// Show the brokers, what each leads and holds, and the partitions that lack replicas
    Describe(Describe),
    /// Move every replica off a broker, which gets no new ones from then on
    ///
    /// Blocks until the broker holds nothing, and shows how far it is. It may be interrupted and called again: what has
    /// begun goes on in the cluster. It changes nothing where the other brokers could not hold as many replicas of each
    /// partition as there are now. A dead broker can be drained too.
    Drain(Drain),
    /// Let a drained broker get replicas again
    Undrain(Undrain),
    /// Spread replicas and preferred leaders evenly over the brokers that are not drained, as after adding brokers
    Balance(Balance),
    /// List the partitions whose replicas move
    Reassignments(Describe),
    /// Forget a broker that has been drained and stopped for good
    Unregister(Undrain),
}

#[derive(Args)]
pub struct Describe {
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
pub struct Undrain {
    #[command(flatten)]
    kafka: KafkaOptions,
    /// The broker's id
    broker: i32,
}

/// How replicas are moved.
#[derive(Args)]
pub struct Pace {
    /// Most partitions that move at the same time
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Give up after so long, such as 90s, 30m or 2h; what has begun goes on in the cluster
    #[arg(long, default_value = "30m", value_parser = duration)]
    timeout: Duration,
}

#[derive(Args)]
pub struct Drain {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    pace: Pace,
    /// The broker's id
    broker: i32,
}

#[derive(Args)]
pub struct Balance {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    pace: Pace,
    /// Only show what would be moved
    #[arg(long)]
    dry_run: bool,
}

pub async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Describe(describe) => describe::cluster(&describe.common).await,
        Command::Reassignments(list) => describe::reassignments(&list.common).await,
        Command::Drain(drain) => interruptible(drain::drain(&drain)).await,
        Command::Undrain(undrain) => drain::undrain(&undrain.kafka, undrain.broker).await,
        Command::Balance(balance) => interruptible(drain::balance(&balance)).await,
        Command::Unregister(one) => drain::unregister(&one.kafka, one.broker).await,
    }
}

/// Ends with the shell's code for an interrupted command when Ctrl-C comes: nothing is lost, the cluster goes on.
async fn interruptible(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    const INTERRUPTED: i32 = 130;
    tokio::select! {
        biased;
        done = work => done,
        _ = tokio::signal::ctrl_c() => {
            eprintln!("\ninterrupted: replicas that have begun to move go on; call the command again to finish, \
                       or see `millrace cluster reassignments`");
            std::process::exit(INTERRUPTED);
        }
    }
}

/// `90s`, `30m`, `2h`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a time such as 90s, 30m or 2h");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    number
        .checked_mul(seconds)
        .map(Duration::from_secs)
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
        for wrong in ["", "5", "m", "5d", "-1s", "99999999999999999h", "5ü"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
