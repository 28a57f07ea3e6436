// SPDX-License-Identifier: Apache-2.0
//! AlterClientQuotas (49): changes the quotas of users, client ids and addresses (KIP-546).
//!
//! Owns: the layout of its request and response. Invariants: those of [`super::describe`].
//! Runs on: every core. Bounded by: the `max` of each array.

use bytestring::ByteString;

use super::describe::{api, messages, since};
use crate::limits::{QUOTA_ENTITIES_MAX, QUOTA_ENTITY_PARTS_MAX, QUOTA_VALUES_MAX};

api! { 49, versions 0..=1, flexible 1:
AlterClientQuotasRequest => AlterClientQuotasResponse }

messages! {
    /// Changes quotas.
    pub struct AlterClientQuotasRequest {
        /// One entry per entity.
        entries: Vec<EntryData> = Vec::new(), since(0).max(QUOTA_ENTITIES_MAX);
        /// Whether to check only and change nothing.
        validate_only: bool = false, since(0);
    }

    /// An entity and its changes.
    pub struct EntryData {
        /// The parts of the entity.
        entity: Vec<EntityData> = Vec::new(), since(0).max(QUOTA_ENTITY_PARTS_MAX);
        /// The changes.
        ops: Vec<OpData> = Vec::new(), since(0).max(QUOTA_VALUES_MAX);
    }

    /// One part of an entity.
    pub struct EntityData {
        /// The part: user, client-id or ip.
        entity_type: ByteString = ByteString::new(), since(0);
        /// Its name; null for the default.
        entity_name: Option<ByteString> = Some(ByteString::new()), since(0).nullable(0);
    }

    /// One change.
    pub struct OpData {
        /// Name of the quota.
        key: ByteString = ByteString::new(), since(0);
        /// How much.
        value: f64 = 0.0, since(0);
        /// Whether the quota is taken away instead.
        remove: bool = false, since(0);
    }

    /// What became of each entity.
    pub struct AlterClientQuotasResponse {
        /// How long a quota held the client back, in milliseconds.
        throttle_time_ms: i32 = 0, since(0);
        /// One entry per entity.
        entries: Vec<EntryResult> = Vec::new(), since(0).max(QUOTA_ENTITIES_MAX);
    }

    /// What became of one entity.
    pub struct EntryResult {
        /// Error code, 0 for none.
        error_code: i16 = 0, since(0);
        /// What is wrong, for a person.
        error_message: Option<ByteString> = Some(ByteString::new()), since(0).nullable(0);
        /// The parts of the entity.
        entity: Vec<EntityData> = Vec::new(), since(0).max(QUOTA_ENTITY_PARTS_MAX);
    }
}
