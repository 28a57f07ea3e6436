// SPDX-License-Identifier: Apache-2.0
//! DescribeConfigs and ListConfigResources.
//!
//! Owns: [`CASES`], [`describe_topic`].
//! Runs on: one thread for each broker.

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::{
    DescribeConfigsRequest, DescribeConfigsResponse, ListConfigResourcesRequest,
};
use kafka_protocol::protocol::StrBytes;

use super::{Case, case};
use crate::side::Side;
use crate::value::Value;

pub(super) const TOPIC: i8 = 2;
pub(super) const BROKER: i8 = 4;
pub(super) const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
pub(super) const GROUP: i8 = 32;

pub(super) fn text(text: &str) -> StrBytes {
    text.to_owned().into()
}

fn resource(kind: i8, name: &str, keys: Option<&[&str]>) -> DescribeConfigsResource {
    DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configuration_keys(keys.map(|keys| keys.iter().map(|key| text(key)).collect()))
}

fn describe(side: &mut Side, version: i16, kind: i8, name: &str, keys: Option<&[&str]>) {
    let request =
        DescribeConfigsRequest::default().with_resources(vec![resource(kind, name, keys)]);
    side.ask("describe", version, &request);
}

/// Writes down all settings of a topic of this case.
pub fn describe_topic(side: &mut Side, version: i16, topic: &str) {
    let name = side.name(topic);
    describe(side, version, TOPIC, &name, None);
}

/// Some settings with their synonyms, once they are as they should be.
pub(super) fn synonyms(
    side: &mut Side,
    step: &str,
    (kind, name): (i8, &str),
    keys: &[&str],
    is_right: impl Fn(&DescribeConfigsResponse) -> bool,
) {
    let request = DescribeConfigsRequest::default()
        .with_resources(vec![resource(kind, name, Some(keys))])
        .with_include_synonyms(true);
    let answer = side.until(4, &request, is_right);
    side.note(step, &Value::of(&answer));
}

/// The value of the first setting of an answer.
pub(super) fn first(answer: &DescribeConfigsResponse) -> Option<&str> {
    answer.results.first()?.configs.first()?.value.as_deref()
}

pub const CASES: &[Case] = &[
    case("describe/topic", &[1, 2, 3, 4], |side, version| {
        side.topic(
            "t",
            1,
            &[
                ("retention.ms", "1000"),
                ("cleanup.policy", "compact,delete"),
            ],
        );
        describe_topic(side, version, "t");
    }),
    case("describe/topic with synonyms", &[1, 4], |side, version| {
        side.topic("t", 1, &[("retention.ms", "1000")]);
        let request = DescribeConfigsRequest::default()
            .with_resources(vec![resource(TOPIC, &side.name("t"), None)])
            .with_include_synonyms(true);
        side.ask("describe", version, &request);
    }),
    case(
        "describe/topic with documentation",
        &[3, 4],
        |side, version| {
            side.topic("t", 1, &[]);
            let request = DescribeConfigsRequest::default()
                .with_resources(vec![resource(TOPIC, &side.name("t"), None)])
                .with_include_documentation(true);
            side.ask("describe", version, &request);
        },
    ),
    case("describe/some keys", &[1, 4], |side, version| {
        side.topic("t", 1, &[]);
        let name = side.name("t");
        let keys = ["retention.ms", "no.such.setting", "retention.ms"];
        describe(side, version, TOPIC, &name, Some(&keys));
    }),
    case("describe/no keys", &[1, 4], |side, version| {
        side.topic("t", 1, &[]);
        let name = side.name("t");
        describe(side, version, TOPIC, &name, Some(&[]));
    }),
    case("describe/unknown topic", &[1, 4], |side, version| {
        describe_topic(side, version, "t")
    }),
    case("describe/invalid topics", &[1, 4], |side, version| {
        for name in ["", "a b", ".."] {
            describe(side, version, TOPIC, name, None);
        }
    }),
    case("describe/broker", &[4], |side, version| {
        describe(side, version, BROKER, "1", None)
    }),
    case(
        "describe/some keys of a broker",
        &[1, 4],
        |side, version| {
            let keys = [
                "log.retention.ms",
                "log.retention.hours",
                "node.id",
                "log.cleanup.policy",
            ];
            let request = DescribeConfigsRequest::default()
                .with_resources(vec![resource(BROKER, "1", Some(&keys))])
                .with_include_synonyms(true);
            side.ask("describe", version, &request);
        },
    ),
    case("describe/all brokers", &[1, 4], |side, version| {
        describe(side, version, BROKER, "", None);
    }),
    case("describe/another broker", &[1, 4], |side, version| {
        describe(side, version, BROKER, "7", None);
    }),
    case("describe/no broker", &[4], |side, version| {
        for name in ["x", "-1", "1.0", " 1"] {
            describe(side, version, BROKER, name, None);
        }
    }),
    case("describe/unknown types", &[1, 4], |side, version| {
        for kind in [0, 1, 3, 64, -1, 127] {
            describe(side, version, kind, "x", None);
        }
    }),
    case("describe/loggers", &[1, 4], |side, version| {
        describe(side, version, BROKER_LOGGER, "1", Some(&["no.such.logger"]));
        describe(side, version, BROKER_LOGGER, "x", None);
    }),
    case(
        "describe/client metrics and groups",
        &[4],
        |side, version| {
            describe(side, version, CLIENT_METRICS, "x", None);
            describe(
                side,
                version,
                GROUP,
                "x",
                Some(&["consumer.session.timeout.ms"]),
            );
        },
    ),
    case("describe/one resource twice", &[1, 4], |side, version| {
        side.topic("t", 1, &[]);
        let one = || resource(TOPIC, &side.name("t"), Some(&["retention.ms"]));
        let request = DescribeConfigsRequest::default().with_resources(vec![one(), one()]);
        side.ask("describe", version, &request);
    }),
    case("describe/nothing", &[1, 4], |side, version| {
        side.ask("describe", version, &DescribeConfigsRequest::default());
    }),
    case("resources/of every type", &[0, 1], |side, version| {
        side.topic("t", 1, &[("flush.ms", "777")]);
        let mut answer = side.must(version, &ListConfigResourcesRequest::default());
        let others = |kind: i8, name: &str| kind != TOPIC || side.is_own(name);
        answer
            .config_resources
            .retain(|one| others(one.resource_type, &one.resource_name));
        side.note("own of all", &Value::of(&answer));
    }),
    case("resources/of some types", &[1], |side, version| {
        for kinds in [
            vec![BROKER],
            vec![BROKER_LOGGER],
            vec![BROKER, BROKER_LOGGER],
            vec![CLIENT_METRICS, GROUP],
            vec![0],
            vec![3],
            vec![BROKER, BROKER],
        ] {
            let request = ListConfigResourcesRequest::default().with_resource_types(kinds);
            side.ask("resources", version, &request);
        }
    }),
];
