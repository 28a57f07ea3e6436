// SPDX-License-Identifier: Apache-2.0
//! Reading partitions, and comparing every byte with what was sent.

use crate::client::{Connection, FETCH, code};
use crate::history::{History, ReadBatch};
use crate::plan::{self, Place, TOPICS};
use bytes::Bytes;
use furlong::wire::protocol::fetch::{FetchPartition, FetchRequest, FetchTopic, PartitionData};
use furlong::wire::record::{BatchHeader, records, split_batches};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long a partition may answer with an error that passes.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes up to which a compressed batch is opened.
const OPENED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Where the part of a batch begins that the broker may not change: behind base offset, length,
/// leader epoch and magic.
const OWN_BYTES_AT: usize = 17;

/// What a partition was found to hold.
#[derive(Clone, Debug, Default)]
pub struct PartitionRead {
    /// False if the broker does not know it.
    pub exists: bool,
    /// First offset of the log, as the last answer said it.
    pub log_start: i64,
    /// The offset behind the last record.
    pub end: i64,
    /// Where reading began, at or above the log start of that time.
    pub from: i64,
    /// The batches, in their order.
    pub batches: Vec<ReadBatch>,
    /// Bytes read.
    pub bytes: usize,
    /// Whatever is wrong with it.
    pub violations: Vec<String>,
}

/// A request for some partitions from given offsets on.
pub fn fetch_request(wanted: &[(Place, i64)], max_wait_ms: i32) -> FetchRequest {
    let mut topics: Vec<FetchTopic> = Vec::new();
    for (place, offset) in wanted {
        let name = TOPICS[place.topic].name;
        if topics.last().is_none_or(|topic| topic.topic != name) {
            topics.push(FetchTopic {
                topic: name.into(),
                ..Default::default()
            });
        }
        let topic = topics.last_mut().expect("it was just put there");
        topic.partitions.push(FetchPartition {
            partition: place.partition,
            fetch_offset: *offset,
            partition_max_bytes: 1 << 20,
            ..Default::default()
        });
    }
    FetchRequest {
        max_wait_ms,
        min_bytes: i32::from(max_wait_ms > 0),
        max_bytes: 1 << 23,
        topics,
        ..Default::default()
    }
}

/// Reads a partition from `from` (or its start, if that is later) to its end.
pub fn read_partition(
    connection: &mut Connection,
    history: &History,
    place: Place,
    from: i64,
) -> Result<PartitionRead, String> {
    let begun = Instant::now();
    let mut read = begin(connection, place, from)?;
    while read.exists {
        let next = read.end;
        let mut response = connection.call(FETCH, &fetch_request(&[(place, next)], 0))?;
        let data = response
            .responses
            .pop()
            .and_then(|mut topic| topic.partitions.pop());
        let data = data.ok_or("the answer to a fetch names no partition")?;
        match data.error_code {
            code::NONE => {}
            code::OFFSET_OUT_OF_RANGE => {
                // Retention may have overtaken the reader; nothing else excuses this.
                let bytes = read.bytes;
                read = begin(connection, place, from)?;
                read.bytes = bytes;
                if read.from <= next || begun.elapsed() > PATIENCE {
                    let start = read.from;
                    return Err(format!(
                        "{place}: offset {next} is out of range and the log starts at {start}"
                    ));
                }
                continue;
            }
            error if passes(error) && begun.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            }
            error => {
                return Err(format!(
                    "{place}: reading offset {next} gives error {error}"
                ));
            }
        }
        let taken = take_batches(&mut read, history, place, &data);
        if read.end >= data.high_watermark {
            return Ok(read);
        }
        if !taken {
            let mark = data.high_watermark;
            let sentence = format!("{place}: nothing at offset {next}, and the end is {mark}");
            read.violations.push(sentence);
            return Ok(read);
        }
    }
    Ok(read)
}

fn passes(error: i16) -> bool {
    error == code::UNKNOWN_TOPIC_OR_PARTITION || code::PASSING.contains(&error)
}

fn begin(connection: &mut Connection, place: Place, from: i64) -> Result<PartitionRead, String> {
    let begun = Instant::now();
    loop {
        match connection.log_start(TOPICS[place.topic].name, place.partition)? {
            Ok(log_start) => {
                let from = from.max(log_start);
                return Ok(PartitionRead {
                    exists: true,
                    log_start,
                    end: from,
                    from,
                    ..PartitionRead::default()
                });
            }
            Err(code::UNKNOWN_TOPIC_OR_PARTITION) => return Ok(PartitionRead::default()),
            Err(error) if passes(error) && begun.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) => return Err(format!("{place}: its first offset gives error {error}")),
        }
    }
}

/// Takes the batches of an answer; false if there was none that is new.
fn take_batches(
    read: &mut PartitionRead,
    history: &History,
    place: Place,
    data: &PartitionData,
) -> bool {
    read.log_start = read.log_start.max(data.log_start_offset);
    let bytes = data.records.clone().unwrap_or_default();
    read.bytes += bytes.len();
    let first = read.end;
    for batch in split_batches(&bytes) {
        let checked = batch
            .map_err(|error| format!("{place}: a batch near {} is damaged: {error}", read.end))
            .and_then(|batch| check_batch(history, place, &batch));
        match checked {
            Ok((found, last)) => {
                if last < read.end {
                    continue;
                }
                read.batches.push(found);
                if found.offset != read.end && read.end != read.from {
                    let (end, offset) = (read.end, found.offset);
                    let sentence = format!("{place}: a batch starts at {offset}, not at {end}");
                    read.violations.push(sentence);
                }
                read.end = last + 1;
            }
            Err(sentence) => {
                read.violations.push(sentence);
                break;
            }
        }
    }
    read.end > first
}

/// Compares a batch with what was sent under its number; gives it and its last offset.
pub fn check_batch(
    history: &History,
    place: Place,
    batch: &Bytes,
) -> Result<(ReadBatch, i64), String> {
    let header = BatchHeader::parse(batch)
        .map_err(|error| format!("{place}: a batch has no sound header: {error}"))?;
    let offset = header.base_offset;
    let damaged = |error| format!("{place}: the batch at {offset} cannot be opened: {error}");
    let opened = records(batch, OPENED_BYTES_MAX).map_err(damaged)?;
    let first = opened.iter().next().transpose().map_err(|error| {
        format!("{place}: the first record at {offset} cannot be read: {error:?}")
    })?;
    let number = first
        .and_then(|record| record.key)
        .and_then(plan::number_of_key);
    let sent = number.and_then(|number| history.batch(number));
    let Some(sent) = sent.filter(|sent| sent.place == place) else {
        return Err(format!(
            "{place}: the batch at {offset} (number {number:?}) was never sent"
        ));
    };
    let expected = plan::encode(history.seed, &sent.plan);
    if expected.get(OWN_BYTES_AT..) != batch.get(OWN_BYTES_AT..) {
        let number = sent.plan.number;
        return Err(format!(
            "{place}: batch {number} at {offset} is not what was sent"
        ));
    }
    let number = sent.plan.number;
    Ok((ReadBatch { offset, number }, header.last_offset()))
}

/// Reads every partition, from the offsets named (from the start where none is).
pub fn read_all(
    address: &str,
    history: &History,
    from: &BTreeMap<Place, i64>,
) -> Result<BTreeMap<Place, PartitionRead>, String> {
    let mut connection = Connection::open(address)?;
    let mut reads = BTreeMap::new();
    for place in plan::places() {
        let from = from.get(&place).copied().unwrap_or(0);
        let read = read_partition(&mut connection, history, place, from)?;
        reads.insert(place, read);
    }
    Ok(reads)
}
