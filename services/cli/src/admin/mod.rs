//! Administration: topics, settings, groups.

pub mod configs;
pub mod groups;
pub mod topics;

use std::time::Duration;

use anyhow::Context;
use clap::Args;
use pipeline::KafkaOptions;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::metadata::Metadata;

pub type Admin = AdminClient<DefaultClientContext>;

/// How long one question may take.
pub const TIMEOUT: Duration = Duration::from_secs(15);

/// The cluster, and how to print.
#[derive(Args)]
pub struct Common {
    #[command(flatten)]
    pub kafka: KafkaOptions,

    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

impl Common {
    pub fn admin(&self) -> anyhow::Result<Admin> {
        self.kafka
            .client("millrace-cli")
            .create()
            .context("cannot create a Kafka client")
    }
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(TIMEOUT))
        .operation_timeout(Some(TIMEOUT))
}

/// All topics, because asking for one by name would create it where the brokers create topics by themselves.
fn metadata(admin: &Admin) -> anyhow::Result<Metadata> {
    tokio::task::block_in_place(|| admin.inner().fetch_metadata(None, TIMEOUT))
        .context("no broker answers")
}

/// `NAME=VALUE` on the command line.
pub fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("{text:?} is not NAME=VALUE"))?;
    if name.trim().is_empty() {
        return Err(format!("{text:?} is not NAME=VALUE"));
    }
    Ok((name.trim().to_owned(), value.to_owned()))
}
