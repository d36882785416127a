//! Kafka's own tools by their names: `kafka-topics.sh` and its like are links to this program, because health checks and
//! people's habits call them. Options, output and exit codes are those of Apache Kafka 4.3's tools.

mod api_versions;
mod arguments;
mod client;
mod configs;
mod console_consumer;
mod console_producer;
mod formatter;
mod group_state;
mod groups;
mod groups_describe;
mod groups_reset;
mod line_reader;
mod log_offsets;
mod names;
mod settings;
mod topics;
mod topics_describe;

use std::ffi::OsString;
use std::path::Path;

use anyhow::bail;
use arguments::{Flag, Given, Usage};
use wire::ErrorCode;

use crate::wire_client;

/// How long the cluster may take to create or delete a topic.
const ADMIN_TIMEOUT_MS: i32 = 15_000;

/// One of Kafka's tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    Topics,
    ConsoleProducer,
    ConsoleConsumer,
    ConsumerGroups,
    Configs,
    BrokerApiVersions,
}

const NAMES: &[(&str, Tool)] = &[
    ("kafka-topics", Tool::Topics),
    ("kafka-console-producer", Tool::ConsoleProducer),
    ("kafka-console-consumer", Tool::ConsoleConsumer),
    ("kafka-consumer-groups", Tool::ConsumerGroups),
    ("kafka-configs", Tool::Configs),
    ("kafka-broker-api-versions", Tool::BrokerApiVersions),
];

impl Tool {
    /// The tool that a program's name or a first word asks for, with or without `.sh`.
    fn named(word: &OsString) -> Option<Tool> {
        let name = Path::new(word).file_name()?.to_str()?;
        let name = name.strip_suffix(".sh").unwrap_or(name);
        let known = NAMES.iter().find(|(known, _)| *known == name)?;
        Some(known.1)
    }

    fn flags(self) -> (&'static str, &'static [Flag]) {
        match self {
            Tool::Topics => (topics::PURPOSE, topics::FLAGS),
            Tool::ConsoleProducer => (console_producer::PURPOSE, console_producer::FLAGS),
            Tool::ConsoleConsumer => (console_consumer::PURPOSE, console_consumer::FLAGS),
            Tool::ConsumerGroups => (groups::PURPOSE, groups::FLAGS),
            Tool::Configs => (configs::PURPOSE, configs::FLAGS),
            Tool::BrokerApiVersions => (api_versions::PURPOSE, api_versions::FLAGS),
        }
    }
}

/// Which of Kafka's tools a command line calls, by the program's name or as its first word; and the words after that.
pub fn called(mut words: impl Iterator<Item = OsString>) -> Option<(Tool, Vec<String>)> {
    let program = words.next()?;
    let (tool, rest) = match Tool::named(&program) {
        Some(tool) => (tool, words),
        None => (Tool::named(&words.next()?)?, words),
    };
    let rest = rest.map(|word| word.to_string_lossy().into_owned());
    Some((tool, rest.collect()))
}

/// Runs a tool. Its exit code is 1 when this is an error, whose text goes where Kafka's tool would write it.
pub async fn run(tool: Tool, words: &[String]) -> Result<(), ()> {
    let (purpose, flags) = tool.flags();
    let outcome = match Given::parse(flags, words) {
        Ok(given) if given.has("help") => Err(Usage(arguments::help(purpose, flags)).into()),
        Ok(given) if given.has("version") => {
            println!("{} (millrace)", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
        Ok(given) => act(tool, &given, words).await,
        Err(usage) => Err(usage.into()),
    };
    match outcome {
        Ok(()) => Ok(()),
        Err(error) if crate::is_broken_pipe(&error) => Ok(()),
        Err(error) => {
            match error.downcast_ref::<Usage>() {
                None if tool == Tool::Topics => println!("{error:#}"),
                _ => eprintln!("{error:#}"),
            }
            Err(())
        }
    }
}

async fn act(tool: Tool, given: &Given, words: &[String]) -> anyhow::Result<()> {
    match tool {
        Tool::Topics => topics::run(given).await,
        Tool::ConsoleProducer => console_producer::run(given).await,
        Tool::ConsoleConsumer => console_consumer::run(given).await,
        Tool::ConsumerGroups => groups::run(given).await,
        Tool::Configs => configs::run(given, words).await,
        Tool::BrokerApiVersions => api_versions::run(given).await,
    }
}

/// Turns Kafka's error into ours, with the cluster's own words where it gives some, as Kafka's tools show them.
fn check(code: i16, message: Option<&str>) -> anyhow::Result<()> {
    match message.filter(|message| code != 0 && !message.is_empty()) {
        Some(message) => bail!("{message}"),
        None => wire_client::check(code, None),
    }
}

/// As [`check`], with the name of the Java exception before the words.
fn check_as_java(code: i16, message: Option<&str>) -> anyhow::Result<()> {
    match code {
        0 => Ok(()),
        code => bail!("{}", java_error(code, message)),
    }
}

/// `org.apache.kafka.common.errors.GroupIdNotFoundException: The group id does not exist.`
fn java_error(code: i16, message: Option<&str>) -> String {
    let Some(known) = ErrorCode::from_code(code) else {
        return format!("error {code}");
    };
    let (class, words) = match known {
        ErrorCode::GroupIdNotFound => ("GroupIdNotFound", "The group id does not exist."),
        ErrorCode::NonEmptyGroup => ("GroupNotEmpty", "The group is not empty."),
        ErrorCode::UnknownTopicOrPartition => (
            "UnknownTopicOrPartition",
            "This server does not host this topic-partition.",
        ),
        ErrorCode::InvalidConfig => ("InvalidConfiguration", "Configuration is invalid."),
        ErrorCode::GroupSubscribedToTopic => (
            "GroupSubscribedToTopic",
            "Deleting offsets of a topic is forbidden while the consumer group is actively subscribed to it.",
        ),
        _ => return message.map_or_else(|| known.name().to_owned(), str::to_owned),
    };
    let words = message
        .filter(|message| !message.is_empty())
        .unwrap_or(words);
    format!("org.apache.kafka.common.errors.{class}Exception: {words}")
}

/// Says that an option has a newer name, as Kafka's producer does.
fn deprecated(given: &Given, old: &str, new: &str) {
    if given.has(old) {
        println!(
            "Warning: --{old} is deprecated and will be removed in a future version. Use --{new} instead."
        );
    }
}

/// The same in the words of Kafka's consumer.
fn deprecated_option(given: &Given, old: &str, new: &str) {
    if given.has(old) {
        println!(
            "Option --{old} is deprecated and will be removed in a future version. Use --{new} instead."
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> impl Iterator<Item = OsString> {
        line.split_whitespace()
            .map(OsString::from)
            .collect::<Vec<_>>()
            .into_iter()
    }

    #[test]
    fn a_tool_is_called_by_the_programs_name_or_as_the_first_word() {
        for line in [
            "/opt/kafka/bin/kafka-topics.sh --list",
            "kafka-topics --list",
            "/usr/local/bin/millrace kafka-topics --list",
            "millrace kafka-topics.sh --list",
        ] {
            let (tool, rest) = called(words(line)).expect(line);
            assert_eq!(
                (tool, rest),
                (Tool::Topics, vec!["--list".to_owned()]),
                "{line}"
            );
        }
        assert!(called(words("millrace topics list")).is_none());
        assert!(called(words("millrace")).is_none());
    }

    #[test]
    fn every_tool_has_help_and_says_what_it_is_for() {
        for (name, tool) in NAMES {
            let (purpose, flags) = tool.flags();
            assert!(purpose.starts_with("This tool helps to "), "{name}");
            for flag in flags {
                assert!(!flag.help.is_empty(), "{name}: --{}", flag.name);
            }
            let mut names: Vec<&str> = flags.iter().map(|flag| flag.name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), flags.len(), "{name} has an option twice");
            assert!(
                arguments::help(purpose, flags).contains("--bootstrap-server"),
                "{name}"
            );
        }
    }
}
