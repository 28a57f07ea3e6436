// SPDX-License-Identifier: Apache-2.0
//! The table of topic settings, as Kafka 4.3 names them.
//!
//! Owns: [`TOPIC_SETTINGS`]. Invariants: sorted by name; every default passes its own check; a
//! default equals that of the broker setting behind it.
//! Runs on: any core (constants). Bounded by: the table.

use super::definition::{Check, ConfigType};
use crate::limits::SEGMENT_BYTES_MIN;

/// How the text of a broker setting becomes the text of the topic setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Convert {
    /// The same text.
    Same,
    /// Minutes to milliseconds.
    Minutes,
    /// Hours to milliseconds.
    Hours,
}

/// One topic setting.
#[derive(Clone, Copy, Debug)]
pub struct TopicSetting {
    /// Name.
    pub name: &'static str,
    /// Type.
    pub kind: ConfigType,
    /// Built-in default in text form.
    pub default: &'static str,
    /// What it accepts.
    pub check: Check,
    /// Broker settings that give its default, the one that counts first.
    pub brokers: &'static [(&'static str, Convert)],
    /// What it does.
    pub documentation: &'static str,
}

const fn setting(
    name: &'static str,
    kind: ConfigType,
    default: &'static str,
    check: Check,
    brokers: &'static [(&'static str, Convert)],
    documentation: &'static str,
) -> TopicSetting {
    TopicSetting {
        name,
        kind,
        default,
        check,
        brokers,
        documentation,
    }
}

const fn int(min: i64) -> Check {
    Check::Whole {
        min,
        max: 2_147_483_647,
    }
}

const fn long(min: i64) -> Check {
    Check::Whole { min, max: i64::MAX }
}

use Convert::{Hours, Minutes, Same};

/// Every topic setting, sorted by name.
pub const TOPIC_SETTINGS: &[TopicSetting] = &[
    setting(
        "cleanup.policy",
        ConfigType::List,
        "delete",
        Check::SomeOf(&["compact", "delete"]),
        &[("log.cleanup.policy", Same)],
        "What becomes of old records: delete removes whole segments by age and size, compact \
         keeps the newest value of \
         each key.",
    ),
    setting(
        "compression.gzip.level",
        ConfigType::Int,
        "-1",
        Check::WholeOr {
            min: 1,
            max: 9,
            or: -1,
        },
        &[("compression.gzip.level", Same)],
        "Level for gzip where compression.type is gzip and a batch came otherwise; -1 for the \
         usual one.",
    ),
    setting(
        "compression.lz4.level",
        ConfigType::Int,
        "9",
        Check::Whole { min: 1, max: 17 },
        &[("compression.lz4.level", Same)],
        "Level for lz4. Accepted without effect: there is one level of it.",
    ),
    setting(
        "compression.type",
        ConfigType::String,
        "producer",
        Check::OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]),
        &[("compression.type", Same)],
        "Codec of stored batches. producer stores them as they come; with any other value, batches \
         that come otherwise are opened and compressed anew, which costs the broker time.",
    ),
    setting(
        "compression.zstd.level",
        ConfigType::Int,
        "3",
        Check::Whole {
            min: -131_072,
            max: 22,
        },
        &[("compression.zstd.level", Same)],
        "Level for zstd where compression.type is zstd and a batch came otherwise.",
    ),
    setting(
        "delete.retention.ms",
        ConfigType::Long,
        "86400000",
        long(0),
        &[("log.cleaner.delete.retention.ms", Same)],
        "How long a compacted topic keeps the marker of a deleted key, in milliseconds.",
    ),
    setting(
        "file.delete.delay.ms",
        ConfigType::Long,
        "60000",
        long(0),
        &[("log.segment.delete.delay.ms", Same)],
        "Accepted without effect: a read under way keeps its file open, so the files of a retired \
         segment need not stay.",
    ),
    setting(
        "flush.messages",
        ConfigType::Long,
        "9223372036854775807",
        long(1),
        &[("log.flush.interval.messages", Same)],
        "Records between two flushes. Setting it (to more than 1) chooses the flush mode interval, \
         in which records are acknowledged once they are written: a loss of power may take them.",
    ),
    setting(
        "flush.mode",
        ConfigType::String,
        "auto",
        Check::OneOf(&["auto", "always", "interval", "never"]),
        &[("log.flush.mode", Same)],
        "When records are acknowledged: always, after a flush; interval, once they are written, \
         with a flush by flush.messages and flush.ms; never, once they are written. auto is \
         always, unless flush.messages or flush.ms are set.",
    ),
    setting(
        "flush.ms",
        ConfigType::Long,
        "9223372036854775807",
        long(0),
        &[
            ("log.flush.interval.ms", Same),
            ("log.flush.scheduler.interval.ms", Same),
        ],
        "Milliseconds from a written record to its flush. Setting it (to more than 0) chooses the \
         flush mode interval, in which records are acknowledged once they are written: a loss of \
         power may take them.",
    ),
    setting(
        "follower.replication.throttled.replicas",
        ConfigType::List,
        "",
        Check::Replicas,
        &[],
        "Replicas whose copying is throttled on the follower's side.",
    ),
    setting(
        "index.interval.bytes",
        ConfigType::Int,
        "4096",
        int(0),
        &[("log.index.interval.bytes", Same)],
        "How many bytes of records lie between two entries of the offset index.",
    ),
    setting(
        "leader.replication.throttled.replicas",
        ConfigType::List,
        "",
        Check::Replicas,
        &[],
        "Replicas whose copying is throttled on the leader's side.",
    ),
    setting(
        "local.retention.bytes",
        ConfigType::Long,
        "-2",
        long(-2),
        &[("log.local.retention.bytes", Same)],
        "Local part of a tiered topic in bytes. Without effect: there is no tiered storage.",
    ),
    setting(
        "local.retention.ms",
        ConfigType::Long,
        "-2",
        long(-2),
        &[("log.local.retention.ms", Same)],
        "Local part of a tiered topic in milliseconds. Without effect: there is no tiered storage.",
    ),
    setting(
        "max.compaction.lag.ms",
        ConfigType::Long,
        "9223372036854775807",
        long(1),
        &[("log.cleaner.max.compaction.lag.ms", Same)],
        "Longest time that a record of a compacted topic may stay uncompacted, in milliseconds.",
    ),
    setting(
        "max.message.bytes",
        ConfigType::Int,
        "1048588",
        int(0),
        &[("message.max.bytes", Same)],
        "Largest record batch, compressed, in bytes. A request frame bounds it too.",
    ),
    setting(
        "message.timestamp.after.max.ms",
        ConfigType::Long,
        "3600000",
        long(0),
        &[("log.message.timestamp.after.max.ms", Same)],
        "How far a producer's timestamp may lie in the broker's future, in milliseconds.",
    ),
    setting(
        "message.timestamp.before.max.ms",
        ConfigType::Long,
        "9223372036854775807",
        long(0),
        &[("log.message.timestamp.before.max.ms", Same)],
        "How far a producer's timestamp may lie in the broker's past, in milliseconds.",
    ),
    setting(
        "message.timestamp.type",
        ConfigType::String,
        "CreateTime",
        Check::OneOf(&["CreateTime", "LogAppendTime"]),
        &[("log.message.timestamp.type", Same)],
        "Whose clock a record carries: the producer's (CreateTime) or the broker's at the append \
         (LogAppendTime).",
    ),
    setting(
        "min.cleanable.dirty.ratio",
        ConfigType::Double,
        "0.5",
        Check::Fraction,
        &[("log.cleaner.min.cleanable.ratio", Same)],
        "Which part of a compacted log must be uncompacted before it is worth a pass.",
    ),
    setting(
        "min.compaction.lag.ms",
        ConfigType::Long,
        "0",
        long(0),
        &[("log.cleaner.min.compaction.lag.ms", Same)],
        "How long a record of a compacted topic stays uncompacted at least, in milliseconds.",
    ),
    setting(
        "min.insync.replicas",
        ConfigType::Int,
        "1",
        int(1),
        &[("min.insync.replicas", Same)],
        "How many in-sync replicas an acks=all produce needs; with fewer it is refused.",
    ),
    setting(
        "preallocate",
        ConfigType::Boolean,
        "false",
        Check::Boolean,
        &[("log.preallocate", Same)],
        "Accepted without effect: files grow ahead of the writer as measured best.",
    ),
    setting(
        "remote.copy.lag.bytes",
        ConfigType::Long,
        "0",
        long(-1),
        &[],
        "Accepted without effect: there is no tiered storage.",
    ),
    setting(
        "remote.copy.lag.ms",
        ConfigType::Long,
        "0",
        long(-1),
        &[],
        "Accepted without effect: there is no tiered storage.",
    ),
    setting(
        "remote.log.copy.disable",
        ConfigType::Boolean,
        "false",
        Check::Boolean,
        &[],
        "Accepted without effect: there is no tiered storage.",
    ),
    setting(
        "remote.log.delete.on.disable",
        ConfigType::Boolean,
        "false",
        Check::Boolean,
        &[],
        "Accepted without effect: there is no tiered storage.",
    ),
    setting(
        "remote.storage.enable",
        ConfigType::Boolean,
        "false",
        Check::Only("false"),
        &[],
        "Tiered storage. There is none: only false is accepted.",
    ),
    setting(
        "retention.bytes",
        ConfigType::Long,
        "-1",
        long(i64::MIN),
        &[("log.retention.bytes", Same)],
        "Size of one partition above which its oldest segments are deleted, in bytes; -1 for no \
         limit.",
    ),
    setting(
        "retention.ms",
        ConfigType::Long,
        "604800000",
        long(-1),
        &[
            ("log.retention.ms", Same),
            ("log.retention.minutes", Minutes),
            ("log.retention.hours", Hours),
        ],
        "Age above which whole segments are deleted, in milliseconds; -1 for no limit.",
    ),
    setting(
        "segment.bytes",
        ConfigType::Int,
        "1073741824",
        int(SEGMENT_BYTES_MIN),
        &[("log.segment.bytes", Same)],
        "Size at which a new segment is begun, in bytes.",
    ),
    setting(
        "segment.index.bytes",
        ConfigType::Int,
        "10485760",
        int(4),
        &[("log.index.size.max.bytes", Same)],
        "Size of an index file at which a new segment is begun, in bytes.",
    ),
    setting(
        "segment.jitter.ms",
        ConfigType::Long,
        "0",
        long(0),
        &[
            ("log.roll.jitter.ms", Same),
            ("log.roll.jitter.hours", Hours),
        ],
        "Accepted without effect: segments are begun exactly at segment.ms.",
    ),
    setting(
        "segment.ms",
        ConfigType::Long,
        "604800000",
        long(1),
        &[("log.roll.ms", Same), ("log.roll.hours", Hours)],
        "Age at which a new segment is begun, in milliseconds.",
    ),
    setting(
        "unclean.leader.election.enable",
        ConfigType::Boolean,
        "false",
        Check::Boolean,
        &[("unclean.leader.election.enable", Same)],
        "Whether a replica outside the ISR may become leader, at the price of acknowledged \
         records.",
    ),
];

/// Accepted but not described, as in Kafka: a segment size below the public minimum, for tests.
pub const INTERNAL_SEGMENT_BYTES: TopicSetting = setting(
    "internal.segment.bytes",
    ConfigType::Int,
    "",
    int(512),
    &[],
    "Size at which a new segment is begun, in bytes, below the minimum of segment.bytes.",
);
