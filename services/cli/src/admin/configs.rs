//! `millrace configs`.

use std::io::stdout;

use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand, ValueEnum};
use pipeline::KafkaOptions;
use serde_json::{Value, json};
use wire::Str;
use wire::messages::describe_configs_request::DescribeConfigsResource;
use wire::messages::describe_configs_response::DescribeConfigsResourceResult;
use wire::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use wire::messages::{DescribeConfigsRequest, IncrementalAlterConfigsRequest};

use super::{Common, setting};
use crate::output::{Table, print_json};
use crate::wire_client::{Connection, check};

#[derive(Subcommand)]
pub enum Command {
    /// Show the settings of a topic or a broker
    Describe(Describe),
    /// Set or unset settings; those not named stay as they are
    Alter(Alter),
}

/// What has settings.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    Topic,
    Broker,
}

impl Kind {
    /// Kafka's number for the kind of resource.
    fn code(self) -> i8 {
        match self {
            Kind::Topic => 2,
            Kind::Broker => 4,
        }
    }

    /// Where its settings are kept: a broker's with itself, a topic's anywhere.
    async fn connect(self, kafka: &KafkaOptions, name: &str) -> anyhow::Result<Connection> {
        match self {
            Kind::Topic => Connection::bootstrap(kafka).await,
            Kind::Broker => {
                let id = name
                    .parse()
                    .map_err(|_| anyhow!("{name:?} is not a broker's id"))?;
                Connection::broker(kafka, id).await
            }
        }
    }
}

#[derive(Args)]
pub struct Describe {
    #[command(flatten)]
    common: Common,
    /// What has the settings
    kind: Kind,
    /// The topic's name or the broker's id
    name: String,
    /// Show the defaults too
    #[arg(long)]
    all: bool,
}

#[derive(Args)]
pub struct Alter {
    #[command(flatten)]
    kafka: KafkaOptions,
    /// What has the settings
    kind: Kind,
    /// The topic's name or the broker's id
    name: String,
    /// A setting and its new value, such as retention.ms=3600000. May be repeated
    #[arg(long, short, value_name = "NAME=VALUE", value_parser = setting, required_unless_present = "unset")]
    set: Vec<(String, String)>,
    /// A setting that goes back to its default. May be repeated
    #[arg(long, short, value_name = "NAME")]
    unset: Vec<String>,
    /// Only ask whether it would be accepted
    #[arg(long)]
    dry_run: bool,
}

pub async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Describe(describe) => describe_configs(describe).await,
        Command::Alter(alter) => alter_configs(alter).await,
    }
}

async fn describe_configs(describe: Describe) -> anyhow::Result<()> {
    let (kind, name) = (describe.kind, &describe.name);
    let mut connection = kind.connect(&describe.common.kafka, name).await?;
    let shown = |entry: &DescribeConfigsResourceResult| {
        describe.all || !matches!(entry.config_source, DEFAULT | UNKNOWN)
    };
    let mut entries = read(&mut connection, kind, name).await?;
    entries.retain(shown);
    if describe.common.json {
        let all: Vec<Value> = entries.iter().map(entry_json).collect();
        return print_json(&mut stdout(), &Value::Array(all));
    }
    let mut table = Table::new(["NAME", "VALUE", "SOURCE"]);
    for entry in &entries {
        table.row([
            entry.name.to_string(),
            value_text(entry),
            source_name(entry.config_source).into(),
        ]);
    }
    Ok(table.print(&mut stdout())?)
}

/// All settings of a topic or a broker, by name.
pub async fn read(
    connection: &mut Connection,
    kind: Kind,
    name: &str,
) -> anyhow::Result<Vec<DescribeConfigsResourceResult>> {
    let request = DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type: kind.code(),
            resource_name: Str::copy_from(name),
            configuration_keys: None,
        }],
        ..DescribeConfigsRequest::default()
    };
    let answer = connection.call(&request, 4).await?;
    let Some(found) = answer.results.into_iter().next() else {
        bail!("the cluster gave no answer")
    };
    check(found.error_code, found.error_message.as_deref())
        .with_context(|| format!("cannot read the settings of {name}"))?;
    let mut entries = found.configs;
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

fn value_text(entry: &DescribeConfigsResourceResult) -> String {
    match (&entry.value, entry.is_sensitive) {
        (_, true) => "(hidden)".into(),
        (value, false) => value.as_deref().unwrap_or_default().to_owned(),
    }
}

fn entry_json(entry: &DescribeConfigsResourceResult) -> Value {
    json!({
        "name": &*entry.name, "value": entry.value.as_deref(), "source": source_name(entry.config_source),
        "read_only": entry.read_only, "sensitive": entry.is_sensitive,
    })
}

// Kafka's numbers for where a value comes from.
const UNKNOWN: i8 = 0;
pub const TOPIC: i8 = 1;
const DEFAULT: i8 = 5;

fn source_name(source: i8) -> &'static str {
    match source {
        TOPIC => "topic",
        2 => "broker, dynamic",
        3 => "all brokers, dynamic",
        4 => "broker's file",
        DEFAULT => "default",
        _ => "unknown",
    }
}

async fn alter_configs(alter: Alter) -> anyhow::Result<()> {
    const SET: i8 = 0;
    const DELETE: i8 = 1;
    let change = |name: &str, operation, value: Option<&str>| AlterableConfig {
        name: Str::copy_from(name),
        config_operation: operation,
        value: value.map(Str::copy_from),
    };
    let set = alter
        .set
        .iter()
        .map(|(name, value)| change(name, SET, Some(value)));
    let unset = alter.unset.iter().map(|name| change(name, DELETE, None));
    let resource = AlterConfigsResource {
        resource_type: alter.kind.code(),
        resource_name: Str::copy_from(&alter.name),
        configs: set.chain(unset).collect(),
    };
    let request = IncrementalAlterConfigsRequest {
        resources: vec![resource],
        validate_only: alter.dry_run,
    };
    let mut connection = alter.kind.connect(&alter.kafka, &alter.name).await?;
    let answer = connection.call(&request, 1).await?;
    let Some(outcome) = answer.responses.first() else {
        bail!("the cluster gave no answer")
    };
    check(outcome.error_code, outcome.error_message.as_deref())
        .with_context(|| format!("cannot change the settings of {}", alter.name))?;
    println!(
        "{} {}",
        if alter.dry_run {
            "would change"
        } else {
            "changed"
        },
        alter.name
    );
    Ok(())
}
