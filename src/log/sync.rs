// SPDX-License-Identifier: Apache-2.0
//! The relaxed flush modes: a round counts as soon as it is written, and a flush follows by time or
//! count, or because too much would lie unflushed.
//!
//! What was written and not flushed survives the death of the process, because direct writes are
//! with the device; it does not survive a loss of power.
//!
//! Owns: [`Unsynced`]. Invariants: one such flush is under way at most; it covers what had been
//! written when it was asked for; no more than `UNFLUSHED_BYTES_MAX` ever lie past the last flush,
//! in any mode, so recovery can tell a torn tail from rot. Runs on: the core of the partition.
//! Bounded by: `UNFLUSHED_BYTES_MAX`.

use super::event::LogEvent;
use super::operations::Pending;
use super::partition_log::{PartitionLog, Phase, done};
use super::tail_buffer::memory_len;
use crate::limits::UNFLUSHED_BYTES_MAX;
use crate::model::disk::{DiskError, DiskOperation, DiskOutcome, DiskQueue};
use crate::model::ids::Offset;
use crate::model::time::{MonotonicUs, Now};
use crate::model::topic_config::FlushMode;

/// Unflushed bytes at which a flush is asked for whatever the mode says.
const BYTES_AT_FLUSH: usize = UNFLUSHED_BYTES_MAX / 4;

/// What was confirmed without a flush.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Unsynced {
    bytes: usize,
    records: u64,
    /// When the oldest of it was written.
    since: Option<MonotonicUs>,
    /// When the oldest of it was written that the flush under way does not cover.
    since_asked: Option<MonotonicUs>,
    /// The flush under way.
    flush: Option<Covered>,
}

/// What a flush under way covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Covered {
    /// Base offset of the segment.
    segment: Offset,
    /// Up to where its file was written.
    write_end: u64,
    bytes: usize,
    records: u64,
}

impl Unsynced {
    /// Bytes past the last flush.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes note of a round.
    fn add(&mut self, now: Now, bytes: usize, records: u64) {
        self.bytes += bytes;
        self.records += records;
        match self.flush {
            Some(_) => self.since_asked.get_or_insert(now.monotonic_us),
            None => self.since.get_or_insert(now.monotonic_us),
        };
    }

    /// When the mode asks for the next flush.
    pub(super) fn deadline(&self, mode: FlushMode) -> Option<MonotonicUs> {
        let FlushMode::Interval { ms, .. } = mode else {
            return None;
        };
        let since = self.since.filter(|_| self.flush.is_none())?;
        Some(since.saturating_add(ms.saturating_mul(1000)))
    }

    fn is_due(&self, now: Now, mode: FlushMode) -> bool {
        let by_count = match mode {
            FlushMode::Interval { records, .. } => self.records >= records,
            FlushMode::Always | FlushMode::Never => false,
        };
        let by_time = self.deadline(mode).is_some_and(|at| at <= now.monotonic_us);
        self.bytes > 0 && (by_count || by_time || self.bytes >= BYTES_AT_FLUSH)
    }

    /// The flush under way has ended; what it covered. None if a roll or a cut in between flushed
    /// the file itself.
    fn end_flush(&mut self) -> Option<Covered> {
        let covered = self.flush.take()?;
        self.bytes = self.bytes.saturating_sub(covered.bytes);
        self.records = self.records.saturating_sub(covered.records);
        // The promise counts from the writing, however long the flush before it took.
        self.since = self.since_asked.take().filter(|_| self.bytes > 0);
        Some(covered)
    }

    /// Everything was flushed with the file: the segment is complete, or the log stops.
    pub(super) fn clear(&mut self) {
        *self = Unsynced::default();
    }
}

impl PartitionLog {
    /// A round was written and counts without a flush.
    pub(super) fn note_unsynced(&mut self, now: Now, bytes: u64, records: u64) {
        self.unsynced.add(now, memory_len(bytes), records);
    }

    /// Asks for a flush if the mode or the bound wants one.
    pub(super) fn sync_if_due(&mut self, now: Now, disk: &mut DiskQueue) {
        let is_open = matches!(self.phase, Phase::Open);
        let is_busy = self.unsynced.flush.is_some() || self.roll.is_some() || self.is_cutting();
        if !is_open || is_busy || !self.unsynced.is_due(now, self.config.flush_mode) {
            return;
        }
        let stage = self.stages.front().expect("an open log has a stage");
        let (segment, write_end) = (stage.base_offset, stage.written_end);
        // A round that is being written is not covered: its end may not be taken for flushed.
        let write_end = match &self.round {
            Some(_) => 0,
            None => write_end,
        };
        self.unsynced.flush = Some(Covered {
            segment,
            write_end,
            bytes: self.unsynced.bytes,
            records: self.unsynced.records,
        });
        let file = self
            .segment_mut(segment)
            .and_then(|segment| segment.file)
            .expect("a segment that is written to is open");
        self.push(Pending::Sync, DiskOperation::Flush { file }, disk);
    }

    pub(super) fn end_sync(
        &mut self,
        now: Now,
        result: Result<DiskOutcome, DiskError>,
        disk: &mut DiskQueue,
        events: &mut Vec<LogEvent>,
    ) {
        if let Err(error) = done(result) {
            return self.fail("a flush", error, events);
        }
        let Some(covered) = self.unsynced.end_flush() else {
            return;
        };
        let stage = self.stages.front_mut().expect("an open log has a stage");
        if stage.base_offset == covered.segment {
            stage.area.note_flushed(covered.write_end);
        }
        events.push(LogEvent::Synced);
        self.sync_if_due(now, disk);
        self.note_point(disk);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_ms(ms: u64) -> Now {
        Now {
            monotonic_us: ms * 1000,
            wall_ms: 0,
        }
    }

    const MODE: FlushMode = FlushMode::Interval {
        records: 100,
        ms: 50,
    };

    #[test]
    fn an_interval_ends_by_time_or_by_count() {
        let mut unsynced = Unsynced::default();
        assert_eq!(unsynced.deadline(MODE), None, "nothing waits");
        unsynced.add(at_ms(10), 1000, 60);
        assert_eq!(unsynced.deadline(MODE), Some(60_000));
        assert!(!unsynced.is_due(at_ms(59), MODE));
        assert!(unsynced.is_due(at_ms(60), MODE));
        unsynced.add(at_ms(20), 1000, 40);
        assert!(unsynced.is_due(at_ms(20), MODE));
        assert_eq!(unsynced.deadline(MODE), Some(60_000), "the oldest counts");
    }

    #[test]
    fn what_is_written_during_a_flush_waits_no_longer_for_its_own() {
        let mut unsynced = Unsynced::default();
        unsynced.add(at_ms(10), 1000, 1);
        unsynced.flush = Some(Covered {
            segment: 0,
            write_end: 0,
            bytes: 1000,
            records: 1,
        });
        unsynced.add(at_ms(61), 500, 1);
        unsynced.add(at_ms(70), 500, 1);
        assert_eq!(unsynced.deadline(MODE), None, "one at a time");
        // The flush took 60 ms: what came behind it is due at once.
        assert!(unsynced.end_flush().is_some());
        assert_eq!(unsynced.bytes(), 1000);
        assert_eq!(unsynced.deadline(MODE), Some(111_000));
        assert!(unsynced.is_due(at_ms(120), MODE));
        assert!(!unsynced.is_due(at_ms(110), MODE));
        assert_eq!(unsynced.end_flush(), None);
    }

    #[test]
    fn never_means_not_before_the_bound() {
        let mut unsynced = Unsynced::default();
        unsynced.add(at_ms(0), BYTES_AT_FLUSH - 1, 1 << 40);
        assert!(!unsynced.is_due(at_ms(1 << 40), FlushMode::Never));
        assert_eq!(unsynced.deadline(FlushMode::Never), None);
        unsynced.add(at_ms(0), 1, 1);
        assert!(unsynced.is_due(at_ms(0), FlushMode::Never));
        unsynced.clear();
        assert!(!unsynced.is_due(at_ms(0), FlushMode::Never));
    }
}
