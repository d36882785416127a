//! `kafka-broker-api-versions.sh`: which requests each broker understands, and which version would be used.

use pipeline::KafkaOptions;
use wire::ApiKey;
use wire::messages::ApiVersionsRequest;
use wire::messages::api_versions_response::ApiVersion;
use wire::messages::metadata_response::MetadataResponseBroker;

use super::arguments::{Flag, Given, switch, value};
use super::client;
use crate::wire_client::{Connection, check};

pub const PURPOSE: &str = "This tool helps to retrieve broker version information.";

pub const FLAGS: &[Flag] = &[
    value("bootstrap-server", "REQUIRED: The server to connect to."),
    value("command-config", "A file of properties for the client."),
    switch("help", "Print usage information."),
    switch("version", "Display the version."),
];

/// What brokers say among themselves and to controllers; Kafka's tool does not list it.
const NOT_FOR_CLIENTS: &[&str] = &[
    "AlterPartition",
    "AllocateProducerIds",
    "AssignReplicasToDirs",
    "BeginQuorumEpoch",
    "BrokerHeartbeat",
    "BrokerRegistration",
    "ControlledShutdown",
    "ControllerRegistration",
    "EndQuorumEpoch",
    "Envelope",
    "FetchSnapshot",
    "UpdateRaftVoter",
    "Vote",
];

pub async fn run(given: &Given) -> anyhow::Result<()> {
    let kafka = client::options(given, &["command-config"], &[])?;
    let mut any = Connection::bootstrap(&kafka).await?;
    let mut brokers = any.metadata(Some(Vec::new())).await?.brokers;
    brokers.sort_by_key(|broker| broker.node_id);
    for broker in &brokers {
        print(&kafka, broker).await?;
    }
    Ok(())
}

async fn print(kafka: &KafkaOptions, broker: &MetadataResponseBroker) -> anyhow::Result<()> {
    let mut connection = Connection::broker(kafka, broker.node_id).await?;
    let answer = connection.call(&ApiVersionsRequest::default(), 2).await?;
    check(answer.error_code, None)?;
    let rack = broker.rack.as_deref().unwrap_or("null");
    println!(
        "{}:{} (id: {} rack: {rack} isFenced: false) -> (",
        &*broker.host, broker.port, broker.node_id
    );
    println!("{}\n)", lines(&answer.api_keys).join(",\n"));
    Ok(())
}

/// A line for every request that a client knows, and for those that only the broker knows.
fn lines(offered: &[ApiVersion]) -> Vec<String> {
    let mut keys: Vec<i16> = (0..=i16::from(i8::MAX))
        .filter(|key| ApiKey::from_code(*key).is_some_and(is_for_clients))
        .collect();
    keys.extend(offered.iter().map(|api| api.api_key));
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter()
        .map(|key| line(key, offered.iter().find(|api| api.api_key == key)))
        .collect()
}

fn is_for_clients(key: ApiKey) -> bool {
    !NOT_FOR_CLIENTS.contains(&key.name())
}

fn line(key: i16, offered: Option<&ApiVersion>) -> String {
    let known = ApiKey::from_code(key);
    let name = known.map_or("UNKNOWN", ApiKey::name);
    let Some(offered) = offered else {
        return format!("\t{name}({key}): UNSUPPORTED");
    };
    let (min, max) = (offered.min_version, offered.max_version);
    let range = if min == max {
        min.to_string()
    } else {
        format!("{min} to {max}")
    };
    match known.map(ApiKey::versions) {
        Some((oldest, newest)) if oldest.max(min) <= newest.min(max) => {
            format!("\t{name}({key}): {range} [usable: {}]", newest.min(max))
        }
        Some(_) => format!(
            "\t{name}({key}): {range} [unusable: node too {}]",
            if max < min { "new" } else { "old" }
        ),
        None => format!("\t{name}({key}): {range}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(api_key: i16, min_version: i16, max_version: i16) -> ApiVersion {
        ApiVersion {
            api_key,
            min_version,
            max_version,
        }
    }

    #[test]
    fn each_request_has_its_line() {
        let lines = lines(&[api(3, 0, 13), api(47, 0, 0), api(999, 0, 1)]);
        let has = |text: &str| lines.iter().any(|line| line == text);
        assert!(has("\tMetadata(3): 0 to 13 [usable: 13]"), "{lines:?}");
        assert!(has("\tOffsetDelete(47): 0 [usable: 0]"), "{lines:?}");
        assert!(has("\tSaslHandshake(17): UNSUPPORTED"), "{lines:?}");
        assert!(has("\tUNKNOWN(999): 0 to 1"), "{lines:?}");
        assert!(
            !lines.iter().any(|line| line.contains("Vote(")),
            "{lines:?}"
        );
    }
}
