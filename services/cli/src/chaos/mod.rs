//! `millrace chaos`: a running mesh is hurt a little, one part after the other, and then verified.

mod act;
mod deed;
mod guard;
mod machine;
mod plan;
mod stack;

use std::io::{BufRead, IsTerminal, Write, stderr, stdin, stdout};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches};
use pipeline::KafkaOptions;

use crate::verify::{self, duration};
use act::{Field, Interrupt};
use machine::Machine;
use plan::{Fault, Kind, choose, plan};
use stack::Stack;

/// Hurt the mesh that `make up` runs, gently, and prove that nothing was lost
///
/// One part after the other is hurt while records flow, never two at once, and the next only when all is well again:
///
///   kill-broker        a broker is killed (kill -9), and started again
///   stop-broker        a broker is stopped in order (SIGTERM), and started again
///   pause-broker       a broker stands still for 12 seconds, longer than its session, and goes on
///   storm-broker       a broker is killed four times, each time before it is back
///   partition-broker   a broker is cut off from everyone for 12 seconds: packets vanish in both directions
///   oneway-broker      the same in one direction: it hears, and nobody hears it
///   resets-broker      each connection to a broker is reset, again and again
///   memory-broker      a broker gets hardly any more memory; it may be killed for that
///   full-disk          a broker takes its disk for full (log.min.free.bytes), for which it is restarted twice
///   unreadable-disk    a broker's log directory cannot be entered
///   slow-disk          a broker's reads and writes are throttled
///   kill-etl           the ETL is killed
///   kill-archiver      the archiver is killed
///   crash-postgres     PostgreSQL's immediate shutdown: it recovers from its log
///   outage-opensearch  OpenSearch is away for some seconds
///   outage-s3          the S3 store is away for some seconds
///
/// What this machine does not allow is left out, with a line that says why: partition, oneway, resets, memory and slow-disk
/// need root and the kernel's and iproute2's means for them, unreadable-disk a user who is not root; in containers there are
/// kill, stop, pause, storm and partition, the services and the stores.
///
/// Then `millrace verify` compares each record with each sink, waiting for what lags. Data stays, and records are not lost
/// by it; who uses the mesh meanwhile sees pauses of seconds, and a store that is away. What is about to be done is shown,
/// and a question asked first; --yes answers it for scripts, --dry-run only shows it. Ctrl-C ends it when the part that is
/// being hurt is well again. What lasts is ended by a process of its own, whatever becomes of this one.
///
/// Not done to a mesh that somebody uses, though `make chaos` does it to brokers of its own: a disk that is really full and
/// latency (they would be the whole machine's: brokers share its disk and its loopback interface), connections that fall
/// silent (brokers would have to be given other addresses), and more than one broker at once (records would wait).
///
/// It is called through the stack, native or in containers. Exits 0 when verify finds each record once in each sink, or when
/// the answer is no; 1 when verify does not, a part does not come back, or --only names what cannot be done here; 2 on
/// wrong usage.
///
/// Examples:
///   scripts/stack millrace chaos
///   scripts/stack millrace chaos --only kill-broker,pause-broker --rounds 3 --seed 7 --yes
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Options {
    /// What may happen [default: all of it that can be done here]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "FAULT")]
    only: Vec<Kind>,

    /// How often each of it happens
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,

    /// Decides the order and the victims [default: another one each time, which is shown]
    #[arg(long)]
    seed: Option<u64>,

    /// How long a part may take to be well again, such as 3m
    #[arg(long, value_name = "DURATION", default_value = "3m", value_parser = duration)]
    within: Duration,

    /// How long verify waits for sinks that lag in the end
    #[arg(long, value_name = "DURATION", default_value = "3m", value_parser = duration)]
    wait: Duration,

    /// Do it without asking
    #[arg(long)]
    yes: bool,

    /// Show what would be done, and do nothing
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,

    #[command(flatten)]
    kafka: KafkaOptions,
}

pub async fn run(options: Options) -> anyhow::Result<()> {
    let stack = Stack::from_environment()?;
    let parts = stack.parts()?;
    if let Some(sick) = parts.iter().find(|part| part.state != "running") {
        bail!(
            "{} is {}: only a mesh that is well is hurt (`make up`, `make status`)",
            sick.name,
            sick.state
        );
    }
    let seed = options.seed.unwrap_or_else(pipeline::random_u64);
    let machine = Machine::new(stack.containers, &stack.data);
    let choice = choose(&options.only, |kind| machine.lacks(kind))?;
    let faults = plan(seed, options.rounds, &choice.kinds);
    show(&stack, seed, &faults, &choice.left_out)?;
    if options.dry_run || !(options.yes || consent()?) {
        return Ok(());
    }
    let mut interrupt = Interrupt::listen()?;
    let field = Field {
        stack,
        machine,
        kafka: options.kafka.clone(),
        within: options.within,
    };
    field
        .wait_well()
        .await
        .context("before anything was hurt")?;
    for (number, fault) in faults.iter().enumerate() {
        eprintln!("{:>2}/{}  {fault}", number + 1, faults.len());
        field.hurt(fault, &mut interrupt).await?;
        if interrupt.has_come() {
            bail!("interrupted; what was hurt is well again (`millrace verify` has not been run)");
        }
    }
    eprintln!("all is well again; now each record is looked for in each sink");
    verify::run(verify_options(options.wait)?).await
}

/// What is about to be done.
fn show(
    stack: &Stack,
    seed: u64,
    faults: &[Fault],
    left_out: &[(Kind, String)],
) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    writeln!(
        out,
        "The mesh in {} is going to be hurt (seed {seed}):",
        stack.data.display()
    )?;
    for (number, fault) in faults.iter().enumerate() {
        writeln!(out, "{:>4}  {fault}", number + 1)?;
    }
    for (kind, lack) in left_out {
        writeln!(out, "Left out: {} ({lack}).", kind.name())?;
    }
    writeln!(
        out,
        "Each part is well again before the next is hurt. Then `millrace verify`."
    )?;
    Ok(out.flush()?)
}

/// Whether somebody at a terminal says yes.
fn consent() -> anyhow::Result<bool> {
    if !stdin().is_terminal() {
        let mut cli = crate::Cli::command();
        cli.build();
        let chaos = cli.find_subcommand_mut("chaos");
        let chaos = chaos.expect("this is what it has been asked for");
        chaos
            .error(
                ErrorKind::MissingRequiredArgument,
                "nobody can be asked, as standard input is no terminal: --yes does it without a question",
            )
            .exit();
    }
    eprint!("Go on? [y/N] ");
    stderr().flush()?;
    let mut answer = String::new();
    stdin().lock().read_line(&mut answer)?;
    let yes = is_yes(&answer);
    if !yes {
        eprintln!("nothing was done");
    }
    Ok(yes)
}

fn is_yes(answer: &str) -> bool {
    ["y", "yes"].contains(&answer.trim().to_lowercase().as_str())
}

/// Those that `millrace verify --wait` would have: the addresses come from the stack's environment.
fn verify_options(wait: Duration) -> anyhow::Result<verify::Options> {
    let command = verify::Options::augment_args(clap::Command::new("verify"));
    let wait = format!("{}ms", wait.as_millis());
    let matches = command.try_get_matches_from(["verify", "--wait", &wait])?;
    Ok(verify::Options::from_arg_matches(&matches)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_is_one() {
        for yes in ["y\n", "Y\n", " yes \n", "YES"] {
            assert!(is_yes(yes), "{yes:?}");
        }
        for no in ["", "\n", "n\n", "no\n", "yep\n", "yy\n"] {
            assert!(!is_yes(no), "{no:?}");
        }
    }

    #[test]
    fn verify_is_given_what_its_command_line_would_take() {
        assert!(verify_options(Duration::from_secs(90)).is_ok());
    }
}
