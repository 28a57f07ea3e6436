// SPDX-License-Identifier: Apache-2.0
//! AlterConfigs and IncrementalAlterConfigs.
//!
//! Owns: [`CASES`]. Invariants: what is set for brokers is taken back, so that the other cases do
//! not see it.
//! Runs on: one thread for each broker.

use kafka_protocol::messages::alter_configs_request as whole;
use kafka_protocol::messages::incremental_alter_configs_request as single;
use kafka_protocol::messages::{AlterConfigsRequest, IncrementalAlterConfigsRequest};

use super::configs::{BROKER, BROKER_LOGGER, GROUP, TOPIC, first, synonyms, text};
use super::{Case, case};
use crate::side::Side;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

type Change<'a> = (&'a str, i8, Option<&'a str>);

fn incremental(kind: i8, name: &str, changes: &[Change<'_>]) -> single::AlterConfigsResource {
    let configs = changes.iter().map(|(name, operation, value)| {
        single::AlterableConfig::default()
            .with_name(text(name))
            .with_config_operation(*operation)
            .with_value(value.map(text))
    });
    single::AlterConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configs(configs.collect())
}

fn replaced(kind: i8, name: &str, configs: &[(&str, Option<&str>)]) -> whole::AlterConfigsResource {
    let configs = configs.iter().map(|(name, value)| {
        whole::AlterableConfig::default()
            .with_name(text(name))
            .with_value(value.map(text))
    });
    whole::AlterConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configs(configs.collect())
}

/// Changes a topic of this case and writes down what came of it.
fn change(side: &mut Side, version: i16, changes: &[Change<'_>]) {
    let name = side.name("t");
    let request = IncrementalAlterConfigsRequest::default()
        .with_resources(vec![incremental(TOPIC, &name, changes)]);
    side.ask("alter", version, &request);
}

/// Changes other resources.
fn alter(side: &mut Side, version: i16, kind: i8, name: &str, changes: &[Change<'_>]) {
    let request = IncrementalAlterConfigsRequest::default()
        .with_resources(vec![incremental(kind, name, changes)]);
    side.ask("alter", version, &request);
}

/// Makes a topic, changes it and writes down what the settings are then.
fn changed(side: &mut Side, version: i16, configs: &[(&str, &str)], changes: &[Change<'_>]) {
    side.topic("t", 1, configs);
    change(side, version, changes);
    let name = side.name("t");
    let mut keys: Vec<&str> = changes.iter().map(|change| change.0).collect();
    keys.dedup();
    settle(side);
    synonyms(side, "then", (TOPIC, &name), &keys, |_| true);
}

/// Waits until the broker has heard of a change: it hears of one that comes later.
fn settle(side: &mut Side) {
    settle_after(side, "m");
}

/// The same, of a change that is not the only one of its case.
fn settle_after(side: &mut Side, change: &str) {
    let marker = format!("marker-{}", side.name(change).0);
    let topic = side.name(&marker);
    side.topic(&marker, 1, &[]);
    side.wait_for_topic(&topic, 1);
}

/// Replaces the settings of a topic.
fn replace(side: &mut Side, version: i16, configs: &[(&str, Option<&str>)]) {
    side.topic("t", 1, &[("flush.ms", "777")]);
    let name = side.name("t");
    let request =
        AlterConfigsRequest::default().with_resources(vec![replaced(TOPIC, &name, configs)]);
    side.ask("alter", version, &request);
    settle(side);
    let keys = ["flush.ms", "retention.ms", "cleanup.policy"];
    synonyms(side, "then", (TOPIC, &name), &keys, |_| true);
}

pub const CASES: &[Case] = &[
    case("change/set", &[0, 1], |side, version| {
        changed(side, version, &[], &[("retention.ms", SET, Some("5000"))]);
    }),
    case("change/set and delete", &[1], |side, version| {
        let changes = [
            ("retention.ms", SET, Some("5000")),
            ("flush.ms", DELETE, None),
        ];
        changed(side, version, &[("flush.ms", "777")], &changes);
    }),
    case("change/delete what is not set", &[1], |side, version| {
        changed(side, version, &[], &[("retention.ms", DELETE, None)]);
    }),
    case("change/delete with a value", &[1], |side, version| {
        changed(
            side,
            version,
            &[("flush.ms", "777")],
            &[("flush.ms", DELETE, Some("5"))],
        );
    }),
    case("change/append", &[0, 1], |side, version| {
        changed(
            side,
            version,
            &[],
            &[("cleanup.policy", APPEND, Some("compact"))],
        );
    }),
    case("change/append what is there", &[1], |side, version| {
        let configs = [("cleanup.policy", "compact,delete")];
        changed(
            side,
            version,
            &configs,
            &[("cleanup.policy", APPEND, Some("delete,compact"))],
        );
    }),
    case("change/append to nothing", &[1], |side, version| {
        let name = "leader.replication.throttled.replicas";
        changed(side, version, &[], &[(name, APPEND, Some("0:1"))]);
    }),
    case("change/append a bad value", &[1], |side, version| {
        changed(
            side,
            version,
            &[],
            &[("cleanup.policy", APPEND, Some("keep"))],
        );
    }),
    case("change/subtract", &[0, 1], |side, version| {
        let configs = [("cleanup.policy", "compact,delete")];
        changed(
            side,
            version,
            &configs,
            &[("cleanup.policy", SUBTRACT, Some("compact"))],
        );
    }),
    case(
        "change/subtract what is not there",
        &[1],
        |side, version| {
            changed(
                side,
                version,
                &[],
                &[("cleanup.policy", SUBTRACT, Some("compact"))],
            );
        },
    ),
    case("change/subtract the last", &[1], |side, version| {
        changed(
            side,
            version,
            &[],
            &[("cleanup.policy", SUBTRACT, Some("delete"))],
        );
    }),
    case(
        "change/append to what is no list",
        &[0, 1],
        |side, version| {
            changed(side, version, &[], &[("retention.ms", APPEND, Some("5"))]);
        },
    ),
    case(
        "change/subtract from what is no list",
        &[1],
        |side, version| {
            changed(side, version, &[], &[("retention.ms", SUBTRACT, Some("5"))]);
        },
    ),
    case("change/unknown operation", &[0, 1], |side, version| {
        changed(side, version, &[], &[("retention.ms", 4, Some("5"))]);
        change(side, version, &[("retention.ms", -1, Some("5"))]);
    }),
    case("change/unknown setting", &[0, 1], |side, version| {
        side.topic("t", 1, &[]);
        for operation in [SET, DELETE, APPEND, SUBTRACT] {
            change(side, version, &[("no.such.setting", operation, Some("5"))]);
        }
    }),
    case("change/bad values", &[1], |side, version| {
        side.topic("t", 1, &[]);
        for value in [Some("soon"), Some(""), Some("-5"), Some(" 7 "), None] {
            change(side, version, &[("retention.ms", SET, value)]);
        }
    }),
    case("change/null values", &[0, 1], |side, version| {
        side.topic("t", 1, &[]);
        change(side, version, &[("cleanup.policy", SET, None)]);
        change(side, version, &[("cleanup.policy", APPEND, None)]);
        change(side, version, &[("cleanup.policy", SUBTRACT, None)]);
    }),
    case("change/one setting twice", &[0, 1], |side, version| {
        let changes = [
            ("retention.ms", SET, Some("5")),
            ("retention.ms", SET, Some("6")),
        ];
        changed(side, version, &[], &changes);
        let changes = [
            ("retention.ms", SET, Some("5")),
            ("retention.ms", DELETE, None),
        ];
        change(side, version, &changes);
    }),
    case("change/one good one bad", &[1], |side, version| {
        let changes = [
            ("retention.ms", SET, Some("5000")),
            ("flush.ms", SET, Some("soon")),
        ];
        changed(side, version, &[], &changes);
    }),
    case("change/nothing of a topic", &[0, 1], |side, version| {
        side.topic("t", 1, &[]);
        change(side, version, &[]);
    }),
    case("change/only validated", &[0, 1], |side, version| {
        side.topic("t", 1, &[]);
        let name = side.name("t");
        let changes: [Change<'_>; 2] = [("flush.ms", SET, Some("5")), ("flush.ms", SET, Some("x"))];
        for change in changes {
            let request = IncrementalAlterConfigsRequest::default()
                .with_resources(vec![incremental(TOPIC, &name, &[change])])
                .with_validate_only(true);
            side.ask("alter", version, &request);
        }
        settle(side);
        synonyms(side, "then", (TOPIC, &name), &["flush.ms"], |_| true);
    }),
    case(
        "change/unknown and invalid topics",
        &[0, 1],
        |side, version| {
            for name in ["", "a b", "nothing-at-all"] {
                alter(side, version, TOPIC, name, &[("flush.ms", SET, Some("5"))]);
            }
        },
    ),
    case("change/one topic twice", &[0, 1], |side, version| {
        side.topic("t", 1, &[]);
        side.topic("u", 1, &[]);
        let resources = ["t", "u", "t"]
            .map(|name| incremental(TOPIC, &side.name(name), &[("flush.ms", SET, Some("5"))]));
        let request = IncrementalAlterConfigsRequest::default().with_resources(resources.into());
        side.ask("alter", version, &request);
    }),
    case(
        "change/compaction lags that cannot be",
        &[1],
        |side, version| {
            side.topic("t", 1, &[("max.compaction.lag.ms", "100")]);
            change(
                side,
                version,
                &[("min.compaction.lag.ms", SET, Some("101"))],
            );
        },
    ),
    case("change/unknown types", &[0, 1], |side, version| {
        for kind in [0, 1, 3, 64, -1] {
            alter(side, version, kind, "x", &[("flush.ms", SET, Some("5"))]);
        }
    }),
    case("change/all brokers", &[0, 1], |side, version| {
        let key = "log.flush.interval.messages";
        side.topic("t", 1, &[]);
        let name = side.name("t");
        alter(side, version, BROKER, "", &[(key, SET, Some("555"))]);
        synonyms(
            side,
            "topic",
            (TOPIC, &name),
            &["flush.messages"],
            |answer| first(answer) == Some("555"),
        );
        synonyms(side, "default", (BROKER, ""), &[key], |_| true);
        synonyms(side, "broker", (BROKER, "1"), &[key], |_| true);
        alter(side, version, BROKER, "", &[(key, DELETE, None)]);
        synonyms(
            side,
            "after",
            (TOPIC, &name),
            &["flush.messages"],
            |answer| first(answer) != Some("555"),
        );
    }),
    case("change/one broker", &[0, 1], |side, version| {
        let key = "log.retention.ms";
        side.topic("t", 1, &[]);
        let name = side.name("t");
        alter(side, version, BROKER, "1", &[(key, SET, Some("555000"))]);
        synonyms(side, "topic", (TOPIC, &name), &["retention.ms"], |answer| {
            first(answer) == Some("555000")
        });
        synonyms(side, "broker", (BROKER, "1"), &[key], |_| true);
        alter(side, version, BROKER, "1", &[(key, DELETE, None)]);
        synonyms(side, "after", (TOPIC, &name), &["retention.ms"], |answer| {
            first(answer) != Some("555000")
        });
    }),
    case(
        "change/settings of a broker that are fixed",
        &[1],
        |side, version| {
            for (name, value) in [
                ("node.id", "2"),
                ("log.dirs", "/x"),
                ("num.partitions", "4"),
            ] {
                alter(side, version, BROKER, "1", &[(name, SET, Some(value))]);
                alter(side, version, BROKER, "", &[(name, SET, Some(value))]);
            }
        },
    ),
    case("change/bad values of brokers", &[1], |side, version| {
        for (name, value) in [
            ("log.retention.ms", "soon"),
            ("log.cleanup.policy", "keep"),
            ("num.io.threads", "0"),
            ("log.segment.bytes", "1"),
        ] {
            alter(side, version, BROKER, "", &[(name, SET, Some(value))]);
            alter(side, version, BROKER, "1", &[(name, SET, Some(value))]);
        }
    }),
    case(
        "change/unknown settings of brokers",
        &[1],
        |side, version| {
            alter(
                side,
                version,
                BROKER,
                "",
                &[("no.such.setting", SET, Some("1"))],
            );
            alter(
                side,
                version,
                BROKER,
                "1",
                &[("no.such.setting", SET, Some("1"))],
            );
            alter(
                side,
                version,
                BROKER,
                "1",
                &[("no.such.setting", DELETE, None)],
            );
        },
    ),
    case("change/other brokers", &[0, 1], |side, version| {
        for name in ["7", "x", "-1"] {
            alter(
                side,
                version,
                BROKER,
                name,
                &[("log.retention.ms", SET, Some("5"))],
            );
        }
    }),
    case("change/loggers", &[1], |side, version| {
        let changes = [("no.such.logger", SET, Some("INFO"))];
        alter(side, version, BROKER_LOGGER, "1", &changes);
    }),
    case("change/groups", &[0, 1], |side, version| {
        let session = "consumer.session.timeout.ms";
        let heartbeat = "consumer.heartbeat.interval.ms";
        let name = format!("changed-{version}");
        let keys = [session, heartbeat];
        alter(
            side,
            version,
            GROUP,
            &name,
            &[(session, SET, Some("50000"))],
        );
        let is_set = |answer: &_| first(answer).is_some();
        settle(side);
        synonyms(side, "then", (GROUP, &name), &keys, is_set);
        for change in [
            (session, SET, Some("44999")),
            (session, SET, Some("60001")),
            (session, SET, Some("soon")),
            (session, SET, None),
            (session, APPEND, Some("50000")),
            (heartbeat, SET, Some("4999")),
            (heartbeat, SET, Some("15001")),
            ("no.such.setting", SET, Some("1")),
        ] {
            alter(side, version, GROUP, &name, &[change]);
        }
        alter(side, version, GROUP, "", &[(session, SET, Some("50000"))]);
        alter(side, version, GROUP, &name, &[(session, DELETE, None)]);
        settle_after(side, "delete");
        synonyms(side, "at last", (GROUP, &name), &keys, is_set);
    }),
    case("change/nothing", &[0, 1], |side, version| {
        side.ask("alter", version, &IncrementalAlterConfigsRequest::default());
    }),
    case("replace/settings", &[0, 1, 2], |side, version| {
        replace(side, version, &[("retention.ms", Some("5000"))]);
    }),
    case("replace/settings of a group", &[0, 2], |side, version| {
        let name = format!("replaced-{version}");
        let configs = [("consumer.session.timeout.ms", Some("50000"))];
        for (change, configs) in [("some", &configs[..]), ("none", &[])] {
            let resources = vec![replaced(GROUP, &name, configs)];
            let request = AlterConfigsRequest::default().with_resources(resources);
            side.ask("alter", version, &request);
            settle_after(side, change);
            let keys = ["consumer.session.timeout.ms"];
            synonyms(side, "then", (GROUP, &name), &keys, |_| true);
        }
    }),
    case("replace/by nothing", &[0, 2], |side, version| {
        replace(side, version, &[])
    }),
    case("replace/bad value", &[0, 2], |side, version| {
        replace(
            side,
            version,
            &[
                ("retention.ms", Some("5000")),
                ("cleanup.policy", Some("x")),
            ],
        );
    }),
    case("replace/null value", &[0, 2], |side, version| {
        replace(side, version, &[("retention.ms", None)]);
    }),
    case("replace/unknown setting", &[0, 2], |side, version| {
        replace(side, version, &[("no.such.setting", Some("1"))]);
    }),
    case("replace/one setting twice", &[0, 2], |side, version| {
        replace(
            side,
            version,
            &[("retention.ms", Some("5")), ("retention.ms", Some("6"))],
        );
    }),
    case("replace/only validated", &[0, 2], |side, version| {
        side.topic("t", 1, &[("flush.ms", "777")]);
        let name = side.name("t");
        let resource = replaced(TOPIC, &name, &[("retention.ms", Some("5"))]);
        let request = AlterConfigsRequest::default()
            .with_resources(vec![resource])
            .with_validate_only(true);
        side.ask("alter", version, &request);
        settle(side);
        synonyms(side, "then", (TOPIC, &name), &["flush.ms"], |_| true);
    }),
    case(
        "replace/unknown topics and brokers",
        &[0, 2],
        |side, version| {
            for (kind, name) in [
                (TOPIC, "nothing-at-all"),
                (TOPIC, ""),
                (BROKER, "7"),
                (1, "x"),
            ] {
                let resource = replaced(kind, name, &[("retention.ms", Some("5"))]);
                let request = AlterConfigsRequest::default().with_resources(vec![resource]);
                side.ask("alter", version, &request);
            }
        },
    ),
    case("replace/one topic twice", &[2], |side, version| {
        side.topic("t", 1, &[]);
        let name = side.name("t");
        let one = || replaced(TOPIC, &name, &[("flush.ms", Some("5"))]);
        let request = AlterConfigsRequest::default().with_resources(vec![one(), one()]);
        side.ask("alter", version, &request);
    }),
];
