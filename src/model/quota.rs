// SPDX-License-Identifier: Apache-2.0
//! Quotas as the metadata knows them: whose, of what, how much.
//!
//! Owns: the vocabulary. Invariants: a value is a finite number above 0; an entity has at least one
//! part; the order of entities and kinds is that of their types.
//! Runs on: every core (values). Bounded by: `QUOTA_ENTITIES_MAX`, `QUOTA_NAME_BYTES_MAX`.

use std::collections::BTreeMap;

use bytestring::ByteString;

use super::peer::PeerAddress;

/// The quotas of all entities.
pub type ClientQuotas = BTreeMap<QuotaEntity, BTreeMap<QuotaKind, QuotaValue>>;

/// What a quota bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QuotaKind {
    /// Bytes of produce requests, a second.
    ProducerByteRate,
    /// Bytes of answers to fetches, a second.
    ConsumerByteRate,
    /// Time of one core that requests take, in percent (KIP-124).
    RequestPercentage,
    /// Partitions that are made or deleted, a second (KIP-599).
    ControllerMutationRate,
    /// New connections, a second (KIP-612).
    ConnectionCreationRate,
}

impl QuotaKind {
    /// All of them.
    pub const ALL: [QuotaKind; 5] = [
        QuotaKind::ProducerByteRate,
        QuotaKind::ConsumerByteRate,
        QuotaKind::RequestPercentage,
        QuotaKind::ControllerMutationRate,
        QuotaKind::ConnectionCreationRate,
    ];

    /// Kafka's name of it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            QuotaKind::ProducerByteRate => "producer_byte_rate",
            QuotaKind::ConsumerByteRate => "consumer_byte_rate",
            QuotaKind::RequestPercentage => "request_percentage",
            QuotaKind::ControllerMutationRate => "controller_mutation_rate",
            QuotaKind::ConnectionCreationRate => "connection_creation_rate",
        }
    }

    /// Its place in [`QuotaKind::ALL`].
    #[must_use]
    pub const fn place(self) -> usize {
        match self {
            QuotaKind::ProducerByteRate => 0,
            QuotaKind::ConsumerByteRate => 1,
            QuotaKind::RequestPercentage => 2,
            QuotaKind::ControllerMutationRate => 3,
            QuotaKind::ConnectionCreationRate => 4,
        }
    }

    /// The kind with this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<QuotaKind> {
        QuotaKind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A part of an entity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntityName {
    /// All that have nothing of their own.
    Default,
    /// The one with this name.
    Named(ByteString),
}

impl EntityName {
    /// As the wire says it: null stands for the default.
    #[must_use]
    pub fn from_wire(name: Option<ByteString>) -> EntityName {
        name.map_or(EntityName::Default, EntityName::Named)
    }

    /// The name of a part of this kind. An address has one name however it is written.
    #[must_use]
    pub fn named(kind: &str, name: &str) -> EntityName {
        let address = || PeerAddress::parse(name).map(|address| address.to_string());
        let name = match kind {
            IP => address().unwrap_or_else(|| name.to_owned()),
            _ => name.to_owned(),
        };
        EntityName::Named(name.into())
    }

    /// Likewise, the other way.
    #[must_use]
    pub fn to_wire(&self) -> Option<ByteString> {
        match self {
            EntityName::Default => None,
            EntityName::Named(name) => Some(name.clone()),
        }
    }
}

/// Whom a quota concerns: a user, a client id, both together, or an address.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct QuotaEntity {
    /// The user.
    pub user: Option<EntityName>,
    /// The client id.
    pub client_id: Option<EntityName>,
    /// The address.
    pub ip: Option<EntityName>,
}

/// The user of a connection that nobody has authenticated.
pub const ANONYMOUS: &str = "ANONYMOUS";

/// Kafka's names of the parts of an entity.
pub const USER: &str = "user";
/// Likewise.
pub const CLIENT_ID: &str = "client-id";
/// Likewise.
pub const IP: &str = "ip";

impl QuotaEntity {
    /// The part with this name of the wire, if there is such a part.
    #[must_use]
    pub fn part(&self, kind: &str) -> Option<Option<&EntityName>> {
        match kind {
            USER => Some(self.user.as_ref()),
            CLIENT_ID => Some(self.client_id.as_ref()),
            IP => Some(self.ip.as_ref()),
            _ => None,
        }
    }

    /// The parts that are there, by their names of the wire.
    pub fn parts(&self) -> impl Iterator<Item = (&'static str, &EntityName)> {
        let all = [
            (USER, &self.user),
            (CLIENT_ID, &self.client_id),
            (IP, &self.ip),
        ];
        all.into_iter()
            .filter_map(|(kind, name)| Some((kind, name.as_ref()?)))
    }
}

/// How much a quota allows: a finite number above 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaValue {
    bits: u64,
}

impl QuotaValue {
    /// This much, if it is a finite number above 0.
    #[must_use]
    pub fn new(value: f64) -> Option<QuotaValue> {
        (value.is_finite() && value > 0.0).then(|| QuotaValue {
            bits: value.to_bits(),
        })
    }

    /// As the wire says it.
    #[must_use]
    pub fn value(self) -> f64 {
        f64::from_bits(self.bits)
    }

    /// Millionths of it, at least one, so that rates are counted in whole numbers. Past 64 bits
    /// (18 TB a second) it is the largest.
    #[must_use]
    pub fn millionths(self) -> u64 {
        let text = format!("{:.0}", self.value() * 1e6);
        text.parse().unwrap_or(u64::MAX).max(1)
    }

    /// As text that gives exactly it again.
    #[must_use]
    pub fn to_text(self) -> ByteString {
        self.value().to_string().into()
    }

    /// Reads such a text.
    #[must_use]
    pub fn from_text(text: &str) -> Option<QuotaValue> {
        QuotaValue::new(text.parse().ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_finite_numbers_above_zero_are_values() {
        for odd in [0.0, -0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(QuotaValue::new(odd), None, "{odd}");
        }
        let millionths = |value| QuotaValue::new(value).expect("a value").millionths();
        assert_eq!(millionths(1.0), 1_000_000);
        assert_eq!(millionths(0.25), 250_000);
        assert_eq!(millionths(1e-30), 1, "never nothing");
        assert_eq!(millionths(1e300), u64::MAX);
    }

    #[test]
    fn an_address_has_one_name() {
        let named = |kind, name| EntityName::named(kind, name).to_wire();
        assert_eq!(named(IP, "::ffff:10.0.0.1").as_deref(), Some("10.0.0.1"));
        assert_eq!(named(IP, "FE80::0:1").as_deref(), Some("fe80::1"));
        assert_eq!(named(IP, "localhost").as_deref(), Some("localhost"));
        assert_eq!(named(USER, "FE80::0:1").as_deref(), Some("FE80::0:1"));
    }

    #[test]
    fn kinds_have_the_names_and_places_that_they_say() {
        for (place, kind) in QuotaKind::ALL.into_iter().enumerate() {
            assert_eq!(QuotaKind::parse(kind.name()), Some(kind));
            assert_eq!(kind.place(), place);
        }
        assert_eq!(QuotaKind::parse("producer.byte.rate"), None);
    }

    proptest! {
        #[test]
        fn a_value_survives_its_text(bits in any::<u64>()) {
            if let Some(value) = QuotaValue::new(f64::from_bits(bits)) {
                prop_assert_eq!(QuotaValue::from_text(&value.to_text()), Some(value));
            }
        }
    }
}
