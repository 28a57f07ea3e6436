// SPDX-License-Identifier: Apache-2.0
//! The settings of one log, narrowed from those of its topic.
//!
//! Owns: [`LogConfig`], [`AppendRules`]. Invariants: a compacted topic's batches need keys.
//! Runs on: the core of the partition. Bounded by: its fields.

use crate::limits::{DECOMPRESSED_BYTES_MAX, RECORD_BATCH_BYTES_MAX};
use crate::model::time::Now;
use crate::model::topic_config::{
    CleanupPolicy, CompactionConfig, FlushMode, StoredCodec, TimestampType, TopicConfig,
};
use crate::wire::record::recompress::Target;
use crate::wire::record::{BatchRules, Compression};

/// What a log needs to know of its topic's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// `cleanup.policy`.
    pub cleanup_policy: CleanupPolicy,
    /// `retention.ms`; `None` keeps for ever.
    pub retention_ms: Option<u64>,
    /// `retention.bytes`; `None` is without limit.
    pub retention_bytes: Option<u64>,
    /// Of a compacted topic.
    pub compaction: CompactionConfig,
    /// `segment.bytes`.
    pub segment_bytes: u32,
    /// `segment.ms`.
    pub segment_ms: u64,
    /// `index.interval.bytes`.
    pub index_interval_bytes: u32,
    /// `segment.index.bytes`.
    pub segment_index_bytes: u32,
    /// `max.message.bytes`.
    pub max_message_bytes: u32,
    /// `compression.type`.
    pub stored_codec: StoredCodec,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `flush.mode`.
    pub flush_mode: FlushMode,
    /// `message.timestamp.before.max.ms`.
    pub timestamp_before_max_ms: u64,
    /// `message.timestamp.after.max.ms`.
    pub timestamp_after_max_ms: u64,
}

impl From<&TopicConfig> for LogConfig {
    fn from(topic: &TopicConfig) -> LogConfig {
        LogConfig {
            cleanup_policy: topic.cleanup_policy,
            retention_ms: topic.retention_ms,
            retention_bytes: topic.retention_bytes,
            compaction: topic.compaction,
            segment_bytes: topic.segment_bytes,
            segment_ms: topic.segment_ms,
            index_interval_bytes: topic.index_interval_bytes,
            segment_index_bytes: topic.segment_index_bytes,
            max_message_bytes: topic.max_message_bytes,
            stored_codec: topic.stored_codec,
            timestamp_type: topic.timestamp_type,
            flush_mode: topic.flush_mode,
            timestamp_before_max_ms: topic.timestamp_before_max_ms,
            timestamp_after_max_ms: topic.timestamp_after_max_ms,
        }
    }
}

impl LogConfig {
    /// The codec in which batches are stored; nothing if it is their producer's.
    #[must_use]
    pub(super) fn target(&self, rules: AppendRules) -> Option<Target> {
        let (codec, level) = match self.stored_codec {
            _ if !rules.client => return None,
            StoredCodec::Producer => return None,
            StoredCodec::Uncompressed => (Compression::None, None),
            StoredCodec::Gzip(level) => (Compression::Gzip, Some(level)),
            StoredCodec::Snappy => (Compression::Snappy, None),
            StoredCodec::Lz4 => (Compression::Lz4, None),
            StoredCodec::Zstd(level) => (Compression::Zstd, Some(level)),
        };
        Some(Target { codec, level })
    }

    /// How old the last segment may become: a compacted log's no older than its records may stay
    /// uncompacted.
    #[must_use]
    pub(super) fn segment_ms_max(&self) -> u64 {
        let lag_ms_max = self.compaction.lag_ms_max;
        let lag_ms_max = lag_ms_max.filter(|_| self.cleanup_policy.compact);
        lag_ms_max.map_or(self.segment_ms, |lag_ms| lag_ms.min(self.segment_ms))
    }

    /// What a batch must satisfy to enter this log at this moment.
    #[must_use]
    pub(super) fn batch_rules(&self, now: Now, rules: AppendRules) -> BatchRules {
        if !rules.client {
            return BatchRules::BROKER;
        }
        let checks_time = self.timestamp_type == TimestampType::CreateTime;
        let earliest = now
            .wall_ms
            .saturating_sub_unsigned(self.timestamp_before_max_ms);
        let latest = now
            .wall_ms
            .saturating_add_unsigned(self.timestamp_after_max_ms);
        BatchRules {
            size_bytes_max: usize::try_from(self.max_message_bytes)
                .map_or(RECORD_BATCH_BYTES_MAX, |max| {
                    max.min(RECORD_BATCH_BYTES_MAX)
                }),
            timestamp_min: if checks_time { earliest } else { i64::MIN },
            timestamp_max: if checks_time { latest } else { i64::MAX },
            key_required: self.cleanup_policy.compact,
            opened_bytes_max: DECOMPRESSED_BYTES_MAX,
            ..BatchRules::CLIENT
        }
    }
}

/// Which checks an append passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendRules {
    /// The batches come from a client: its topic's settings hold, no control batches, timestamps
    /// are checked or replaced. Without it only the form of the batches is checked.
    pub client: bool,
    /// Producer ids, epochs and sequences are checked and remembered.
    pub idempotence: bool,
    /// The coordinator of the producer's transaction knows of this partition: a batch may begin it
    /// here. Without it a batch may only go on with one that is open (KIP-890).
    pub may_begin: bool,
    /// The epoch of a marker is greater than that of the records that it ends (KIP-1228).
    pub epoch_rises: bool,
}

impl AppendRules {
    /// A produce request.
    pub const CLIENT: AppendRules = AppendRules {
        client: true,
        idempotence: true,
        may_begin: false,
        epoch_rises: false,
    };
    /// A produce request in a transaction whose coordinator was asked.
    pub const VERIFIED: AppendRules = AppendRules {
        may_begin: true,
        ..AppendRules::CLIENT
    };
    /// What the broker writes for a producer, in a transaction whose coordinator was asked.
    pub const ON_BEHALF: AppendRules = AppendRules {
        client: false,
        ..AppendRules::VERIFIED
    };
    /// The end of a transaction.
    pub const MARKER: AppendRules = AppendRules {
        client: false,
        ..AppendRules::CLIENT
    };
    /// The broker's own records.
    pub const INTERNAL: AppendRules = AppendRules {
        client: false,
        idempotence: false,
        may_begin: false,
        epoch_rises: false,
    };
}
