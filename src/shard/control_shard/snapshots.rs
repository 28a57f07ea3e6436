// SPDX-License-Identifier: Apache-2.0
//! When snapshots of the metadata are written, and which are kept.
//!
//! Owns: [`SnapshotKeeper`]. Invariants: one snapshot is written at a time; an older one is removed
//! only once a newer one is durable; a full disk postpones a snapshot and loses nothing, because
//! the log holds everything. Runs on: the control shard. Bounded by: `SNAPSHOTS_KEPT` files and one
//! under way.

use std::collections::BTreeMap;

use crate::control::snapshot::{self, SnapshotId};
use crate::control::state::MetadataState;
use crate::limits::{SMALL_FILE_BYTES_MAX, SNAPSHOTS_KEPT};
use crate::model::disk::{DiskError, DiskOperation, DiskQueue, DiskToken};
use crate::model::ids::LeaderEpoch;

/// What one of its disk requests is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Write(SnapshotId),
    Remove,
}

/// Writes snapshots and removes old ones.
#[derive(Debug)]
pub(super) struct SnapshotKeeper {
    owner: u32,
    directory: &'static str,
    interval_bytes: u64,
    bytes_since: u64,
    known: Vec<SnapshotId>,
    under_way: BTreeMap<u32, Operation>,
    next_operation: u32,
}

impl SnapshotKeeper {
    /// A keeper that writes a snapshot every so many bytes of records.
    pub(super) fn new(owner: u32, directory: &'static str, interval_bytes: u64) -> SnapshotKeeper {
        SnapshotKeeper {
            owner,
            directory,
            interval_bytes,
            bytes_since: 0,
            known: Vec::new(),
            under_way: BTreeMap::new(),
            next_operation: 0,
        }
    }

    /// Names for a disk request of this owner.
    pub(super) fn next_token(&mut self) -> DiskToken {
        let operation = self.next_operation;
        self.next_operation = self.next_operation.wrapping_add(1);
        DiskToken {
            owner: self.owner,
            operation,
        }
    }

    /// The path of a snapshot.
    pub(super) fn path(&self, id: SnapshotId) -> Box<str> {
        format!("{}/{}", self.directory, id.file_name()).into()
    }

    /// Learns which snapshots are on disk, oldest first.
    pub(super) fn handle_found(&mut self, known: Vec<SnapshotId>) {
        assert!(known.is_sorted(), "the caller has sorted them");
        self.known = known;
    }

    /// Counts replayed records, and writes a snapshot when it is time. Says why not, if not.
    pub(super) fn handle_replayed(
        &mut self,
        bytes: u64,
        state: &MetadataState,
        epoch: LeaderEpoch,
        disk: &mut DiskQueue,
    ) -> Option<Box<str>> {
        self.bytes_since = self.bytes_since.saturating_add(bytes);
        let is_writing = self
            .under_way
            .values()
            .any(|one| matches!(one, Operation::Write(_)));
        if self.bytes_since < self.interval_bytes || is_writing {
            return None;
        }
        self.bytes_since = 0;
        let contents = snapshot::write(state, epoch);
        if contents.len() > SMALL_FILE_BYTES_MAX {
            return Some(
                "The metadata is too large for a snapshot; its log serves instead.".into(),
            );
        }
        let id = SnapshotId {
            end_offset: state.version(),
            epoch,
        };
        let (token, path) = (self.next_token(), self.path(id));
        self.under_way.insert(token.operation, Operation::Write(id));
        disk.push(token, DiskOperation::ReplaceFile { path, contents });
        None
    }

    /// Takes the end of one of its disk requests: a sentence if it is worth one, an error if the
    /// disk failed.
    pub(super) fn handle_disk(
        &mut self,
        operation: u32,
        result: Result<(), DiskError>,
        disk: &mut DiskQueue,
    ) -> Result<Option<Box<str>>, Box<str>> {
        let operation = self.under_way.remove(&operation);
        match (operation, result) {
            (Some(Operation::Write(id)), Ok(())) => {
                self.known.retain(|known| *known != id);
                self.known.push(id);
                while self.known.len() > SNAPSHOTS_KEPT {
                    let oldest = self.known.remove(0);
                    self.remove(oldest, disk);
                }
                Ok(None)
            }
            (Some(Operation::Write(_)), Err(DiskError::NoSpace)) => Ok(Some(
                "There was no space for a snapshot of the metadata; its log serves instead.".into(),
            )),
            (Some(Operation::Write(id)), Err(error)) => {
                let path = self.path(id);
                Err(format!("Writing {path} failed: {error}. Check the device of the data.").into())
            }
            (Some(Operation::Remove), Err(error)) => Ok(Some(
                format!("An old snapshot of the metadata stays: {error}.").into(),
            )),
            (Some(Operation::Remove), Ok(())) | (None, _) => Ok(None),
        }
    }

    fn remove(&mut self, id: SnapshotId, disk: &mut DiskQueue) {
        let (token, path) = (self.next_token(), self.path(id));
        self.under_way.insert(token.operation, Operation::Remove);
        disk.push(token, DiskOperation::RemoveFile { path });
    }

    /// True while nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.under_way.is_empty()
    }
}
