// SPDX-License-Identifier: Apache-2.0
//! The disk requests of one log that are under way, and whose turn it is when one ends.
//!
//! Owns: [`Operations`], [`Pending`]. Invariants: every request is listed until its completion; a
//! number is not used again while it is listed. Runs on: the core of the partition. Bounded by:
//! what the verbs have under way.

use std::collections::VecDeque;

use crate::model::disk::{DiskOperation, DiskQueue, DiskToken};
use crate::model::ids::Offset;

/// Whose request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pending {
    /// A step of the opening.
    Opening,
    /// A read of the recovery scan.
    Scan,
    /// The write of the append round at this position.
    RoundWrite(u64),
    /// The flush of the append round with this number.
    RoundFlush(u64),
    /// A step of noting a recovery point.
    Point,
    /// A flush that no round waits for.
    Sync,
    /// A piece of zeros written ahead of the log.
    Zeros,
    /// The flush behind the last piece.
    ZerosFlush,
    /// A step of the roll.
    Roll,
    /// A step of cutting the log back after the disk was full.
    Cut,
    /// A step of the stop.
    Stop,
    /// A step of the deletion.
    Delete,
    /// A step of making a spare file ready.
    Spare,
    /// A step of retention.
    Retention,
    /// A step of compaction.
    Compaction,
    /// Reading up to where the log is clean.
    CleanerCheckpoint,
    /// Writing the log start.
    LogStart,
    /// Opening the file of a cold segment.
    WarmFile(Offset),
    /// Reading the offset index of a cold segment.
    WarmIndex(Offset),
    /// Reading the time index of a cold segment.
    WarmTimeIndex(Offset),
    /// A read that rebuilds the indexes of a sealed segment.
    Rebuild(Offset),
    /// A read of this task.
    Task(u64),
    /// Nobody waits for it.
    Ignored,
}

/// The requests under way.
#[derive(Debug)]
pub(super) struct Operations {
    owner: u32,
    next: u32,
    /// In the order in which they were sent; most end in about that order.
    pending: VecDeque<(u32, Pending)>,
}

impl Operations {
    pub(super) fn new(owner: u32) -> Operations {
        Operations {
            owner,
            next: 0,
            pending: VecDeque::new(),
        }
    }

    /// Sends a request.
    pub(super) fn push(
        &mut self,
        pending: Pending,
        operation: DiskOperation,
        disk: &mut DiskQueue,
    ) {
        while self.place(self.next).is_some() {
            self.next = self.next.wrapping_add(1);
        }
        let token = DiskToken {
            owner: self.owner,
            operation: self.next,
        };
        self.pending.push_back((self.next, pending));
        self.next = self.next.wrapping_add(1);
        disk.push(token, operation);
    }

    /// Takes the one that ended off the list.
    pub(super) fn end(&mut self, token: DiskToken) -> Pending {
        assert_eq!(token.owner, self.owner);
        let place = self.place(token.operation);
        let (_, pending) = place
            .and_then(|place| self.pending.remove(place))
            .expect("a completion answers a request under way");
        pending
    }

    fn place(&self, number: u32) -> Option<usize> {
        self.pending.iter().position(|(used, _)| *used == number)
    }

    /// True if none is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::disk::FileId;

    #[test]
    fn a_number_under_way_is_not_used_again() {
        let mut operations = Operations::new(3);
        let mut disk = DiskQueue::new();
        let flush = || DiskOperation::Flush {
            file: FileId {
                owner: 3,
                number: 0,
            },
        };
        operations.push(Pending::Roll, flush(), &mut disk);
        operations.next = 0;
        operations.push(Pending::Stop, flush(), &mut disk);
        let tokens: Vec<DiskToken> = disk.drain().map(|request| request.token).collect();
        assert_ne!(tokens[0], tokens[1]);
        assert_eq!(operations.end(tokens[1]), Pending::Stop);
        assert_eq!(operations.end(tokens[0]), Pending::Roll);
        assert!(operations.is_empty());
    }
}
