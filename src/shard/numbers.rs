// SPDX-License-Identifier: Apache-2.0
//! What a shard can say of itself in figures.
//!
//! Owns: the vocabulary, and the reading of a shard's own counts. Invariants: reading changes
//! nothing; partitions come in the order of their slots.
//! Runs on: its shard. Bounded by: `PARTITIONS_MAX`.

use bytestring::ByteString;

use super::api::APIS;
use super::machine::Shard;
use super::memory::MemoryUse;
use crate::model::ids::{Offset, TopicPartition};
use crate::wire::protocol::ApiKey;

/// The figures of one shard at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardNumbers {
    /// Client connections.
    pub connections: usize,
    /// Requests of its clients that wait for something.
    pub requests_waiting: usize,
    /// Parts of requests under way on its partitions.
    pub parts_under_way: usize,
    /// Waiting fetches, counted once for each partition that they watch.
    pub watches: usize,
    /// What it holds in memory.
    pub memory: MemoryUse,
    /// What it may hold, in bytes.
    pub memory_total_bytes: usize,
    /// What was asked of it since its start, by API.
    pub requests: Vec<(ApiKey, u64)>,
    /// Frames that were no request which it serves: their connections were closed.
    pub refused_frames: u64,
    /// Its partitions.
    pub logs: Vec<LogNumbers>,
}

/// The figures of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogNumbers {
    /// Name of its topic.
    pub topic: ByteString,
    /// Which partition of it.
    pub at: TopicPartition,
    /// True once the log is open and until it ends.
    pub is_open: bool,
    /// The first offset.
    pub log_start_offset: Offset,
    /// The high watermark, while this broker leads.
    pub high_watermark: Option<Offset>,
    /// Offset after the last record.
    pub log_end_offset: Offset,
    /// Bytes of its segments.
    pub size_bytes: u64,
    /// How many segments.
    pub segments: usize,
}

/// Requests since the start of the process.
#[derive(Debug)]
pub(super) struct ApiCounts {
    /// In the order of `APIS`.
    by_api: Vec<u64>,
    refused: u64,
}

impl Default for ApiCounts {
    fn default() -> ApiCounts {
        ApiCounts {
            by_api: vec![0; APIS.len()],
            refused: 0,
        }
    }
}

impl ApiCounts {
    /// A request of the API at this place of `APIS` came.
    pub(super) fn note_request(&mut self, place: usize) {
        self.by_api[place] += 1;
    }

    /// A frame came that names nothing which is served, or cannot be read.
    pub(super) fn note_refused(&mut self) {
        self.refused += 1;
    }

    fn by_key(&self) -> Vec<(ApiKey, u64)> {
        let counts = APIS.iter().zip(&self.by_api);
        counts.map(|(api, count)| (api.key, *count)).collect()
    }
}

impl Shard {
    /// Its figures now.
    #[must_use]
    pub fn numbers(&self) -> ShardNumbers {
        let (requests_waiting, parts_under_way) = self.waiting_count();
        let logs = self.partitions.iter().filter_map(|(_, partition)| {
            // A topic that is being deleted is no longer in the image.
            let topic = self.image.topic_by_id(partition.at().topic_id)?;
            Some(LogNumbers {
                topic: topic.name.clone(),
                at: partition.at(),
                is_open: partition.is_open(),
                log_start_offset: partition.log_start_offset(),
                high_watermark: partition.high_watermark(),
                log_end_offset: partition.log_end_offset(),
                size_bytes: partition.size_bytes(),
                segments: partition.segment_count(),
            })
        });
        ShardNumbers {
            connections: self.connection_count(),
            requests_waiting,
            parts_under_way,
            watches: self.watch_count(),
            memory: self.memory_use(),
            memory_total_bytes: self.config.memory.total_bytes(),
            requests: self.counts.by_key(),
            refused_frames: self.counts.refused,
            logs: logs.collect(),
        }
    }
}
