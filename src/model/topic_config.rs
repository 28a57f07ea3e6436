// SPDX-License-Identifier: Apache-2.0
//! The settings of one topic, parsed and validated: what the engine reads. Names, text forms and
//! defaults live in `config::topic`.
//!
//! Owns: [`TopicConfig`]. Invariants: every value is inside its bounds (`config::topic` is the only
//! maker from text).
//! Runs on: every core (inside the metadata image). Bounded by: its fields.

/// `message.timestamp.type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's timestamp stays.
    CreateTime,
    /// The broker's wall clock at the append replaces it.
    LogAppendTime,
}

/// `cleanup.policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// Old segments are deleted by time and size.
    pub delete: bool,
    /// Old values of a key are removed.
    pub compact: bool,
}

/// `compression.type`, with its levels: how batches are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredCodec {
    /// As their producer compressed them.
    Producer,
    /// Uncompressed.
    Uncompressed,
    /// With gzip at this level; -1 for its usual one.
    Gzip(i32),
    /// With snappy.
    Snappy,
    /// With LZ4.
    Lz4,
    /// With zstd at this level.
    Zstd(i32),
}

/// When written records count as safe (`flush.mode`, `flush.messages`, `flush.ms`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushMode {
    /// Once they are flushed: a loss of power takes nothing that was acknowledged.
    Always,
    /// Once they are written; a flush follows after so many records or milliseconds.
    Interval {
        /// Records between two flushes.
        records: u64,
        /// Milliseconds from the first unflushed record to its flush.
        ms: u64,
    },
    /// Once they are written; a flush follows when the segment is complete, at a stop, or when
    /// `UNFLUSHED_BYTES_MAX` would be exceeded.
    Never,
}

/// When and how a compacted topic is compacted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompactionConfig {
    /// `min.compaction.lag.ms`.
    pub lag_ms_min: u64,
    /// `max.compaction.lag.ms`; `None` is without limit.
    pub lag_ms_max: Option<u64>,
    /// `delete.retention.ms`.
    pub delete_retention_ms: u64,
    /// `min.cleanable.dirty.ratio` in millionths.
    pub dirty_millionths_min: u32,
}

impl Default for CompactionConfig {
    /// Kafka's.
    fn default() -> CompactionConfig {
        CompactionConfig {
            lag_ms_min: 0,
            lag_ms_max: None,
            delete_retention_ms: 24 * 60 * 60 * 1000,
            dirty_millionths_min: 500_000,
        }
    }
}

/// The effective settings of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicConfig {
    /// `cleanup.policy`.
    pub cleanup_policy: CleanupPolicy,
    /// `retention.ms`; `None` keeps for ever.
    pub retention_ms: Option<u64>,
    /// `retention.bytes` of one partition; `None` is without limit.
    pub retention_bytes: Option<u64>,
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
    /// `min.insync.replicas`.
    pub min_insync_replicas: u32,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`.
    pub timestamp_before_max_ms: u64,
    /// `message.timestamp.after.max.ms`.
    pub timestamp_after_max_ms: u64,
    /// `flush.mode`, with `flush.messages` and `flush.ms`.
    pub flush_mode: FlushMode,
    /// Of a compacted topic.
    pub compaction: CompactionConfig,
    /// `file.delete.delay.ms`.
    pub file_delete_delay_ms: u64,
}
