// SPDX-License-Identifier: Apache-2.0
//! Rules of CreateTopics, DeleteTopics and producer ids.

use super::*;
use crate::control::request::{DeletedTopic, TopicSelector};
use crate::limits::PARTITIONS_PER_TOPIC_MAX;

fn with(name: &str, change: impl FnOnce(&mut NewTopic)) -> NewTopic {
    let mut topic = topic(name);
    change(&mut topic);
    topic
}

#[test]
fn a_topic_gets_the_defaults_of_the_broker() {
    let mut controller = started(&[("num.partitions", "3")]);
    let outcomes = create_all(&mut controller, vec![topic("events")]);
    let created = outcomes[0].1.as_ref().expect("made");
    assert_eq!((created.num_partitions, created.replication_factor), (3, 1));
    let image = controller.image();
    let made = image.topic_by_id(created.id).expect("in the image");
    assert_eq!(made.name, "events");
    let shards: Vec<u16> = made.partitions.iter().map(|one| one.shard.0).collect();
    assert_eq!(shards, [0, 1, 0]);
    for partition in &made.partitions {
        assert_eq!(partition.leader, Some(NODE));
        assert_eq!((partition.leader_epoch, partition.partition_epoch), (0, 0));
        assert_eq!(
            (&partition.isr, &partition.replicas),
            (&vec![NODE], &vec![NODE])
        );
    }
}

#[test]
fn a_request_changes_nothing_before_it_is_committed() {
    let mut controller = started(&[]);
    let before = controller.image();
    let request = ControlRequest::CreateTopics {
        topics: vec![topic("events")],
        validate_only: false,
    };
    let plan = controller.handle_request(&request);
    assert_eq!(plan.records.len(), 2);
    assert_eq!(controller.image(), before);
    commit(&mut controller, &plan.values);
    assert!(controller.image().topics.contains_key("events"));
    assert!(
        !before.topics.contains_key("events"),
        "an image never changes"
    );
}

#[test]
fn names_are_checked() {
    let mut controller = started(&[]);
    let long = "x".repeat(250);
    for name in ["", ".", "..", "a b", "a/b", "ü", &long] {
        let code = create(&mut controller, topic(name));
        assert_eq!(code, ErrorCode::InvalidTopicException, "{name}");
    }
    let metadata = create(&mut controller, topic("__cluster_metadata"));
    assert_eq!(metadata, ErrorCode::InvalidRequest);
    assert_eq!(
        create(&mut controller, topic(&"x".repeat(249))),
        ErrorCode::None
    );
}

#[test]
fn a_name_is_taken_once() {
    let mut controller = started(&[]);
    assert_eq!(create(&mut controller, topic("a.b")), ErrorCode::None);
    assert_eq!(
        create(&mut controller, topic("a.b")),
        ErrorCode::TopicAlreadyExists
    );
    assert_eq!(
        create(&mut controller, topic("a_b")),
        ErrorCode::InvalidTopicException
    );
    assert_eq!(create(&mut controller, topic("a-b")), ErrorCode::None);
    let outcomes = create_all(&mut controller, vec![topic("c.d"), topic("c_d")]);
    let codes: Vec<ErrorCode> = outcomes.iter().map(|(_, outcome)| code(outcome)).collect();
    assert_eq!(codes, [ErrorCode::None, ErrorCode::InvalidTopicException]);
    let outcomes = create_all(&mut controller, vec![topic("e"), topic("f"), topic("e")]);
    let codes: Vec<ErrorCode> = outcomes.iter().map(|(_, outcome)| code(outcome)).collect();
    assert_eq!(codes, [ErrorCode::InvalidRequest, ErrorCode::None]);
    assert!(!controller.image().topics.contains_key("e"));
}

#[test]
fn a_deleted_name_is_free_again_and_gets_another_id() {
    let mut controller = started(&[]);
    let first = create_all(&mut controller, vec![topic("a.b")]);
    let first = first[0].1.as_ref().expect("made").id;
    delete(&mut controller, vec![TopicSelector::Name("a.b".into())]);
    assert_eq!(controller.state().partition_count(), 0);
    let second = create_all(&mut controller, vec![topic("a_b")]);
    assert_ne!(second[0].1.as_ref().expect("made").id, first);
}

#[test]
fn counts_are_checked() {
    let mut controller = started(&[]);
    let most = i32::try_from(PARTITIONS_PER_TOPIC_MAX).expect("small");
    for (partitions, expected) in [
        (0, ErrorCode::InvalidPartitions),
        (-2, ErrorCode::InvalidPartitions),
        (i32::MAX, ErrorCode::InvalidPartitions),
        (most + 1, ErrorCode::InvalidPartitions),
        (most, ErrorCode::None),
    ] {
        let code = create(
            &mut controller,
            with("p", |topic| topic.num_partitions = partitions),
        );
        assert_eq!(code, expected, "{partitions}");
    }
    for factor in [0, -2, 2, i16::MAX] {
        let topic = with("f", |topic| topic.replication_factor = factor);
        assert_eq!(
            create(&mut controller, topic),
            ErrorCode::InvalidReplicationFactor
        );
    }
}

#[test]
fn assignments_are_checked() {
    let mut controller = started(&[]);
    add_broker(&mut controller, 2);
    let assigned = |assignments: Vec<(i32, Vec<i32>)>| {
        with("a", |topic| {
            topic.assignments = assignments
                .into_iter()
                .map(|(index, replicas)| (index, replicas.into_iter().map(BrokerId).collect()))
                .collect();
        })
    };
    for wrong in [
        vec![(1, vec![1])],
        vec![(0, vec![1]), (2, vec![1])],
        vec![(0, vec![1]), (0, vec![1])],
        vec![(0, vec![])],
        vec![(0, vec![1, 1])],
        vec![(0, vec![1]), (1, vec![1, 2])],
        vec![(0, vec![7])],
    ] {
        let code = create(&mut controller, assigned(wrong.clone()));
        assert_eq!(code, ErrorCode::InvalidReplicaAssignment, "{wrong:?}");
    }
    let mut mixed = assigned(vec![(0, vec![1])]);
    mixed.num_partitions = 1;
    assert_eq!(create(&mut controller, mixed), ErrorCode::InvalidRequest);
    let good = assigned(vec![(1, vec![2, 1]), (0, vec![1, 2])]);
    assert_eq!(create(&mut controller, good), ErrorCode::None);
    let image = controller.image();
    let leaders: Vec<Option<BrokerId>> = image.topics["a"]
        .partitions
        .iter()
        .map(|partition| partition.leader)
        .collect();
    assert_eq!(leaders, [Some(BrokerId(1)), Some(BrokerId(2))]);
}

#[test]
fn settings_of_a_new_topic_are_checked_and_kept() {
    let mut controller = started(&[]);
    let set = |name: &'static str, value: Option<&str>| {
        with("s", |topic| {
            topic.configs = vec![(name.into(), value.map(Into::into))]
        })
    };
    for (name, value) in [
        ("retention.mss", Some("5")),
        ("retention.mss", None),
        ("retention.ms", None),
        ("retention.ms", Some("soon")),
        ("remote.storage.enable", Some("true")),
    ] {
        assert_eq!(
            create(&mut controller, set(name, value)),
            ErrorCode::InvalidConfig,
            "{name}"
        );
    }
    let twice = with("s", |topic| {
        topic.configs = vec![("retention.ms".into(), Some("5".into())); 2];
    });
    assert_eq!(create(&mut controller, twice), ErrorCode::InvalidConfig);
    let long = "x".repeat(100_000);
    assert_eq!(
        create(&mut controller, set("compression.type", Some(&long))),
        ErrorCode::InvalidConfig
    );
    assert_eq!(
        create(&mut controller, set("retention.ms", Some("5"))),
        ErrorCode::None
    );
    let image = controller.image();
    assert_eq!(image.topics["s"].config.retention_ms, Some(5));
    assert_eq!(
        image.topics["s"].overrides,
        settings(&[("retention.ms", "5")])
    );
}

#[test]
fn checking_only_makes_nothing() {
    let mut controller = started(&[]);
    let version = controller.state().version();
    let request = ControlRequest::CreateTopics {
        topics: vec![topic("a"), topic("a.b"), topic("a_b"), topic("")],
        validate_only: true,
    };
    let ControlAnswer::CreateTopics(outcomes) = ask(&mut controller, &request) else {
        panic!("another answer");
    };
    let codes: Vec<ErrorCode> = outcomes.iter().map(|(_, outcome)| code(outcome)).collect();
    let bad = ErrorCode::InvalidTopicException;
    assert_eq!(codes, [ErrorCode::None, ErrorCode::None, bad, bad]);
    assert!(outcomes[0].1.as_ref().expect("possible").id.is_zero());
    assert_eq!(controller.state().version(), version);
}

#[test]
fn a_request_that_makes_too_much_is_refused_in_part() {
    let mut controller = started(&[]);
    let topics = (0..25)
        .map(|index| with(&format!("t{index}"), |topic| topic.num_partitions = 9000))
        .collect();
    let outcomes = create_all(&mut controller, topics);
    let codes: Vec<ErrorCode> = outcomes.iter().map(|(_, outcome)| code(outcome)).collect();
    assert_eq!(codes[0], ErrorCode::None);
    assert_eq!(codes[24], ErrorCode::PolicyViolation);
    let made = codes
        .iter()
        .filter(|code| **code == ErrorCode::None)
        .count();
    assert_eq!(controller.image().topics.len(), made);
    assert_eq!(controller.state().partition_count(), made * 9000);
}

fn delete(
    controller: &mut Controller,
    topics: Vec<TopicSelector>,
) -> Vec<(TopicSelector, Result<DeletedTopic, Refusal>)> {
    match ask(controller, &ControlRequest::DeleteTopics { topics }) {
        ControlAnswer::DeleteTopics(outcomes) => outcomes,
        other => panic!("another answer: {other:?}"),
    }
}

#[test]
fn topics_are_deleted_by_name_and_by_id() {
    let mut controller = started(&[]);
    create_all(&mut controller, vec![topic("a"), topic("b"), topic("c")]);
    let id = |name: &str| controller.image().topics[name].id;
    let (b, c) = (id("b"), id("c"));
    let outcomes = delete(
        &mut controller,
        vec![
            TopicSelector::Name("a".into()),
            TopicSelector::Id(b),
            TopicSelector::Name("none\n".into()),
            TopicSelector::Id(Uuid([8; 16])),
            TopicSelector::Id(Uuid::ZERO),
            TopicSelector::Name("c".into()),
            TopicSelector::Id(c),
        ],
    );
    let codes: Vec<ErrorCode> = outcomes.iter().map(|(_, outcome)| code(outcome)).collect();
    assert_eq!(
        codes,
        [
            ErrorCode::None,
            ErrorCode::None,
            ErrorCode::UnknownTopicOrPartition,
            ErrorCode::UnknownTopicId,
            ErrorCode::InvalidRequest,
            ErrorCode::InvalidRequest,
            ErrorCode::InvalidRequest,
        ]
    );
    let deleted = outcomes[1].1.as_ref().expect("deleted");
    assert_eq!((&*deleted.name, deleted.id), ("b", b));
    let names: Vec<String> = controller
        .image()
        .topics
        .keys()
        .map(|name| name.to_string())
        .collect();
    assert_eq!(names, ["c"]);
}

#[test]
fn a_topic_that_is_to_be_deleted_twice_stays_and_is_answered_once() {
    let mut controller = started(&[]);
    create_all(&mut controller, vec![topic("a"), topic("b")]);
    let named = |name: &str| TopicSelector::Name(name.into());
    let twice = vec![named("a"), named("b"), named("a"), named("no"), named("no")];
    let outcomes = delete(&mut controller, twice);
    let told: Vec<_> = outcomes
        .iter()
        .map(|(selector, outcome)| (selector.clone(), code(outcome)))
        .collect();
    assert_eq!(
        told,
        [
            (named("a"), ErrorCode::InvalidRequest),
            (named("b"), ErrorCode::None),
            (named("no"), ErrorCode::UnknownTopicOrPartition),
        ]
    );
    let image = controller.image();
    let left: Vec<&str> = image.topics.keys().map(|name| &**name).collect();
    assert_eq!(left, ["a"]);
}

#[test]
fn deletion_can_be_switched_off() {
    let mut controller = started(&[("delete.topic.enable", "false")]);
    create_all(&mut controller, vec![topic("a")]);
    let names = ["a", "b"].map(|name| TopicSelector::Name(name.into()));
    let outcomes = delete(&mut controller, names.to_vec());
    let codes: Vec<ErrorCode> = outcomes.iter().map(|(_, outcome)| code(outcome)).collect();
    assert_eq!(
        codes,
        [
            ErrorCode::TopicDeletionDisabled,
            ErrorCode::UnknownTopicOrPartition
        ]
    );
}

#[test]
fn producer_ids_are_never_handed_out_twice() {
    let mut controller = started(&[]);
    let block =
        |controller: &mut Controller| match ask(controller, &ControlRequest::AllocateProducerIds) {
            ControlAnswer::ProducerIds { first, count } => (first, count),
            other => panic!("another answer: {other:?}"),
        };
    assert_eq!(block(&mut controller), (0, 1000));
    assert_eq!(block(&mut controller), (1000, 1000));
    let planned = controller.handle_request(&ControlRequest::AllocateProducerIds);
    assert_eq!(
        planned.answer,
        ControlAnswer::ProducerIds {
            first: 2000,
            count: 1000
        }
    );
    assert_eq!(
        block(&mut controller),
        (2000, 1000),
        "a plan that was lost counts for nothing"
    );
}
