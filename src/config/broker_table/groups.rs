// SPDX-License-Identifier: Apache-2.0
//! Groups of consumers, and the topic that keeps them and their offsets.
//!
//! Owns: [`GROUP_SETTINGS`]. Invariants: sorted by name, as every part of the table.
//! Runs on: any core (constants). Bounded by: the table.

use super::{BrokerSetting, PARTITIONS, fixed, int, long};
use crate::config::broker_table::Use::Engine;
use crate::config::definition::Check;
use crate::config::definition::ConfigType::{Int, List, Long, Short, String};
use crate::config::groups::MigrationPolicy;
use crate::limits::SEGMENT_BYTES_MIN;

/// The settings of this part, sorted by name.
pub(super) const GROUP_SETTINGS: &[BrokerSetting] = &[
    fixed(
        "group.consumer.assignors",
        List,
        Some("uniform,range"),
        Check::SomeOf(&["uniform", "range"]),
        Engine,
        "Assignors of the new group protocol; the first one is used unless members like another.",
    ),
    fixed(
        "group.consumer.heartbeat.interval.ms",
        Int,
        Some("5000"),
        int(1),
        Engine,
        "How often members of the new group protocol are told to be heard of.",
    ),
    fixed(
        "group.consumer.max.heartbeat.interval.ms",
        Int,
        Some("15000"),
        int(1),
        Engine,
        "Largest consumer.heartbeat.interval.ms that a group may have of its own.",
    ),
    fixed(
        "group.consumer.max.session.timeout.ms",
        Int,
        Some("60000"),
        int(1),
        Engine,
        "Largest consumer.session.timeout.ms that a group may have of its own.",
    ),
    fixed(
        "group.consumer.max.size",
        Int,
        Some("2147483647"),
        int(1),
        Engine,
        "Most members of one group of the new protocol; more than 100,000 are never taken.",
    ),
    fixed(
        "group.consumer.migration.policy",
        String,
        Some("bidirectional"),
        Check::OneOf(MigrationPolicy::NAMES),
        Engine,
        "Whether a group goes over to the new protocol with its first member that speaks it, and \
         back with the last one.",
    ),
    fixed(
        "group.consumer.min.heartbeat.interval.ms",
        Int,
        Some("5000"),
        int(1),
        Engine,
        "Smallest consumer.heartbeat.interval.ms that a group may have of its own.",
    ),
    fixed(
        "group.consumer.min.session.timeout.ms",
        Int,
        Some("45000"),
        int(1),
        Engine,
        "Smallest consumer.session.timeout.ms that a group may have of its own.",
    ),
    fixed(
        "group.consumer.session.timeout.ms",
        Int,
        Some("45000"),
        int(1),
        Engine,
        "How long a member of the new group protocol may not be heard of before it is taken out.",
    ),
    fixed(
        "group.initial.rebalance.delay.ms",
        Int,
        Some("3000"),
        int(0),
        Engine,
        "How long a new group waits for further members.",
    ),
    fixed(
        "group.max.session.timeout.ms",
        Int,
        Some("1800000"),
        int(0),
        Engine,
        "Longest session timeout that a member may ask for.",
    ),
    fixed(
        "group.max.size",
        Int,
        Some("2147483647"),
        int(1),
        Engine,
        "Most members of one group; more than 100,000 are never taken.",
    ),
    fixed(
        "group.min.session.timeout.ms",
        Int,
        Some("6000"),
        int(0),
        Engine,
        "Shortest session timeout that a member may ask for.",
    ),
    fixed(
        "offset.metadata.max.bytes",
        Int,
        Some("4096"),
        int(0),
        Engine,
        "Most bytes that a client may keep with a committed offset.",
    ),
    fixed(
        "offsets.retention.check.interval.ms",
        Long,
        Some("600000"),
        long(1),
        Engine,
        "How often committed offsets that are too old are looked for.",
    ),
    fixed(
        "offsets.retention.minutes",
        Int,
        Some("10080"),
        int(1),
        Engine,
        "How long committed offsets of an empty group are kept.",
    ),
    fixed(
        "offsets.topic.num.partitions",
        Int,
        Some("50"),
        PARTITIONS,
        Engine,
        "Partitions of the topic of committed offsets, once it is made; they cannot change later.",
    ),
    fixed(
        "offsets.topic.replication.factor",
        Short,
        Some("3"),
        Check::Whole {
            min: 1,
            max: 32_767,
        },
        Engine,
        "Replication factor of the topic of committed offsets, but never more than there are \
         brokers.",
    ),
    fixed(
        "offsets.topic.segment.bytes",
        Int,
        Some("104857600"),
        int(SEGMENT_BYTES_MIN),
        Engine,
        "Segment size of the topic of committed offsets.",
    ),
];
