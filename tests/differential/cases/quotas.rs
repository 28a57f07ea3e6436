// SPDX-License-Identifier: Apache-2.0
//! DescribeClientQuotas, AlterClientQuotas and DescribeUserScramCredentials.
//!
//! Owns: [`CASES`]. Invariants: the names of users are those of their case and version, so that
//! what one leaves behind concerns no other.
//! Runs on: one thread for each broker.

use kafka_protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use kafka_protocol::messages::describe_client_quotas_request::ComponentData;
use kafka_protocol::messages::describe_user_scram_credentials_request::UserName;
use kafka_protocol::messages::{
    AlterClientQuotasRequest, DescribeClientQuotasRequest, DescribeUserScramCredentialsRequest,
};
use kafka_protocol::protocol::StrBytes;

use super::configs::text;
use super::{Case, case};
use crate::side::Side;
use crate::value::Value;

const VERSIONS: &[i16] = &[0, 1];

fn part(kind: &str, name: Option<&str>) -> EntityData {
    EntityData::default()
        .with_entity_type(text(kind))
        .with_entity_name(name.map(text))
}

fn set(key: &str, value: f64) -> OpData {
    OpData::default().with_key(text(key)).with_value(value)
}

fn remove(key: &str) -> OpData {
    OpData::default().with_key(text(key)).with_remove(true)
}

fn entry(entity: &[EntityData], ops: &[OpData]) -> EntryData {
    EntryData::default()
        .with_entity(entity.to_vec())
        .with_ops(ops.to_vec())
}

fn alter(side: &mut Side, step: &str, version: i16, entries: Vec<EntryData>) {
    let request = AlterClientQuotasRequest::default().with_entries(entries);
    side.ask(step, version, &request);
}

fn component(kind: &str, match_type: i8, name: Option<&str>) -> ComponentData {
    ComponentData::default()
        .with_entity_type(text(kind))
        .with_match_type(match_type)
        .with_match(name.map(text))
}

fn filter(components: &[ComponentData], strict: bool) -> DescribeClientQuotasRequest {
    DescribeClientQuotasRequest::default()
        .with_components(components.to_vec())
        .with_strict(strict)
}

/// Writes down the quotas of one entity, once it has so many.
fn describe(side: &mut Side, version: i16, components: &[ComponentData], quotas: usize) {
    let request = filter(components, true);
    let answer = side.until(version, &request, |answer| {
        let entries = answer.entries.iter().flatten();
        entries.map(|entry| entry.values.len()).sum::<usize>() == quotas
    });
    side.note("describe", &Value::of(&answer));
}

/// A change that is refused, or not.
fn judge(side: &mut Side, version: i16, entity: &[EntityData], op: OpData) {
    let request = AlterClientQuotasRequest::default()
        .with_entries(vec![entry(entity, &[op])])
        .with_validate_only(true);
    side.ask("alter", version, &request);
}

fn user(what: &str, version: i16) -> StrBytes {
    text(&format!("{what}-{version}"))
}

fn passwords(side: &mut Side, step: &str, version: i16, users: Option<&[&str]>) {
    let users = users.map(|users| {
        let users = users.iter();
        users
            .map(|name| UserName::default().with_name(text(name)))
            .collect()
    });
    let request = DescribeUserScramCredentialsRequest::default().with_users(users);
    side.ask(step, version, &request);
}

pub const CASES: &[Case] = &[
    case("quotas/passwords of users", &[0], |side, version| {
        passwords(side, "all", version, None);
        passwords(side, "an empty list", version, Some(&[]));
        passwords(side, "one", version, Some(&["nobody"]));
        passwords(side, "twice", version, Some(&["b", "a", "b", ""]));
    }),
    case(
        "quotas/set, change and remove",
        VERSIONS,
        |side, version| {
            let name = user("set", version);
            let entity = [part("user", Some(&name))];
            let wanted = [component("user", 0, Some(&name))];
            let both = [
                set("producer_byte_rate", 1024.0),
                set("request_percentage", 12.5),
            ];
            alter(side, "set", version, vec![entry(&entity, &both)]);
            describe(side, version, &wanted, 2);
            let ops = [remove("request_percentage"), set("consumer_byte_rate", 4.0)];
            alter(side, "change", version, vec![entry(&entity, &ops[..1])]);
            describe(side, version, &wanted, 1);
            alter(side, "change", version, vec![entry(&entity, &ops[1..])]);
            describe(side, version, &wanted, 2);
            let gone = [
                remove("producer_byte_rate"),
                remove("consumer_byte_rate"),
                remove("controller_mutation_rate"),
            ];
            alter(side, "remove", version, vec![entry(&entity, &gone)]);
            describe(side, version, &wanted, 0);
        },
    ),
    case(
        "quotas/user with client id, defaults",
        VERSIONS,
        |side, version| {
            let name = user("both", version);
            let entity = [part("user", Some(&name)), part("client-id", None)];
            let op = [set("controller_mutation_rate", 0.5)];
            alter(side, "set", version, vec![entry(&entity, &op)]);
            let wanted = [
                component("user", 0, Some(&name)),
                component("client-id", 1, None),
            ];
            describe(side, version, &wanted, 1);
            let any = [
                component("user", 0, Some(&name)),
                component("client-id", 2, None),
            ];
            describe(side, version, &any, 1);
            describe(side, version, &wanted[..1], 0);
            side.ask("not strict", version, &filter(&wanted[..1], false));
        },
    ),
    case("quotas/addresses", VERSIONS, |side, version| {
        let ip = format!("10.1.2.{version}");
        let entity = [part("ip", Some(&ip))];
        let op = [set("connection_creation_rate", 5.0)];
        alter(side, "set", version, vec![entry(&entity, &op)]);
        describe(side, version, &[component("ip", 0, Some(&ip))], 1);
    }),
    case("quotas/some entities refused", VERSIONS, |side, version| {
        let (good, bad) = (user("good", version), user("bad", version));
        let entries = vec![
            entry(
                &[part("user", Some(&bad))],
                &[set("producer_byte_rate", 0.0)],
            ),
            entry(
                &[part("user", Some(&good))],
                &[set("producer_byte_rate", 7.0)],
            ),
        ];
        alter(side, "set", version, entries);
        describe(side, version, &[component("user", 0, Some(&good))], 1);
    }),
    case("quotas/values", VERSIONS, |side, version| {
        let entity = [part("user", Some("values"))];
        let address = [part("ip", Some("10.0.0.1"))];
        for value in [1.0, 0.0, -1.0, 1.5, 9.3e18, 1e-7] {
            judge(side, version, &entity, set("producer_byte_rate", value));
            judge(side, version, &entity, set("request_percentage", value));
            judge(
                side,
                version,
                &address,
                set("connection_creation_rate", value),
            );
        }
        judge(
            side,
            version,
            &address,
            set("connection_creation_rate", 3e9),
        );
        judge(side, version, &entity, set("no_such_quota", 1.0));
        judge(side, version, &entity, remove("no_such_quota"));
        judge(side, version, &entity, set("connection_creation_rate", 1.0));
        judge(side, version, &address, set("producer_byte_rate", 1.0));
    }),
    case("quotas/odd entities", VERSIONS, |side, version| {
        let odd: [&[EntityData]; 7] = [
            &[],
            &[part("group", Some("g"))],
            &[part("", Some("g"))],
            &[part("user", Some("a")), part("user", Some("b"))],
            &[part("user", Some("a")), part("ip", Some("10.0.0.1"))],
            &[part("user", Some(""))],
            &[part("ip", Some("not an address"))],
        ];
        for entity in odd {
            judge(side, version, entity, set("producer_byte_rate", 1.0));
        }
        judge(
            side,
            version,
            &[part("ip", None)],
            set("connection_creation_rate", 1.0),
        );
    }),
    case("quotas/odd filters", VERSIONS, |side, version| {
        let odd: [&[ComponentData]; 8] = [
            &[component("user", 0, None)],
            &[component("user", 1, Some("a"))],
            &[component("user", 2, Some("a"))],
            &[component("user", 3, None)],
            &[component("", 1, None)],
            &[component("group", 1, None)],
            &[component("user", 1, None), component("user", 0, Some("a"))],
            &[component("user", 1, None), component("ip", 1, None)],
        ];
        for components in odd {
            side.ask("describe", version, &filter(components, false));
        }
    }),
];
