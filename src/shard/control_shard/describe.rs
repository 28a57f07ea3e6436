// SPDX-License-Identifier: Apache-2.0
//! What the control shard tells of its quorum.
//!
//! Owns: nothing. Invariants: nothing that is not committed is counted. Runs on: the control shard.
//! Bounded by: one answer.

use super::ControlShard;
use crate::control::quorum::MetadataQuorum;
use crate::control::request::ControlAnswer;

impl ControlShard {
    /// The answer to `DescribeQuorum`.
    pub(super) fn describe_quorum(&self) -> ControlAnswer {
        match self.quorum.leader_epoch() {
            Some(leader_epoch) => ControlAnswer::Quorum {
                leader_epoch,
                high_watermark: self.quorum.committed_end(),
            },
            None => ControlAnswer::Unavailable,
        }
    }
}
