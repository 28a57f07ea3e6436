// SPDX-License-Identifier: Apache-2.0
//! Which part of the metadata log is committed.
//!
//! Owns: [`MetadataQuorum`], the seam between the controller and whatever replicates its log, and
//! [`QuorumOfOne`]. Invariants: the committed end never falls; it never passes what is durable on a
//! majority of the voters, which for one voter is its own flush; the epoch rises with every start.
//! Runs on: the control shard. Bounded by: its fields.

use crate::model::ids::{LeaderEpoch, Offset};

/// Decides what of the metadata log is committed.
pub trait MetadataQuorum {
    /// Tells that the own log was recovered: where it ends, all of it durable, and the epoch of its
    /// newest batch.
    fn handle_opened(&mut self, end: Offset, latest_epoch: Option<LeaderEpoch>);
    /// Tells that the own log is durable up to here.
    fn handle_durable(&mut self, end: Offset);
    /// The epoch in which this node leads the quorum, if it does: it may append then.
    fn leader_epoch(&self) -> Option<LeaderEpoch>;
    /// The offset after the last committed record.
    fn committed_end(&self) -> Offset;
}

/// A quorum of this node alone: what it has flushed is committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuorumOfOne {
    epoch: Option<LeaderEpoch>,
    committed_end: Offset,
}

impl QuorumOfOne {
    /// A quorum whose log is not open yet.
    #[must_use]
    pub fn new() -> QuorumOfOne {
        QuorumOfOne::default()
    }
}

impl MetadataQuorum for QuorumOfOne {
    fn handle_opened(&mut self, end: Offset, latest_epoch: Option<LeaderEpoch>) {
        assert!(self.epoch.is_none(), "a log is opened once");
        self.epoch = Some(latest_epoch.unwrap_or(0).saturating_add(1));
        self.committed_end = end;
    }

    fn handle_durable(&mut self, end: Offset) {
        assert!(end >= self.committed_end, "what is durable stays durable");
        self.committed_end = end;
    }

    fn leader_epoch(&self) -> Option<LeaderEpoch> {
        self.epoch
    }

    fn committed_end(&self) -> Offset {
        self.committed_end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quorum_of_one_commits_what_it_has_flushed() {
        let mut quorum = QuorumOfOne::new();
        assert_eq!((quorum.leader_epoch(), quorum.committed_end()), (None, 0));
        quorum.handle_opened(10, Some(4));
        assert_eq!(
            (quorum.leader_epoch(), quorum.committed_end()),
            (Some(5), 10)
        );
        quorum.handle_durable(12);
        quorum.handle_durable(12);
        assert_eq!(quorum.committed_end(), 12);
    }

    #[test]
    fn the_first_epoch_is_one() {
        let mut quorum = QuorumOfOne::new();
        quorum.handle_opened(0, None);
        assert_eq!(quorum.leader_epoch(), Some(1));
    }
}
