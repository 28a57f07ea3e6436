// SPDX-License-Identifier: Apache-2.0
//! How many connections clients may have.
//!
//! Owns: [`ConnectionLimits`]. Invariants: a value that does not pass its check never comes here.
//! Runs on: any core. Bounded by: `CONFIG_VALUE_BYTES_MAX` of overrides.

use std::collections::BTreeMap;

use super::layers::BrokerLayers;
use crate::model::peer::PeerAddress;

/// The value of these settings that limits nothing (Kafka's default).
const NO_LIMIT: u32 = 2_147_483_647;

/// The limits that are in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// `max.connections`: of the whole broker.
    pub all: usize,
    /// `max.connections.per.ip`: from one address.
    pub from_one: usize,
    /// `max.connections.per.ip.overrides`: from these addresses.
    pub overrides: BTreeMap<PeerAddress, usize>,
    /// `max.connection.creation.rate`: new ones a second, `None` for any number.
    pub new_per_second: Option<u32>,
}

impl Default for ConnectionLimits {
    fn default() -> ConnectionLimits {
        ConnectionLimits {
            all: widened(NO_LIMIT),
            from_one: widened(NO_LIMIT),
            overrides: BTreeMap::new(),
            new_per_second: None,
        }
    }
}

impl ConnectionLimits {
    /// The limits of a broker.
    #[must_use]
    pub fn of(layers: BrokerLayers<'_>) -> ConnectionLimits {
        let text = |name| {
            let first = layers.values(&[name]).into_iter().next();
            first.map(|found| found.value).unwrap_or_default()
        };
        let number = |name| text(name).trim().parse::<u32>().unwrap_or(NO_LIMIT);
        let overrides = peer_limits(&text("max.connections.per.ip.overrides"));
        let rate = number("max.connection.creation.rate");
        ConnectionLimits {
            all: widened(number("max.connections")),
            from_one: widened(number("max.connections.per.ip")),
            overrides: overrides.unwrap_or_default().into_iter().collect(),
            new_per_second: Some(rate).filter(|rate| *rate < NO_LIMIT),
        }
    }

    /// True if one of them may keep a connection from being served.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        *self != ConnectionLimits::default()
    }

    /// How many connections one address may have.
    #[must_use]
    pub fn of_peer(&self, peer: PeerAddress) -> usize {
        self.overrides.get(&peer).copied().unwrap_or(self.from_one)
    }
}

/// The pairs of `max.connections.per.ip.overrides`; nothing if one of them is none. The number
/// stands behind the last colon, because addresses have colons, too.
pub(super) fn peer_limits(text: &str) -> Option<Vec<(PeerAddress, usize)>> {
    let pairs = text
        .split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (address, number) = pair.rsplit_once(':')?;
            let address = address.trim().trim_start_matches('[').trim_end_matches(']');
            let number = number.trim().parse::<u32>().ok()?;
            Some((PeerAddress::parse(address)?, widened(number)))
        })
        .collect()
}

fn widened(number: u32) -> usize {
    usize::try_from(number).expect("a usize has 32 bits or more")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::broker::validate_dynamic;
    use crate::config::layers::Settings;

    fn limits(settings: &[(&str, &str)]) -> ConnectionLimits {
        let settings: Settings = settings
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect();
        ConnectionLimits::of(BrokerLayers::of_file(&settings))
    }

    #[test]
    fn nothing_is_limited_by_default() {
        assert_eq!(limits(&[]), ConnectionLimits::default());
        assert!(!limits(&[]).is_limited());
        for name in [
            "max.connections",
            "max.connections.per.ip",
            "max.connection.creation.rate",
        ] {
            assert!(limits(&[(name, "7")]).is_limited(), "{name}");
            assert!(!limits(&[(name, "2147483647")]).is_limited(), "{name}");
        }
    }

    #[test]
    fn an_override_counts_for_its_address_only() {
        let set = limits(&[
            ("max.connections.per.ip", "3"),
            (
                "max.connections.per.ip.overrides",
                " 10.0.0.1:500, ::1:20,[fe80::1]:0 ",
            ),
        ]);
        let of = |text| set.of_peer(PeerAddress::parse(text).expect("an address"));
        assert_eq!((of("10.0.0.1"), of("::1"), of("fe80::1")), (500, 20, 0));
        assert_eq!(of("10.0.0.2"), 3);
    }

    #[test]
    fn an_override_that_makes_no_sense_is_refused() {
        let name = "max.connections.per.ip.overrides";
        for good in ["", "10.0.0.1:5", "::1:0"] {
            assert_eq!(validate_dynamic(name, good), Ok(()), "{good}");
        }
        for bad in ["10.0.0.1", "host:5", "10.0.0.1:-1", "10.0.0.1:5;10.0.0.2:6"] {
            let refusal = validate_dynamic(name, bad).expect_err(bad);
            assert!(refusal.to_string().contains("10.0.0.1:500"), "{refusal}");
        }
    }
}
