//! `millrace kubernetes`: what a pod asks the Kubernetes API before its broker starts.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand};
use pipeline::Backoff;
use reqwest::{Certificate, Client, StatusCode};
use serde_json::Value;

/// One request to the API server.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Subcommand)]
pub enum Command {
    /// Write a label of a node to a file, such as the zone that a broker takes for its rack
    NodeLabel(NodeLabel),
}

#[derive(Args)]
pub struct NodeLabel {
    /// The node's name
    #[arg(long, env = "NODE_NAME")]
    node: String,
    /// The label's name
    #[arg(long, default_value = "topology.kubernetes.io/zone")]
    label: String,
    /// The file to write the label's value to
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Host of the API server
    #[arg(long, env = "KUBERNETES_SERVICE_HOST", value_name = "HOST")]
    host: String,
    /// Port of the API server
    #[arg(
        long,
        env = "KUBERNETES_SERVICE_PORT",
        default_value_t = 443,
        value_name = "PORT"
    )]
    port: u16,
    /// Directory of the pod's token (token) and of the API server's authority (ca.crt)
    #[arg(
        long,
        default_value = "/var/run/secrets/kubernetes.io/serviceaccount",
        value_name = "DIRECTORY"
    )]
    credentials: PathBuf,
    /// Give up after this many seconds
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    timeout: u64,
}

pub async fn run(command: Command) -> anyhow::Result<()> {
    let Command::NodeLabel(options) = command;
    let value = options.read().await?;
    std::fs::write(&options.output, &value)
        .with_context(|| format!("cannot write {}", options.output.display()))?;
    println!("{} of node {} is {value}", options.label, options.node);
    Ok(())
}

impl NodeLabel {
    /// Asks until there is an answer: the API server may be restarting, and a new role takes a moment to be known.
    async fn read(&self) -> anyhow::Result<String> {
        let mut backoff = Backoff::default();
        let asking = async {
            loop {
                match self.ask().await {
                    Err(error) => eprintln!("millrace: {error:#}; trying again"),
                    Ok(node) => return label(&node, &self.node, &self.label),
                }
                backoff.wait().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(self.timeout), asking)
            .await
            .map_err(|_| anyhow!("no answer within {} s", self.timeout))?
    }

    async fn ask(&self) -> anyhow::Result<Value> {
        let file = |name: &str| {
            let path = self.credentials.join(name);
            std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let token = String::from_utf8(file("token")?).context("the token is not text")?;
        let client = Client::builder()
            .tls_certs_only(Certificate::from_pem_bundle(&file("ca.crt")?)?)
            .timeout(REQUEST_TIMEOUT)
            .build()?;
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        let url = format!("https://{host}:{}/api/v1/nodes/{}", self.port, self.node);
        let answer = client.get(url).bearer_auth(token.trim()).send().await?;
        match answer.status() {
            StatusCode::OK => Ok(serde_json::from_slice(&answer.bytes().await?)?),
            status => bail!(
                "the API server answers {status} to reading node {}",
                self.node
            ),
        }
    }
}

/// The label's value, out of the API's description of the node.
fn label(description: &Value, node: &str, label: &str) -> anyhow::Result<String> {
    let value = description["metadata"]["labels"][label].as_str();
    value
        .filter(|value| !value.is_empty())
        .map(str::to_owned)
        .ok_or_else(|| anyhow!("node {node} has no label {label}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_label_is_found_by_its_whole_name() {
        let node = json!({"metadata": {"labels": {"topology.kubernetes.io/zone": "z1", "topology": "no"}}});
        assert_eq!(
            label(&node, "n1", "topology.kubernetes.io/zone").unwrap(),
            "z1"
        );
    }

    #[test]
    fn a_node_without_the_label_is_named() {
        for node in [json!({}), json!({"metadata": {"labels": {"zone": ""}}})] {
            let error = label(&node, "n1", "zone").unwrap_err().to_string();
            assert_eq!(error, "node n1 has no label zone");
        }
    }
}
