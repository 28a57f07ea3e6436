// SPDX-License-Identifier: Apache-2.0
//! The changes that one event makes, from the first to their records.
//!
//! Owns: [`Steps`]. Invariants: a change holds at once, so the next one builds on it; what does not
//! fit the log is taken back as a whole; an answer leaves once all that it builds on is committed.
//! Runs on: the shard that coordinates. Bounded by: what one event causes.

use super::change::Change;
use super::state::ConsumerGroup;
use crate::group::request::{Caller, GroupAnswer};
use crate::group::turn::Turn;
use crate::group::write::{Record, Write};
use crate::model::error_code::ErrorCode;

/// The changes of one event.
#[derive(Debug, Default)]
pub(super) struct Steps {
    made: Vec<Change>,
    /// What takes them back, in the same order.
    undo: Vec<Change>,
}

impl Steps {
    /// Makes a change.
    pub(super) fn make(&mut self, group: &mut ConsumerGroup, change: Change) {
        self.undo.push(group.apply(change.clone()));
        self.made.push(change);
    }

    /// Takes all of them back.
    pub(super) fn take_back(self, group: &mut ConsumerGroup) {
        for change in self.undo.into_iter().rev() {
            group.apply(change);
        }
    }

    /// Makes records of them; the answer leaves once they, and those before, are committed. False
    /// if they do not fit the log: then nothing has changed, and the caller was told.
    pub(super) fn finish(
        self,
        group: &mut ConsumerGroup,
        answer: Option<(Caller, GroupAnswer)>,
        turn: &mut Turn<'_>,
    ) -> bool {
        if self.made.is_empty() {
            if let Some((caller, answer)) = answer {
                match group.last_write {
                    Some(number) => turn.answer_after(number, caller, answer),
                    None => turn.answer(caller, answer),
                }
            }
            return true;
        }
        let id = &group.id;
        let records: Vec<Record> = self
            .made
            .iter()
            .map(|change| Record::Consumer(id.clone(), change.clone()))
            .collect();
        let Ok(mut batches) = turn.writes.batches(turn.now.wall_ms, &records) else {
            self.take_back(group);
            if let Some((caller, answer)) = answer {
                turn.answer(caller, answer.refused(ErrorCode::UnknownServerError));
            }
            return false;
        };
        let last = batches.pop();
        let parts = batches.into_iter().map(|batch| (batch, None));
        for (batch, answer) in parts.chain(last.map(|batch| (batch, answer))) {
            let write = Write::Consumer {
                group: group.id.clone(),
                answers: answer.into_iter().collect(),
            };
            group.last_write = Some(turn.append_batch(batch, write));
        }
        true
    }
}
