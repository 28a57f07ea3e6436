// SPDX-License-Identifier: Apache-2.0
//! DescribeConfigs (32): the settings of topics, brokers and groups, and where each value comes
//! from.
//!
//! Owns: its handler. Invariants: the values told are those in force. Runs on: the shard that
//! accepted the connection.
//! Bounded by: the frame times the table of settings.

use std::ops::RangeInclusive;

use bytestring::ByteString;

use super::{ApiError, Arrival, Reply, resource};
use crate::config::definition::DescribedConfig;
use crate::config::{broker, single_group, topic};
use crate::control::request::{ConfigResource, Refusal};
use crate::control::topic_name;
use crate::model::error_code::ErrorCode;
use crate::shard::machine::Shard;
use crate::wire::protocol::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
    DescribeConfigsResponse, DescribeConfigsResult, DescribeConfigsSynonym,
};

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 1..=4;

/// Answers from the image and the settings.
pub fn handle(shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let request: DescribeConfigsRequest = arrival.decode()?;
    let results = request.resources.iter().map(|wanted| {
        let described = describe(shard, wanted);
        result(&request, wanted, described)
    });
    arrival.call.reply(&DescribeConfigsResponse {
        results: results.collect(),
        ..DescribeConfigsResponse::default()
    })
}

fn describe(
    shard: &Shard,
    wanted: &DescribeConfigsResource,
) -> Result<Vec<DescribedConfig>, Refusal> {
    let layers = shard.broker_layers();
    match resource::parse(wanted.resource_type, &wanted.resource_name)? {
        ConfigResource::Topic(name) => match shard.image().topics.get(&name) {
            Some(image) => Ok(topic::describe(layers, &image.overrides)),
            None => Err(no_topic(&name)),
        },
        ConfigResource::Group(name) => {
            let own = shard.image().group_configs.get(&name);
            Ok(single_group::describe(layers, own))
        }
        ConfigResource::Broker(None) => Ok(broker::describe_every_broker(layers)),
        ConfigResource::Broker(Some(id)) if id == shard.config.node_id => {
            Ok(broker::describe(layers))
        }
        ConfigResource::Broker(Some(id)) => Err(Refusal {
            code: ErrorCode::InvalidRequest,
            message: format!(
                "this is broker {}; ask broker {} for its settings",
                shard.config.node_id.0, id.0
            )
            .into(),
        }),
    }
}

/// Why there is no such topic: Kafka tells names that cannot be apart from those that are not
/// there.
fn no_topic(name: &str) -> Refusal {
    match topic_name::check(name) {
        Err(sentence) => Refusal {
            code: ErrorCode::InvalidTopicException,
            message: sentence.into(),
        },
        Ok(()) => Refusal {
            code: ErrorCode::UnknownTopicOrPartition,
            message: ByteString::from_static("there is no such topic"),
        },
    }
}

fn result(
    request: &DescribeConfigsRequest,
    wanted: &DescribeConfigsResource,
    described: Result<Vec<DescribedConfig>, Refusal>,
) -> DescribeConfigsResult {
    let mut result = DescribeConfigsResult {
        error_message: None,
        resource_type: wanted.resource_type,
        resource_name: wanted.resource_name.clone(),
        ..DescribeConfigsResult::default()
    };
    match described {
        Ok(configs) => {
            let is_wanted = |config: &DescribedConfig| match &wanted.configuration_keys {
                Some(keys) if !keys.is_empty() => keys.iter().any(|key| key == config.name),
                _ => true,
            };
            let configs = configs.into_iter().filter(is_wanted);
            result.configs = configs.map(|config| setting(request, config)).collect();
        }
        Err(refusal) => {
            result.error_code = refusal.code.code();
            result.error_message = Some(refusal.message);
        }
    }
    result
}

fn setting(
    request: &DescribeConfigsRequest,
    config: DescribedConfig,
) -> DescribeConfigsResourceResult {
    let mut result = DescribeConfigsResourceResult {
        name: ByteString::from_static(config.name),
        value: config.value,
        read_only: config.read_only,
        config_source: config.source.code(),
        is_sensitive: config.sensitive,
        config_type: config.kind.code(),
        documentation: None,
        ..DescribeConfigsResourceResult::default()
    };
    if request.include_synonyms {
        let hidden = config.sensitive;
        let synonyms = config.synonyms.into_iter();
        let synonyms = synonyms.map(|synonym| DescribeConfigsSynonym {
            name: ByteString::from_static(synonym.name),
            value: (!hidden).then_some(synonym.value),
            source: synonym.source.code(),
        });
        result.synonyms = synonyms.collect();
    }
    if request.include_documentation {
        result.documentation = Some(ByteString::from_static(config.documentation));
    }
    result
}
