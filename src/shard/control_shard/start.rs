// SPDX-License-Identifier: Apache-2.0
//! The start of the control shard: the newest snapshot that is whole, the log after it, the
//! registration.
//!
//! Owns: the phases before `Running`. Invariants: see the folder; a snapshot that cannot be loaded
//! is passed over and left where it is (a newer release may have written it); a log that ends
//! before its snapshot has lost what was acknowledged and is not served. Runs on: the control
//! shard.
//! Bounded by: `SMALL_FILE_BYTES_MAX` for a snapshot, `READ_BYTES_MAX` for a step of the log.

use bytes::Bytes;

use super::super::contract::{Effects, ProcessEffect};
use super::{Asker, ControlShard, DIRECTORY, Phase};
use crate::control::quorum::MetadataQuorum;
use crate::control::snapshot::{self, SnapshotId};
use crate::limits::READ_BYTES_MAX;
use crate::log::event::ReadStart;
use crate::model::disk::{DiskError, DiskOperation, DiskOutcome};
use crate::model::time::Now;

impl ControlShard {
    pub(super) fn handle_opened(&mut self, now: Now, effects: &mut Effects) {
        self.quorum
            .handle_opened(self.log.log_end_offset(), self.log.latest_epoch());
        if self.is_stop_asked {
            return self.stop_log(now, effects);
        }
        let token = self.snapshots.next_token();
        self.phase = Phase::Listing {
            operation: token.operation,
        };
        effects.disk.push(
            token,
            DiskOperation::ListDirectory {
                path: DIRECTORY.into(),
            },
        );
    }

    pub(super) fn handle_listed(
        &mut self,
        now: Now,
        result: Result<DiskOutcome, DiskError>,
        effects: &mut Effects,
    ) {
        let entries = match result {
            Ok(DiskOutcome::Listed { entries }) => entries,
            Ok(_) => Vec::new(),
            Err(error) => {
                return self.fail(format!("Listing {DIRECTORY} failed: {error}."), effects);
            }
        };
        let parsed = entries
            .iter()
            .filter_map(|entry| SnapshotId::parse(&entry.name));
        self.candidates = parsed.collect();
        self.candidates.sort_unstable();
        self.snapshots.handle_found(self.candidates.clone());
        self.load_next(now, effects);
    }

    /// Reads the newest snapshot that was not tried yet; without one the log is read from its
    /// start.
    fn load_next(&mut self, now: Now, effects: &mut Effects) {
        let Some(id) = self.candidates.pop() else {
            return self.replay_next(now, effects);
        };
        let token = self.snapshots.next_token();
        self.phase = Phase::Loading {
            operation: token.operation,
            id,
        };
        let path = self.snapshots.path(id);
        effects.disk.push(token, DiskOperation::ReadFile { path });
    }

    pub(super) fn handle_snapshot_read(
        &mut self,
        now: Now,
        id: SnapshotId,
        result: Result<DiskOutcome, DiskError>,
        effects: &mut Effects,
    ) {
        let loaded = match result {
            Ok(DiskOutcome::FileRead { contents }) => {
                let file = self.defaults.file.clone();
                snapshot::load(id, &contents.into(), self.node_id, file)
                    .map_err(|error| error.to_string())
            }
            Ok(_) => Err("The snapshot was not read.".to_owned()),
            Err(error) => Err(format!("Reading it failed: {error}.")),
        };
        match loaded {
            Ok(_) if id.end_offset > self.log.log_end_offset() => {
                let sentence = format!(
                    "The metadata log ends at {}, before its snapshot {}: the log has lost what \
                     was \
                     acknowledged. Restore {DIRECTORY} from a copy.",
                    self.log.log_end_offset(),
                    id.file_name()
                );
                self.fail(sentence, effects);
            }
            Ok(state) => {
                self.controller.handle_snapshot(state);
                self.replay_next(now, effects);
            }
            Err(reason) => {
                let path = self.snapshots.path(id);
                let sentence = format!("The snapshot {path} is passed over: {reason}").into();
                effects.process.push(ProcessEffect::Notice { sentence });
                self.load_next(now, effects);
            }
        }
    }

    fn replay_next(&mut self, now: Now, effects: &mut Effects) {
        self.phase = Phase::Replaying;
        if self.is_stop_asked {
            return self.stop_log(now, effects);
        }
        let from = self.controller.state().version();
        let end = self.quorum.committed_end();
        if from >= end {
            return self.register(now, effects);
        }
        let start = self
            .log
            .handle_read(0, from, READ_BYTES_MAX, end, true, &mut effects.disk);
        match start {
            Ok(ReadStart::Started) => {}
            Ok(ReadStart::Ready(bytes)) => self.handle_batches(now, &bytes, effects),
            Ok(ReadStart::Empty) => self.fail(format!("{DIRECTORY} has a gap at {from}."), effects),
            Err(error) => self.fail(format!("Reading {DIRECTORY} failed: {error}."), effects),
        }
    }

    pub(super) fn handle_batches(&mut self, now: Now, batches: &Bytes, effects: &mut Effects) {
        if self.phase != Phase::Replaying {
            return;
        }
        let before = self.controller.state().version();
        match self.controller.handle_committed_batches(batches) {
            Ok(_) if self.controller.state().version() == before => {
                self.fail(format!("{DIRECTORY} has a gap at {before}."), effects);
            }
            Ok(bytes) => {
                self.count_replayed(bytes, effects);
                self.replay_next(now, effects);
            }
            Err(error) => {
                let sentence = format!("{error} Restore {DIRECTORY} from a copy.");
                self.fail(sentence, effects);
            }
        }
    }

    fn register(&mut self, now: Now, effects: &mut Effects) {
        let known = self.controller.state().image().cluster_id;
        if !known.is_zero() && known != self.registration.cluster_id {
            let sentence = format!(
                "The metadata log belongs to the cluster {known}, but meta.properties names {}. \
                 Restore the one that is wrong.",
                self.registration.cluster_id
            );
            return self.fail(sentence, effects);
        }
        self.phase = Phase::Running { is_serving: false };
        let values = self.controller.handle_registration(&self.registration);
        if let Err(error) = self.begin_round(now, values, Asker::Registration, effects) {
            self.fail(format!("The broker cannot register: {error}."), effects);
        }
    }
}
