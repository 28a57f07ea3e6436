// SPDX-License-Identifier: Apache-2.0
//! DescribeLogDirs (35): the directories of logs, and how much each partition takes of them.
//!
//! Owns: the layout of its request and response. Invariants: those of [`super::describe`].
//! Runs on: every core. Bounded by: the `max` of each array.

use bytestring::ByteString;

use super::describe::{api, messages, since};
use crate::limits::{LOG_DIRECTORIES_MAX, PARTITIONS_PER_TOPIC_MAX, TOPICS_MAX};

api! { 35, versions 1..=5, flexible 2:
DescribeLogDirsRequest => DescribeLogDirsResponse }

messages! {
    /// Asks for directories.
    pub struct DescribeLogDirsRequest {
        /// The topics; null for all.
        topics: Option<Vec<DescribableLogDirTopic>> = Some(Vec::new()),
            since(0).nullable(0).max(TOPICS_MAX);
    }

    /// Partitions of one topic.
    pub struct DescribableLogDirTopic {
        /// Name of the topic.
        topic: ByteString = ByteString::new(), since(0);
        /// Indexes of the partitions.
        partitions: Vec<i32> = Vec::new(), since(0).max(PARTITIONS_PER_TOPIC_MAX);
    }

    /// The directories.
    pub struct DescribeLogDirsResponse {
        /// How long a quota held the client back, in milliseconds.
        throttle_time_ms: i32 = 0, since(0);
        /// Error code, 0 for none.
        error_code: i16 = 0, since(3).ignorable();
        /// One entry per directory.
        results: Vec<DescribeLogDirsResult> = Vec::new(), since(0).max(LOG_DIRECTORIES_MAX);
    }

    /// One directory.
    pub struct DescribeLogDirsResult {
        /// Error code, 0 for none.
        error_code: i16 = 0, since(0);
        /// Its absolute path.
        log_dir: ByteString = ByteString::new(), since(0);
        /// One entry per topic.
        topics: Vec<DescribeLogDirsTopic> = Vec::new(), since(0).max(TOPICS_MAX);
        /// Bytes of its volume, -1 if not known.
        total_bytes: i64 = -1, since(4).ignorable();
        /// Bytes of its volume that are free, -1 if not known.
        usable_bytes: i64 = -1, since(4).ignorable();
        /// Whether new partitions are kept away from it.
        is_cordoned: bool = false, since(5).ignorable();
    }

    /// One topic.
    pub struct DescribeLogDirsTopic {
        /// Name of the topic.
        name: ByteString = ByteString::new(), since(0);
        /// One entry per partition.
        partitions: Vec<DescribeLogDirsPartition> = Vec::new(),
            since(0).max(PARTITIONS_PER_TOPIC_MAX);
    }

    /// One partition.
    pub struct DescribeLogDirsPartition {
        /// Index of the partition.
        partition_index: i32 = 0, since(0);
        /// Bytes of its segments.
        partition_size: i64 = 0, since(0);
        /// How far its log is behind.
        offset_lag: i64 = 0, since(0);
        /// Whether it is a copy that will replace another one.
        is_future_key: bool = false, since(0);
    }
}
