// SPDX-License-Identifier: Apache-2.0
//! The leader's view of its replicas, and the high watermark that follows from it.
//!
//! Owns: counted positions of the maximal in-sync set, the high watermark of one leader epoch.
//! Invariants: the high watermark is the minimum of the counted positions of the maximal in-sync
//! set (committed members and pending additions; a pending removal still counts), it never falls
//! within a leader epoch, never passes the leader's durable end, and stands still while
//! `min_insync::watermark_may_move` says so.
//! Runs on: the shard that owns the partition. Bounded by: the replication factor.

use std::collections::BTreeMap;

use super::min_insync::watermark_may_move;
use crate::model::ids::{BrokerId, LeaderEpoch, Offset};

/// What the published metadata says of the replicas of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaSet {
    /// In-sync replicas, pending additions included.
    pub isr: Vec<BrokerId>,
    /// How many replicas are assigned.
    pub replication_factor: usize,
    /// `min.insync.replicas` of the topic.
    pub min_insync_replicas: u32,
}

/// The state of a leader in one leader epoch.
#[derive(Debug)]
pub struct Leader {
    node_id: BrokerId,
    epoch: LeaderEpoch,
    epoch_start: Offset,
    replicas: ReplicaSet,
    /// Counted position of each in-sync replica: an offset below which everything is durable there.
    positions: BTreeMap<BrokerId, Offset>,
    high_watermark: Offset,
}

impl Leader {
    /// A leader that starts an epoch with a log that is durable from `log_start` to `durable_end`.
    /// What is known to be committed already (`high_watermark`) stays so.
    #[must_use]
    pub fn new(
        node_id: BrokerId,
        epoch: LeaderEpoch,
        durable_end: Offset,
        high_watermark: Offset,
        replicas: ReplicaSet,
    ) -> Leader {
        assert!(
            high_watermark <= durable_end,
            "committed means durable here"
        );
        let mut leader = Leader {
            node_id,
            epoch,
            epoch_start: durable_end,
            replicas,
            positions: BTreeMap::new(),
            high_watermark,
        };
        leader.count_members();
        leader.positions.insert(node_id, durable_end);
        leader.advance();
        leader
    }

    /// The leader epoch.
    #[must_use]
    pub fn epoch(&self) -> LeaderEpoch {
        self.epoch
    }

    /// Where the log ended when this epoch began.
    #[must_use]
    pub fn epoch_start(&self) -> Offset {
        self.epoch_start
    }

    /// Everything below is committed.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// How many replicas are in sync.
    #[must_use]
    pub fn in_sync(&self) -> usize {
        self.replicas.isr.len()
    }

    /// `min.insync.replicas` of the topic.
    #[must_use]
    pub fn min_insync_replicas(&self) -> u32 {
        self.replicas.min_insync_replicas
    }

    /// The leader's own log is durable below `durable_end`. Gives the new high watermark if it
    /// moved.
    pub fn handle_durable_end(&mut self, durable_end: Offset) -> Option<Offset> {
        self.handle_position(self.node_id, durable_end)
    }

    /// A replica in the in-sync set is durable below `position`. Gives the new high watermark if it
    /// moved.
    pub fn handle_position(&mut self, replica: BrokerId, position: Offset) -> Option<Offset> {
        let counted = self.positions.get_mut(&replica)?;
        *counted = position.max(*counted);
        self.advance()
    }

    /// New metadata for the same leader epoch. Gives the new high watermark if it moved.
    pub fn handle_replicas(&mut self, replicas: ReplicaSet) -> Option<Offset> {
        self.replicas = replicas;
        self.count_members();
        self.advance()
    }

    /// Makes the counted positions those of the leader and the in-sync set; a new member counts
    /// from nothing.
    fn count_members(&mut self) {
        let node_id = self.node_id;
        let isr = &self.replicas.isr;
        self.positions
            .retain(|replica, _| *replica == node_id || isr.contains(replica));
        for replica in isr {
            self.positions.entry(*replica).or_insert(0);
        }
    }

    fn advance(&mut self) -> Option<Offset> {
        let replicas = &self.replicas;
        if !watermark_may_move(
            replicas.isr.len(),
            replicas.min_insync_replicas,
            replicas.replication_factor,
        ) {
            return None;
        }
        let lowest = *self.positions.values().min()?;
        if lowest <= self.high_watermark {
            return None;
        }
        self.high_watermark = lowest;
        Some(lowest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(isr: &[i32], replication_factor: usize, min_insync_replicas: u32) -> ReplicaSet {
        ReplicaSet {
            isr: isr.iter().copied().map(BrokerId).collect(),
            replication_factor,
            min_insync_replicas,
        }
    }

    #[test]
    fn alone_in_sync_the_watermark_is_the_durable_end() {
        let mut leader = Leader::new(BrokerId(1), 5, 10, 0, set(&[1], 1, 1));
        assert_eq!(leader.high_watermark(), 10);
        assert_eq!(leader.handle_durable_end(12), Some(12));
        assert_eq!(leader.handle_durable_end(12), None);
        assert_eq!((leader.epoch(), leader.epoch_start()), (5, 10));
    }

    #[test]
    fn the_slowest_member_holds_the_watermark_and_its_leaving_frees_it() {
        let mut leader = Leader::new(BrokerId(1), 5, 10, 0, set(&[1, 2], 2, 1));
        assert_eq!(leader.high_watermark(), 0);
        assert_eq!(leader.handle_position(BrokerId(2), 7), Some(7));
        assert_eq!(leader.handle_position(BrokerId(3), 9), None);
        assert_eq!(leader.handle_durable_end(20), None);
        assert_eq!(leader.handle_replicas(set(&[1], 2, 1)), Some(20));
    }

    #[test]
    fn a_returning_member_never_takes_the_watermark_back() {
        let mut leader = Leader::new(BrokerId(1), 5, 10, 10, set(&[1], 2, 1));
        assert_eq!(leader.handle_replicas(set(&[1, 2], 2, 1)), None);
        assert_eq!(leader.handle_position(BrokerId(2), 4), None);
        assert_eq!(leader.high_watermark(), 10);
    }

    #[test]
    fn the_watermark_stands_while_too_few_are_in_sync() {
        let mut leader = Leader::new(BrokerId(1), 5, 10, 10, set(&[1], 3, 2));
        assert_eq!(leader.handle_durable_end(11), None);
        assert_eq!(leader.handle_replicas(set(&[1, 2], 3, 2)), None);
        assert_eq!(leader.handle_position(BrokerId(2), 11), Some(11));
    }

    proptest! {
        #[test]
        fn the_watermark_never_falls_and_never_passes_a_member(
            steps in proptest::collection::vec((0i32..3, 0i64..100, 0u8..4), 1..60)
        ) {
            let mut leader = Leader::new(BrokerId(0), 0, 0, 0, set(&[0, 1, 2], 3, 2));
            let mut own = 0;
            let mut last = 0;
            for (who, position, what) in steps {
                match what {
                    0 => { leader.handle_replicas(set(&[0, who], 3, 2)); }
                    _ => { leader.handle_position(BrokerId(who), position); }
                }
                if what != 0 && who == 0 { own = position.max(own); }
                prop_assert!(leader.high_watermark() >= last);
                prop_assert!(leader.high_watermark() <= own);
                last = leader.high_watermark();
            }
        }
    }
}
