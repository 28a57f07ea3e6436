// SPDX-License-Identifier: Apache-2.0
//! The topic that keeps groups and offsets.
//!
//! Owns: its name. Invariants: it is Kafka's. Runs on: every core. Bounded by: nothing to bound.

/// Kafka's name of the topic.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";
