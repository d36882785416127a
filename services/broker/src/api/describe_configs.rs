//! DescribeConfigs, versions 1 to 4: topics, and brokers (the one that is asked, or with an empty name what was set
//! for all of them through the API).

use std::collections::BTreeSet;

use engine::metadata::{Image, Resource};
use wire::messages::describe_configs_request::DescribeConfigsResource;
use wire::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use wire::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use wire::{ErrorCode, Str};

use super::proposal::Refusal;
use super::settings::{self, Setting};
use super::{RequestContext, resources, topics};
use crate::config::Config;
use crate::server::Broker;

/// Answers from this broker's image and configuration.
pub async fn handle(
    broker: &Broker,
    request: DescribeConfigsRequest,
    _context: &RequestContext,
) -> DescribeConfigsResponse {
    let image = broker.quorum.image();
    // Nobody is told the same thing twice: the answer is not larger than what there is to tell. A broker's id can be
    // written in many ways.
    let mut seen = BTreeSet::new();
    let own = broker.config.node_id;
    let asked = request.resources.iter().filter(|asked| {
        let parsed = resources::parse(asked.resource_type, &asked.resource_name, own).ok();
        let unparsed = parsed
            .is_none()
            .then_some((asked.resource_type, asked.resource_name.as_str()));
        seen.insert((parsed, unparsed))
    });
    let results = asked.map(|resource| {
        let found = settings(&image, &broker.config, resource);
        result(resource, found, request.include_synonyms)
    });
    DescribeConfigsResponse {
        results: results.collect(),
        ..DescribeConfigsResponse::default()
    }
}

pub(super) fn settings(
    image: &Image,
    config: &Config,
    asked: &DescribeConfigsResource,
) -> Result<Vec<Setting>, Refusal> {
    let name = asked.resource_name.as_str();
    match resources::parse(asked.resource_type, name, config.node_id)? {
        Resource::Topic(_) if !topics::is_valid_name(name) => Err(Refusal::new(
            ErrorCode::InvalidTopicException,
            format!("Topic name is invalid: '{name}'"),
        )),
        Resource::Topic(_) => {
            let unknown = || {
                Refusal::new(
                    ErrorCode::UnknownTopicOrPartition,
                    "This server does not host this topic-partition.",
                )
            };
            image.topic(name).ok_or_else(unknown)?;
            let own = image
                .topic_configs(name)
                .map(|configs| (**configs).clone())
                .unwrap_or_default();
            Ok(settings::of_topic(&config.topics_in(image), &own))
        }
        Resource::Broker(_) => Ok(settings::of_broker(config, image)),
        Resource::AllBrokers => Ok(settings::of_all_brokers(image)),
        Resource::Group(_) => Err(resources::not_offered(asked.resource_type)),
    }
}

pub(super) fn result(
    asked: &DescribeConfigsResource,
    found: Result<Vec<Setting>, Refusal>,
    with_synonyms: bool,
) -> DescribeConfigsResult {
    let empty = DescribeConfigsResult {
        resource_type: asked.resource_type,
        resource_name: asked.resource_name.clone(),
        error_message: None,
        ..DescribeConfigsResult::default()
    };
    // An empty list is no restriction either: franz-go sends it, and Kafka takes it so.
    let keys = asked
        .configuration_keys
        .as_ref()
        .filter(|keys| !keys.is_empty());
    let wanted = |setting: &Setting| {
        keys.is_none_or(|keys| keys.iter().any(|key| key.as_str() == setting.name))
    };
    match found {
        Ok(settings) => DescribeConfigsResult {
            configs: settings
                .into_iter()
                .filter(wanted)
                .map(|s| shown(s, with_synonyms))
                .collect(),
            ..empty
        },
        Err(refusal) => DescribeConfigsResult {
            error_code: refusal.error.code(),
            error_message: refusal.text(),
            ..empty
        },
    }
}

fn shown(setting: Setting, with_synonyms: bool) -> DescribeConfigsResourceResult {
    let synonym = |(name, value, source): (&'static str, String, i8)| DescribeConfigsSynonym {
        name: name.into(),
        value: Some(value.into()),
        source,
    };
    DescribeConfigsResourceResult {
        name: setting.name.into(),
        value: setting.value.map(Str::from),
        read_only: setting.read_only,
        config_source: setting.source,
        is_sensitive: false,
        synonyms: if with_synonyms {
            setting.synonyms.into_iter().map(synonym).collect()
        } else {
            Vec::new()
        },
        config_type: setting.kind,
        documentation: None,
    }
}
