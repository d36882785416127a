//! `millrace configs`.

use std::io::stdout;

use anyhow::{anyhow, bail};
use clap::{Args, Subcommand, ValueEnum};
use rdkafka::admin::{ConfigEntry, ConfigSource, ResourceSpecifier};
use serde_json::{Value, json};
use wire::Str;
use wire::messages::IncrementalAlterConfigsRequest;
use wire::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};

use super::{Common, options, setting};
use crate::output::{Table, print_json};
use crate::wire_client::{Connection, check};

#[derive(Subcommand)]
pub enum Command {
    /// Show the settings of a topic or a broker
    Describe(Describe),
    /// Set or unset settings; those not named stay as they are
    Alter(Alter),
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
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
}

#[derive(Args)]
pub struct Describe {
    #[command(flatten)]
    common: Common,
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
    common: Common,
    kind: Kind,
    /// The topic's name or the broker's id
    name: String,
    /// May be repeated
    #[arg(long, short, value_name = "NAME=VALUE", value_parser = setting, required_unless_present = "unset")]
    set: Vec<(String, String)>,
    /// Go back to the default. May be repeated
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
    let resource = match describe.kind {
        Kind::Topic => ResourceSpecifier::Topic(&describe.name),
        Kind::Broker => ResourceSpecifier::Broker(
            describe
                .name
                .parse()
                .map_err(|_| anyhow!("{:?} is not a broker's id", describe.name))?,
        ),
    };
    let answers = describe
        .common
        .admin()?
        .describe_configs([&resource], &options())
        .await?;
    let found = answers
        .into_iter()
        .next()
        .ok_or_else(|| anyhow!("the cluster gave no answer"))?;
    let found =
        found.map_err(|code| anyhow!("cannot read the settings of {}: {code}", describe.name))?;
    let shown = |entry: &ConfigEntry| {
        describe.all || !matches!(entry.source, ConfigSource::Default | ConfigSource::Unknown)
    };
    let mut entries: Vec<ConfigEntry> = found.entries.into_iter().filter(shown).collect();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    if describe.common.json {
        let all: Vec<Value> = entries.iter().map(entry_json).collect();
        return print_json(&mut stdout(), &Value::Array(all));
    }
    let mut table = Table::new(["NAME", "VALUE", "SOURCE"]);
    for entry in entries {
        let source = source_name(&entry.source).to_owned();
        table.row([
            entry.name,
            value_text(entry.value, entry.is_sensitive),
            source,
        ]);
    }
    Ok(table.print(&mut stdout())?)
}

fn value_text(value: Option<String>, is_sensitive: bool) -> String {
    if is_sensitive {
        "(hidden)".into()
    } else {
        value.unwrap_or_default()
    }
}

fn entry_json(entry: &ConfigEntry) -> Value {
    json!({
        "name": entry.name, "value": entry.value, "source": source_name(&entry.source),
        "read_only": entry.is_read_only, "sensitive": entry.is_sensitive,
    })
}

fn source_name(source: &ConfigSource) -> &'static str {
    match source {
        ConfigSource::Unknown => "unknown",
        ConfigSource::Default => "default",
        ConfigSource::DynamicTopic => "topic",
        ConfigSource::DynamicBroker => "broker, dynamic",
        ConfigSource::DynamicDefaultBroker => "all brokers, dynamic",
        ConfigSource::StaticBroker => "broker's file",
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
    let answer = Connection::bootstrap(&alter.common.kafka)
        .await?
        .call(&request, 1)
        .await?;
    let Some(outcome) = answer.responses.first() else {
        bail!("the cluster gave no answer")
    };
    check(outcome.error_code, outcome.error_message.as_deref())?;
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
