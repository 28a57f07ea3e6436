// SPDX-License-Identifier: Apache-2.0
//! What a group is handed while something happens to it.
//!
//! Owns: [`Turn`]. Invariants: lives for one event. Runs on: the shard that coordinates.
//! Bounded by: what one event causes.

use bytes::Bytes;
use bytestring::ByteString;

use super::alarm::AlarmQueue;
use super::request::{Caller, GroupAnswer, GroupEffects};
use super::write::{Record, TooLarge, Write, Writes};
use crate::config::groups::GroupSettings;
use crate::config::single_group::{self, GroupPace};
use crate::model::error_code::ErrorCode;
use crate::model::id_source::IdSource;
use crate::model::image::MetadataImage;
use crate::model::time::Now;
use crate::wire::protocol::join_group::JoinGroupResponse;
use crate::wire::protocol::sync_group::SyncGroupResponse;

/// The moment, the settings, and where effects go.
pub(super) struct Turn<'a> {
    pub(super) now: Now,
    pub(super) settings: &'a GroupSettings,
    pub(super) queue: &'a mut AlarmQueue,
    pub(super) writes: &'a mut Writes,
    pub(super) ids: &'a mut IdSource,
    pub(super) effects: &'a mut GroupEffects,
    /// The topics that there are, and the settings of single groups.
    pub(super) image: &'a MetadataImage,
}

impl Turn<'_> {
    /// What the members of a group of the new protocol are held to.
    pub(super) fn pace(&self, group: &ByteString) -> GroupPace {
        single_group::pace(self.settings, self.image.group_configs.get(group))
    }

    /// The caller waits for other members no longer.
    pub(super) fn end_wait(&self, caller: Caller) -> Caller {
        caller.waited_until(self.now.monotonic_us)
    }

    /// Answers a caller.
    pub(super) fn answer(&mut self, caller: Caller, answer: GroupAnswer) {
        self.effects.answers.push((caller, answer));
    }

    /// Refuses a join.
    pub(super) fn refuse_join(&mut self, caller: Caller, member_id: ByteString, code: ErrorCode) {
        let answer = JoinGroupResponse {
            error_code: code.code(),
            member_id,
            ..JoinGroupResponse::default()
        };
        self.answer(caller, GroupAnswer::Joined(answer));
    }

    /// Refuses a sync.
    pub(super) fn refuse_sync(&mut self, caller: Caller, code: ErrorCode) {
        let answer = SyncGroupResponse {
            error_code: code.code(),
            ..SyncGroupResponse::default()
        };
        self.answer(caller, GroupAnswer::Synced(answer));
    }

    /// Gives records to the log; `write` follows once they are committed, or lost.
    pub(super) fn append(&mut self, records: &[Record], write: Write) -> Result<(), TooLarge> {
        let batch = self.writes.batch(self.now.wall_ms, records)?;
        let number = self.writes.push(write);
        self.effects.appends.push((number, batch));
        Ok(())
    }

    /// Gives a batch to the log; its number.
    pub(super) fn append_batch(&mut self, batch: Bytes, write: Write) -> u64 {
        let number = self.writes.push(write);
        self.effects.appends.push((number, batch));
        number
    }

    /// Answers a caller once a write is committed, or at once if it is.
    pub(super) fn answer_after(&mut self, number: u64, caller: Caller, answer: GroupAnswer) {
        if let Some(answers) = self.writes.answers_of(number) {
            answers.push((caller, answer));
        } else {
            self.answer(caller, answer);
        }
    }

    /// Like [`Turn::append`]; what is too large is told with `handle_written` as well, in its turn.
    pub(super) fn append_or_fail(&mut self, records: &[Record], write: Write) {
        match self.writes.batch(self.now.wall_ms, records) {
            Ok(batch) => {
                let number = self.writes.push(write);
                self.effects.appends.push((number, batch));
            }
            Err(TooLarge) => self.writes.fail(write),
        }
    }

    /// An id for a new member: what it is called, and something that nobody else is called.
    pub(super) fn member_id(&mut self, name: &str) -> ByteString {
        let bytes = self.ids.draw().0;
        let mut id = String::with_capacity(name.len() + 37);
        id.push_str(name);
        for (place, byte) in bytes.iter().enumerate() {
            if matches!(place, 0 | 4 | 6 | 8 | 10) {
                id.push('-');
            }
            for digit in [byte >> 4, byte & 0xf] {
                id.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
            }
        }
        ByteString::from(id)
    }
}
