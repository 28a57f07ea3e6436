// SPDX-License-Identifier: Apache-2.0
//! The features of the cluster (KIP-584), by Kafka's names.
//!
//! Owns: [`FEATURES`]. Invariants: a level is offered only where what Kafka means by it is true
//! here: level 0 of a feature is its absence. Each feature has one level for now, so no update can
//! change one. (The level of our own metadata records is kept apart from these.)
//! Runs on: any core (constants). Bounded by: the list.

/// One feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Kafka's name.
    pub name: &'static str,
    /// The only level that is supported, and the one that is finalized.
    pub level: i16,
}

/// Every feature, by name.
pub const FEATURES: &[Feature] = &[
    Feature {
        name: "eligible.leader.replicas.version",
        level: 0,
    },
    Feature {
        // The new group protocol (KIP-848).
        name: "group.version",
        level: 1,
    },
    Feature {
        name: "kraft.version",
        level: 0,
    },
    Feature {
        // 4.3-IV0: clients infer the release of Kafka from it.
        name: "metadata.version",
        level: 30,
    },
    Feature {
        name: "transaction.version",
        level: 2,
    },
];

/// The feature of this name.
#[must_use]
pub fn feature(name: &str) -> Option<&'static Feature> {
    FEATURES.iter().find(|feature| feature.name == name)
}
