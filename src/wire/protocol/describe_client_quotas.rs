// SPDX-License-Identifier: Apache-2.0
//! DescribeClientQuotas (48): the quotas of users, client ids and addresses (KIP-546).
//!
//! Owns: the layout of its request and response. Invariants: those of [`super::describe`].
//! Runs on: every core. Bounded by: the `max` of each array.

use bytestring::ByteString;

use super::describe::{api, messages, since};
use crate::limits::{QUOTA_ENTITIES_MAX, QUOTA_ENTITY_PARTS_MAX, QUOTA_VALUES_MAX};

api! { 48, versions 0..=1, flexible 1:
DescribeClientQuotasRequest => DescribeClientQuotasResponse }

messages! {
    /// Asks for the quotas of some entities.
    pub struct DescribeClientQuotasRequest {
        /// What an entity must have to be told.
        components: Vec<ComponentData> = Vec::new(), since(0).max(QUOTA_ENTITY_PARTS_MAX);
        /// Whether an entity with parts that are not named here is left out.
        strict: bool = false, since(0);
    }

    /// What one part of an entity must be.
    pub struct ComponentData {
        /// The part: user, client-id or ip.
        entity_type: ByteString = ByteString::new(), since(0);
        /// 0 this name, 1 the default, 2 anything.
        match_type: i8 = 0, since(0);
        /// The name, for 0.
        match_name: Option<ByteString> = Some(ByteString::new()), since(0).nullable(0);
    }

    /// Entities and their quotas.
    pub struct DescribeClientQuotasResponse {
        /// How long a quota held the client back, in milliseconds.
        throttle_time_ms: i32 = 0, since(0);
        /// Error code, 0 for none.
        error_code: i16 = 0, since(0);
        /// What is wrong, for a person.
        error_message: Option<ByteString> = Some(ByteString::new()), since(0).nullable(0);
        /// One entry per entity; null where there is an error.
        entries: Option<Vec<EntryData>> = Some(Vec::new()),
            since(0).nullable(0).max(QUOTA_ENTITIES_MAX);
    }

    /// An entity and its quotas.
    pub struct EntryData {
        /// The parts of the entity.
        entity: Vec<EntityData> = Vec::new(), since(0).max(QUOTA_ENTITY_PARTS_MAX);
        /// Its quotas.
        values: Vec<ValueData> = Vec::new(), since(0).max(QUOTA_VALUES_MAX);
    }

    /// One part of an entity.
    pub struct EntityData {
        /// The part: user, client-id or ip.
        entity_type: ByteString = ByteString::new(), since(0);
        /// Its name; null for the default.
        entity_name: Option<ByteString> = Some(ByteString::new()), since(0).nullable(0);
    }

    /// One quota.
    pub struct ValueData {
        /// Its name.
        key: ByteString = ByteString::new(), since(0);
        /// How much.
        value: f64 = 0.0, since(0);
    }
}
