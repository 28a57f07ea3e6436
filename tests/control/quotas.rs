// SPDX-License-Identifier: Apache-2.0
//! Quotas as metadata: changed, kept over restarts and in snapshots; and quotas of changes
//! themselves (KIP-599).

use furlong::control::request::{
    ControlAnswer, ControlRequest, CreatedTopic, MutationAsker, NewTopic, QuotaChange, Refusal,
    TopicSelector,
};
use furlong::model::error_code::ErrorCode;
use furlong::model::quota::{ANONYMOUS, EntityName, QuotaEntity, QuotaKind, QuotaValue};

use crate::host::{Host, create};

fn named(name: &'static str) -> Option<EntityName> {
    Some(EntityName::Named(name.into()))
}

fn user(name: &'static str) -> QuotaEntity {
    QuotaEntity {
        user: named(name),
        ..QuotaEntity::default()
    }
}

fn ip(name: &'static str) -> QuotaEntity {
    QuotaEntity {
        ip: named(name),
        ..QuotaEntity::default()
    }
}

fn value(number: f64) -> Option<QuotaValue> {
    QuotaValue::new(number)
}

type Wanted = (QuotaKind, Option<QuotaValue>);

fn alter(host: &mut Host, entities: &[(QuotaEntity, Wanted)], validate_only: bool) -> Vec<i16> {
    let entities = entities.iter().map(|(entity, change)| QuotaChange {
        entity: entity.clone(),
        changes: vec![*change],
    });
    let request = ControlRequest::AlterQuotas {
        entities: entities.collect(),
        validate_only,
    };
    let ControlAnswer::AlterQuotas(outcomes) = host.ask(request) else {
        panic!("another answer");
    };
    let codes = outcomes.into_iter().map(|outcome| match outcome {
        Ok(()) => 0,
        Err(Refusal { code, message }) => {
            assert!(message.ends_with('.'), "{message}");
            code.code()
        }
    });
    codes.collect()
}

const RATE: QuotaKind = QuotaKind::ProducerByteRate;

#[test]
fn quotas_survive_a_restart_by_the_log_and_by_a_snapshot() {
    for file in [
        &[][..],
        &[("metadata.log.max.record.bytes.between.snapshots", "1")],
    ] {
        let mut host = Host::serving(3, file);
        let both = QuotaEntity {
            client_id: Some(EntityName::Default),
            ..user("alice")
        };
        let wanted = [
            (user("alice"), (RATE, value(1234.5))),
            (both.clone(), (QuotaKind::RequestPercentage, value(0.1))),
            (
                ip("10.0.0.1"),
                (QuotaKind::ConnectionCreationRate, value(9.0)),
            ),
        ];
        assert_eq!(alter(&mut host, &wanted, false), [0, 0, 0]);
        let before = host.image().quotas.clone();
        assert_eq!(before.len(), 3);
        for shard in &host.data {
            let image = shard.applied.as_ref().expect("published");
            assert_eq!(image.quotas, before, "every shard knows them");
        }
        host.crash(2);
        assert_eq!(host.image().quotas, before);
        // One that is taken away leaves nothing behind.
        assert_eq!(
            alter(
                &mut host,
                &[(both.clone(), (QuotaKind::RequestPercentage, None))],
                false
            ),
            [0]
        );
        assert_eq!(
            alter(&mut host, &[(user("nobody"), (RATE, None))], false),
            [0]
        );
        host.restart(2);
        assert!(!host.image().quotas.contains_key(&both));
        assert_eq!(host.image().quotas.len(), 2);
    }
}

#[test]
fn what_is_only_checked_changes_nothing_and_what_is_wrong_is_refused_alone() {
    let mut host = Host::serving(4, &[]);
    let version = host.image().version;
    assert_eq!(
        alter(&mut host, &[(user("a"), (RATE, value(5.0)))], true),
        [0]
    );
    assert_eq!(host.image().version, version);
    let refused = ErrorCode::InvalidRequest.code();
    let odd = [
        (QuotaEntity::default(), (RATE, value(5.0))),
        (user(""), (RATE, value(5.0))),
        (user("a"), (QuotaKind::ConnectionCreationRate, value(5.0))),
        (ip("10.0.0.1"), (RATE, value(5.0))),
        (
            ip("localhost"),
            (QuotaKind::ConnectionCreationRate, value(5.0)),
        ),
        (
            QuotaEntity {
                ip: named("10.0.0.1"),
                ..user("a")
            },
            (RATE, value(5.0)),
        ),
        (user("good"), (RATE, value(5.0))),
    ];
    let codes = alter(&mut host, &odd, false);
    assert_eq!(
        codes,
        [refused, refused, refused, refused, refused, refused, 0]
    );
    assert_eq!(host.image().quotas.len(), 1);
}

fn metered(is_strict: bool, request: ControlRequest) -> ControlRequest {
    ControlRequest::Metered {
        asker: MutationAsker {
            user: ANONYMOUS.into(),
            client_id: "app".into(),
            is_strict,
        },
        request: Box::new(request),
    }
}

/// The outcomes of an answer and for how long its client is held back.
fn taken_apart(answer: ControlAnswer) -> (Vec<Result<CreatedTopic, Refusal>>, i32) {
    let (ms, answer) = match answer {
        ControlAnswer::Throttled { ms, answer } => (ms, *answer),
        answer => (0, answer),
    };
    let ControlAnswer::CreateTopics(outcomes) = answer else {
        panic!("another answer: {answer:?}");
    };
    (
        outcomes.into_iter().map(|(_, outcome)| outcome).collect(),
        ms,
    )
}

/// One partition a second; eleven may come at once.
fn with_mutation_quota(seed: u64) -> Host {
    let mut host = Host::serving(seed, &[]);
    let quota = (QuotaKind::ControllerMutationRate, value(1.0));
    assert_eq!(alter(&mut host, &[(user(ANONYMOUS), quota)], false), [0]);
    host
}

#[test]
fn who_can_be_told_is_refused_once_the_quota_is_overdrawn() {
    let mut host = with_mutation_quota(5);
    let topics = ["a", "b", "c"].map(|name| NewTopic {
        name: name.into(),
        num_partitions: 8,
        replication_factor: -1,
        assignments: Vec::new(),
        configs: Vec::new(),
    });
    let request = |validate_only| ControlRequest::CreateTopics {
        topics: topics.to_vec(),
        validate_only,
    };
    // A check counts nothing.
    let (outcomes, ms) = taken_apart(host.ask(metered(true, request(true))));
    assert_eq!(
        (outcomes.iter().filter(|one| one.is_ok()).count(), ms),
        (3, 0)
    );
    let (outcomes, ms) = taken_apart(host.ask(metered(true, request(false))));
    assert!(
        outcomes[0].is_ok() && outcomes[1].is_ok(),
        "eight of eleven, and an overdraft"
    );
    let refused = outcomes[2].as_ref().expect_err("overdrawn");
    assert_eq!(refused.code, ErrorCode::ThrottlingQuotaExceeded);
    // Sixteen were taken of eleven, less what has come meanwhile.
    assert!((4_900..=5_000).contains(&ms), "{ms}");
    assert!(!host.image().topics.contains_key("c"));
    host.now.monotonic_us += 5_000_000;
    let (outcomes, ms) = taken_apart(host.ask(metered(true, create("c", 8))));
    assert!(outcomes[0].is_ok());
    assert_eq!(ms, 0, "nothing was refused");
}

#[test]
fn who_cannot_be_told_is_made_to_wait_for_all_that_it_took() {
    let mut host = with_mutation_quota(6);
    let (outcomes, ms) = taken_apart(host.ask(metered(false, create("a", 8))));
    assert!(outcomes[0].is_ok());
    assert_eq!(ms, 0);
    let (outcomes, ms) = taken_apart(host.ask(metered(false, create("b", 8))));
    assert!(outcomes[0].is_ok(), "never refused");
    assert!((4_900..=5_000).contains(&ms), "{ms}");
    // Deleting takes as much, and a client without a quota is not counted.
    let delete = ControlRequest::DeleteTopics {
        topics: vec![TopicSelector::Name("a".into())],
    };
    let ControlAnswer::Throttled { ms, .. } = host.ask(metered(false, delete)) else {
        panic!("not held back");
    };
    assert!((12_800..=13_000).contains(&ms), "{ms}");
    let (outcomes, ms) = taken_apart(host.create("c", 100));
    assert!(outcomes[0].is_ok() && ms == 0);
}
