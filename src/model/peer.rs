// SPDX-License-Identifier: Apache-2.0
//! The address of a client, as far as it is counted by.
//!
//! Owns: [`PeerAddress`]. Invariants: an address of version 4 and the same one mapped into version
//! 6 are one address. (`core::net` holds words only: there is no socket in it.)
//! Runs on: every core. Bounded by: 16 bytes.

use core::net::{IpAddr, Ipv6Addr};
use std::fmt;

/// An internet address of version 4 or 6, without a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerAddress(Ipv6Addr);

impl PeerAddress {
    /// Stands for a peer whose address the system does not say.
    pub const UNKNOWN: PeerAddress = PeerAddress(Ipv6Addr::UNSPECIFIED);

    /// Reads an address like `10.0.0.1` or `::1`.
    #[must_use]
    pub fn parse(text: &str) -> Option<PeerAddress> {
        text.parse::<IpAddr>().ok().map(PeerAddress::from)
    }
}

impl From<IpAddr> for PeerAddress {
    fn from(address: IpAddr) -> PeerAddress {
        PeerAddress(match address {
            IpAddr::V4(four) => four.to_ipv6_mapped(),
            IpAddr::V6(six) => six,
        })
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.to_ipv4_mapped() {
            Some(four) => four.fmt(f),
            None => self.0.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_of_one_address_are_one() {
        let four = PeerAddress::parse("10.0.0.1").expect("an address");
        assert_eq!(PeerAddress::parse("::ffff:10.0.0.1"), Some(four));
        assert_eq!(four.to_string(), "10.0.0.1");
        let six = PeerAddress::parse("fe80::1").expect("an address");
        assert_eq!(six.to_string(), "fe80::1");
        assert_ne!(six, four);
        for text in ["", "localhost", "10.0.0", "10.0.0.1:9092"] {
            assert_eq!(PeerAddress::parse(text), None, "{text}");
        }
    }
}
