// SPDX-License-Identifier: Apache-2.0
//! Transactions, and the topic that keeps them.
//!
//! Owns: [`TRANSACTION_SETTINGS`]. Invariants: sorted by name, as every part of the table.
//! Runs on: any core (constants). Bounded by: the table.

use super::{BrokerSetting, PARTITIONS, fixed, int};
use crate::config::broker_table::Use::{Engine, Ignored};
use crate::config::definition::Check;
use crate::config::definition::ConfigType::{Int, Short};
use crate::limits::SEGMENT_BYTES_MIN;

/// The settings of this part, sorted by name.
pub(super) const TRANSACTION_SETTINGS: &[BrokerSetting] = &[
    fixed(
        "transaction.abort.timed.out.transaction.cleanup.interval.ms",
        Int,
        Some("10000"),
        int(1),
        Ignored,
        "Without effect: a transaction is aborted when its time is over, not at the next look.",
    ),
    fixed(
        "transaction.max.timeout.ms",
        Int,
        Some("900000"),
        int(1),
        Engine,
        "Longest transaction timeout that a producer may ask for.",
    ),
    fixed(
        "transaction.remove.expired.transaction.cleanup.interval.ms",
        Int,
        Some("3600000"),
        int(1),
        Engine,
        "How often transactional ids that have expired are looked for.",
    ),
    fixed(
        "transaction.state.log.min.isr",
        Int,
        Some("2"),
        Check::Whole {
            min: 1,
            max: 32_767,
        },
        Engine,
        "Smallest ISR of the topic of transactions, but never more than its replication factor.",
    ),
    fixed(
        "transaction.state.log.num.partitions",
        Int,
        Some("50"),
        PARTITIONS,
        Engine,
        "Partitions of the topic of transactions, once it is made; they cannot change later.",
    ),
    fixed(
        "transaction.state.log.replication.factor",
        Short,
        Some("3"),
        Check::Whole {
            min: 1,
            max: 32_767,
        },
        Engine,
        "Replication factor of the topic of transactions, but never more than there are brokers.",
    ),
    fixed(
        "transaction.state.log.segment.bytes",
        Int,
        Some("104857600"),
        int(SEGMENT_BYTES_MIN),
        Engine,
        "Segment size of the topic of transactions.",
    ),
    fixed(
        "transactional.id.expiration.ms",
        Int,
        Some("604800000"),
        int(1),
        Engine,
        "How long a transactional id is kept of which nothing is heard.",
    ),
];
