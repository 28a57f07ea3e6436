// SPDX-License-Identifier: Apache-2.0
//! Who may commit and read offsets of a group of the new protocol.
//!
//! Owns: the check of members against their epochs. Invariants: a member that names another epoch
//! commits nothing; without a member only an administrator commits, to a group without members.
//! Runs on: the shard that coordinates. Bounded by: nothing to bound.

use bytestring::ByteString;

use super::state::ConsumerGroup;
use crate::model::error_code::ErrorCode;
use crate::wire::protocol::offset_commit::OffsetCommitRequest;

/// First version in which a member of the new protocol may commit.
const COMMITS_FROM: i16 = 9;

impl ConsumerGroup {
    /// Says whether a commit is welcome.
    pub(in crate::group) fn check_commit(
        &self,
        request: &OffsetCommitRequest,
        version: i16,
    ) -> Result<(), ErrorCode> {
        let epoch = request.generation_id_or_member_epoch;
        if epoch < 0 && self.members.is_empty() {
            return Ok(());
        }
        let member = self.members.get(&request.member_id);
        let member = member.ok_or(ErrorCode::UnknownMemberId)?;
        if !member.is_classic() && version < COMMITS_FROM {
            return Err(ErrorCode::UnsupportedVersion);
        }
        self.check_epoch(&request.member_id, epoch)
    }

    /// Says whether a member may read offsets; who names none is an administrator.
    pub(in crate::group) fn check_fetch(
        &self,
        member: Option<&ByteString>,
        epoch: i32,
    ) -> Result<(), ErrorCode> {
        match member {
            None if epoch < 0 => Ok(()),
            None => Err(ErrorCode::UnknownMemberId),
            Some(id) => self.check_epoch(id, epoch),
        }
    }

    /// True for a member with this epoch.
    pub(in crate::group) fn check_epoch(
        &self,
        id: &ByteString,
        epoch: i32,
    ) -> Result<(), ErrorCode> {
        let member = self.members.get(id).ok_or(ErrorCode::UnknownMemberId)?;
        match (epoch == member.part.epoch, member.is_classic()) {
            (true, _) => Ok(()),
            (false, true) => Err(ErrorCode::IllegalGeneration),
            (false, false) => Err(ErrorCode::StaleMemberEpoch),
        }
    }
}
