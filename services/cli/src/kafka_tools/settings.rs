//! Settings of topics and brokers as DescribeConfigs gives them, in the cluster's own order.

use std::collections::BTreeMap;

use wire::Str;
use wire::messages::DescribeConfigsRequest;
use wire::messages::describe_configs_request::DescribeConfigsResource;
use wire::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult,
};

use super::check;
use crate::wire_client::Connection;

/// Kafka's numbers of kinds of resources.
pub const TOPIC: i8 = 2;
pub const BROKER: i8 = 4;
/// Kafka's numbers for where a value comes from.
pub const DYNAMIC_TOPIC: i8 = 1;
pub const DYNAMIC_BROKER: i8 = 2;
pub const DYNAMIC_DEFAULT_BROKER: i8 = 3;
pub const DEFAULT: i8 = 5;

/// Kafka's name for where a value comes from.
pub fn source_name(source: i8) -> &'static str {
    match source {
        DYNAMIC_TOPIC => "DYNAMIC_TOPIC_CONFIG",
        DYNAMIC_BROKER => "DYNAMIC_BROKER_CONFIG",
        DYNAMIC_DEFAULT_BROKER => "DYNAMIC_DEFAULT_BROKER_CONFIG",
        4 => "STATIC_BROKER_CONFIG",
        DEFAULT => "DEFAULT_CONFIG",
        6 => "DYNAMIC_BROKER_LOGGER_CONFIG",
        _ => "UNKNOWN",
    }
}

/// The settings of resources of one kind.
pub async fn read(
    connection: &mut Connection,
    kind: i8,
    names: &[&str],
    with_synonyms: bool,
) -> anyhow::Result<Vec<DescribeConfigsResult>> {
    let resources = names.iter().map(|name| DescribeConfigsResource {
        resource_type: kind,
        resource_name: Str::copy_from(name),
        configuration_keys: None,
    });
    let request = DescribeConfigsRequest {
        resources: resources.collect(),
        include_synonyms: with_synonyms,
        include_documentation: false,
    };
    let results = connection.call(&request, 4).await?.results;
    for result in &results {
        check(result.error_code, result.error_message.as_deref())?;
    }
    Ok(results)
}

/// The settings of topics, by name.
pub async fn topics(
    connection: &mut Connection,
    names: &[&str],
) -> anyhow::Result<BTreeMap<String, Vec<DescribeConfigsResourceResult>>> {
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let results = read(connection, TOPIC, names, false).await?;
    let by_name = results
        .into_iter()
        .map(|result| (result.resource_name.to_string(), result.configs));
    Ok(by_name.collect())
}
