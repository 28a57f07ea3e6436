// SPDX-License-Identifier: Apache-2.0
//! The compacted copy of a group of segments takes their place, whole or not at all.
//!
//! ```text
//! <base>.cleaned is complete -> exact length -> flush -> renamed to <base>.swap -> (sync of the
//! directory) -> <base>.txnindex tells of the aborted transactions of all of them
//!   -> compaction-swap is written: from here on it is done, now or by the next start
//!   -> readers get the copy -> indexes of the first segment and all files of the others are
//!      removed -> <base>.swap is renamed to <base>.log -> (sync) -> compaction-swap is removed
//!   -> (sync)
//! ```
//! Text of `compaction-swap`:
//! ```text
//! 0            version
//! 1200         base offset of the copy
//! 1900         the segments from there up to here are replaced
//! 48213        bytes of the copy
//! 9d2c11ab     CRC-32 (IEEE) of the lines above, hexadecimal
//! ```
//! A start that finds the file does what is left to do; one that does not find it removes
//! `.cleaned` and `.swap`.
//!
//! Owns: [`SwapStep`], the layout, what a start does about half-done things. Invariants: no segment
//! of the group is removed before the copy and the file are durable; a read that is under way keeps
//! the file that it reads and begins anew in the copy. Runs on: the core of the partition. Bounded
//! by: one group.

use super::compaction_pass::{Asked, Course, Pass};
use super::event::LogEvent;
use super::open::{OpenStep, contents};
use super::operations::Pending;
use super::partition_log::PartitionLog;
use super::segment::{FileKind, Segment, Warmth};
use crate::model::disk::{DiskError, DiskOperation, DiskOutcome, DiskQueue};
use crate::model::ids::Offset;
use crate::model::time::Now;

/// File name.
pub(super) const COMPACTION_SWAP: &str = "compaction-swap";

/// How far a swap is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SwapStep {
    Rename,
    SyncCopy,
    TxnIndex,
    Mark,
    Remove { left: u32 },
    Place,
    SyncPlace,
    Unmark,
    SyncUnmark,
}

impl SwapStep {
    /// True once a start would go on with it.
    pub(super) fn is_committed(self) -> bool {
        !matches!(
            self,
            SwapStep::Rename | SwapStep::SyncCopy | SwapStep::TxnIndex | SwapStep::Mark
        )
    }
}

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SwapMark {
    base: Offset,
    next: Offset,
    len_bytes: u64,
}

impl SwapMark {
    fn encode(self) -> Vec<u8> {
        let SwapMark {
            base,
            next,
            len_bytes,
        } = self;
        let head = format!("0\n{base}\n{next}\n{len_bytes}\n");
        let crc = crc32fast::hash(head.as_bytes());
        format!("{head}{crc:08x}\n").into_bytes()
    }

    /// Reads the file; `None` if it is damaged.
    fn decode(file: &[u8]) -> Option<SwapMark> {
        let text = std::str::from_utf8(file).ok()?;
        let mut lines = text.lines().skip(1);
        let mark = SwapMark {
            base: lines.next()?.parse().ok()?,
            next: lines.next()?.parse().ok()?,
            len_bytes: lines.next()?.parse().ok()?,
        };
        let is_sane = (0..mark.next).contains(&mark.base);
        (is_sane && mark.encode() == file).then_some(mark)
    }
}

impl PartitionLog {
    fn ask_swap(
        &mut self,
        pass: &mut Pass,
        step: SwapStep,
        operation: DiskOperation,
        disk: &mut DiskQueue,
    ) {
        pass.asked = Some(Asked::Swap(step));
        self.push(Pending::Compaction, operation, disk);
    }

    /// The next step after one that went well.
    pub(super) fn go_on_swapping(&mut self, pass: &mut Pass, done: Asked, disk: &mut DiskQueue) {
        let group = pass.group.as_mut().expect("a copy has its group");
        let (file, base) = (group.file, group.base);
        let directory = self.directory.clone();
        let sync = DiskOperation::SyncDirectory { path: directory };
        // Before the mark a stop ends it.
        let is_begun =
            matches!(done, Asked::Swap(step) if step.is_committed() || step == SwapStep::Mark);
        if pass.is_given_up && !is_begun {
            return;
        }
        match done {
            Asked::SetLength => {
                pass.asked = Some(Asked::Flush);
                self.push(Pending::Compaction, DiskOperation::Flush { file }, disk);
            }
            Asked::Flush => {
                let from = self.segment_path(base, FileKind::Cleaned);
                let to = self.segment_path(base, FileKind::Swap);
                let rename = DiskOperation::RenameFile { from, to };
                self.ask_swap(pass, SwapStep::Rename, rename, disk);
            }
            Asked::Swap(SwapStep::Rename) => self.ask_swap(pass, SwapStep::SyncCopy, sync, disk),
            Asked::Swap(SwapStep::SyncCopy) => self.merge_txn_index(pass, disk),
            Asked::Swap(SwapStep::TxnIndex) => self.mark_swap(pass, disk),
            Asked::Swap(SwapStep::Mark) => group.is_committed = true,
            Asked::Swap(SwapStep::Remove { left: 1 }) => {
                let from = self.segment_path(base, FileKind::Swap);
                let to = self.segment_path(base, FileKind::Log);
                let rename = DiskOperation::RenameFile { from, to };
                self.ask_swap(pass, SwapStep::Place, rename, disk);
            }
            Asked::Swap(SwapStep::Remove { left }) => {
                let step = SwapStep::Remove { left: left - 1 };
                pass.asked = Some(Asked::Swap(step));
            }
            Asked::Swap(SwapStep::Place) => self.ask_swap(pass, SwapStep::SyncPlace, sync, disk),
            Asked::Swap(SwapStep::SyncPlace) => {
                let path = self.path(COMPACTION_SWAP);
                let remove = DiskOperation::RemoveFile { path };
                self.ask_swap(pass, SwapStep::Unmark, remove, disk);
            }
            Asked::Swap(SwapStep::Unmark) => self.ask_swap(pass, SwapStep::SyncUnmark, sync, disk),
            Asked::Swap(SwapStep::SyncUnmark) => self.finish_swap(pass, disk),
            other => unreachable!("{other:?} is no step of a swap"),
        }
    }

    /// The file of aborted transactions comes to tell of those of all segments of the group. What
    /// it says of the others counts for nothing until the mark is there.
    fn merge_txn_index(&mut self, pass: &mut Pass, disk: &mut DiskQueue) {
        let group = pass.group.as_ref().expect("a copy has its group");
        let (base, next) = (group.base, group.next);
        let Some(contents) = self.aborted.merged_file(base, next, &group.emptied) else {
            return self.mark_swap(pass, disk);
        };
        let path = self.segment_path(base, FileKind::TxnIndex);
        let replace = DiskOperation::ReplaceFile { path, contents };
        self.ask_swap(pass, SwapStep::TxnIndex, replace, disk);
    }

    fn mark_swap(&mut self, pass: &mut Pass, disk: &mut DiskQueue) {
        let group = pass.group.as_ref().expect("a copy has its group");
        let mark = SwapMark {
            base: group.base,
            next: group.next,
            len_bytes: group.copy.mark.size_bytes,
        };
        let path = self.path(COMPACTION_SWAP);
        let contents = mark.encode();
        let replace = DiskOperation::ReplaceFile { path, contents };
        self.ask_swap(pass, SwapStep::Mark, replace, disk);
    }

    /// It is certain that the copy takes its place: readers get it, once nobody is loading one of
    /// the segments that it replaces.
    pub(super) fn install_copy(&mut self, pass: &mut Pass, disk: &mut DiskQueue) -> Course {
        let group = pass.group.as_mut().expect("a copy has its group");
        let replaced = group.base..group.next;
        let mut old = self
            .segments
            .iter()
            .filter(|old| replaced.contains(&old.base_offset));
        if !old.all(|old| matches!(old.warmth, Warmth::Cold | Warmth::Warm)) {
            return Course::Waits;
        }
        self.uses += 1;
        let mut copy = std::mem::replace(&mut group.copy, Segment::empty(group.base));
        group.copy.mark = copy.mark;
        copy.finish_time_index();
        copy.mark.next_offset = group.next;
        copy.durable = copy.mark;
        copy.file = Some(group.file);
        copy.used = self.uses;
        group.is_open = false;
        let base = group.base;
        let place = self
            .segments
            .partition_point(|old| old.base_offset < replaced.start);
        let count = self
            .segments
            .range(place..)
            .take_while(|old| old.base_offset < replaced.end);
        let count = count.count();
        let old: Vec<Segment> = self.segments.drain(place..place + count).collect();
        let old_bytes: u64 = old.iter().map(|old| old.mark.size_bytes).sum();
        pass.removed_bytes += old_bytes.saturating_sub(copy.mark.size_bytes);
        self.segments.insert(place, copy);
        self.restart_tasks(replaced.clone(), base);
        self.tail_cache.give_up_below(replaced.end, disk.buffers());
        self.remove_replaced(pass, &old, disk);
        Course::Waits
    }

    fn remove_replaced(&mut self, pass: &mut Pass, old: &[Segment], disk: &mut DiskQueue) {
        let mut operations = Vec::new();
        let group = pass.group.as_ref().expect("a copy has its group");
        let merged = self
            .aborted
            .merge_files(group.base, group.next, &group.emptied);
        operations.extend(merged.iter().map(|other| DiskOperation::RemoveFile {
            path: self.segment_path(*other, FileKind::TxnIndex),
        }));
        for (place, segment) in old.iter().enumerate() {
            operations.extend(segment.file.map(|file| DiskOperation::Close { file }));
            let all = [
                FileKind::Index,
                FileKind::TimeIndex,
                FileKind::Log,
                FileKind::Snapshot,
            ];
            // The copy has the name of the first one, and goes on from the same producers.
            let kinds = if place == 0 { &all[..2] } else { &all[..] };
            operations.extend(kinds.iter().map(|kind| DiskOperation::RemoveFile {
                path: self.segment_path(segment.base_offset, *kind),
            }));
        }
        let left = u32::try_from(operations.len()).expect("a few for each segment");
        pass.asked = Some(Asked::Swap(SwapStep::Remove { left }));
        pass.group
            .as_mut()
            .expect("a copy has its group")
            .is_committed = false;
        for operation in operations {
            self.push(Pending::Compaction, operation, disk);
        }
    }

    /// The copy has its place. Its indexes are written, to spare the next start the walk.
    fn finish_swap(&mut self, pass: &mut Pass, disk: &mut DiskQueue) {
        let group = pass.group.take().expect("a copy has its group");
        pass.next_base = group.next;
        let segment = self.segment_mut(group.base).expect("retention waited");
        if let Some(indexes) = &segment.indexes {
            let replaced = [
                (FileKind::Index, indexes.offsets.encode()),
                (FileKind::TimeIndex, indexes.times.encode()),
            ];
            for (kind, contents) in replaced {
                let path = self.segment_path(group.base, kind);
                let replace = DiskOperation::ReplaceFile { path, contents };
                self.push(Pending::Ignored, replace, disk);
            }
        }
        self.cool_down(disk);
    }

    /// The opening has read the file of a swap: what is left of it is done.
    pub(super) fn take_swap(
        &mut self,
        result: Result<DiskOutcome, DiskError>,
        disk: &mut DiskQueue,
    ) {
        let mark = contents(result).and_then(|file| SwapMark::decode(&file));
        let opening = self.opening();
        let Some(mark) = mark else {
            opening.report.files_rebuilt += 1;
            return self.unmark_swap(disk);
        };
        let has_copy = opening.others.contains(&(mark.base, FileKind::Swap));
        let in_place = opening.logs.get(&mark.base) == Some(&mark.len_bytes);
        if !has_copy && !in_place {
            // Nothing was removed before the copy was durable: it is not that swap any more.
            return self.unmark_swap(disk);
        }
        let replaced = (mark.base + 1)..mark.next;
        let others = std::mem::take(&mut opening.others);
        let (gone, kept) = others.into_iter().partition(|(base, kind)| {
            let is_index = matches!(kind, FileKind::Index | FileKind::TimeIndex);
            replaced.contains(base) || (*base == mark.base && is_index)
        });
        opening.others = kept;
        let mut gone: Vec<(Offset, FileKind)> = gone;
        let logs: Vec<Offset> = opening
            .logs
            .range(replaced)
            .map(|(base, _)| *base)
            .collect();
        for base in logs {
            opening.logs.remove(&base);
            gone.push((base, FileKind::Log));
        }
        opening.logs.insert(mark.base, mark.len_bytes);
        opening
            .others
            .retain(|one| *one != (mark.base, FileKind::Swap));
        opening.swap = has_copy.then_some(mark.base);
        let left = gone.len();
        for (base, kind) in gone {
            let path = self.segment_path(base, kind);
            self.push(Pending::Opening, DiskOperation::RemoveFile { path }, disk);
        }
        self.step_swap_removal(left, disk);
    }

    /// So many files of replaced segments are still being removed.
    pub(super) fn step_swap_removal(&mut self, left: usize, disk: &mut DiskQueue) {
        if left > 0 {
            return self.open_at(OpenStep::SwapRemove { left });
        }
        match self.opening().swap.take() {
            Some(base) => {
                let from = self.segment_path(base, FileKind::Swap);
                let to = self.segment_path(base, FileKind::Log);
                let rename = DiskOperation::RenameFile { from, to };
                self.open_next(OpenStep::SwapPlace, rename, disk);
            }
            None => self.sync_swap(OpenStep::SwapSync, disk),
        }
    }

    pub(super) fn sync_swap(&mut self, step: OpenStep, disk: &mut DiskQueue) {
        let path = self.directory.clone();
        self.open_next(step, DiskOperation::SyncDirectory { path }, disk);
    }

    pub(super) fn unmark_swap(&mut self, disk: &mut DiskQueue) {
        let path = self.path(COMPACTION_SWAP);
        self.open_next(
            OpenStep::SwapUnmark,
            DiskOperation::RemoveFile { path },
            disk,
        );
    }

    /// Removes small files that belong to no segment, and what was begun and not finished.
    pub(super) fn tidy(&mut self, now: Now, disk: &mut DiskQueue, events: &mut Vec<LogEvent>) {
        let noted = self.points.noted;
        let opening = self.opening();
        let logs = std::mem::take(&mut opening.logs);
        let others = std::mem::take(&mut opening.others);
        let orphans: Vec<(Offset, FileKind)> = others
            .into_iter()
            .filter(|(base, kind)| {
                let is_of_point = noted.is_some_and(|point| point.mark.next_offset == *base);
                kind.is_unfinished() || !(logs.contains_key(base) || is_of_point)
            })
            .collect();
        if orphans.is_empty() {
            return self.finish_open(now, disk, events);
        }
        let left = orphans.len();
        self.open_at(OpenStep::Tidy { left });
        for (base_offset, kind) in orphans {
            let path = self.segment_path(base_offset, kind);
            self.push(Pending::Opening, DiskOperation::RemoveFile { path }, disk);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_is_read_as_written_and_damage_is_told() {
        let mark = SwapMark {
            base: 1200,
            next: 1900,
            len_bytes: 48_213,
        };
        let file = mark.encode();
        assert_eq!(SwapMark::decode(&file), Some(mark));
        for place in 0..file.len() {
            let mut bad = file.clone();
            bad[place] ^= 1;
            assert_eq!(SwapMark::decode(&bad), None, "byte {place}");
            assert_eq!(SwapMark::decode(&file[..place]), None, "{place} bytes");
        }
    }

    #[test]
    fn what_a_start_would_not_go_on_with_is_not_committed() {
        assert!(!SwapStep::Mark.is_committed());
        assert!(SwapStep::Remove { left: 1 }.is_committed());
        assert!(SwapStep::SyncUnmark.is_committed());
    }
}
