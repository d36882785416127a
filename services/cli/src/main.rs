//! The millrace command line: topics, configs, groups, produce, consume, verify, trace, chaos.

mod admin;
mod base64;
mod chaos;
mod cluster;
mod consume;
mod kafka_tools;
mod kubernetes;
mod offsets;
mod outbox;
mod output;
mod produce;
mod topic;
mod trace;
mod verify;
mod wire_client;

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::runtime::Runtime;

/// Millrace from the command line: topics, settings, groups, records, and the proof that nothing was lost.
///
///   millrace topics create events --partitions 6 --config retention.ms=86400000
///   echo hello | millrace produce events
///   millrace consume events --from-beginning --exit
///
/// Every command finds the cluster by --bootstrap-servers or KAFKA_BOOTSTRAP_SERVERS and works against any Kafka.
/// Exit codes: 0 done, 1 failed (for verify: something is missing, doubled or different), 2 wrong usage.
#[derive(Parser)]
#[command(
    name = "millrace",
    version,
    verbatim_doc_comment,
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List, create, describe, alter and delete topics
    #[command(subcommand)]
    Topics(admin::topics::Command),
    /// Show and change the settings of topics and brokers
    #[command(subcommand)]
    Configs(admin::configs::Command),
    /// List consumer groups, and show their members and lag
    #[command(subcommand)]
    Groups(admin::groups::Command),
    /// Show brokers, empty them, spread replicas over them
    #[command(subcommand)]
    Cluster(cluster::Command),
    /// What a pod asks the Kubernetes API before its broker starts
    #[command(subcommand)]
    Kubernetes(kubernetes::Command),
    // The help of these is that of their options.
    Produce(produce::Options),
    Consume(consume::Options),
    Verify(Box<verify::Options>),
    Trace(Box<trace::Options>),
    Chaos(chaos::Options),
}

fn main() -> ExitCode {
    if let Some((tool, words)) = kafka_tools::called(std::env::args_os()) {
        return run_kafka_tool(tool, &words);
    }
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("millrace: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
}

fn run_kafka_tool(tool: kafka_tools::Tool, words: &[String]) -> ExitCode {
    match runtime() {
        Ok(runtime) => match runtime.block_on(kafka_tools::run(tool, words)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(()) => ExitCode::FAILURE,
        },
        Err(error) => {
            eprintln!("millrace: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        match command {
            Command::Topics(command) => admin::topics::run(command).await,
            Command::Configs(command) => admin::configs::run(command).await,
            Command::Groups(command) => admin::groups::run(command).await,
            Command::Cluster(command) => cluster::run(command).await,
            Command::Kubernetes(command) => kubernetes::run(command).await,
            Command::Produce(options) => produce::run(options).await,
            Command::Consume(options) => consume::run(options).await,
            Command::Verify(options) => verify::run(*options).await,
            Command::Trace(options) => trace::run(*options).await,
            Command::Chaos(options) => chaos::run(options).await,
        }
    })
}

/// Whoever read our output has seen enough (`millrace consume ... | head`).
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let broken = |cause: &(dyn std::error::Error + 'static)| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    };
    error.chain().any(broken)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_coherent() {
        super::Cli::command().debug_assert();
    }

    #[test]
    fn the_help_of_a_command_says_more_than_its_line_in_the_list() {
        let mut command = super::Cli::command();
        for (name, word) in [
            ("produce", "--key-separator '|'"),
            ("consume", "--offset -3 --exit"),
            ("verify", "Exits 0 when all is well"),
            ("trace", "What is not there is explained"),
            ("chaos", "a question asked first"),
        ] {
            let help = command
                .find_subcommand_mut(name)
                .map(|one| one.render_long_help());
            let help = help.expect("a command").to_string();
            assert!(help.contains(word), "{name}: {help}");
        }
    }

    #[test]
    fn help_leaves_nothing_unsaid() {
        let mut open = vec![super::Cli::command()];
        while let Some(command) = open.pop() {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for argument in command.get_arguments() {
                let (of, name) = (command.get_name(), argument.get_id());
                assert!(
                    argument.get_help().is_some(),
                    "{of}: {name} is not explained"
                );
            }
            open.extend(command.get_subcommands().cloned());
        }
    }
}
