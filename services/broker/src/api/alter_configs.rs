//! AlterConfigs, versions 0 to 2, the predecessor of IncrementalAlterConfigs that older clients use: a topic's whole
//! configuration is replaced by the given one.

use std::collections::BTreeMap;

use engine::metadata::{ConfigChange, ConfigEdit, Image, Resource};
use wire::ErrorCode;
use wire::messages::alter_configs_request::AlterConfigsResource;
use wire::messages::alter_configs_response::AlterConfigsResourceResponse;
use wire::messages::{AlterConfigsRequest, AlterConfigsResponse};

use super::incremental_alter_configs::{alter, settle};
use super::proposal::Refusal;
use super::{RequestContext, resources, settings};
use crate::server::Broker;

/// Replaces each resource's configuration by itself.
pub async fn handle(
    broker: &Broker,
    request: AlterConfigsRequest,
    _context: &RequestContext,
) -> AlterConfigsResponse {
    let image = broker.quorum.image();
    let named = |r: &AlterConfigsResource| (r.resource_type, r.resource_name.clone());
    let repeated = resources::repeated(request.resources.iter().map(named));
    let checked: Vec<_> = request
        .resources
        .iter()
        .map(|resource| {
            resources::check_once(&repeated, &named(resource))?;
            replacement(&image, resource)
        })
        .collect();
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
    AlterConfigsResponse {
        responses: responses.collect(),
        ..AlterConfigsResponse::default()
    }
}

fn replacement(image: &Image, asked: &AlterConfigsResource) -> Result<ConfigChange, Refusal> {
    let resource = resources::parse(asked.resource_type, &asked.resource_name)?;
    if !matches!(resource, Resource::Topic(_)) {
        let keys: Vec<&str> = asked
            .configs
            .iter()
            .map(|config| config.name.as_str())
            .collect();
        let message = format!(
            "Cannot update these configs dynamically: {}",
            keys.join(", ")
        );
        return Err(Refusal::invalid_request(message));
    }
    let mut edits: BTreeMap<String, ConfigEdit> = BTreeMap::new();
    for name in image
        .configs(&resource)
        .iter()
        .flat_map(|configs| configs.keys())
    {
        edits.insert(name.clone(), ConfigEdit::Delete);
    }
    for config in &asked.configs {
        let Some(value) = &config.value else {
            return Err(Refusal::invalid_request(format!(
                "Null value not supported for : {}",
                config.name
            )));
        };
        settings::check(&config.name, value)?;
        edits.insert(
            config.name.to_string(),
            ConfigEdit::Set(value.trim().to_owned()),
        );
    }
    settle(
        image,
        ConfigChange {
            resource,
            edits: edits.into_iter().collect(),
        },
    )
}
