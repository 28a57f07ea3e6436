// SPDX-License-Identifier: Apache-2.0
//! Compaction: of each key only the newest record stays, below a point that rises with each pass.
//!
//! ```text
//! look (is there enough, is it our turn) -> walk over the dirty segments: newest offset of each
//!   key
//!   -> segments from the front, in groups that fit one segment: copied without what is outdated
//!      -> the copy takes the place of its group (`swap`)
//!   -> cleaner-checkpoint: up to here each key occurs once
//! ```
//! The map of keys has a fixed size: what does not fit is left for the next pass. Offsets never
//! change; the last batch of a group, and the last one of each producer, stay at least without
//! their records, so that segments join and sequences go on. Reads and writes are pieces of
//! `COMPACTION_PIECE_BYTES`, one at a time on a shard, and none while its queue is long.
//!
//! Text of `cleaner-checkpoint`: as that of `log-start-offset` (see `log_start`). Where it is
//! missing or damaged the next pass begins at the log start, which changes nothing but its length.
//!
//! Owns: [`Compaction`], when a pass begins, and its end. Invariants: only segments that are sealed
//! on disk, committed and old enough are touched. Runs on: the core of the partition.
//! Bounded by: one pass of one log on a shard, `CleanerSettings`.

use super::compaction_pass::{Asked, Pass};
use super::compaction_transactions::Producers;
use super::event::LogEvent;
use super::log_start;
use super::open::contents;
use super::operations::Pending;
use super::partition_log::PartitionLog;
use super::segment::Segment;
use crate::limits::COMPACTION_TURN_MS;
use crate::model::cleaner::CleanerSettings;
use crate::model::disk::{DiskError, DiskOperation, DiskOutcome, DiskQueue, FileId};
use crate::model::ids::Offset;
use crate::model::time::{MonotonicUs, Now};

/// File name.
pub(super) const CLEANER_CHECKPOINT: &str = "cleaner-checkpoint";

/// What is known of the clean part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Checkpoint {
    #[default]
    Unread,
    Reading,
    Known(Offset),
}

/// What compaction is at.
#[derive(Debug, Default)]
pub(super) struct Compaction {
    pub(super) settings: CleanerSettings,
    due: Option<MonotonicUs>,
    checkpoint: Checkpoint,
    pub(super) pass: Option<Box<Pass>>,
    /// Damage was met: nothing is compacted until the next start.
    pub(super) is_refused: bool,
}

impl Compaction {
    /// True while this segment may be replaced by a copy, so that it must stay.
    pub(super) fn holds(&self, segment: Offset) -> bool {
        let group = self.pass.as_ref().and_then(|pass| pass.group.as_ref());
        group.is_some_and(|group| (group.base..group.next).contains(&segment))
    }

    /// What a pass holds in memory.
    pub(super) fn held_bytes(&self) -> usize {
        self.pass.as_ref().map_or(0, |pass| pass.held_bytes())
    }

    /// The log is open: when it is looked at first.
    pub(super) fn open(&mut self, now: Now) {
        self.due = Some(now.after_ms(self.settings.backoff_ms));
    }

    /// Settings have changed: look at once.
    pub(super) fn look_soon(&mut self) {
        if self.due.is_some() {
            self.due = Some(0);
        }
    }

    fn next_deadline(&self) -> Option<MonotonicUs> {
        match &self.pass {
            Some(pass) => pass.paused_until,
            None => self.due.filter(|_| self.checkpoint != Checkpoint::Reading),
        }
    }

    /// An opening of a log that is being removed has ended.
    pub(super) fn note_opened(&mut self) {
        if let Some(pass) = &mut self.pass {
            pass.note_opened();
        }
    }

    /// Files of a pass, for a log that is removed.
    pub(super) fn take_open_files(&mut self) -> Vec<FileId> {
        self.pass
            .take()
            .map_or(Vec::new(), |mut pass| pass.take_open_files())
    }
}

impl PartitionLog {
    /// How it is compacted, if it is a compacted topic's.
    pub fn set_cleaner(&mut self, settings: CleanerSettings) {
        self.compaction.settings = settings;
    }

    /// The offset up to which each key occurs once, as far as it is known.
    #[must_use]
    pub fn clean_end_offset(&self) -> Option<Offset> {
        match self.compaction.checkpoint {
            Checkpoint::Known(offset) => Some(offset),
            _ => None,
        }
    }

    fn is_compacted(&self) -> bool {
        let settings = &self.compaction.settings;
        self.config.cleanup_policy.compact && settings.is_enabled && !self.compaction.is_refused
    }

    /// When compaction wants to be called.
    pub(super) fn compaction_deadline(&self) -> Option<MonotonicUs> {
        let has_work = self.compaction.pass.is_some() || self.is_compacted();
        self.compaction.next_deadline().filter(|_| has_work)
    }

    /// Goes on with a pass, or looks whether one should begin.
    pub(super) fn tick_compaction(
        &mut self,
        now: Now,
        disk: &mut DiskQueue,
        events: &mut Vec<LogEvent>,
    ) {
        if self
            .compaction_deadline()
            .is_none_or(|at| at > now.monotonic_us)
        {
            return;
        }
        if let Some(pass) = &mut self.compaction.pass {
            pass.paused_until = None;
            return self.go_on_compaction(now, disk, events);
        }
        self.compaction.due = Some(now.after_ms(self.compaction.settings.backoff_ms));
        match self.compaction.checkpoint {
            Checkpoint::Reading => {}
            Checkpoint::Unread => {
                self.compaction.checkpoint = Checkpoint::Reading;
                let path = self.path(CLEANER_CHECKPOINT);
                self.push(
                    Pending::CleanerCheckpoint,
                    DiskOperation::ReadFile { path },
                    disk,
                );
            }
            Checkpoint::Known(clean_end) => self.look_at_dirt(clean_end, now, disk, events),
        }
    }

    /// The checkpoint was read, or there is none.
    pub(super) fn end_cleaner_checkpoint(&mut self, result: Result<DiskOutcome, DiskError>) {
        let kept = contents(result).and_then(|file| log_start::decode(&file));
        self.compaction.checkpoint = Checkpoint::Known(kept.unwrap_or(0));
        self.compaction.look_soon();
    }

    /// Up to where records are settled: committed, durable, and part of no open transaction.
    pub(super) fn compaction_bound(&self) -> Offset {
        self.last_stable_offset(self.retention_bound)
            .min(self.durable_end)
    }

    /// Begins a pass if enough is dirty.
    fn look_at_dirt(
        &mut self,
        clean_end: Offset,
        now: Now,
        disk: &mut DiskQueue,
        events: &mut Vec<LogEvent>,
    ) {
        let front = self.segments.front().expect("an open log has a segment");
        // A checkpoint beyond the log speaks of records that a crash took.
        let is_sane = clean_end <= self.log_end;
        let first_dirty = if is_sane { clean_end } else { 0 };
        let first_dirty = first_dirty.max(front.base_offset);
        match self.dirt(first_dirty, now) {
            Dirt::Little => {}
            Dirt::Unknown(base_offset) => {
                self.warm(base_offset, disk);
                self.compaction.due = Some(now.after_ms(COMPACTION_TURN_MS));
            }
            Dirt::Enough(end) => {
                if !disk.cleaner().take(self.owner) {
                    self.compaction.due = Some(now.after_ms(COMPACTION_TURN_MS));
                    return;
                }
                let producers = Producers::of(&self.producers);
                let dedupe_bytes = self.compaction.settings.dedupe_bytes;
                let pass = Pass::new(first_dirty, end, producers, now, dedupe_bytes);
                self.compaction.pass = Some(Box::new(pass));
                self.go_on_compaction(now, disk, events);
            }
        }
    }

    fn dirt(&self, first_dirty: Offset, now: Now) -> Dirt {
        let rules = self.config.compaction;
        let written = self.stages.front().map_or(0, |stage| stage.base_offset);
        let bound = self.compaction_bound();
        let (mut clean_bytes, mut dirty_bytes, mut end) = (0, 0, first_dirty);
        let mut oldest_ms = None;
        for segment in &self.segments {
            if segment.base_offset >= written || segment.mark.next_offset > bound {
                break;
            }
            if segment.mark.next_offset <= first_dirty {
                clean_bytes += segment.mark.size_bytes;
                continue;
            }
            let needs_times = rules.lag_ms_min > 0 || rules.lag_ms_max.is_some();
            if needs_times && !segment.times_known {
                return Dirt::Unknown(segment.base_offset);
            }
            if rules.lag_ms_min > 0 && !is_older(newest_ms(segment), now, rules.lag_ms_min) {
                break;
            }
            oldest_ms = oldest_ms
                .or(segment.mark.first_timestamp)
                .or(newest_ms(segment));
            dirty_bytes += segment.mark.size_bytes;
            end = segment.mark.next_offset;
        }
        let parts = u128::from(dirty_bytes) * 1_000_000;
        let wanted = u128::from(rules.dirty_millionths_min) * u128::from(clean_bytes + dirty_bytes);
        let is_overdue = rules
            .lag_ms_max
            .is_some_and(|max| is_older(oldest_ms, now, max));
        if end > first_dirty && (parts > wanted || is_overdue) {
            Dirt::Enough(end)
        } else {
            Dirt::Little
        }
    }

    /// Everything of a pass is in place: what it got done is noted.
    pub(super) fn write_cleaner_checkpoint(&mut self, pass: &mut Pass, disk: &mut DiskQueue) {
        let path = self.path(CLEANER_CHECKPOINT);
        let contents = log_start::encode(pass.end);
        let replace = DiskOperation::ReplaceFile { path, contents };
        pass.asked = Some(Asked::Checkpoint);
        self.push(Pending::Compaction, replace, disk);
    }

    /// The pass is over, or was given up.
    pub(super) fn end_compaction(
        &mut self,
        pass: &Pass,
        now: Now,
        disk: &mut DiskQueue,
        events: &mut Vec<LogEvent>,
    ) {
        disk.cleaner().give(self.owner);
        events.push(LogEvent::Compacted(pass.report(now)));
        if pass.is_given_up {
            self.compaction.due = Some(now.after_ms(self.compaction.settings.backoff_ms));
        } else {
            self.compaction.checkpoint = Checkpoint::Known(pass.end);
            self.compaction.due = Some(now.after_ms(COMPACTION_TURN_MS));
        }
    }

    /// The log stops: no further piece is begun. A copy that has begun to take its
    /// place goes on.
    pub(super) fn give_up_compaction(&mut self, disk: &mut DiskQueue) {
        let now = Now {
            monotonic_us: self.now_us,
            wall_ms: 0,
        };
        self.compaction.due = None;
        disk.cleaner().give(self.owner);
        let Some(pass) = &mut self.compaction.pass else {
            return;
        };
        pass.is_given_up = true;
        if pass.asked.is_none() {
            pass.paused_until = None;
            self.go_on_compaction(now, disk, &mut Vec::new());
        }
    }
}

/// What there is to do.
enum Dirt {
    Little,
    /// The timestamps of this segment must be loaded to know.
    Unknown(Offset),
    /// Enough, up to this offset.
    Enough(Offset),
}

fn newest_ms(segment: &Segment) -> Option<i64> {
    segment.mark.max_timestamp.map(|(timestamp, _)| timestamp)
}

/// True if this moment lies further back than that; no moment counts as long ago.
fn is_older(timestamp: Option<i64>, now: Now, ms: u64) -> bool {
    timestamp.is_none_or(|timestamp| {
        let age = now.wall_ms.saturating_sub(timestamp);
        u64::try_from(age).is_ok_and(|age| age > ms)
    })
}
