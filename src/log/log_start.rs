// SPDX-License-Identifier: Apache-2.0
//! Moving the log start on a client's word (DeleteRecords), and the file `log-start-offset` that
//! keeps it. Text:
//! ```text
//! 0            version
//! 90211        the log starts here, or later
//! 3f20a1c4     CRC-32 (IEEE) of the two lines above, hexadecimal
//! ```
//! The file is written before the log start moves and before anybody is told, so that what was
//! told survives a crash. Segments that lie below the log start whole are then removed as retention
//! removes them; an open log starts at the larger of this offset and its first segment.
//!
//! Owns: [`StartMove`], the layout. Invariants: the log start never falls; one write of the file is
//! under way at a time. Runs on: the core of the partition. Bounded by: the requests in flight.

use super::event::{LogEvent, ReadError};
use super::open::contents;
use super::operations::Pending;
use super::partition_log::{PartitionLog, Phase};
use crate::model::disk::{DiskError, DiskOperation, DiskOutcome, DiskQueue};
use crate::model::ids::Offset;

/// File name.
pub(super) const LOG_START_OFFSET: &str = "log-start-offset";

/// Moves of the log start that are not durable yet.
#[derive(Debug, Default)]
pub(super) struct StartMove {
    /// What is being written.
    writing: Option<Offset>,
    /// Who waits for which offset.
    waiters: Vec<(u64, Offset)>,
}

impl StartMove {
    fn take_reached(&mut self, offset: Offset) -> Vec<u64> {
        let all = std::mem::take(&mut self.waiters);
        let (reached, left) = all.into_iter().partition(|(_, until)| *until <= offset);
        self.waiters = left;
        let reached: Vec<(u64, Offset)> = reached;
        reached.into_iter().map(|(waiter, _)| waiter).collect()
    }

    pub(super) fn take_all(&mut self) -> Vec<u64> {
        self.take_reached(Offset::MAX)
    }
}

/// The contents of the file.
pub(super) fn encode(offset: Offset) -> Vec<u8> {
    let head = format!("0\n{offset}\n");
    let crc = crc32fast::hash(head.as_bytes());
    format!("{head}{crc:08x}\n").into_bytes()
}

/// Reads the file; `None` if it is damaged.
pub(super) fn decode(file: &[u8]) -> Option<Offset> {
    let text = std::str::from_utf8(file).ok()?;
    let offset = text.lines().nth(1)?.parse().ok()?;
    // One text for each offset: comparing it checks version, form and checksum at once.
    (encode(offset) == file && offset >= 0).then_some(offset)
}

impl PartitionLog {
    /// Moves the log start to `offset`, which the caller knows to be committed. Gives the log start
    /// if it is there or beyond already; otherwise `LogEvent::RecordsDeleted` follows.
    pub fn handle_delete_records(
        &mut self,
        waiter: u64,
        offset: Offset,
        disk: &mut DiskQueue,
    ) -> Result<Option<Offset>, ReadError> {
        if !matches!(self.phase, Phase::Open) {
            return Err(ReadError::NotOpen);
        }
        if offset > self.durable_end {
            return Err(ReadError::OffsetOutOfRange);
        }
        if offset <= self.log_start {
            return Ok(Some(self.log_start));
        }
        self.start_move.waiters.push((waiter, offset));
        self.write_log_start(disk);
        Ok(None)
    }

    /// Writes the largest offset that somebody waits for.
    fn write_log_start(&mut self, disk: &mut DiskQueue) {
        if self.start_move.writing.is_some() {
            return;
        }
        let waiters = self.start_move.waiters.iter();
        let Some(offset) = waiters.map(|(_, offset)| *offset).max() else {
            return;
        };
        self.start_move.writing = Some(offset);
        let path = self.path(LOG_START_OFFSET);
        let contents = encode(offset);
        let write = DiskOperation::ReplaceFile { path, contents };
        self.push(Pending::LogStart, write, disk);
    }

    /// The file was written, or not.
    pub(super) fn end_log_start(
        &mut self,
        result: Result<DiskOutcome, DiskError>,
        disk: &mut DiskQueue,
        events: &mut Vec<LogEvent>,
    ) {
        let writing = self.start_move.writing.take();
        let offset = writing.expect("a write of the file is noted");
        match result {
            Ok(_) => {
                self.move_log_start(offset, events);
                self.retention.due = Some(0);
            }
            // The old file stands, for the new one is whole or not there at all.
            Err(DiskError::NoSpace) => {}
            Err(error) => return self.fail("writing log-start-offset", error, events),
        }
        for waiter in self.start_move.take_reached(offset) {
            let result = match result {
                Ok(_) => Ok(self.log_start),
                Err(error) => Err(ReadError::Disk(error)),
            };
            events.push(LogEvent::RecordsDeleted { waiter, result });
        }
        if self.is_open() {
            self.write_log_start(disk);
        }
    }

    /// Moves the log start up, if that is up.
    pub(super) fn move_log_start(&mut self, offset: Offset, events: &mut Vec<LogEvent>) {
        assert!(offset <= self.durable_end);
        if offset > self.log_start {
            self.log_start = offset;
            self.epochs.truncate_from_start(offset);
            events.push(LogEvent::LogStartMoved { offset });
        }
    }

    /// The offset that the file keeps, as the opening reads it.
    pub(super) fn take_log_start(
        &mut self,
        result: Result<DiskOutcome, DiskError>,
        disk: &mut DiskQueue,
    ) {
        let kept = contents(result).and_then(|file| decode(&file));
        let opening = self.opening();
        match kept {
            Some(offset) => opening.log_start = offset,
            // Rot: the log starts with its first segment, as if nothing had been deleted since.
            None => opening.report.files_rebuilt += 1,
        }
        self.after_checkpoint(disk);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_comes_back_and_damage_is_refused() {
        let file = encode(90_211);
        assert!(file.starts_with(b"0\n90211\n"));
        assert_eq!(decode(&file), Some(90_211));
        for place in 0..file.len() {
            let mut bad = file.clone();
            bad[place] ^= 1;
            assert_eq!(decode(&bad), None, "byte {place}");
            assert_eq!(decode(&file[..place]), None, "cut at {place}");
        }
        assert_eq!(decode(&encode(-1)), None);
    }

    #[test]
    fn those_who_wait_for_less_are_reached_too() {
        let mut moves = StartMove {
            writing: None,
            waiters: vec![(1, 5), (2, 9), (3, 7)],
        };
        assert_eq!(moves.take_reached(7), [1, 3]);
        assert_eq!(moves.take_all(), [2]);
    }
}
