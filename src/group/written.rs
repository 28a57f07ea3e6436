// SPDX-License-Identifier: Apache-2.0
//! What follows from records once they are committed, or lost.
//!
//! Owns: the write side of [`Coordinator`]. Invariants: ends come in the order of the log; what was
//! lost changes nothing, and its caller knows. Runs on: the shard that coordinates. Bounded by: the
//! records under way.

use bytestring::ByteString;

use super::coordinator::{Coordinator, drop_blank};
use super::request::{Caller, GroupAnswer, GroupEffects};
use super::turn::Turn;
use super::write::{Write, WriteError};
use crate::model::error_code::ErrorCode;
use crate::model::time::Now;

impl Coordinator {
    /// Records are committed, or lost.
    pub fn handle_written(
        &mut self,
        now: Now,
        number: u64,
        result: Result<(), WriteError>,
        effects: &mut GroupEffects,
    ) {
        if let Some(write) = self.writes.take(number) {
            self.finish_write(now, write, result, effects);
        }
        self.settle(now, effects);
    }

    /// Ends what was too large for the log.
    pub(super) fn settle(&mut self, now: Now, effects: &mut GroupEffects) {
        for write in self.writes.take_refused() {
            self.finish_write(now, write, Err(WriteError::TooLarge), effects);
        }
    }

    fn finish_write(
        &mut self,
        now: Now,
        write: Write,
        result: Result<(), WriteError>,
        effects: &mut GroupEffects,
    ) {
        if let Write::Consumer { answers, .. } = write {
            return self.finish_changes(answers, result, effects);
        }
        let (groups, mut turn) = self.split(now, effects);
        let Some(id) = group_of(&write) else { return };
        let Some(group) = groups.get_mut(&id) else {
            return finish_without_group(write, result, &mut turn);
        };
        match write {
            Write::Commit {
                caller,
                codes,
                offsets,
                ..
            } => {
                group.finish_commit(offsets, result.is_ok());
                let answer = GroupAnswer::Committed(commit_codes(codes, result));
                turn.answer(caller, answer);
            }
            Write::Propose {
                caller,
                codes,
                producer,
                offsets,
                ..
            } => {
                group.finish_proposal(producer, offsets, result.is_ok());
                let answer = GroupAnswer::Committed(commit_codes(codes, result));
                turn.answer(caller, answer);
            }
            Write::Assign {
                generation,
                assignment,
                ..
            } => {
                let result = result.map_err(group_code);
                group.finish_assignment(generation, &assignment, result, &mut turn);
            }
            Write::Replace(replacement) => {
                let result = result.map_err(group_code);
                group.finish_replacement(*replacement, result, &mut turn);
            }
            Write::Forget {
                caller, partitions, ..
            } => {
                group.finish_forget(&partitions, result.is_ok());
                answer_forgotten(caller, result, &mut turn);
            }
            Write::Remove { caller, .. } => {
                let outcome = group.finish_removal(result.map_err(group_code), now);
                if let Some(caller) = caller {
                    let code = outcome.err().unwrap_or(ErrorCode::None);
                    turn.answer(caller, GroupAnswer::Deleted(code));
                }
                if outcome.is_ok() {
                    groups.remove(&id);
                }
            }
            Write::Empty | Write::Consumer { .. } => {}
        }
        drop_blank(groups, &id);
    }

    /// Changes of a group of the new protocol are committed, or lost. Once something is lost,
    /// nobody is told of what builds on it, and the log is read again.
    fn finish_changes(
        &mut self,
        answers: Vec<(Caller, GroupAnswer)>,
        result: Result<(), WriteError>,
        effects: &mut GroupEffects,
    ) {
        self.is_tainted |= result.is_err();
        let code = result.map_err(group_code).err();
        let code = code.unwrap_or(ErrorCode::CoordinatorNotAvailable);
        for (caller, answer) in answers {
            let answer = match self.is_tainted {
                true => answer.refused(code),
                false => answer,
            };
            effects.answers.push((caller, answer));
        }
    }
}

/// The group is gone: its last offset was ended twice, and it went with the first of the two.
fn finish_without_group(write: Write, result: Result<(), WriteError>, turn: &mut Turn<'_>) {
    if let Write::Forget { caller, .. } = write {
        answer_forgotten(caller, result, turn);
    }
}

/// Tells whoever asked to forget offsets what became of it.
fn answer_forgotten(
    caller: Option<(Caller, Vec<ErrorCode>)>,
    result: Result<(), WriteError>,
    turn: &mut Turn<'_>,
) {
    if let Some((caller, codes)) = caller {
        let answer = result.map(|()| codes).map_err(group_code);
        turn.answer(caller, GroupAnswer::Forgotten(answer));
    }
}

/// The group whose records were written.
fn group_of(write: &Write) -> Option<ByteString> {
    match write {
        Write::Commit { group, .. }
        | Write::Propose { group, .. }
        | Write::Assign { group, .. }
        | Write::Forget { group, .. }
        | Write::Remove { group, .. } => Some(group.clone()),
        Write::Replace(replacement) => Some(replacement.group.clone()),
        Write::Consumer { group, .. } => Some(group.clone()),
        Write::Empty => None,
    }
}

/// Tells whoever waits for records that nobody will hear of.
pub(super) fn refuse(write: Write, code: ErrorCode, turn: &mut Turn<'_>) {
    match write {
        Write::Commit { caller, codes, .. } | Write::Propose { caller, codes, .. } => {
            let codes = commit_codes(codes, Err(WriteError::NotLeader));
            turn.answer(caller, GroupAnswer::Committed(codes));
        }
        Write::Forget {
            caller: Some((caller, _)),
            ..
        } => turn.answer(caller, GroupAnswer::Forgotten(Err(code))),
        Write::Remove {
            caller: Some(caller),
            ..
        } => turn.answer(caller, GroupAnswer::Deleted(code)),
        Write::Consumer { answers, .. } => {
            for (caller, answer) in answers {
                turn.answer(caller, answer.refused(code));
            }
        }
        // Their members wait for themselves.
        Write::Assign { .. } | Write::Replace(_) => {}
        Write::Empty | Write::Forget { .. } | Write::Remove { .. } => {}
    }
}

/// The codes of a commit: those that were to be taken share the fate of their records.
fn commit_codes(mut codes: Vec<ErrorCode>, result: Result<(), WriteError>) -> Vec<ErrorCode> {
    if let Err(error) = result {
        let fate = match error {
            WriteError::TooLarge => ErrorCode::InvalidCommitOffsetSize,
            other => group_code(other),
        };
        let taken = codes.iter_mut().filter(|code| **code == ErrorCode::None);
        taken.for_each(|code| *code = fate);
    }
    codes
}

fn group_code(error: WriteError) -> ErrorCode {
    match error {
        WriteError::NotLeader => ErrorCode::NotCoordinator,
        WriteError::TooLarge => ErrorCode::UnknownServerError,
        WriteError::Unavailable => ErrorCode::CoordinatorNotAvailable,
        WriteError::Fenced => ErrorCode::InvalidProducerEpoch,
    }
}
