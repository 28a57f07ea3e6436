// SPDX-License-Identifier: Apache-2.0
//! Look-ups: from a timestamp to the first record that is new enough, and to the newest record
//! (KIP-734).
//!
//! Owns: [`Lookup`]. Invariants: a batch is opened, with a bound, only if its header says that it
//! holds such a record; nothing at or above the bound is answered. Runs on: the core of the
//! partition.
//! Bounded by: `DECOMPRESSED_BYTES_MAX`, one window.

use bytes::Bytes;

use super::event::{LogEvent, LookupStart, ReadError, TimestampedOffset};
use super::partition_log::{PartitionLog, Phase};
use super::segment::Segment;
use super::tail_buffer::file_len;
use super::task::{Ended, Found, Progress, Task, TaskKind, is_intact};
use crate::limits::DECOMPRESSED_BYTES_MAX;
use crate::model::disk::DiskQueue;
use crate::model::ids::Offset;
use crate::wire::record::records;

/// Bytes that a look-up reads at once.
const LOOKUP_READ_BYTES: u64 = 64 * 1024;

/// What a look-up wants.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lookup {
    /// The number its caller chose.
    pub(super) lookup: u64,
    /// `None` while the largest timestamp is still being determined.
    timestamp: Option<i64>,
    /// The largest timestamp is wanted: do not look beyond the segment that has it.
    is_max: bool,
    bound: Offset,
}

impl Lookup {
    fn done(&self, result: Result<Option<TimestampedOffset>, ReadError>) -> Progress {
        Progress::Done(LogEvent::TimestampFound {
            lookup: self.lookup,
            result,
        })
    }
}

/// The first record of a batch that is new enough, from the log start on.
fn first_record(
    batch: &Bytes,
    timestamp: i64,
    log_start: Offset,
) -> Result<Option<TimestampedOffset>, ReadError> {
    let opened = records(batch, DECOMPRESSED_BYTES_MAX).map_err(|_| ReadError::Corrupt)?;
    for record in &opened {
        let record = record.map_err(|_| ReadError::Corrupt)?;
        if record.timestamp >= timestamp && record.offset >= log_start {
            return Ok(Some(TimestampedOffset {
                offset: record.offset,
                timestamp: record.timestamp,
                leader_epoch: opened.header().partition_leader_epoch,
            }));
        }
    }
    Ok(None)
}

impl PartitionLog {
    /// Finds the first record below `bound` whose timestamp is at least `timestamp`.
    pub fn handle_offset_for_timestamp(
        &mut self,
        lookup: u64,
        timestamp: i64,
        bound: Offset,
        disk: &mut DiskQueue,
    ) -> Result<LookupStart, ReadError> {
        let bound = bound.min(self.durable_end);
        let lookup = Lookup {
            lookup,
            timestamp: Some(timestamp),
            is_max: false,
            bound,
        };
        self.start_lookup(lookup, disk)
    }

    /// Finds the first record below `bound` with the largest timestamp of the log.
    pub fn handle_max_timestamp(
        &mut self,
        lookup: u64,
        bound: Offset,
        disk: &mut DiskQueue,
    ) -> Result<LookupStart, ReadError> {
        let bound = bound.min(self.durable_end);
        let lookup = Lookup {
            lookup,
            timestamp: None,
            is_max: true,
            bound,
        };
        self.start_lookup(lookup, disk)
    }

    fn start_lookup(
        &mut self,
        lookup: Lookup,
        disk: &mut DiskQueue,
    ) -> Result<LookupStart, ReadError> {
        if !matches!(self.phase, Phase::Open) {
            return Err(ReadError::NotOpen);
        }
        let first = self
            .segments
            .front()
            .expect("an open log has a segment")
            .base_offset;
        let number = self.new_task();
        match self.run_task(number, Task::new(TaskKind::Lookup(lookup), first), disk) {
            None => Ok(LookupStart::Started),
            Some(Ended::Told(LogEvent::TimestampFound { result, .. })) => {
                result.map(LookupStart::Found)
            }
            Some(event) => unreachable!("a look-up ended with {event:?}"),
        }
    }

    /// One step of a look-up.
    pub(super) fn step_lookup(&mut self, task: &mut Task) -> Progress {
        let TaskKind::Lookup(mut lookup) = task.kind else {
            unreachable!("the caller looked");
        };
        let timestamp = match lookup.timestamp {
            Some(timestamp) => timestamp,
            None => match self.newest_segment() {
                Err(cold) => return Progress::Warm(cold),
                Ok(None) => return lookup.done(Ok(None)),
                Ok(Some((base_offset, timestamp))) => {
                    lookup.timestamp = Some(timestamp);
                    task.kind = TaskKind::Lookup(lookup);
                    task.enter(base_offset);
                    timestamp
                }
            },
        };
        loop {
            // Retention may have removed the segment meanwhile: go on behind it.
            let gone = self.segment_mut(task.segment).is_none();
            let is_searched = gone
                || match self.search_segment(task, &lookup, timestamp) {
                    Some(progress) => return progress,
                    None => true,
                };
            assert!(is_searched);
            match self.segment_after(task.segment) {
                Some(segment) if segment < lookup.bound && !lookup.is_max => task.enter(segment),
                _ => return lookup.done(Ok(None)),
            }
        }
    }

    /// The first segment with the largest durable timestamp; or one that must be warmed to know.
    fn newest_segment(&self) -> Result<Option<(Offset, i64)>, Offset> {
        let mut newest: Option<(Offset, i64)> = None;
        for segment in &self.segments {
            if !segment.times_known {
                return Err(segment.base_offset);
            }
            if let Some((timestamp, _)) = segment.durable.max_timestamp
                && newest.is_none_or(|(_, largest)| timestamp > largest)
            {
                newest = Some((segment.base_offset, timestamp));
            }
        }
        Ok(newest)
    }

    /// Looks through one segment; `None` once it holds no such record.
    fn search_segment(
        &mut self,
        task: &mut Task,
        lookup: &Lookup,
        timestamp: i64,
    ) -> Option<Progress> {
        // The largest timestamp of a segment counts even where its record is deleted, as in Kafka.
        let log_start = if lookup.is_max { 0 } else { self.log_start };
        let segment = self.segment_mut(task.segment).expect("the caller looked");
        let end = segment.durable.size_bytes;
        let mut position = match task.position {
            Some(position) => position,
            None => match search_start(segment, timestamp) {
                SearchStart::Nothing => return None,
                SearchStart::Cold => return Some(Progress::Warm(task.segment)),
                SearchStart::At(position) => position,
            },
        };
        loop {
            task.position = Some(position);
            let need = |len_bytes: u64| Progress::Need {
                position,
                len_bytes,
                useful_bytes: LOOKUP_READ_BYTES.min(end - position),
            };
            let header = match task.window.batch_at(position, end) {
                Found::Batch(header) => header,
                Found::End => return None,
                Found::Need(len_bytes) => return Some(need(len_bytes)),
                Found::Corrupt => return Some(lookup.done(Err(ReadError::Corrupt))),
            };
            if header.base_offset >= lookup.bound {
                return Some(lookup.done(Ok(None)));
            }
            if header.max_timestamp >= timestamp {
                let Some(batch) = task.window.whole(position, &header) else {
                    return Some(need(file_len(header.size_bytes())));
                };
                if !is_intact(&batch, &header) {
                    return Some(lookup.done(Err(ReadError::Corrupt)));
                }
                match first_record(&batch, timestamp, log_start) {
                    Err(error) => return Some(lookup.done(Err(error))),
                    Ok(Some(found)) => {
                        let found = (found.offset < lookup.bound).then_some(found);
                        return Some(lookup.done(Ok(found)));
                    }
                    Ok(None) => {}
                }
            }
            position += file_len(header.size_bytes());
        }
    }
}

enum SearchStart {
    /// The segment holds nothing that is new enough.
    Nothing,
    /// It must be warmed first.
    Cold,
    At(u64),
}

fn search_start(segment: &Segment, timestamp: i64) -> SearchStart {
    if !segment.times_known {
        return SearchStart::Cold;
    }
    if segment
        .durable
        .max_timestamp
        .is_none_or(|(largest, _)| largest < timestamp)
    {
        return SearchStart::Nothing;
    }
    match &segment.indexes {
        None => SearchStart::Cold,
        Some(indexes) => SearchStart::At(
            indexes
                .offsets
                .floor(indexes.times.floor(timestamp))
                .position,
        ),
    }
}
