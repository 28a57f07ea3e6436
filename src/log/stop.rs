// SPDX-License-Identifier: Apache-2.0
//! Stopping in order: what was appended becomes durable, the last file gets its exact length, the
//! small files and, last, the clean marker are written, everything is closed.
//!
//! Owns: [`Stop`]. Invariants: the marker is written only after everything it speaks for is
//! durable; where that fails the stop ends without it, and the next start scans. Runs on: the core
//! of the partition. Bounded by: one pass.

use super::clean_marker::{CLEAN_SHUTDOWN, CleanMarker};
use super::event::{LogEvent, ReadError};
use super::leader_epochs::LEADER_EPOCH_CHECKPOINT;
use super::operations::Pending;
use super::partition_log::{PartitionLog, Phase, done};
use super::producer_snapshot;
use super::segment::FileKind;
use crate::model::disk::{DiskError, DiskOperation, DiskOutcome, DiskQueue};
use crate::model::time::Now;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Rounds, rolls and reads are still under way.
    Drain,
    SetLength,
    Flush,
    Replace {
        left: u32,
        failed: bool,
    },
    Mark,
    Close {
        left: usize,
    },
}

/// How far a stop has got.
#[derive(Debug)]
pub(super) struct Stop {
    step: Step,
}

impl PartitionLog {
    /// Stops in order: everything durable, files exact, clean marker. Ends in `LogEvent::Stopped`.
    pub fn handle_stop(&mut self, now: Now, disk: &mut DiskQueue, events: &mut Vec<LogEvent>) {
        self.now_us = now.monotonic_us;
        match &mut self.phase {
            Phase::Opening(opening) => opening.stop_wanted = true,
            Phase::Open => self.start_stop(disk, events),
            Phase::Delayed(_) => self.stop_delayed(events),
            Phase::Stopping(_) | Phase::Deleting(_) => {}
            Phase::Closed | Phase::Deleted | Phase::Failed => events.push(LogEvent::Stopped),
        }
    }

    pub(super) fn start_stop(&mut self, disk: &mut DiskQueue, events: &mut Vec<LogEvent>) {
        self.phase = Phase::Stopping(Stop { step: Step::Drain });
        self.fail_tasks(ReadError::NotOpen, events);
        self.give_up_ahead(disk);
        self.give_up_spare(disk);
        self.give_up_compaction(disk);
        self.go_on_stopping(disk, events);
    }

    /// Starts to put the files in order once nothing else is under way.
    pub(super) fn go_on_stopping(&mut self, disk: &mut DiskQueue, _events: &mut Vec<LogEvent>) {
        let Phase::Stopping(Stop { step: Step::Drain }) = self.phase else {
            return;
        };
        let is_drained = self.stages.len() == 1 && self.stages[0].tail.is_empty();
        if !is_drained || !self.operations.is_empty() {
            return;
        }
        assert_eq!(self.durable_end, self.log_end);
        let active = self.active_mut();
        active.finish_time_index();
        let file = active.file.expect("a segment that is written to is open");
        let len_bytes = active.mark.size_bytes;
        self.stop_at(Step::SetLength);
        self.push(
            Pending::Stop,
            DiskOperation::SetLength { file, len_bytes },
            disk,
        );
    }

    fn stop_at(&mut self, step: Step) {
        self.phase = Phase::Stopping(Stop { step });
    }

    pub(super) fn step_stop(
        &mut self,
        result: Result<DiskOutcome, DiskError>,
        disk: &mut DiskQueue,
        events: &mut Vec<LogEvent>,
    ) {
        let Phase::Stopping(Stop { step }) = &self.phase else {
            unreachable!("only a stop asks so");
        };
        let step = *step;
        let result = done(result);
        if let (Step::Flush, Err(error)) = (step, result) {
            return self.fail("a flush", error, events);
        }
        match (step, result) {
            (Step::Drain, _) => unreachable!("a drain asks nothing"),
            (Step::SetLength, Ok(())) => {
                let file = self.active_mut().file.expect("the last segment is open");
                self.stop_at(Step::Flush);
                self.push(Pending::Stop, DiskOperation::Flush { file }, disk);
            }
            (Step::Flush, Ok(())) => self.replace_at_stop(disk),
            (Step::Replace { left, failed }, result) => {
                let failed = failed || result.is_err();
                match left {
                    2.. => self.stop_at(Step::Replace {
                        left: left - 1,
                        failed,
                    }),
                    _ if failed => self.close_files(disk, events),
                    _ => self.write_marker(disk),
                }
            }
            (Step::Close { left }, _) if left > 1 => self.stop_at(Step::Close { left: left - 1 }),
            (Step::Close { .. }, _) => self.finish_stop(events),
            // Without a marker the next start scans: nothing is lost by it.
            (Step::Mark, _) | (_, Err(_)) => self.close_files(disk, events),
        }
    }

    fn replace_at_stop(&mut self, disk: &mut DiskQueue) {
        let active = self.active_mut();
        let base_offset = active.base_offset;
        let indexes = active
            .indexes
            .as_ref()
            .expect("the last segment has its indexes");
        let (offsets, times) = (indexes.offsets.encode(), indexes.times.encode());
        let mut replaced = vec![
            (self.segment_path(base_offset, FileKind::Index), offsets),
            (self.segment_path(base_offset, FileKind::TimeIndex), times),
            (
                self.segment_path(self.log_end, FileKind::Snapshot),
                producer_snapshot::encode(&self.producers),
            ),
            (self.path(LEADER_EPOCH_CHECKPOINT), self.epochs.encode()),
        ];
        replaced.extend(self.txn_index(base_offset, self.log_end));
        self.stop_at(Step::Replace {
            left: u32::try_from(replaced.len()).expect("a handful"),
            failed: false,
        });
        for (path, contents) in replaced {
            self.push(
                Pending::Stop,
                DiskOperation::ReplaceFile { path, contents },
                disk,
            );
        }
    }

    fn write_marker(&mut self, disk: &mut DiskQueue) {
        let active = self.segments.back().expect("an open log has a segment");
        let marker = CleanMarker {
            segment_base: active.base_offset,
            log_end: self.log_end,
            segment_bytes: active.mark.size_bytes,
        };
        let path = self.path(CLEAN_SHUTDOWN);
        let contents = marker.encode();
        self.stop_at(Step::Mark);
        self.push(
            Pending::Stop,
            DiskOperation::ReplaceFile { path, contents },
            disk,
        );
    }

    fn close_files(&mut self, disk: &mut DiskQueue, events: &mut Vec<LogEvent>) {
        let files: Vec<_> = self
            .segments
            .iter_mut()
            .filter_map(|segment| segment.file.take())
            .collect();
        let mut operations: Vec<_> = files
            .into_iter()
            .map(|file| DiskOperation::Close { file })
            .collect();
        if let Some((old_base, file)) = self.spares.take() {
            let path = self.segment_path(old_base, FileKind::Recycled);
            operations.extend(file.map(|file| DiskOperation::Close { file }));
            operations.push(DiskOperation::RemoveFile { path });
        }
        let left = operations.len();
        self.stop_at(Step::Close { left });
        if left == 0 {
            return self.finish_stop(events);
        }
        for operation in operations {
            self.push(Pending::Stop, operation, disk);
        }
    }

    fn finish_stop(&mut self, events: &mut Vec<LogEvent>) {
        self.phase = Phase::Closed;
        self.segments.clear();
        self.stages.clear();
        self.tail_cache.clear();
        events.push(LogEvent::Stopped);
    }
}
