//! IncrementalAlterConfigs, versions 0 and 1 (KIP-339): edits of configurations, key by key.
//!
//! All edits of a resource are made or none. Of a broker's settings those can be altered that take effect at once, for
//! one broker or for all (KIP-226); another is refused with the key, as Kafka refuses its read-only ones.

use std::collections::{BTreeMap, BTreeSet};

use engine::metadata::{ConfigChange, ConfigEdit, Resource};
use wire::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use wire::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use wire::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};
use wire::{ErrorCode, Str};

use super::config_changes::{Answer, Asked, answer, known, settle, value};
use super::proposal::Refusal;
use super::{RequestContext, resources, settings};
use crate::config::TopicDefaults;
use crate::config::keys::Kind;
use crate::config::topic;
use crate::server::Broker;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

/// Edits each resource by itself.
pub async fn handle(
    broker: &Broker,
    request: IncrementalAlterConfigsRequest,
    _context: &RequestContext,
) -> IncrementalAlterConfigsResponse {
    let own = broker.config.node_id;
    let named = |r: &AlterConfigsResource| resources::parse(r.resource_type, &r.resource_name, own);
    let known = known(&broker.quorum, request.resources.iter().map(named)).await;
    let defaults = broker.config.topics_in(&known.image);
    let change = |asked: &AlterConfigsResource| {
        let resource = resources::parse(asked.resource_type, &asked.resource_name, own)?;
        let edits = edits(&defaults, &resource, &asked.configs)?;
        settle(&known.image, ConfigChange { resource, edits })
    };
    let asked = request.resources.iter().map(|resource| Asked {
        kind: resource.resource_type,
        name: resource.resource_name.clone(),
        change: known.judged(change(resource)),
    });
    let answers = answer(&broker.quorum, asked.collect(), request.validate_only).await;
    let response = |answer: Answer| AlterConfigsResourceResponse {
        error_code: answer.error.code(),
        error_message: answer.message,
        resource_type: answer.kind,
        resource_name: answer.name,
    };
    IncrementalAlterConfigsResponse {
        responses: answers.into_iter().map(response).collect(),
        ..IncrementalAlterConfigsResponse::default()
    }
}

pub(super) fn edits(
    defaults: &TopicDefaults,
    resource: &Resource,
    configs: &[AlterableConfig],
) -> Result<Vec<(String, ConfigEdit)>, Refusal> {
    let mut names = BTreeSet::new();
    if !configs
        .iter()
        .all(|config| names.insert(config.name.as_str()))
    {
        return Err(Refusal::invalid_request(
            "Error due to duplicate config keys",
        ));
    }
    configs
        .iter()
        .map(|config| Ok((config.name.to_string(), edit(defaults, resource, config)?)))
        .collect()
}

fn edit(
    defaults: &TopicDefaults,
    resource: &Resource,
    config: &AlterableConfig,
) -> Result<ConfigEdit, Refusal> {
    let name = config.name.as_str();
    if config.config_operation == DELETE {
        // What an earlier version has left on a topic can be taken away, whatever it is.
        if !matches!(resource, Resource::Topic(_)) && !settings::is_throttle(name) {
            settings::shape(resource, name)?;
        }
        return Ok(ConfigEdit::Delete);
    }
    let value = value(name, config.value.as_ref())?;
    match config.config_operation {
        SET => {
            settings::check(resource, name, value)?;
            Ok(ConfigEdit::Set(value.trim().to_owned()))
        }
        APPEND => {
            let (items, default) = list(defaults, resource, name, value, "APPEND")?;
            Ok(ConfigEdit::Append { items, default })
        }
        SUBTRACT => {
            let (items, default) = list(defaults, resource, name, value, "SUBTRACT")?;
            Ok(ConfigEdit::Subtract { items, default })
        }
        other => Err(Refusal::invalid_request(format!(
            "Unknown config operation {other}"
        ))),
    }
}

/// The items and the default of a key that is a list.
fn list(
    defaults: &TopicDefaults,
    resource: &Resource,
    name: &str,
    value: &Str,
    operation: &str,
) -> Result<(String, String), Refusal> {
    let kind = settings::shape(resource, name)?;
    if !matches!(kind, Kind::List | Kind::ListOf(_)) {
        let message = format!("Can't {operation} to key {name} because its type is not LIST.");
        return Err(Refusal::new(ErrorCode::InvalidConfig, message));
    }
    let unset = BTreeMap::new();
    let of_topic = topic::find(name).filter(|_| matches!(resource, Resource::Topic(_)));
    let default = match of_topic {
        Some(key) => defaults.effective(key, &unset).0.to_owned(),
        None => {
            let places = defaults.places(name).into_iter();
            places.map(|(value, _)| value).next().unwrap_or_default()
        }
    };
    Ok((value.trim().to_owned(), default))
}
