// SPDX-License-Identifier: Apache-2.0
//! AlterClientQuotas (49): changes quotas of users, client ids and addresses (KIP-546).
//!
//! Owns: its handler. Invariants: the changes of one entity are made together or not at all;
//! success is answered once every shard knows them; answers come in the order of the request.
//! Runs on: the shard that accepted the connection. Bounded by: the frame.

use std::ops::RangeInclusive;

use super::resource::refusal;
use super::{ApiError, Arrival, Reply};
use crate::control::request::{ControlAnswer, ControlRequest, QuotaChange, Refusal};
use crate::model::quota::{CLIENT_ID, EntityName, IP, QuotaEntity, QuotaKind, QuotaValue, USER};
use crate::shard::machine::Shard;
use crate::shard::request_table::Call;
use crate::wire::protocol::alter_client_quotas::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, EntityData, EntryData, EntryResult, OpData,
};

/// Versions that are served.
pub const VERSIONS: RangeInclusive<i16> = 0..=1;

/// Asks the controller for the changes that make sense.
pub fn handle(shard: &mut Shard, mut arrival: Arrival<'_>) -> Result<Reply, ApiError> {
    let request: AlterClientQuotasRequest = arrival.decode()?;
    let mut entities = Vec::new();
    let mut refused = Vec::with_capacity(request.entries.len());
    for entry in request.entries {
        let refusal = match change(&entry) {
            Ok(change) => {
                entities.push(change);
                None
            }
            Err(refusal) => Some(refusal),
        };
        refused.push((entry.entity, refusal));
    }
    let alter = ControlRequest::AlterQuotas {
        entities,
        validate_only: request.validate_only,
    };
    let finish = move |_: &Shard, call: &Call, answer: ControlAnswer| finish(call, refused, answer);
    shard.ask_control(arrival.call, alter, Box::new(finish), arrival.effects);
    Ok(Reply::Pending)
}

fn finish(
    call: &Call,
    refused: Vec<(Vec<EntityData>, Option<Refusal>)>,
    answer: ControlAnswer,
) -> Result<Reply, ApiError> {
    let ControlAnswer::AlterQuotas(outcomes) = answer else {
        return Ok(Reply::Close);
    };
    let mut outcomes = outcomes.into_iter().map(Result::err);
    let entries = refused.into_iter().map(|(entity, refusal)| {
        let refusal = refusal.or_else(|| outcomes.next().flatten());
        EntryResult {
            error_code: refusal.as_ref().map_or(0, |refusal| refusal.code.code()),
            error_message: refusal.map(|refusal| refusal.message),
            entity,
        }
    });
    call.reply(&AlterClientQuotasResponse {
        entries: entries.collect(),
        ..AlterClientQuotasResponse::default()
    })
}

fn change(entry: &EntryData) -> Result<QuotaChange, Refusal> {
    let mut entity = QuotaEntity::default();
    for part in &entry.entity {
        let place = match &*part.entity_type {
            USER => &mut entity.user,
            CLIENT_ID => &mut entity.client_id,
            IP => &mut entity.ip,
            other => {
                let other: String = other.chars().take(64).collect();
                return Err(refusal(format!(
                    "\"{other}\" is none of {USER}, {CLIENT_ID} and {IP}"
                )));
            }
        };
        if place.is_some() {
            return Err(refusal(format!(
                "the entity has two parts of type {}",
                part.entity_type
            )));
        }
        *place = Some(match &part.entity_name {
            Some(name) => EntityName::named(&part.entity_type, name),
            None => EntityName::Default,
        });
    }
    let changes = entry.ops.iter().map(operation);
    Ok(QuotaChange {
        entity,
        changes: changes.collect::<Result<_, _>>()?,
    })
}

fn operation(op: &OpData) -> Result<(QuotaKind, Option<QuotaValue>), Refusal> {
    let Some(kind) = QuotaKind::parse(&op.key) else {
        let key: String = op.key.chars().take(64).collect();
        return Err(refusal(format!("there is no quota \"{key}\"")));
    };
    if op.remove {
        return Ok((kind, None));
    }
    let Some(value) = QuotaValue::new(op.value) else {
        return Err(refusal(format!(
            "{} must be greater than 0, and a number",
            kind.name()
        )));
    };
    // Kafka's types of these quotas, and how far from a whole number it lets them be.
    let most = match kind {
        QuotaKind::ProducerByteRate | QuotaKind::ConsumerByteRate => 9.223_372_036_854_776e18,
        QuotaKind::ConnectionCreationRate => 2_147_483_647.0,
        QuotaKind::RequestPercentage | QuotaKind::ControllerMutationRate => f64::INFINITY,
    };
    if op.value > most {
        return Err(refusal(format!("{} is too large", kind.name())));
    }
    if most.is_finite() && (op.value - op.value.round()).abs() > 1e-6 {
        return Err(refusal(format!("{} must be a whole number", kind.name())));
    }
    Ok((kind, Some(value)))
}
