//! AlterConfigs, versions 0 to 2, the predecessor of IncrementalAlterConfigs that older clients use: a resource's whole
//! configuration is replaced by the given one.

use std::collections::BTreeMap;

use engine::metadata::{ConfigChange, ConfigEdit, Image};
use wire::messages::alter_configs_request::AlterConfigsResource;
use wire::messages::alter_configs_response::AlterConfigsResourceResponse;
use wire::messages::{AlterConfigsRequest, AlterConfigsResponse};

use super::config_changes::{Answer, Asked, answer, known, settle, value};
use super::proposal::Refusal;
use super::{RequestContext, resources, settings};
use crate::server::Broker;

/// Replaces each resource's configuration by itself.
pub async fn handle(
    broker: &Broker,
    request: AlterConfigsRequest,
    _context: &RequestContext,
) -> AlterConfigsResponse {
    let own = broker.config.node_id;
    let named = |r: &AlterConfigsResource| resources::parse(r.resource_type, &r.resource_name, own);
    let known = known(&broker.quorum, request.resources.iter().map(named)).await;
    let asked = request.resources.iter().map(|resource| Asked {
        kind: resource.resource_type,
        name: resource.resource_name.clone(),
        change: known.judged(replacement(&known.image, resource, own)),
    });
    let answers = answer(&broker.quorum, asked.collect(), request.validate_only).await;
    let response = |answer: Answer| AlterConfigsResourceResponse {
        error_code: answer.error.code(),
        error_message: answer.message,
        resource_type: answer.kind,
        resource_name: answer.name,
    };
    AlterConfigsResponse {
        responses: answers.into_iter().map(response).collect(),
        ..AlterConfigsResponse::default()
    }
}

fn replacement(
    image: &Image,
    asked: &AlterConfigsResource,
    own: i32,
) -> Result<ConfigChange, Refusal> {
    let resource = resources::parse(asked.resource_type, &asked.resource_name, own)?;
    let set = image.configs(&resource);
    let present = set.iter().flat_map(|configs| configs.keys());
    let mut edits: BTreeMap<String, ConfigEdit> = present
        .map(|name| (name.clone(), ConfigEdit::Delete))
        .collect();
    for config in &asked.configs {
        let value = value(&config.name, config.value.as_ref())?;
        settings::check(&resource, &config.name, value)?;
        let edit = ConfigEdit::Set(value.trim().to_owned());
        edits.insert(config.name.to_string(), edit);
    }
    let edits = edits.into_iter().collect();
    settle(image, ConfigChange { resource, edits })
}
