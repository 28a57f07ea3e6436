// SPDX-License-Identifier: Apache-2.0
//! Rules of IncrementalAlterConfigs.

use super::*;
use crate::control::request::{ConfigOperation, ConfigResource, ConfigResourceChange};
use ConfigOperation::{Append, Delete, Set, Subtract};

type Change<'a> = (&'a str, ConfigOperation, Option<&'a str>);

fn change(resource: ConfigResource, changes: &[Change<'_>]) -> ConfigResourceChange {
    let changes = changes.iter().map(|(name, operation, value)| {
        let value = value.map(ByteString::from);
        (ByteString::from(*name), *operation, value)
    });
    ConfigResourceChange {
        resource,
        replaces: false,
        changes: changes.collect(),
    }
}

fn alter_all(controller: &mut Controller, resources: Vec<ConfigResourceChange>) -> Vec<ErrorCode> {
    let request = ControlRequest::AlterConfigs {
        resources,
        validate_only: false,
    };
    match ask(controller, &request) {
        ControlAnswer::AlterConfigs(outcomes) => {
            outcomes.iter().map(|(_, outcome)| code(outcome)).collect()
        }
        other => panic!("another answer: {other:?}"),
    }
}

fn alter(
    controller: &mut Controller,
    resource: ConfigResource,
    changes: &[Change<'_>],
) -> ErrorCode {
    alter_all(controller, vec![change(resource, changes)])[0]
}

fn of_topic() -> ConfigResource {
    ConfigResource::Topic("t".into())
}

fn with_topic() -> Controller {
    let mut controller = started(&[]);
    create_all(&mut controller, vec![topic("t")]);
    controller
}

fn overrides(controller: &Controller) -> Settings {
    controller.image().topics["t"].overrides.clone()
}

#[test]
fn settings_of_a_topic_are_set_and_taken_back() {
    let mut controller = with_topic();
    let set = [
        ("retention.ms", Set, Some("5")),
        ("segment.ms", Set, Some("6")),
    ];
    assert_eq!(alter(&mut controller, of_topic(), &set), ErrorCode::None);
    let config = &controller.image().topics["t"].config;
    assert_eq!((config.retention_ms, config.segment_ms), (Some(5), 6));
    let back = [("retention.ms", Delete, None), ("flush.ms", Delete, None)];
    assert_eq!(alter(&mut controller, of_topic(), &back), ErrorCode::None);
    assert_eq!(overrides(&controller), settings(&[("segment.ms", "6")]));
    assert_eq!(
        controller.image().topics["t"].config.retention_ms,
        Some(604_800_000)
    );
}

#[test]
fn lists_grow_and_shrink() {
    let mut controller = with_topic();
    let append = [("cleanup.policy", Append, Some("compact"))];
    assert_eq!(alter(&mut controller, of_topic(), &append), ErrorCode::None);
    assert_eq!(
        overrides(&controller),
        settings(&[("cleanup.policy", "delete,compact")])
    );
    let subtract = [("cleanup.policy", Subtract, Some("delete,other"))];
    assert_eq!(
        alter(&mut controller, of_topic(), &subtract),
        ErrorCode::None
    );
    assert_eq!(
        overrides(&controller),
        settings(&[("cleanup.policy", "compact")])
    );
    let policy = controller.image().topics["t"].config.cleanup_policy;
    assert!(policy.compact && !policy.delete);
}

#[test]
fn bad_changes_of_a_topic_change_nothing() {
    let mut controller = with_topic();
    let config = ErrorCode::InvalidConfig;
    let request = ErrorCode::InvalidRequest;
    for (changes, expected) in [
        (vec![("retention.mss", Set, Some("5"))], config),
        (vec![("retention.mss", Delete, None)], config),
        (vec![("retention.ms", Set, Some("soon"))], config),
        (
            vec![
                ("segment.ms", Set, Some("5")),
                ("retention.ms", Set, Some("-7")),
            ],
            config,
        ),
        (vec![("retention.ms", Append, Some("5"))], config),
        (vec![("cleanup.policy", Append, Some("remove"))], config),
        (
            vec![
                ("min.compaction.lag.ms", Set, Some("9223372036854775807")),
                ("max.compaction.lag.ms", Set, Some("1")),
            ],
            config,
        ),
        (vec![("retention.ms", Set, None)], request),
        (vec![("cleanup.policy", Subtract, None)], request),
        (
            vec![
                ("segment.ms", Set, Some("5")),
                ("segment.ms", Set, Some("6")),
            ],
            request,
        ),
    ] {
        assert_eq!(
            alter(&mut controller, of_topic(), &changes),
            expected,
            "{changes:?}"
        );
        assert!(overrides(&controller).is_empty());
    }
    let nowhere = ConfigResource::Topic("none".into());
    let set = [("segment.ms", Set, Some("5"))];
    assert_eq!(
        alter(&mut controller, nowhere, &set),
        ErrorCode::UnknownTopicOrPartition
    );
}

#[test]
fn a_resource_is_named_once_and_fails_alone() {
    let mut controller = with_topic();
    create_all(&mut controller, vec![topic("u")]);
    let good = [("segment.ms", Set, Some("5"))];
    let other = ConfigResource::Topic("u".into());
    let codes = alter_all(
        &mut controller,
        vec![
            change(of_topic(), &good),
            change(other, &good),
            change(of_topic(), &[("flush.ms", Set, Some("5"))]),
        ],
    );
    assert_eq!(
        codes,
        [
            ErrorCode::InvalidRequest,
            ErrorCode::None,
            ErrorCode::InvalidRequest
        ]
    );
    assert!(overrides(&controller).is_empty());
    assert_eq!(controller.image().topics["u"].config.segment_ms, 5);
}

#[test]
fn checking_only_changes_nothing() {
    let mut controller = with_topic();
    let version = controller.state().version();
    let request = ControlRequest::AlterConfigs {
        resources: vec![change(of_topic(), &[("segment.ms", Set, Some("5"))])],
        validate_only: true,
    };
    let answer = ask(&mut controller, &request);
    assert_eq!(
        answer,
        ControlAnswer::AlterConfigs(vec![(of_topic(), Ok(()))])
    );
    assert_eq!(controller.state().version(), version);
}

#[test]
fn settings_of_brokers_become_defaults_of_topics() {
    let mut controller = with_topic();
    let set = [("log.retention.ms", Set, Some("7"))];
    assert_eq!(
        alter(&mut controller, ConfigResource::Broker(None), &set),
        ErrorCode::None
    );
    let retention = |controller: &Controller| controller.image().topics["t"].config.retention_ms;
    assert_eq!(retention(&controller), Some(7));
    let own = ConfigResource::Broker(Some(NODE));
    let set = [("log.retention.ms", Set, Some("8"))];
    assert_eq!(alter(&mut controller, own.clone(), &set), ErrorCode::None);
    assert_eq!(retention(&controller), Some(8));
    create_all(&mut controller, vec![topic("later")]);
    assert_eq!(
        controller.image().topics["later"].config.retention_ms,
        Some(8)
    );
    let back = [("log.retention.ms", Delete, None)];
    assert_eq!(alter(&mut controller, own, &back), ErrorCode::None);
    assert_eq!(retention(&controller), Some(7));
    assert_eq!(controller.image().broker_configs.len(), 1);
}

#[test]
fn topics_that_cannot_be_are_told_apart_from_those_that_are_not_there() {
    let mut controller = with_topic();
    for (name, expected) in [
        ("", ErrorCode::InvalidRequest),
        ("a b", ErrorCode::InvalidTopicException),
        ("..", ErrorCode::InvalidTopicException),
        ("nothing", ErrorCode::UnknownTopicOrPartition),
    ] {
        let resource = ConfigResource::Topic(name.into());
        let change = [("flush.ms", Set, Some("5"))];
        assert_eq!(
            alter(&mut controller, resource, &change),
            expected,
            "{name}"
        );
    }
}

#[test]
fn bad_changes_of_brokers_are_refused() {
    let mut controller = with_topic();
    let of = |id: Option<i32>| ConfigResource::Broker(id.map(BrokerId));
    let (config, request) = (ErrorCode::InvalidConfig, ErrorCode::InvalidRequest);
    for (id, change, expected) in [
        (Some(7), ("log.retention.ms", Set, Some("5")), request),
        (None, ("listeners", Set, Some("PLAINTEXT://a:1")), request),
        (None, ("listeners", Delete, None), request),
        (None, ("log.retention.mss", Set, Some("5")), config),
        (None, ("log.retention.mss", Delete, None), config),
        (None, ("log.retention.ms", Set, Some("soon")), request),
        (
            None,
            ("log.cleaner.max.compaction.lag.ms", Set, Some("0")),
            request,
        ),
        (None, ("log.retention.ms", Append, Some("5")), config),
        (None, ("log.retention.ms", Set, None), request),
    ] {
        assert_eq!(
            alter(&mut controller, of(id), &[change]),
            expected,
            "{change:?}"
        );
    }
    let crossed = [
        (
            "log.cleaner.min.compaction.lag.ms",
            Set,
            Some("9223372036854775807"),
        ),
        ("log.cleaner.max.compaction.lag.ms", Set, Some("5")),
    ];
    assert_eq!(alter(&mut controller, of(None), &crossed), config);
    let nothing = [("log.retention.ms", Delete, None)];
    assert_eq!(alter(&mut controller, of(None), &nothing), ErrorCode::None);
    assert!(controller.image().broker_configs.is_empty());
}

#[test]
fn settings_that_are_replaced_lose_what_is_not_named() {
    let mut controller = with_topic();
    let resource = of_topic();
    let first = change(
        resource.clone(),
        &[
            ("retention.ms", Set, Some("5")),
            ("max.message.bytes", Set, Some("7")),
        ],
    );
    assert_eq!(alter_all(&mut controller, vec![first]), [ErrorCode::None]);
    let mut second = change(resource.clone(), &[("retention.ms", Set, Some("6"))]);
    second.replaces = true;
    assert_eq!(alter_all(&mut controller, vec![second]), [ErrorCode::None]);
    let kept = settings(&[("retention.ms", "6")]);
    assert_eq!(overrides(&controller), kept);
    let mut wrong = change(resource, &[("no.such", Set, Some("6"))]);
    wrong.replaces = true;
    assert_eq!(
        alter_all(&mut controller, vec![wrong]),
        [ErrorCode::InvalidConfig]
    );
    assert_eq!(overrides(&controller), kept, "nothing is lost by a refusal");
}

#[test]
fn settings_of_a_group_are_kept_for_groups_that_are_not_there_yet() {
    let mut controller = with_topic();
    let group = |name: &str| ConfigResource::Group(name.into());
    let set = [("consumer.session.timeout.ms", Set, Some("50000"))];
    assert_eq!(alter(&mut controller, group("g"), &set), ErrorCode::None);
    let more = [("consumer.heartbeat.interval.ms", Set, Some("6000"))];
    assert_eq!(alter(&mut controller, group("g"), &more), ErrorCode::None);
    let all = settings(&[
        ("consumer.heartbeat.interval.ms", "6000"),
        ("consumer.session.timeout.ms", "50000"),
    ]);
    let kept = |controller: &Controller| controller.image().group_configs.get("g").cloned();
    assert_eq!(kept(&controller), Some(all));
    let mut replaced = change(group("g"), &more);
    replaced.replaces = true;
    assert_eq!(
        alter_all(&mut controller, vec![replaced]),
        [ErrorCode::None]
    );
    let one = settings(&[("consumer.heartbeat.interval.ms", "6000")]);
    assert_eq!(kept(&controller), Some(one));
    let back = [("consumer.heartbeat.interval.ms", Delete, None)];
    assert_eq!(alter(&mut controller, group("g"), &back), ErrorCode::None);
    assert!(controller.image().group_configs.is_empty());
}

#[test]
fn bad_changes_of_groups_are_refused() {
    let mut controller = with_topic();
    let (config, request) = (ErrorCode::InvalidConfig, ErrorCode::InvalidRequest);
    let session = "consumer.session.timeout.ms";
    for (group, change, expected) in [
        ("", (session, Set, Some("50000")), request),
        ("g", (session, Set, Some("44999")), config),
        ("g", (session, Set, Some("60001")), config),
        ("g", (session, Set, Some("soon")), config),
        ("g", (session, Set, None), request),
        ("g", (session, Append, Some("50000")), config),
        (
            "g",
            ("share.session.timeout.ms", Set, Some("50000")),
            config,
        ),
        ("g", ("session.timeout.ms", Delete, None), config),
    ] {
        let resource = ConfigResource::Group(group.into());
        assert_eq!(
            alter(&mut controller, resource, &[change]),
            expected,
            "{change:?}"
        );
    }
    assert!(controller.image().group_configs.is_empty());
}
