// SPDX-License-Identifier: Apache-2.0
//! Quotas of clients: their records, and how requests change them.
//!
//! Owns: [`alter`], [`replay`], [`each_record`]. Invariants: the changes of one entity are made
//! together or not at all; an entity without a quota is not there; a record of a quota that this
//! release does not know, or whose value it does not accept, changes nothing.
//! Runs on: the control shard. Bounded by: `QUOTA_ENTITIES_MAX`, `METADATA_BATCH_BYTES_MAX`.

use std::collections::BTreeMap;

use bytestring::ByteString;

use super::record_list::RecordList;
use super::request::{QuotaChange, Refusal};
use super::state::MetadataState;
use super::topics::refusal;
use crate::limits::{CLIENT_ID_BYTES_KEPT_MAX, QUOTA_ENTITIES_MAX, QUOTA_NAME_BYTES_MAX};
use crate::model::error_code::ErrorCode;
use crate::model::peer::PeerAddress;
use crate::model::quota::{
    CLIENT_ID, ClientQuotas, EntityName, QuotaEntity, QuotaKind, QuotaValue,
};
use crate::wire::schema::record::{ClientQuotaRecord, MetadataRecord};

/// Bits of `ClientQuotaRecord::parts`.
const USER_PART: u16 = 1;
const CLIENT_ID_PART: u16 = 2;
const IP_PART: u16 = 4;

type Outcome = Result<(), Refusal>;

/// Plans one request to change quotas.
pub(super) fn alter(
    state: &MetadataState,
    entities: &[QuotaChange],
    validate_only: bool,
    list: &mut RecordList,
) -> Vec<Outcome> {
    let before = &state.image().quotas;
    let mut added = 0;
    let plan = |change: &QuotaChange| {
        check(change)?;
        let is_new = !before.contains_key(&change.entity);
        let adds = is_new && change.changes.iter().any(|(_, value)| value.is_some());
        if adds && before.len() + added >= QUOTA_ENTITIES_MAX {
            let message = format!("There are {QUOTA_ENTITIES_MAX} entities with quotas already.");
            return Err(refusal(ErrorCode::PolicyViolation, message));
        }
        if validate_only {
            return Ok(());
        }
        let records = records(before.get(&change.entity), change);
        list.extend(records)
            .map_err(|error| refusal(ErrorCode::PolicyViolation, error.to_string()))?;
        added += usize::from(adds);
        Ok(())
    };
    entities.iter().map(plan).collect()
}

/// The records of what really changes.
fn records(
    before: Option<&BTreeMap<QuotaKind, QuotaValue>>,
    change: &QuotaChange,
) -> Vec<MetadataRecord> {
    // Of changes to one quota the last one counts.
    let wanted: BTreeMap<QuotaKind, Option<QuotaValue>> = change.changes.iter().copied().collect();
    let now = |kind: &QuotaKind| before.and_then(|quotas| quotas.get(kind)).copied();
    let changed = wanted
        .into_iter()
        .filter(|(kind, value)| now(kind) != *value);
    changed
        .map(|(kind, value)| record(&change.entity, kind, value))
        .collect()
}

fn invalid(message: impl Into<ByteString>) -> Outcome {
    Err(refusal(ErrorCode::InvalidRequest, message))
}

/// Of client ids no more is known than is kept for each connection.
fn name_bytes_max(kind: &str) -> usize {
    match kind {
        CLIENT_ID => CLIENT_ID_BYTES_KEPT_MAX,
        _ => QUOTA_NAME_BYTES_MAX,
    }
}

/// Kafka's rules for what may have which quota.
fn check(change: &QuotaChange) -> Outcome {
    let entity = &change.entity;
    if *entity == QuotaEntity::default() {
        return invalid("A quota needs a user, a client id or an address that it is for.");
    }
    if entity.ip.is_some() && (entity.user.is_some() || entity.client_id.is_some()) {
        return invalid("A quota of an address is for no user and no client id.");
    }
    for (kind, name) in entity.parts() {
        match name {
            EntityName::Named(name) if name.is_empty() => {
                return invalid(format!("The {kind} has an empty name."));
            }
            EntityName::Named(name) if name.len() > name_bytes_max(kind) => {
                let most = name_bytes_max(kind);
                return invalid(format!(
                    "The name of the {kind} is longer than {most} bytes."
                ));
            }
            _ => {}
        }
    }
    if let Some(EntityName::Named(ip)) = &entity.ip
        && PeerAddress::parse(ip).is_none()
    {
        return invalid(format!(
            "\"{}\" is no address like 10.0.0.1 or ::1 (host names are not looked up).",
            ip.chars().take(64).collect::<String>()
        ));
    }
    let is_of_ip = |kind: QuotaKind| kind == QuotaKind::ConnectionCreationRate;
    for (kind, _) in &change.changes {
        if is_of_ip(*kind) != entity.ip.is_some() {
            return invalid(format!(
                "{} is a quota of {}.",
                kind.name(),
                if is_of_ip(*kind) {
                    "addresses"
                } else {
                    "users and client ids"
                }
            ));
        }
    }
    Ok(())
}

fn record(entity: &QuotaEntity, kind: QuotaKind, value: Option<QuotaValue>) -> MetadataRecord {
    let bit = |name: &Option<EntityName>, bit| if name.is_some() { bit } else { 0 };
    let name = |name: &Option<EntityName>| name.as_ref().and_then(EntityName::to_wire);
    MetadataRecord::ClientQuotaRecord(ClientQuotaRecord {
        parts: bit(&entity.user, USER_PART)
            | bit(&entity.client_id, CLIENT_ID_PART)
            | bit(&entity.ip, IP_PART),
        user: name(&entity.user),
        client_id: name(&entity.client_id),
        ip: name(&entity.ip),
        name: ByteString::from_static(kind.name()),
        value: value.map(QuotaValue::to_text),
    })
}

fn entity(record: &ClientQuotaRecord) -> QuotaEntity {
    let part = |bit, name: &Option<ByteString>| {
        (record.parts & bit != 0).then(|| EntityName::from_wire(name.clone()))
    };
    QuotaEntity {
        user: part(USER_PART, &record.user),
        client_id: part(CLIENT_ID_PART, &record.client_id),
        ip: part(IP_PART, &record.ip),
    }
}

/// Replays a record.
pub(super) fn replay(quotas: &mut ClientQuotas, record: &ClientQuotaRecord) {
    let (entity, kind) = (entity(record), QuotaKind::parse(&record.name));
    let Some(kind) = kind.filter(|_| entity != QuotaEntity::default()) else {
        return;
    };
    match &record.value {
        Some(text) => {
            if let Some(value) = QuotaValue::from_text(text) {
                quotas.entry(entity).or_default().insert(kind, value);
            }
        }
        None => {
            if let Some(values) = quotas.get_mut(&entity) {
                values.remove(&kind);
                if values.is_empty() {
                    quotas.remove(&entity);
                }
            }
        }
    }
}

/// The records that make these quotas from nothing.
pub(super) fn each_record(quotas: &ClientQuotas, mut each: impl FnMut(MetadataRecord)) {
    for (entity, values) in quotas {
        for (kind, value) in values {
            each(record(entity, *kind, Some(*value)));
        }
    }
}
