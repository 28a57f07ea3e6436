// SPDX-License-Identifier: Apache-2.0
//! Deletion: the whole directory goes.
//!
//! Owns: [`Deletion`]. Invariants: the directory is removed only once no request of this log is
//! under way, so that nothing is made in it afterwards. Runs on: the core of the partition. Bounded
//! by: one pass.

use super::event::{LogEvent, ReadError};
use super::operations::Pending;
use super::partition_log::{PartitionLog, Phase, done};
use crate::model::disk::{DiskError, DiskOperation, DiskOutcome, DiskQueue};
use crate::model::time::Now;

/// How far a deletion has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deletion {
    /// Requests from before are still under way, or files are being closed.
    Draining { closing: bool },
    /// The directory is being removed.
    Removing,
}

impl PartitionLog {
    /// Removes the directory. Ends in `LogEvent::Deleted`.
    pub fn handle_delete(&mut self, _now: Now, disk: &mut DiskQueue, events: &mut Vec<LogEvent>) {
        match self.phase {
            Phase::Deleting(_) => return,
            Phase::Deleted => return events.push(LogEvent::Deleted),
            _ => {}
        }
        self.fail_tasks(ReadError::NotOpen, events);
        disk.cleaner().give(self.owner);
        self.phase = Phase::Deleting(Deletion::Draining { closing: false });
        self.go_on_deleting(disk);
    }

    fn go_on_deleting(&mut self, disk: &mut DiskQueue) {
        let Phase::Deleting(Deletion::Draining { closing }) = self.phase else {
            return;
        };
        if !self.operations.is_empty() {
            return;
        }
        let mut files: Vec<_> = self
            .segments
            .iter_mut()
            .filter_map(|segment| segment.file.take())
            .collect();
        files.extend(
            self.roll
                .take()
                .and_then(|roll| roll.created())
                .map(|(file, _)| file),
        );
        files.extend(self.compaction.take_open_files());
        files.extend(self.points.take_open_file());
        files.extend(self.spares.take().and_then(|(_, file)| file));
        if !closing && !files.is_empty() {
            self.phase = Phase::Deleting(Deletion::Draining { closing: true });
            for file in files {
                self.push(Pending::Delete, DiskOperation::Close { file }, disk);
            }
            return;
        }
        self.phase = Phase::Deleting(Deletion::Removing);
        let path = self.directory.clone();
        self.push(
            Pending::Delete,
            DiskOperation::RemoveDirectory { path },
            disk,
        );
    }

    pub(super) fn step_deletion(
        &mut self,
        pending: Pending,
        result: Result<DiskOutcome, DiskError>,
        disk: &mut DiskQueue,
        events: &mut Vec<LogEvent>,
    ) {
        let is_removed = matches!(self.phase, Phase::Deleting(Deletion::Removing));
        if !is_removed || pending != Pending::Delete {
            if pending == Pending::Compaction && result.is_ok() {
                self.compaction.note_opened();
            }
            if pending == Pending::Point && result.is_err() {
                self.points.note_not_opened();
            }
            if pending == Pending::Spare && result.is_err() {
                self.spares.note_not_opened();
            }
            return self.go_on_deleting(disk);
        }
        match done(result) {
            Ok(()) => {
                self.phase = Phase::Deleted;
                self.segments.clear();
                self.stages.clear();
                self.tail_cache.clear();
                events.push(LogEvent::Deleted);
            }
            Err(error) => self.fail("removing the directory", error, events),
        }
    }
}
