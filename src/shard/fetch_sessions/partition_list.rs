// SPDX-License-Identifier: Apache-2.0
//! The partitions of one fetch session, in the order in which they are read.
//!
//! Owns: [`PartitionList`]. Invariants: each partition is in it once; the chain names every entry
//! once; a partition whose records were told is the last of it; moving one allocates nothing.
//! Runs on: the shard that accepted the connection. Bounded by: [`super::FetchSessions`].

use std::collections::BTreeMap;

use super::{PartitionKey, Wanted};
use crate::wire::protocol::fetch::PartitionData;

/// A partition of a session: how it is read, and what its client was told last.
#[derive(Debug)]
struct CachedPartition {
    wanted: Wanted,
    high_watermark: i64,
    log_start_offset: i64,
    /// Place of the one that is read before it.
    before: Option<usize>,
    /// Place of the one that is read after it.
    after: Option<usize>,
}

impl CachedPartition {
    fn new(wanted: Wanted) -> CachedPartition {
        CachedPartition {
            wanted,
            high_watermark: -1,
            log_start_offset: -1,
            before: None,
            after: None,
        }
    }

    /// True if the answer has to name the partition; notes what is told.
    fn take_answer(&mut self, answer: &PartitionData) -> bool {
        let mut has_news = has_records(answer)
            || answer.preferred_read_replica >= 0
            || answer.diverging_epoch.epoch >= 0;
        has_news |= self.high_watermark != answer.high_watermark;
        self.high_watermark = answer.high_watermark;
        has_news |= self.log_start_offset != answer.log_start_offset;
        self.log_start_offset = answer.log_start_offset;
        if answer.error_code != 0 {
            // Told again once the error is over.
            self.high_watermark = -1;
            has_news = true;
        }
        has_news
    }
}

fn has_records(answer: &PartitionData) -> bool {
    answer
        .records
        .as_ref()
        .is_some_and(|records| !records.is_empty())
}

/// Partitions in the order in which they are read.
#[derive(Debug, Default)]
pub(super) struct PartitionList {
    /// In no order of their own.
    entries: Vec<CachedPartition>,
    places: BTreeMap<PartitionKey, usize>,
    first: Option<usize>,
    last: Option<usize>,
}

impl PartitionList {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How they are read, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Wanted> {
        let places = std::iter::successors(self.first, |place| self.entries[*place].after);
        places.map(|place| &self.entries[place].wanted)
    }

    /// Takes a partition; one that is there keeps its place.
    pub(super) fn set(&mut self, wanted: Wanted) {
        match self.places.get(&wanted.key()) {
            Some(place) => self.entries[*place].wanted.params = wanted.params,
            None => self.insert(CachedPartition::new(wanted)),
        }
    }

    /// Takes a partition that is not there, and what its client was told.
    pub(super) fn push(&mut self, wanted: Wanted, answer: &PartitionData) {
        let mut cached = CachedPartition::new(wanted);
        cached.take_answer(answer);
        self.insert(cached);
    }

    fn insert(&mut self, cached: CachedPartition) {
        let place = self.entries.len();
        let before = self.places.insert(cached.wanted.key(), place);
        assert!(before.is_none(), "each partition is here once");
        self.entries.push(cached);
        self.join(self.last, Some(place));
        self.join(Some(place), None);
    }

    /// Forgets a partition, if it is there.
    pub(super) fn remove(&mut self, key: &PartitionKey) {
        let Some(place) = self.places.remove(key) else {
            return;
        };
        let removed = &self.entries[place];
        self.join(removed.before, removed.after);
        self.entries.swap_remove(place);
        if let Some(moved) = self.entries.get(place) {
            // The last entry fills the hole.
            let (before, after) = (moved.before, moved.after);
            self.places.insert(moved.wanted.key(), place);
            self.join(before, Some(place));
            self.join(Some(place), after);
        }
        if self.entries.capacity() / 4 > self.entries.len() {
            self.entries.shrink_to(2 * self.entries.len());
        }
    }

    /// True if the answer has to name the partition.
    pub(super) fn take_answer(&mut self, key: &PartitionKey, answer: &PartitionData) -> bool {
        let Some(place) = self.places.get(key).copied() else {
            // A request that came meanwhile forgot it.
            return true;
        };
        let cached = &mut self.entries[place];
        let has_news = cached.take_answer(answer);
        if has_records(answer) {
            let (before, after) = (cached.before, cached.after);
            self.join(before, after);
            self.join(self.last, Some(place));
            self.join(Some(place), None);
        }
        has_news
    }

    /// Lets one entry follow the other; nothing stands for either end.
    fn join(&mut self, before: Option<usize>, after: Option<usize>) {
        match before {
            Some(place) => self.entries[place].after = after,
            None => self.first = after,
        }
        match after {
            Some(place) => self.entries[place].before = before,
            None => self.last = before,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::super::TopicKey;
    use super::*;
    use crate::wire::protocol::fetch::FetchPartition;

    fn wanted(partition: i32, offset: i64) -> Wanted {
        Wanted {
            topic: TopicKey::Name("t".into()),
            params: FetchPartition {
                partition,
                fetch_offset: offset,
                ..FetchPartition::default()
            },
        }
    }

    proptest! {
        #[test]
        fn it_keeps_the_order_that_a_plain_list_keeps(
            steps in prop::collection::vec((0u8..4, 0i32..8, 0i64..1000), 0..120),
        ) {
            let mut list = PartitionList::default();
            let mut plain: Vec<Wanted> = Vec::new();
            for (step, partition, offset) in steps {
                let one = wanted(partition, offset);
                let key = one.key();
                let known = plain.iter().position(|it| it.key() == key);
                match (step, known) {
                    (0 | 1, Some(place)) => {
                        list.set(one.clone());
                        plain[place] = one;
                    }
                    (0 | 1, None) => {
                        list.set(one.clone());
                        plain.push(one);
                    }
                    (2, _) => {
                        list.remove(&key);
                        plain.retain(|it| it.key() != key);
                    }
                    (_, known) => {
                        let answer = PartitionData {
                            records: Some(Bytes::from_static(b"records")),
                            ..PartitionData::default()
                        };
                        prop_assert!(list.take_answer(&key, &answer));
                        if let Some(place) = known {
                            let told = plain.remove(place);
                            plain.push(told);
                        }
                    }
                }
                prop_assert_eq!(list.len(), plain.len());
                prop_assert!(list.iter().eq(&plain), "{:?} is not {:?}", list, plain);
                prop_assert!(list.entries.capacity() <= 4 * list.len() + 4);
            }
        }
    }
}
