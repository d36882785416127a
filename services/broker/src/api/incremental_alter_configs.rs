//! IncrementalAlterConfigs, versions 0 and 1 (KIP-339): edits of topic configurations, key by key.
//!
//! All edits of a topic are made or none. A broker's own settings come from its `server.properties`; to change one
//! through the API is refused with the key, as Kafka refuses its read-only ones.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use engine::metadata::{Command, ConfigChange, ConfigEdit, Image, Resource};
use wire::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use wire::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use wire::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};
use wire::{ErrorCode, Str};

use super::proposal::{Refusal, carry_out, each};
use super::{RequestContext, resources, settings};
use crate::config::TopicDefaults;
use crate::config::keys::Kind;
use crate::config::topic::{TopicKey, find};
use crate::quorum::Quorum;
use crate::server::Broker;

/// The request has no timeout of its own.
const DEADLINE: Duration = Duration::from_secs(30);
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
    let image = broker.quorum.image();
    let named = |r: &AlterConfigsResource| (r.resource_type, r.resource_name.clone());
    let repeated = resources::repeated(request.resources.iter().map(named));
    let checked = request.resources.iter().map(|resource| {
        resources::check_once(&repeated, &named(resource))?;
        let resource_of = resources::parse(resource.resource_type, &resource.resource_name)?;
        let edits = edits(&broker.config.topics, &resource_of, &resource.configs)?;
        settle(
            &image,
            ConfigChange {
                resource: resource_of,
                edits,
            },
        )
    });
    let checked: Vec<_> = checked.collect();
    let mut outcomes = alter(&broker.quorum, &checked, request.validate_only)
        .await
        .into_iter();
    let responses = request
        .resources
        .iter()
        .zip(checked)
        .map(|(resource, checked)| {
            let refusal = checked
                .and_then(|_| outcomes.next().unwrap_or(Ok(())))
                .err();
            AlterConfigsResourceResponse {
                error_code: refusal.as_ref().map_or(ErrorCode::None, |r| r.error).code(),
                error_message: refusal.and_then(|r| r.text()),
                resource_type: resource.resource_type,
                resource_name: resource.resource_name.clone(),
            }
        });
    IncrementalAlterConfigsResponse {
        responses: responses.collect(),
        ..IncrementalAlterConfigsResponse::default()
    }
}

/// Carries the valid changes out and waits until this broker's image has them.
pub async fn alter(
    quorum: &Quorum,
    checked: &[Result<ConfigChange, Refusal>],
    validate_only: bool,
) -> Vec<Result<(), Refusal>> {
    let changes: Vec<ConfigChange> = checked.iter().flatten().cloned().collect();
    if changes.is_empty() {
        return Vec::new();
    }
    let command = Command::AlterConfigs {
        changes: changes.clone(),
    };
    let outcomes = each(
        carry_out(quorum, command, validate_only, DEADLINE).await,
        changes.len(),
    );
    if !validate_only {
        let made: Vec<_> = changes
            .iter()
            .zip(&outcomes)
            .filter(|(_, outcome)| outcome.is_ok())
            .collect();
        quorum
            .wait_for(DEADLINE, |image| {
                made.iter().all(|(change, _)| is_in(image, change))
            })
            .await;
    }
    outcomes
}

/// Whether the image has the change: then making it once more alters nothing.
fn is_in(image: &Image, change: &ConfigChange) -> bool {
    let command = Command::AlterConfigs {
        changes: vec![change.clone()],
    };
    let (again, _) = image.apply(&command, image.index() + 1);
    again.configs(&change.resource) == image.configs(&change.resource)
}

pub(super) fn edits(
    defaults: &TopicDefaults,
    resource: &Resource,
    configs: &[AlterableConfig],
) -> Result<Vec<(String, ConfigEdit)>, Refusal> {
    if !matches!(resource, Resource::Topic(_)) {
        let keys: Vec<&str> = configs.iter().map(|config| config.name.as_str()).collect();
        let message = format!(
            "Cannot update these configs dynamically: {}",
            keys.join(", ")
        );
        return Err(Refusal::invalid_request(message));
    }
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
        .map(|config| Ok((config.name.to_string(), edit(defaults, config)?)))
        .collect()
}

fn edit(defaults: &TopicDefaults, config: &AlterableConfig) -> Result<ConfigEdit, Refusal> {
    if config.config_operation == DELETE {
        return Ok(ConfigEdit::Delete);
    }
    let Some(value) = config.value.as_ref() else {
        return Err(Refusal::invalid_request(format!(
            "Null value not supported for : {}",
            config.name
        )));
    };
    match config.config_operation {
        SET => {
            settings::check(&config.name, value)?;
            Ok(ConfigEdit::Set(value.trim().to_owned()))
        }
        APPEND => {
            let (items, default) = list(defaults, config, value, "APPEND")?;
            Ok(ConfigEdit::Append { items, default })
        }
        SUBTRACT => {
            let (items, default) = list(defaults, config, value, "SUBTRACT")?;
            Ok(ConfigEdit::Subtract { items, default })
        }
        other => Err(Refusal::invalid_request(format!(
            "Unknown config operation {other}"
        ))),
    }
}

/// The items and the broker-wide default of a key that is a list.
fn list(
    defaults: &TopicDefaults,
    config: &AlterableConfig,
    value: &Str,
    operation: &str,
) -> Result<(String, String), Refusal> {
    let is_list = |key: &&TopicKey| matches!(key.kind, Kind::List | Kind::ListOf(_));
    let Some(key) = find(&config.name).filter(is_list) else {
        // An unknown key is told as such.
        if find(&config.name).is_none() {
            settings::check(&config.name, value)?;
        }
        let message = format!(
            "Can't {operation} to key {} because its type is not LIST.",
            config.name
        );
        return Err(Refusal::new(ErrorCode::InvalidConfig, message));
    };
    let unset = BTreeMap::new();
    let (default, _) = defaults.effective(key, &unset);
    Ok((value.trim().to_owned(), default.to_owned()))
}

/// Rehearses the change and checks what would come of it: lists are only known then.
pub fn settle(image: &Image, change: ConfigChange) -> Result<ConfigChange, Refusal> {
    let command = Command::AlterConfigs {
        changes: vec![change.clone()],
    };
    let (after, outcome) = image.apply(&command, image.index() + 1);
    each(outcome.map_err(Refusal::from), 1)
        .into_iter()
        .collect::<Result<Vec<()>, Refusal>>()?;
    for (name, edit) in &change.edits {
        if let Some(value) = after.config(&change.resource, name)
            && !matches!(edit, ConfigEdit::Delete)
        {
            settings::check(name, value)?;
        }
    }
    Ok(change)
}
