// SPDX-License-Identifier: Apache-2.0
//! Figures of topics and of their partitions, as text.
//!
//! Owns: the names of these metrics. Invariants: as many partitions as `METRICS_PARTITIONS_MAX`
//! have lines of their own, of whole topics in the order of their names; what the further ones add
//! up to stands under a label that no topic can have.
//! Runs on: the admin thread. Bounded by: `METRICS_PARTITIONS_MAX` lines a metric.

use std::collections::BTreeMap;

use super::exposition::{Exposition, Kind};
use crate::shard::numbers::{LogNumbers, OtherLogs, ShardNumbers, TopicCounts};

/// The label of what is not told one by one.
const OTHERS: &str = "(all others)";

/// A counter for each topic: name, help, what it is.
type TopicCounter = (&'static str, &'static str, fn(&TopicCounts) -> u64);

const TOPIC_COUNTERS: [TopicCounter; 3] = [
    (
        "kafka_server_brokertopicmetrics_messagesin_total",
        "Records that clients appended; without a topic, on all of them.",
        |counts| counts.messages_in,
    ),
    (
        "kafka_server_brokertopicmetrics_bytesin_total",
        "Bytes of the batches that clients appended, as they are stored; without a topic, of all.",
        |counts| counts.bytes_in,
    ),
    (
        "kafka_server_brokertopicmetrics_bytesout_total",
        "Bytes of batches in answers to fetches; without a topic, of all.",
        |counts| counts.bytes_out,
    ),
];

/// A gauge for each partition: name, help, what it is (nothing if it has none), what it is of all
/// that are not told one by one (nothing if it cannot be added up).
type LogGauge = (
    &'static str,
    &'static str,
    fn(&LogNumbers) -> Option<u64>,
    fn(&OtherLogs) -> Option<u64>,
);

const LOG_GAUGES: [LogGauge; 6] = [
    (
        "kafka_topic_partition_current_offset",
        "High watermark.",
        |log| offset(log.high_watermark?),
        |_| None,
    ),
    (
        "kafka_topic_partition_oldest_offset",
        "The first offset.",
        |log| offset(log.log_start_offset),
        |_| None,
    ),
    (
        "kafka_log_log_logstartoffset",
        "The first offset.",
        |log| offset(log.log_start_offset),
        |_| None,
    ),
    (
        "kafka_log_log_logendoffset",
        "Offset after the last record.",
        |log| offset(log.log_end_offset),
        |_| None,
    ),
    (
        "kafka_log_log_size",
        "Bytes of all segments.",
        |log| Some(log.size_bytes),
        |others| Some(others.size_bytes),
    ),
    (
        "kafka_log_log_numlogsegments",
        "Segments.",
        |log| u64::try_from(log.segments).ok(),
        |others| u64::try_from(others.segments).ok(),
    ),
];

fn offset(offset: i64) -> Option<u64> {
    u64::try_from(offset).ok()
}

/// Adds the figures of topics and partitions.
pub(super) fn add(out: &mut Exposition, shards: &[(String, &ShardNumbers)]) {
    let mut others = OtherLogs::default();
    for (_, shard) in shards {
        others.partitions += shard.others.partitions;
        others.size_bytes += shard.others.size_bytes;
        others.segments += shard.others.segments;
    }
    out.metric(
        "furlong_metrics_partitions_untold",
        Kind::Gauge,
        "Partitions that have no lines of their own here, because there are too many.",
    )
    .value(&[], others.partitions);
    of_topics(out, shards, others.partitions > 0);
    of_partitions(out, shards, &others);
}

fn of_topics(out: &mut Exposition, shards: &[(String, &ShardNumbers)], has_others: bool) {
    let mut by_topic: BTreeMap<&str, TopicCounts> = BTreeMap::new();
    let (mut all, mut told) = (TopicCounts::default(), TopicCounts::default());
    for (_, shard) in shards {
        all.add(shard.all_topics);
        for (topic, counts) in &shard.topics {
            by_topic.entry(topic).or_default().add(*counts);
            told.add(*counts);
        }
    }
    for (name, help, get) in TOPIC_COUNTERS {
        let mut metric = out.metric(name, Kind::Counter, help);
        metric.value(&[], get(&all));
        for (topic, counts) in &by_topic {
            metric.value(&[("topic", topic)], get(counts));
        }
        if has_others {
            // Topics that were deleted are among them.
            let rest = get(&all).saturating_sub(get(&told));
            metric.value(&[("topic", OTHERS)], rest);
        }
    }
}

fn of_partitions(out: &mut Exposition, shards: &[(String, &ShardNumbers)], others: &OtherLogs) {
    let mut logs: Vec<&LogNumbers> = shards.iter().flat_map(|(_, shard)| &shard.logs).collect();
    logs.sort_by(|one, two| (&one.topic, one.at.partition).cmp(&(&two.topic, two.at.partition)));
    let mut partitions: BTreeMap<&str, usize> = BTreeMap::new();
    for log in &logs {
        *partitions.entry(&log.topic).or_default() += 1;
    }
    let help = "Partitions of the topic on this broker.";
    let mut metric = out.metric("kafka_topic_partitions", Kind::Gauge, help);
    for (topic, count) in partitions {
        metric.value(&[("topic", topic)], count);
    }
    for (name, help, get, get_others) in LOG_GAUGES {
        let mut metric = out.metric(name, Kind::Gauge, help);
        for log in &logs {
            let partition = log.at.partition.to_string();
            if let Some(value) = get(log) {
                metric.value(&[("topic", &log.topic), ("partition", &partition)], value);
            }
        }
        if let Some(value) = get_others(others).filter(|_| others.partitions > 0) {
            metric.value(&[("topic", OTHERS)], value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::{TopicPartition, Uuid};

    fn log(topic: &'static str, partition: i32) -> LogNumbers {
        LogNumbers {
            topic: topic.into(),
            at: TopicPartition {
                topic_id: Uuid([1; 16]),
                partition,
            },
            is_open: true,
            log_start_offset: 2,
            high_watermark: Some(5),
            log_end_offset: 7,
            size_bytes: 1000,
            segments: 3,
        }
    }

    fn counts(messages_in: u64, bytes_out: u64) -> TopicCounts {
        TopicCounts {
            messages_in,
            bytes_in: 10 * messages_in,
            bytes_out,
        }
    }

    fn text(shards: &[ShardNumbers]) -> String {
        let named = shards.iter().map(|shard| (String::new(), shard));
        let mut out = Exposition::default();
        add(&mut out, &named.collect::<Vec<_>>());
        out.finish()
    }

    #[test]
    fn shards_are_added_up_by_topic() {
        let shard = |partition, messages_in| ShardNumbers {
            topics: vec![("a".into(), counts(messages_in, 7))],
            all_topics: counts(messages_in + 1, 7),
            logs: vec![log("a", partition)],
            ..ShardNumbers::default()
        };
        let text = text(&[shard(1, 3), shard(0, 4)]);
        for line in [
            "kafka_server_brokertopicmetrics_messagesin_total 9",
            "kafka_server_brokertopicmetrics_messagesin_total{topic=\"a\"} 7",
            "kafka_server_brokertopicmetrics_bytesin_total{topic=\"a\"} 70",
            "kafka_server_brokertopicmetrics_bytesout_total{topic=\"a\"} 14",
            "kafka_topic_partitions{topic=\"a\"} 2",
            "kafka_topic_partition_current_offset{topic=\"a\",partition=\"1\"} 5",
            "kafka_log_log_logstartoffset{topic=\"a\",partition=\"0\"} 2",
        ] {
            assert!(text.lines().any(|told| told == line), "{line} in\n{text}");
        }
        assert!(!text.contains(OTHERS), "all are told");
    }

    #[test]
    fn what_is_too_much_stands_under_a_label_of_its_own() {
        let shard = ShardNumbers {
            topics: vec![("a".into(), counts(3, 1))],
            all_topics: counts(10, 5),
            logs: vec![log("a", 0)],
            others: OtherLogs {
                partitions: 2,
                size_bytes: 500,
                segments: 4,
                ..OtherLogs::default()
            },
            ..ShardNumbers::default()
        };
        let text = text(&[shard]);
        for line in [
            "furlong_metrics_partitions_untold 2",
            "kafka_server_brokertopicmetrics_messagesin_total{topic=\"(all others)\"} 7",
            "kafka_server_brokertopicmetrics_bytesout_total{topic=\"(all others)\"} 4",
            "kafka_log_log_size{topic=\"(all others)\"} 500",
        ] {
            assert!(text.lines().any(|told| told == line), "{line} in\n{text}");
        }
        assert!(!text.contains("current_offset{topic=\"(all"), "no sum");
    }
}
