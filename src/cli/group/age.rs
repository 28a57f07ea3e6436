// SPDX-License-Identifier: Apache-2.0
//! The time of the record at an offset: how old the first record is that a group has not consumed.
//!
//! Owns: [`timestamps`]. Invariants: no more than a batch of each partition is fetched; where the
//! record cannot be read the time is not known, and that is no error. Runs on: the command's
//! thread. Bounded by: `PARTITION_BYTES` for each partition and one batch, one opened batch.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::cli::client::cluster::Cluster;
use crate::cli::client::offsets::Place;
use crate::cli::error::ClientError;
use crate::limits::DECOMPRESSED_BYTES_MAX;
use crate::model::topic_config::TimestampType;
use crate::wire::protocol::fetch::{FetchPartition, FetchRequest, FetchTopic};
use crate::wire::record::{BatchError, records, split_batches};

/// Bytes that are asked of each partition: enough for the usual batch. A larger one comes whole
/// when its partition is the first of a question.
const PARTITION_BYTES: i32 = 64 * 1024;
/// Bytes of an answer.
const ANSWER_BYTES: i32 = 8 * 1024 * 1024;

/// The times of the records at these offsets, or behind them where there is none any more, in
/// milliseconds since 1970. Partitions whose record cannot be read are left out.
pub(super) fn timestamps(
    cluster: &mut Cluster,
    leaders: &BTreeMap<Place, i32>,
    offsets: &BTreeMap<Place, i64>,
) -> Result<BTreeMap<Place, i64>, ClientError> {
    let mut found = BTreeMap::new();
    let mut by_leader: BTreeMap<i32, Vec<(Place, i64)>> = BTreeMap::new();
    for (place, offset) in offsets {
        if let Some(leader) = leaders.get(place) {
            let list = by_leader.entry(*leader).or_default();
            list.push((place.clone(), *offset));
        }
    }
    for (leader, mut wanted) in by_leader {
        // The first of a question is settled by its answer in any case, so this ends.
        while !wanted.is_empty() {
            let answer = cluster.call_broker(leader, &request(&wanted))?;
            let first = wanted[0].0.clone();
            let mut settled = vec![first];
            for topic in answer.responses {
                for data in topic.partitions {
                    let place = (topic.topic.to_string(), data.partition_index);
                    let offset = wanted.iter().find(|one| one.0 == place);
                    let bytes = data.records.unwrap_or_default();
                    match offset.map(|(_, offset)| timestamp_at(&bytes, *offset)) {
                        Some(Ok(Some(timestamp))) => {
                            found.insert(place.clone(), timestamp);
                            settled.push(place);
                        }
                        // Too little of it: its turn to be the first will come.
                        Some(Ok(None)) if data.error_code == 0 => {}
                        _ => settled.push(place),
                    }
                }
            }
            wanted.retain(|(place, _)| !settled.contains(place));
        }
    }
    Ok(found)
}

fn request(wanted: &[(Place, i64)]) -> FetchRequest {
    let mut topics: Vec<FetchTopic> = Vec::new();
    for ((topic, partition), offset) in wanted {
        if topics.last().is_none_or(|last| *last.topic != **topic) {
            topics.push(FetchTopic {
                topic: topic.as_str().into(),
                ..FetchTopic::default()
            });
        }
        let last = topics.last_mut().expect("one was pushed");
        last.partitions.push(FetchPartition {
            partition: *partition,
            fetch_offset: *offset,
            partition_max_bytes: PARTITION_BYTES,
            ..FetchPartition::default()
        });
    }
    FetchRequest {
        max_bytes: ANSWER_BYTES,
        topics,
        ..FetchRequest::default()
    }
}

/// The time of the first record at or behind an offset; `None` if the bytes end before it.
fn timestamp_at(bytes: &Bytes, offset: i64) -> Result<Option<i64>, BatchError> {
    for batch in split_batches(bytes) {
        let batch = match batch {
            Ok(batch) => batch,
            Err(BatchError::Truncated { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let opened = records(&batch, DECOMPRESSED_BYTES_MAX)?;
        let header = opened.header();
        for record in &opened {
            let record = record?;
            if record.offset >= offset {
                return Ok(Some(match header.attributes.timestamp_type() {
                    TimestampType::CreateTime => record.timestamp,
                    TimestampType::LogAppendTime => header.max_timestamp,
                }));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::record::{BatchBuilder, Compression, set_log_append_time};

    fn batch(base: i64, times: &[i64], compression: Compression) -> Vec<u8> {
        let mut builder = BatchBuilder::new(compression);
        builder.offsets(base, 0);
        for time in times {
            builder.append(*time, None, Some(b"value"), &[]);
        }
        builder.build().to_vec()
    }

    #[test]
    fn the_record_within_a_batch_counts() {
        for compression in Compression::ALL {
            let mut bytes = batch(5, &[100, 200, 300], compression);
            bytes.extend(batch(8, &[400], compression));
            let bytes = Bytes::from(bytes);
            assert_eq!(timestamp_at(&bytes, 6), Ok(Some(200)));
            assert_eq!(timestamp_at(&bytes, 8), Ok(Some(400)));
            // What was removed from the log has the time of what is left.
            assert_eq!(timestamp_at(&bytes, 2), Ok(Some(100)));
            assert_eq!(timestamp_at(&bytes, 9), Ok(None));
            let cut = bytes.slice(..bytes.len() - 1);
            assert_eq!(timestamp_at(&cut, 8), Ok(None), "its end is missing");
            assert_eq!(timestamp_at(&cut, 5), Ok(Some(100)));
        }
        assert_eq!(timestamp_at(&Bytes::new(), 0), Ok(None));
    }

    #[test]
    fn the_time_of_the_broker_beats_that_of_the_record() {
        let mut bytes = batch(0, &[100, 200], Compression::None);
        set_log_append_time(&mut bytes, 9000);
        assert_eq!(timestamp_at(&Bytes::from(bytes), 0), Ok(Some(9000)));
    }

    #[test]
    fn a_question_keeps_topics_together() {
        let wanted = [(("a", 0), 5), (("a", 3), 6), (("b", 0), 7)]
            .map(|((topic, partition), offset)| ((topic.to_owned(), partition), offset));
        let request = request(&wanted);
        let shape: Vec<(&str, usize)> = request
            .topics
            .iter()
            .map(|topic| (&*topic.topic, topic.partitions.len()))
            .collect();
        assert_eq!(shape, [("a", 2), ("b", 1)]);
        assert_eq!(request.topics[1].partitions[0].fetch_offset, 7);
    }
}
