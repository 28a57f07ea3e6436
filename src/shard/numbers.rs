// SPDX-License-Identifier: Apache-2.0
//! What a shard can say of itself in figures.
//!
//! Owns: the vocabulary, and the reading of a shard's own counts. Invariants: reading changes
//! nothing; partitions come in the order of their slots.
//! Runs on: its shard. Bounded by: `METRICS_PARTITIONS_MAX`, `TOPICS_MAX`.

use std::collections::BTreeMap;

use bytestring::ByteString;

use super::api::APIS;
use super::closings::ClosedFor;
pub use super::compactions::CompactionCounts;
pub use super::coordinator_numbers::CoordinatorNumbers;
use super::machine::Shard;
use super::memory::MemoryUse;
use super::quotas::ThrottleCount;
use crate::limits::METRICS_PARTITIONS_MAX;
use crate::model::ids::{Offset, TopicId, TopicPartition};
use crate::model::image::MetadataImage;
use crate::model::quota::QuotaKind;
use crate::partition::{AppendCounts, Partition};
use crate::wire::codec::ErrorCodes;
use crate::wire::protocol::ApiKey;

/// The figures of one shard at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardNumbers {
    /// Client connections.
    pub connections: usize,
    /// Connections that it closed, by reason.
    pub closings: Vec<(ClosedFor, u64)>,
    /// What compaction got done.
    pub compactions: CompactionCounts,
    /// How often its clients were held back by which quota.
    pub throttles: Vec<(QuotaKind, ThrottleCount)>,
    /// Connections that are held back now.
    pub muted: usize,
    /// Entities whose use of a quota it counts.
    pub quota_meters: usize,
    /// Partitions that it took over from other shards.
    pub partitions_taken: u64,
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
    /// The error codes of its answers, 0 (none) included, by API; no code stands for those past
    /// `ERROR_CODES_TOLD_MAX` in one answer.
    pub errors: Vec<(ApiKey, Option<i16>, u64)>,
    /// Frames that were no request which it serves: their connections were closed.
    pub refused_frames: u64,
    /// What clients appended and read, by topic, of topics whose partitions are told.
    pub topics: Vec<(ByteString, TopicCounts)>,
    /// The same of all topics together, those that are gone included.
    pub all_topics: TopicCounts,
    /// Its partitions, of the first topics by name that have `METRICS_PARTITIONS_MAX` together.
    pub logs: Vec<LogNumbers>,
    /// What it has beside those.
    pub others: OtherLogs,
    /// Its groups and transactions.
    pub coordinators: CoordinatorNumbers,
}

/// What clients appended and read since the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TopicCounts {
    /// Records that were appended.
    pub messages_in: u64,
    /// Bytes of their batches, as they are stored.
    pub bytes_in: u64,
    /// Bytes of batches in answers to fetches.
    pub bytes_out: u64,
}

/// Partitions that are not told one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OtherLogs {
    /// How many.
    pub partitions: usize,
    /// How many of them this broker leads.
    pub led: usize,
    /// How many of them are not open.
    pub closed: usize,
    /// Bytes of their segments.
    pub size_bytes: u64,
    /// Their segments.
    pub segments: usize,
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

impl TopicCounts {
    /// Adds others.
    pub fn add(&mut self, more: TopicCounts) {
        self.messages_in += more.messages_in;
        self.bytes_in += more.bytes_in;
        self.bytes_out += more.bytes_out;
    }
}

impl From<AppendCounts> for TopicCounts {
    fn from(counts: AppendCounts) -> TopicCounts {
        TopicCounts {
            messages_in: counts.messages_in,
            bytes_in: counts.bytes_in,
            bytes_out: 0,
        }
    }
}

/// What a shard counts since the start of the process.
#[derive(Debug)]
pub(super) struct ShardCounts {
    /// In the order of `APIS`.
    by_api: Vec<u64>,
    /// By place in `APIS` and code.
    errors: BTreeMap<(usize, Option<i16>), u64>,
    refused: u64,
    /// What its clients read, and what partitions took that it no longer has.
    topics: BTreeMap<TopicId, TopicCounts>,
    /// The same of topics that are gone.
    gone: TopicCounts,
}

impl Default for ShardCounts {
    fn default() -> ShardCounts {
        ShardCounts {
            by_api: vec![0; APIS.len()],
            errors: BTreeMap::new(),
            refused: 0,
            topics: BTreeMap::new(),
            gone: TopicCounts::default(),
        }
    }
}

impl ShardCounts {
    /// A request of the API at this place of `APIS` came.
    pub(super) fn note_request(&mut self, place: usize) {
        self.by_api[place] += 1;
    }

    /// A frame came that names nothing which is served, or cannot be read.
    pub(super) fn note_refused(&mut self) {
        self.refused += 1;
    }

    /// An answer of the API at this place holds these error codes.
    pub(super) fn note_errors(&mut self, place: usize, codes: &ErrorCodes) {
        for (code, count) in codes.iter() {
            *self.errors.entry((place, Some(code))).or_default() += u64::from(count);
        }
        if codes.others() > 0 {
            *self.errors.entry((place, None)).or_default() += u64::from(codes.others());
        }
    }

    /// An answer holds so many bytes of a topic.
    pub(super) fn note_bytes_out(&mut self, topic: TopicId, bytes: usize) {
        let counts = self.topics.entry(topic).or_default();
        counts.bytes_out += u64::try_from(bytes).expect("a usize fits 64 bits");
    }

    /// A partition has gone that took so much.
    pub(super) fn note_partition_gone(&mut self, topic: TopicId, counts: AppendCounts) {
        self.topics.entry(topic).or_default().add(counts.into());
    }

    /// Forgets the topics that are gone, but for what they add to the whole.
    pub(super) fn forget_topics(&mut self, image: &MetadataImage) {
        let gone = &mut self.gone;
        self.topics.retain(|id, counts| {
            let is_there = image.topic_names.contains_key(id);
            if !is_there {
                gone.add(*counts);
            }
            is_there
        });
    }

    fn by_key(&self) -> Vec<(ApiKey, u64)> {
        let counts = APIS.iter().zip(&self.by_api);
        counts.map(|(api, count)| (api.key, *count)).collect()
    }
}

impl ShardCounts {
    fn errors_by_key(&self) -> Vec<(ApiKey, Option<i16>, u64)> {
        let errors = self.errors.iter();
        errors
            .map(|((place, code), count)| (APIS[*place].key, *code, *count))
            .collect()
    }
}

impl OtherLogs {
    fn add(&mut self, partition: &Partition) {
        self.partitions += 1;
        self.led += usize::from(partition.high_watermark().is_some());
        self.closed += usize::from(!partition.is_open());
        self.size_bytes += partition.size_bytes();
        self.segments += partition.segment_count();
    }
}

impl Shard {
    /// Its figures now.
    #[must_use]
    pub fn numbers(&self) -> ShardNumbers {
        let (requests_waiting, parts_under_way) = self.waiting_count();
        let mut numbers = ShardNumbers {
            connections: self.connection_count(),
            closings: ClosedFor::ALL
                .into_iter()
                .zip(self.closings.counts())
                .collect(),
            compactions: self.compactions,
            throttles: self.quotas.counts().collect(),
            muted: self.connections.muted_count(),
            quota_meters: self.quotas.meter_count(),
            partitions_taken: self.handovers.taken(),
            requests_waiting,
            parts_under_way,
            watches: self.watch_count(),
            memory: self.memory_use(),
            memory_total_bytes: self.config.memory.total_bytes(),
            requests: self.counts.by_key(),
            errors: self.counts.errors_by_key(),
            refused_frames: self.counts.refused,
            topics: Vec::new(),
            all_topics: self.counts.gone,
            logs: Vec::new(),
            others: OtherLogs::default(),
            coordinators: self.coordinator_numbers(),
        };
        self.add_topics(&mut numbers);
        numbers
    }

    fn add_topics(&self, numbers: &mut ShardNumbers) {
        let untold_from = first_untold(&self.image, METRICS_PARTITIONS_MAX);
        let mut by_name: BTreeMap<&ByteString, TopicCounts> = BTreeMap::new();
        for (_, partition) in self.partitions.iter() {
            let counts = TopicCounts::from(partition.append_counts());
            numbers.all_topics.add(counts);
            // A topic that is being deleted is no longer in the image.
            let Some(name) = self.image.topic_names.get(&partition.at().topic_id) else {
                continue;
            };
            if untold_from.is_some_and(|untold| name >= untold) {
                numbers.others.add(partition);
                continue;
            }
            by_name.entry(name).or_default().add(counts);
            numbers.logs.push(log_numbers(name, partition));
        }
        for (id, counts) in &self.counts.topics {
            numbers.all_topics.add(*counts);
            let name = self.image.topic_names.get(id);
            let told = name.filter(|name| untold_from.is_none_or(|untold| name < &untold));
            if let Some(name) = told {
                by_name.entry(name).or_default().add(*counts);
            }
        }
        let topics = by_name.into_iter();
        numbers.topics = topics
            .map(|(name, counts)| (name.clone(), counts))
            .collect();
    }
}

fn log_numbers(topic: &ByteString, partition: &Partition) -> LogNumbers {
    LogNumbers {
        topic: topic.clone(),
        at: partition.at(),
        is_open: partition.is_open(),
        log_start_offset: partition.log_start_offset(),
        high_watermark: partition.high_watermark(),
        log_end_offset: partition.log_end_offset(),
        size_bytes: partition.size_bytes(),
        segments: partition.segment_count(),
    }
}

/// The first topic by name from which on partitions are not told one by one. Every shard finds the
/// same, whichever partitions are its own.
fn first_untold(image: &MetadataImage, partitions_max: usize) -> Option<&ByteString> {
    let mut partitions = 0;
    let mut topics = image.topics.iter();
    let untold = topics.find(|(_, topic)| {
        partitions += topic.partitions.len();
        partitions > partitions_max
    });
    untold.map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::layers::{BrokerLayers, Settings};
    use crate::config::topic;
    use crate::model::ids::{ShardId, Uuid};
    use crate::model::image::{PartitionImage, TopicImage};

    fn image(topics: &[(&'static str, usize)]) -> MetadataImage {
        let file = Settings::new();
        let config = topic::effective(BrokerLayers::of_file(&file), &file).expect("defaults");
        let partition = PartitionImage {
            leader: None,
            leader_epoch: 0,
            partition_epoch: 0,
            replicas: Vec::new(),
            isr: Vec::new(),
            shard: ShardId(0),
        };
        let mut image = MetadataImage::empty();
        for (name, partitions) in topics {
            let topic = TopicImage {
                id: Uuid([1; 16]),
                name: (*name).into(),
                partitions: vec![partition.clone(); *partitions],
                overrides: Settings::new(),
                config: config.clone(),
            };
            image.topics.insert((*name).into(), Arc::new(topic));
        }
        image
    }

    #[test]
    fn whole_topics_are_told_in_the_order_of_their_names() {
        let untold = |topics: &[(&'static str, usize)]| {
            let image = image(topics);
            first_untold(&image, 10).map(ToString::to_string)
        };
        assert_eq!(untold(&[]), None);
        assert_eq!(untold(&[("b", 4), ("a", 6)]), None);
        assert_eq!(untold(&[("b", 5), ("a", 6)]).as_deref(), Some("b"));
        // What comes behind one that does not fit is not told either, however small it is.
        assert_eq!(
            untold(&[("c", 1), ("b", 5), ("a", 6)]).as_deref(),
            Some("b")
        );
    }

    #[test]
    fn what_a_topic_took_stays_in_the_whole_when_it_goes() {
        let mut counts = ShardCounts::default();
        let (kept, gone) = (Uuid([1; 16]), Uuid([2; 16]));
        counts.note_bytes_out(kept, 5);
        counts.note_bytes_out(gone, 7);
        let appended = AppendCounts {
            messages_in: 3,
            bytes_in: 90,
        };
        counts.note_partition_gone(gone, appended);
        let mut image = MetadataImage::empty();
        image.topic_names.insert(kept, "kept".into());
        counts.forget_topics(&image);
        counts.forget_topics(&image);
        let expected = TopicCounts {
            messages_in: 3,
            bytes_in: 90,
            bytes_out: 7,
        };
        assert_eq!(counts.gone, expected);
        assert_eq!(counts.topics.len(), 1);
    }
}
