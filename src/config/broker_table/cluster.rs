// SPDX-License-Identifier: Apache-2.0
//! A broker as a part of its cluster: who it is, the controller, replication, transactions, and
//! what it takes of the machine.
//!
//! Owns: [`CLUSTER_SETTINGS`]. Invariants: sorted by name, as every part of the table.
//! Runs on: any core (constants). Bounded by: the table.

use super::{BrokerSetting, dynamic, fixed, int, long};
use crate::config::broker_table::Use::{Engine, Ignored};
use crate::config::definition::Check;
use crate::config::definition::ConfigType::{Boolean, Double, Int, List, Long, String};

/// The settings of this part, sorted by name.
pub(super) const CLUSTER_SETTINGS: &[BrokerSetting] = &[
    fixed(
        "auto.leader.rebalance.enable",
        Boolean,
        Some("true"),
        Check::Boolean,
        Ignored,
        "Without effect on a single broker.",
    ),
    fixed(
        "broker.id",
        Int,
        Some("-1"),
        int(-1),
        Engine,
        "Older name of node.id.",
    ),
    fixed(
        "broker.rack",
        String,
        None,
        Check::Text,
        Engine,
        "Rack or zone of this broker, told to clients.",
    ),
    fixed(
        "controlled.shutdown.enable",
        Boolean,
        Some("true"),
        Check::Boolean,
        Ignored,
        "Without effect on a single broker.",
    ),
    fixed(
        "controller.listener.names",
        String,
        None,
        Check::Text,
        Ignored,
        "Without effect: the controller is inside the broker.",
    ),
    fixed(
        "controller.quorum.bootstrap.servers",
        List,
        Some(""),
        Check::Text,
        Ignored,
        "Without effect: the metadata quorum is this broker alone.",
    ),
    fixed(
        "controller.quorum.voters",
        List,
        Some(""),
        Check::Text,
        Ignored,
        "Without effect: the metadata quorum is this broker alone.",
    ),
    fixed(
        "cores",
        String,
        Some("0"),
        Check::Cores,
        Engine,
        "Cores that serve data, each with its own executor: how many, or which, like 0-3,6; 0 for \
         all that the process may use and its control group gives time for.",
    ),
    fixed(
        "default.replication.factor",
        Int,
        Some("1"),
        Check::Whole {
            min: 1,
            max: 32_767,
        },
        Engine,
        "Replication factor of a topic that is made without one.",
    ),
    dynamic(
        "follower.replication.throttled.rate",
        Long,
        Some("9223372036854775807"),
        long(0),
        Ignored,
        "Without effect on a single broker.",
    ),
    fixed(
        "inter.broker.protocol.version",
        String,
        Some("4.3"),
        Check::Text,
        Ignored,
        "Version of Apache Kafka whose protocol this broker speaks.",
    ),
    fixed(
        "leader.imbalance.check.interval.seconds",
        Long,
        Some("300"),
        long(1),
        Ignored,
        "Without effect on a single broker.",
    ),
    fixed(
        "leader.imbalance.per.broker.percentage",
        Int,
        Some("10"),
        int(0),
        Ignored,
        "Without effect on a single broker.",
    ),
    dynamic(
        "leader.replication.throttled.rate",
        Long,
        Some("9223372036854775807"),
        long(0),
        Ignored,
        "Without effect on a single broker.",
    ),
    fixed(
        "memory.max.bytes",
        Long,
        Some("0"),
        Check::WholeOr {
            min: 16 * 1024 * 1024,
            max: i64::MAX,
            or: 0,
        },
        Engine,
        "Memory that all data cores together may hold; 0 for half of the machine or cgroup.",
    ),
    fixed(
        "metadata.log.dir",
        String,
        None,
        Check::Text,
        Ignored,
        "Without effect: the metadata log lies in the directory of all data.",
    ),
    fixed(
        "metadata.log.max.record.bytes.between.snapshots",
        Long,
        Some("20971520"),
        long(1),
        Engine,
        "Bytes of metadata records after which a snapshot of the metadata is written.",
    ),
    dynamic(
        "min.insync.replicas",
        Int,
        Some("1"),
        int(1),
        Engine,
        "Default of the topic setting min.insync.replicas.",
    ),
    fixed(
        "node.id",
        Int,
        Some("1"),
        int(0),
        Engine,
        "Number of this broker in its cluster.",
    ),
    dynamic(
        "num.replica.fetchers",
        Int,
        Some("1"),
        int(1),
        Ignored,
        "Without effect on a single broker.",
    ),
    fixed(
        "process.nice",
        Int,
        Some("-10"),
        Check::Whole { min: -20, max: 0 },
        Engine,
        "CPU priority (nice value) that the broker asks for at its start; 0 asks for none. Not a \
         setting of Kafka.",
    ),
    fixed(
        "process.roles",
        List,
        Some(""),
        Check::Text,
        Ignored,
        "Without effect: every process is broker and controller.",
    ),
    dynamic(
        "producer.id.expiration.ms",
        Int,
        Some("86400000"),
        int(1),
        Engine,
        "How long a partition remembers a producer that sends nothing; by the broker's clock, from \
         its start on. A change holds for partitions that are opened after it. Where there are too \
         many producers, those that were idle longest are forgotten earlier.",
    ),
    dynamic(
        "replica.alter.log.dirs.io.max.bytes.per.second",
        Double,
        Some("1.7976931348623157E308"),
        Check::Text,
        Ignored,
        "Without effect: there is one directory of data.",
    ),
    fixed(
        "replica.lag.time.max.ms",
        Long,
        Some("30000"),
        long(0),
        Ignored,
        "Without effect on a single broker.",
    ),
    dynamic(
        "transaction.partition.verification.enable",
        Boolean,
        Some("true"),
        Check::Boolean,
        Ignored,
        "Without effect: there are no transactions.",
    ),
    dynamic(
        "unclean.leader.election.enable",
        Boolean,
        Some("false"),
        Check::Boolean,
        Ignored,
        "Whether a replica outside the ISR may become leader, at the price of acknowledged \
         records.",
    ),
];
