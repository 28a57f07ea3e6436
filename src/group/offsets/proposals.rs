// SPDX-License-Identifier: Apache-2.0
//! Offsets that open transactions will commit (KIP-98): they are in the log, and count once the
//! marker that commits their transaction is.
//!
//! Owns: [`Proposals`], the transactional side of [`OffsetTable`]. Invariants: a partition counts
//! the open transactions that propose an offset for it; of one transaction the last offset of a
//! partition counts; what comes later in the log than a proposal is not undone by its commit. Runs
//! on: the shard that coordinates. Bounded by: `PARTITIONS_MAX` for each open transaction.

use std::collections::BTreeMap;

use bytestring::ByteString;

use super::{Committed, OffsetTable};

/// What open transactions propose, by producer, topic and partition.
#[derive(Debug, Default)]
pub(super) struct Proposals {
    by_producer: BTreeMap<i64, BTreeMap<(ByteString, i32), Committed>>,
}

impl Proposals {
    /// What was proposed for a partition is gone.
    pub(super) fn forget(&mut self, topic: &ByteString, partition: i32) {
        if self.by_producer.is_empty() {
            return;
        }
        let place = (topic.clone(), partition);
        self.by_producer.retain(|_, offsets| {
            offsets.remove(&place);
            !offsets.is_empty()
        });
    }
}

impl OffsetTable {
    /// A record that proposes an offset is under way.
    pub(in crate::group) fn note_proposing(&mut self, topic: &ByteString, partition: i32) {
        self.note_pending(topic, partition);
        let partitions = self.topics.get_mut(topic);
        if let Some(entry) = partitions.and_then(|partitions| partitions.get_mut(&partition)) {
            entry.proposing += 1;
        }
    }

    /// Such a record has ended: it is in the log, or (without a value) lost.
    pub(in crate::group) fn end_proposing(
        &mut self,
        producer_id: i64,
        topic: ByteString,
        partition: i32,
        proposed: Option<Committed>,
    ) {
        let partitions = self.topics.get_mut(&topic);
        if let Some(entry) = partitions.and_then(|partitions| partitions.get_mut(&partition)) {
            entry.proposing = entry.proposing.saturating_sub(1);
        }
        if let Some(proposed) = proposed {
            self.propose(producer_id, topic.clone(), partition, proposed);
        }
        self.end_pending(&topic, partition, None);
    }

    /// An open transaction has an offset for a partition.
    pub(in crate::group) fn propose(
        &mut self,
        producer_id: i64,
        topic: ByteString,
        partition: i32,
        proposed: Committed,
    ) {
        let of_producer = self.proposals.by_producer.entry(producer_id).or_default();
        let before = of_producer.insert((topic.clone(), partition), proposed);
        let partitions = self.topics.entry(topic).or_default();
        let entry = partitions.entry(partition).or_default();
        entry.open += usize::from(before.is_none());
    }

    /// The transaction of a producer has ended; its offsets count if it was committed.
    pub(in crate::group) fn end_transaction(&mut self, producer_id: i64, is_commit: bool) {
        let offsets = self.proposals.by_producer.remove(&producer_id);
        for ((topic, partition), proposed) in offsets.into_iter().flatten() {
            let partitions = self.topics.get_mut(&topic);
            let entry = partitions.and_then(|partitions| partitions.get_mut(&partition));
            let Some(entry) = entry else {
                debug_assert!(false, "what is proposed is known");
                continue;
            };
            entry.open = entry.open.saturating_sub(1);
            let is_later = |committed: &Committed| committed.order > proposed.order;
            if is_commit && !entry.committed.as_ref().is_some_and(is_later) {
                entry.committed = Some(proposed);
            }
            if entry.is_blank() {
                self.remove_entry(&topic, partition);
            }
        }
    }

    /// True if an open transaction may change the offset of a partition (KIP-447).
    pub(in crate::group) fn is_unstable(&self, topic: &str, partition: i32) -> bool {
        let partitions = self.topics.get(topic);
        let entry = partitions.and_then(|partitions| partitions.get(&partition));
        entry.is_some_and(|entry| entry.open > 0 || entry.proposing > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offset(offset: i64, order: u64) -> Committed {
        Committed {
            offset,
            leader_epoch: -1,
            metadata: ByteString::new(),
            commit_ms: 0,
            expire_ms: None,
            order,
        }
    }

    fn told(table: &OffsetTable) -> Option<i64> {
        table.committed("t", 0).map(|one| one.offset)
    }

    #[test]
    fn a_proposal_counts_once_its_transaction_is_committed() {
        let mut table = OffsetTable::default();
        table.propose(1, "t".into(), 0, offset(5, 1));
        table.propose(1, "t".into(), 0, offset(6, 2));
        table.propose(2, "t".into(), 0, offset(7, 3));
        assert_eq!((told(&table), table.is_unstable("t", 0)), (None, true));
        table.end_transaction(2, false);
        assert_eq!((told(&table), table.is_unstable("t", 0)), (None, true));
        table.end_transaction(1, true);
        assert_eq!((told(&table), table.is_unstable("t", 0)), (Some(6), false));
        table.end_transaction(1, true);
        assert_eq!(
            told(&table),
            Some(6),
            "a marker that is repeated ends nothing"
        );
    }

    #[test]
    fn what_comes_later_in_the_log_counts_whenever_the_transaction_ends() {
        let mut table = OffsetTable::default();
        table.propose(1, "t".into(), 0, offset(5, 1));
        table.insert("t".into(), 0, offset(9, 2));
        table.end_transaction(1, true);
        assert_eq!(told(&table), Some(9));
        table.propose(1, "t".into(), 0, offset(3, 3));
        table.end_transaction(1, true);
        assert_eq!(
            told(&table),
            Some(3),
            "an offset may go back if somebody asks for it"
        );
    }

    #[test]
    fn what_is_forgotten_takes_its_proposals_along() {
        let mut table = OffsetTable::default();
        table.propose(1, "t".into(), 0, offset(5, 1));
        table.propose(1, "t".into(), 1, offset(6, 2));
        table.forget(&"t".into(), 0);
        assert!(!table.contains("t", 0));
        table.end_transaction(1, true);
        assert_eq!(told(&table), None);
        assert_eq!(table.committed("t", 1).map(|one| one.offset), Some(6));
        table.propose(3, "t".into(), 2, offset(6, 2));
        table.end_transaction(3, false);
        assert!(
            !table.contains("t", 2),
            "nothing is left of what was aborted"
        );
    }

    #[test]
    fn a_record_that_is_lost_proposes_nothing() {
        let mut table = OffsetTable::default();
        let topic = ByteString::from("t");
        table.note_proposing(&topic, 0);
        assert!(table.is_unstable("t", 0));
        table.end_proposing(1, topic.clone(), 0, None);
        assert!(table.is_empty());
        table.note_proposing(&topic, 0);
        table.end_proposing(1, topic, 0, Some(offset(5, 1)));
        assert!(table.is_unstable("t", 0));
        table.end_transaction(1, true);
        assert_eq!((told(&table), table.is_unstable("t", 0)), (Some(5), false));
    }
}
