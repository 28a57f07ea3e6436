// SPDX-License-Identifier: Apache-2.0
//! Requests that change and describe quotas (KIP-546).
//!
//! Owns: nothing. Invariants: each name states its rule. Runs on: the test's thread.
//! Bounded by: the test.

use furlong::model::error_code::ErrorCode;
use furlong::model::quota::{EntityName, QuotaEntity, QuotaKind, QuotaValue};
use furlong::wire::protocol::alter_client_quotas::{
    AlterClientQuotasRequest, EntityData, EntryData, OpData,
};
use furlong::wire::protocol::describe_client_quotas::{
    ComponentData, DescribeClientQuotasRequest, DescribeClientQuotasResponse,
};

use crate::broker::Broker;
use crate::client::call;
use crate::quotas::{client_id, set, user};

fn part(kind: &'static str, name: Option<&'static str>) -> EntityData {
    EntityData {
        entity_type: kind.into(),
        entity_name: name.map(Into::into),
    }
}

fn op(key: &'static str, value: f64) -> OpData {
    OpData {
        key: key.into(),
        value,
        remove: false,
    }
}

fn alter(broker: &mut Broker, entity: Vec<EntityData>, op: OpData) -> i16 {
    let client = broker.connect(0);
    let ops = vec![op];
    let request = AlterClientQuotasRequest {
        entries: vec![EntryData { entity, ops }],
        validate_only: false,
    };
    let codes: Vec<i16> = [0, 1]
        .into_iter()
        .map(|version| call(broker, client, version, &request).entries[0].error_code)
        .collect();
    assert_eq!(codes[0], codes[1]);
    codes[0]
}

#[test]
fn changes_that_make_no_sense_are_refused_and_others_passed_on() {
    let mut broker = Broker::new(1);
    let refused = ErrorCode::InvalidRequest.code();
    let someone = || vec![part("user", Some("alice"))];
    assert_eq!(
        alter(&mut broker, someone(), op("producer_byte_rate", 10.0)),
        0
    );
    let ops = [
        op("producer_byte_rate", 0.0),
        op("producer_byte_rate", -1.0),
        op("producer_byte_rate", f64::NAN),
        op("producer_byte_rate", 1.5),
        op("producer_byte_rate", 1e19),
        op("producer_bytes", 10.0),
        op("connection_creation_rate", 3e9),
    ];
    for op in ops {
        assert_eq!(alter(&mut broker, someone(), op.clone()), refused, "{op:?}");
    }
    assert_eq!(
        alter(&mut broker, someone(), op("request_percentage", 0.5)),
        0
    );
    let entities = [
        vec![part("group", Some("g"))],
        vec![part("user", Some("a")), part("user", None)],
    ];
    for entity in entities {
        let code = alter(&mut broker, entity.clone(), op("producer_byte_rate", 10.0));
        assert_eq!(code, refused, "{entity:?}");
    }
}

fn describe(
    broker: &mut Broker,
    components: &[(&'static str, i8, Option<&'static str>)],
    strict: bool,
) -> DescribeClientQuotasResponse {
    let client = broker.connect(0);
    let components = components
        .iter()
        .map(|(kind, match_type, name)| ComponentData {
            entity_type: (*kind).into(),
            match_type: *match_type,
            match_name: name.map(Into::into),
        });
    let request = DescribeClientQuotasRequest {
        components: components.collect(),
        strict,
    };
    let old = call(broker, client, 0, &request);
    let new = call(broker, client, 1, &request);
    assert_eq!(old, new);
    new
}

/// Values that were told, sorted.
fn told(response: DescribeClientQuotasResponse) -> Vec<u64> {
    assert_eq!(response.error_code, 0, "{response:?}");
    let entries = response.entries.expect("no error");
    let values = entries.iter().flat_map(|entry| &entry.values);
    let mut all: Vec<u64> = values
        .map(|one| QuotaValue::new(one.value).expect("a value").millionths() / 1_000_000)
        .collect();
    all.sort_unstable();
    all
}

#[test]
fn quotas_are_described_by_exact_default_and_any_match() {
    let mut broker = Broker::new(1);
    let rate = QuotaKind::ProducerByteRate;
    let both = |user: Option<&'static str>, client: &'static str| QuotaEntity {
        user: Some(EntityName::from_wire(user.map(Into::into))),
        ..client_id(client)
    };
    let all_users = QuotaEntity {
        user: Some(EntityName::Default),
        ..QuotaEntity::default()
    };
    set(
        &mut broker,
        &[
            (user("alice"), rate, 1.0),
            (all_users, rate, 2.0),
            (both(Some("alice"), "app"), rate, 3.0),
            (both(None, "app"), rate, 4.0),
            (client_id("app"), rate, 5.0),
        ],
    );
    let mut ask = |filter: &[_], strict| told(describe(&mut broker, filter, strict));
    assert_eq!(ask(&[], false), [1, 2, 3, 4, 5]);
    assert_eq!(ask(&[("user", 0, Some("alice"))], false), [1, 3]);
    assert_eq!(ask(&[("user", 0, Some("alice"))], true), [1]);
    assert_eq!(ask(&[("user", 1, None)], false), [2, 4]);
    assert_eq!(ask(&[("user", 2, None)], true), [1, 2]);
    assert_eq!(ask(&[("client-id", 2, None)], false), [3, 4, 5]);
    let both = [("user", 2, None), ("client-id", 0, Some("app"))];
    assert_eq!(ask(&both, true), [3, 4]);
    assert_eq!(ask(&[("ip", 2, None)], false), [0u64; 0]);
    let odd = [
        (vec![("user", 0, None)], ErrorCode::InvalidRequest),
        (vec![("user", 1, Some("a"))], ErrorCode::InvalidRequest),
        (vec![("user", 3, None)], ErrorCode::InvalidRequest),
        (vec![("", 1, None)], ErrorCode::InvalidRequest),
        (
            vec![("user", 1, None), ("user", 2, None)],
            ErrorCode::InvalidRequest,
        ),
        (
            vec![("ip", 2, None), ("user", 2, None)],
            ErrorCode::InvalidRequest,
        ),
        (vec![("group", 2, None)], ErrorCode::UnsupportedVersion),
    ];
    for (filter, code) in odd {
        let response = describe(&mut broker, &filter, false);
        assert_eq!(response.error_code, code.code(), "{filter:?}");
        assert_eq!(response.entries, None);
    }
}
