// SPDX-License-Identifier: Apache-2.0
//! Which quota counts for a client.
//!
//! Owns: [`find`]. Invariants: Kafka's eight levels (KIP-13, KIP-55, KIP-124), the most special
//! first: user with client id, user with any client id, user, any user with client id, any user
//! with any client id, any user, client id, any client id. What was found also says who shares it:
//! a quota for users counts all clients of one user together, one for client ids all users of one
//! client id. Who has no client id has no quota for client ids.
//! Runs on: any core. Bounded by: eight searches.

use bytestring::ByteString;

use crate::model::peer::PeerAddress;
use crate::model::quota::{ClientQuotas, EntityName, QuotaEntity, QuotaKind, QuotaValue};

/// Who is counted together.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope {
    /// This user; `None` for all of them.
    pub user: Option<ByteString>,
    /// This client id; `None` for all of them.
    pub client_id: Option<ByteString>,
}

/// A quota that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// How much.
    pub value: QuotaValue,
    /// For whom.
    pub scope: Scope,
}

/// The quota of a kind that counts for a user and a client id, if there is one.
#[must_use]
pub fn find(
    quotas: &ClientQuotas,
    kind: QuotaKind,
    user: &ByteString,
    client_id: &ByteString,
) -> Option<Found> {
    let named = |name: &ByteString| Some(EntityName::Named(name.clone()));
    let users = [named(user), Some(EntityName::Default), None];
    let mut clients = [named(client_id), Some(EntityName::Default), None];
    let clients = match client_id.is_empty() {
        true => &mut clients[2..],
        false => &mut clients[..],
    };
    for user_part in users {
        for client_part in clients.iter() {
            let entity = QuotaEntity {
                user: user_part.clone(),
                client_id: client_part.clone(),
                ip: None,
            };
            let found = quotas.get(&entity).and_then(|values| values.get(&kind));
            if let Some(value) = found {
                let scope = Scope {
                    user: entity.user.map(|_| user.clone()),
                    client_id: entity.client_id.map(|_| client_id.clone()),
                };
                return Some(Found {
                    value: *value,
                    scope,
                });
            }
        }
    }
    None
}

/// The quota of new connections from an address, if there is one.
#[must_use]
pub fn find_of_ip(quotas: &ClientQuotas, peer: PeerAddress) -> Option<QuotaValue> {
    let of = |ip: EntityName| {
        let entity = QuotaEntity {
            ip: Some(ip),
            ..QuotaEntity::default()
        };
        quotas.get(&entity)?.get(&QuotaKind::ConnectionCreationRate)
    };
    let own = || of(EntityName::Named(peer.to_string().into()));
    own().or_else(|| of(EntityName::Default)).copied()
}

/// True if anybody has a quota of this kind.
#[must_use]
pub fn has_any(quotas: &ClientQuotas, kind: QuotaKind) -> bool {
    quotas.values().any(|values| values.contains_key(&kind))
}

#[cfg(test)]
#[path = "lookup/tests.rs"]
mod tests;
