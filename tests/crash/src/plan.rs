// SPDX-License-Identifier: Apache-2.0
//! What is sent: the topics, and batches whose every byte follows from the seed and their number,
//! so that nothing need be kept to know what must be read.

use crate::prng::Prng;
use bytes::Bytes;
use furlong::wire::record::{BatchBuilder, Compression};

/// A topic of the load.
pub struct TopicPlan {
    /// Its name.
    pub name: &'static str,
    /// Its partitions.
    pub partitions: i32,
    /// Its settings.
    pub settings: &'static [(&'static str, &'static str)],
    /// Whether records may go by retention.
    pub is_retained: bool,
}

/// Bytes that retention leaves in a partition of the retained topic.
pub const RETENTION_BYTES: i64 = 393_216;

/// The topics that live as long as the broker, and last the one that is deleted and created again.
pub const TOPICS: &[TopicPlan] = &[
    TopicPlan {
        name: "rolling",
        partitions: 4,
        settings: &[("internal.segment.bytes", "131072")],
        is_retained: false,
    },
    TopicPlan {
        name: "retained",
        partitions: 4,
        settings: &[
            ("internal.segment.bytes", "98304"),
            ("retention.bytes", "393216"),
        ],
        is_retained: true,
    },
    TopicPlan {
        name: "wide",
        partitions: 8,
        settings: &[],
        is_retained: false,
    },
    TopicPlan {
        name: "single",
        partitions: 1,
        settings: &[("segment.bytes", "1048576")],
        is_retained: false,
    },
    TopicPlan {
        name: "dense-index",
        partitions: 4,
        settings: &[
            ("index.interval.bytes", "1024"),
            ("internal.segment.bytes", "262144"),
        ],
        is_retained: false,
    },
    TopicPlan {
        name: "reborn",
        partitions: 3,
        settings: &[("internal.segment.bytes", "131072")],
        is_retained: false,
    },
];

/// The topic that is deleted and created again.
pub const REBORN: usize = TOPICS.len() - 1;

/// A partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Index into [`TOPICS`].
    pub topic: usize,
    /// Index of the partition.
    pub partition: i32,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", TOPICS[self.topic].name, self.partition)
    }
}

/// Every partition of the load.
pub fn places() -> Vec<Place> {
    let topics = TOPICS.iter().enumerate();
    let of_topic = |(topic, plan): (usize, &TopicPlan)| {
        (0..plan.partitions).map(move |partition| Place { topic, partition })
    };
    topics.flat_map(of_topic).collect()
}

/// What an idempotent producer writes into a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Producer id.
    pub id: i64,
    /// Producer epoch.
    pub epoch: i16,
    /// Sequence number of the first record.
    pub sequence: i32,
}

/// All that the bytes of a batch follow from, beside the seed.
#[derive(Clone, Copy, Debug)]
pub struct BatchPlan {
    /// Its number, unique in the run.
    pub number: u64,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// For an idempotent producer.
    pub stamp: Option<Stamp>,
}

/// Records of the batch with this number: 1 to 50, small counts more often.
pub fn record_count(seed: u64, number: u64) -> i32 {
    let count = Prng::new(seed, number << 8).mostly_small(1, 50);
    i32::try_from(count).expect("at most 50")
}

/// The bytes of a batch.
pub fn encode(seed: u64, plan: &BatchPlan) -> Bytes {
    let mut prng = Prng::new(seed, plan.number << 8);
    let count = prng.mostly_small(1, 50);
    let codec = match prng.below(10) {
        0 => Compression::Lz4,
        1 => Compression::Snappy,
        _ => Compression::None,
    };
    let mut batch = BatchBuilder::new(codec);
    if let Some(stamp) = plan.stamp {
        batch.producer(stamp.id, stamp.epoch, stamp.sequence);
    }
    let mut value = Vec::new();
    for index in 0..count {
        let longest = if prng.percent(20) { 5000 } else { 600 };
        let len = prng.mostly_small(10, longest);
        value.resize(usize::try_from(len).expect("small"), 0);
        prng.fill(&mut value);
        batch.append(
            plan.timestamp,
            Some(&key(plan.number, index)),
            Some(&value),
            &[],
        );
    }
    batch.build()
}

/// The key of a record: the number of its batch, and its index there.
fn key(number: u64, index: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&number.to_be_bytes());
    key[8..].copy_from_slice(&index.to_be_bytes());
    key
}

/// The number of the batch that a record with this key was sent in.
pub fn number_of_key(key: &[u8]) -> Option<u64> {
    let number = key.get(..8)?;
    (key.len() == 16).then(|| u64::from_be_bytes(number.try_into().expect("8 bytes")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use furlong::wire::record::records;

    #[test]
    fn a_batch_follows_from_its_number() {
        for number in 0..200 {
            let plan = BatchPlan {
                number,
                timestamp: 1_700_000_000_000,
                stamp: None,
            };
            let batch = encode(7, &plan);
            assert_eq!(batch, encode(7, &plan));
            let opened = records(&batch, 1 << 20).expect("a sound batch");
            let keys: Vec<_> = opened
                .iter()
                .map(|r| r.expect("sound").key.map(number_of_key))
                .collect();
            let count = usize::try_from(record_count(7, number)).expect("positive");
            assert_eq!(keys, vec![Some(Some(number)); count]);
        }
    }

    #[test]
    fn retention_is_what_the_topic_says() {
        let (_, bytes) = TOPICS[1].settings[1];
        assert_eq!(bytes, RETENTION_BYTES.to_string());
    }
}
