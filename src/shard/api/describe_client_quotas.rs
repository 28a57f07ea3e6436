// SPDX-License-Identifier: Apache-2.0
//! DescribeClientQuotas (48): quotas of users, client ids and addresses (KIP-546).
//!
//! Owns: its handler. Invariants: what is told is what is in force; entities come in their order.
//! Runs on: the shard that accepted the connection. Bounded by: `QUOTA_ENTITIES_MAX`.

use std::ops::RangeInclusive;

use bytestring::ByteString;

use super::{ApiError, Arrival, Reply};
use crate::control::request::Refusal;
use crate::model::error_code::ErrorCode;
use crate::model::quota::{CLIENT_ID, EntityName, IP, QuotaEntity, USER};
use crate::shard::machine::Shard;
use crate::wire::protocol::describe_client_quotas::{
    ComponentData, DescribeClientQuotasRequest, DescribeClientQuotasResponse, EntityData,
    EntryData, ValueData,
};

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 0..=1;

/// How a part of an entity is matched.
const EXACT: i8 = 0;
const DEFAULT: i8 = 1;
const ANY: i8 = 2;

/// What a part of an entity must be.
enum Wanted {
    Exactly(EntityName),
    Any,
}

/// Answers from the image.
pub fn handle(shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let request: DescribeClientQuotasRequest = arrival.decode()?;
    let filter = match filter(&request.components) {
        Ok(filter) => filter,
        Err(refusal) => {
            return arrival.call.reply(&DescribeClientQuotasResponse {
                error_code: refusal.code.code(),
                error_message: Some(refusal.message),
                entries: None,
                ..DescribeClientQuotasResponse::default()
            });
        }
    };
    let quotas = shard.image().quotas.iter();
    let entries = quotas
        .filter(|(entity, _)| matches(entity, &filter, request.strict))
        .map(|(entity, values)| EntryData {
            entity: parts(entity),
            values: values
                .iter()
                .map(|(kind, value)| ValueData {
                    key: ByteString::from_static(kind.name()),
                    value: value.value(),
                })
                .collect(),
        });
    arrival.call.reply(&DescribeClientQuotasResponse {
        error_message: None,
        entries: Some(entries.collect()),
        ..DescribeClientQuotasResponse::default()
    })
}

fn parts(entity: &QuotaEntity) -> Vec<EntityData> {
    let parts = entity.parts().map(|(kind, name)| EntityData {
        entity_type: ByteString::from_static(kind),
        entity_name: name.to_wire(),
    });
    parts.collect()
}

fn matches(entity: &QuotaEntity, filter: &[(&str, Wanted)], strict: bool) -> bool {
    if strict && entity.parts().count() != filter.len() {
        return false;
    }
    filter.iter().all(|(kind, wanted)| {
        let part = entity.part(kind).flatten();
        part.is_some_and(|part| match wanted {
            Wanted::Exactly(name) => part == name,
            Wanted::Any => true,
        })
    })
}

fn invalid(message: impl Into<ByteString>) -> Refusal {
    Refusal {
        code: ErrorCode::InvalidRequest,
        message: message.into(),
    }
}

/// Kafka's rules for filters.
fn filter(components: &[ComponentData]) -> Result<Vec<(&str, Wanted)>, Refusal> {
    let mut filter: Vec<(&str, Wanted)> = Vec::new();
    for one in components {
        let kind = &*one.entity_type;
        if kind.is_empty() {
            return Err(invalid("the filter names an empty type of entity"));
        }
        if filter.iter().any(|(known, _)| *known == kind) {
            return Err(invalid(format!("the filter names {kind} twice")));
        }
        if ![USER, CLIENT_ID, IP].contains(&kind) {
            let kind: String = kind.chars().take(64).collect();
            return Err(Refusal {
                code: ErrorCode::UnsupportedVersion,
                message: format!("\"{kind}\" is none of {USER}, {CLIENT_ID} and {IP}").into(),
            });
        }
        let wanted = match (one.match_type, &one.match_name) {
            (EXACT, Some(name)) => Wanted::Exactly(EntityName::named(kind, name)),
            (EXACT, None) => return Err(invalid("an exact match needs a name")),
            (DEFAULT, None) => Wanted::Exactly(EntityName::Default),
            (ANY, None) => Wanted::Any,
            (DEFAULT | ANY, Some(_)) => {
                return Err(invalid("only an exact match has a name"));
            }
            (other, _) => return Err(invalid(format!("{other} is no type of match"))),
        };
        filter.push((kind, wanted));
    }
    let has = |kind| filter.iter().any(|(known, _)| *known == kind);
    if has(IP) && (has(USER) || has(CLIENT_ID)) {
        return Err(invalid("an address has no user and no client id"));
    }
    Ok(filter)
}
