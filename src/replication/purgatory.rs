// SPDX-License-Identifier: Apache-2.0
//! Fetches that wait for more committed bytes in one partition, woken by the high watermark; those
//! that want decided transactions only, by the last stable offset.
//!
//! Owns: the watches of parked fetches, and the sizes of appends that are not committed or not
//! decided yet. Invariants: bytes count once they are below the high watermark (or the last stable
//! offset), never before; a watch counts at most what its fetch may take from this partition.
//! Runs on: the shard that owns the partition.
//! Bounded by: `PARKED_FETCHES_PER_PARTITION_MAX` watches, one size per unflushed append,
//! `UNSTABLE_SIZES_MAX` sizes behind an open transaction.

use std::collections::VecDeque;

use crate::limits::{PARKED_FETCHES_PER_PARTITION_MAX, UNSTABLE_SIZES_MAX};
use crate::model::ids::Offset;

/// One parked fetch's interest in this partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Watch {
    /// Committed bytes that have arrived since it was parked.
    counted_bytes: u64,
    /// Most that the fetch may take from this partition, less what it had found already.
    room_bytes: u64,
    /// It wants decided transactions only.
    is_stable: bool,
}

/// Bytes that came to a parked fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Woken {
    /// The fetch.
    pub fetch: u64,
    /// How many more bytes it could take now.
    pub bytes: u64,
}

/// The parked fetches of one partition.
#[derive(Debug, Default)]
pub struct Purgatory {
    /// By rising number of the fetch: most come in this order.
    watches: VecDeque<(u64, Watch)>,
    /// Exclusive end offset and size of appends above the high watermark, in offset order.
    uncommitted: VecDeque<(Offset, u64)>,
    /// Likewise of those below it and above the last stable offset.
    unstable: VecDeque<(Offset, u64)>,
}

impl Purgatory {
    /// Parks a fetch that could take `room_bytes` more from this partition; of decided transactions
    /// only, with `is_stable`. False if too many are parked: the fetch is then to be answered with
    /// what there is.
    #[must_use]
    pub fn park(&mut self, fetch: u64, room_bytes: u64, is_stable: bool) -> bool {
        if self.watches.len() >= PARKED_FETCHES_PER_PARTITION_MAX {
            return false;
        }
        let watch = Watch {
            counted_bytes: 0,
            room_bytes,
            is_stable,
        };
        match self.place(fetch) {
            Ok(place) => self.watches[place].1 = watch,
            Err(place) => self.watches.insert(place, (fetch, watch)),
        }
        true
    }

    /// Forgets a fetch.
    pub fn remove(&mut self, fetch: u64) {
        if let Ok(place) = self.place(fetch) {
            self.watches.remove(place);
        }
    }

    fn place(&self, fetch: u64) -> Result<usize, usize> {
        self.watches
            .binary_search_by_key(&fetch, |(number, _)| *number)
    }

    /// How many fetches are parked.
    #[must_use]
    pub fn len(&self) -> usize {
        self.watches.len()
    }

    /// True if none is parked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.watches.is_empty()
    }

    /// Notes the size of an append that ends (exclusively) at `end`.
    pub fn handle_append(&mut self, end: Offset, bytes: u64) {
        debug_assert!(self.uncommitted.back().is_none_or(|last| last.0 <= end));
        self.uncommitted.push_back((end, bytes));
    }

    /// Appends past `from` were lost.
    pub fn handle_lost(&mut self, from: Offset) {
        while self.uncommitted.back().is_some_and(|last| last.0 > from) {
            self.uncommitted.pop_back();
        }
    }

    /// The high watermark moved, and the last stable offset with it or not: tells the parked
    /// fetches what came to them.
    pub fn handle_high_watermark(
        &mut self,
        high_watermark: Offset,
        last_stable: Offset,
        mut wake: impl FnMut(Woken),
    ) {
        let (mut committed, mut stable) = (0u64, 0u64);
        while let Some(&(end, bytes)) = self.unstable.front()
            && end <= last_stable
        {
            self.unstable.pop_front();
            stable = stable.saturating_add(bytes);
        }
        while let Some(&(end, bytes)) = self.uncommitted.front()
            && end <= high_watermark
        {
            self.uncommitted.pop_front();
            committed = committed.saturating_add(bytes);
            if end <= last_stable {
                stable = stable.saturating_add(bytes);
            } else {
                self.note_unstable(end, bytes);
            }
        }
        if committed == 0 && stable == 0 {
            return;
        }
        for (fetch, watch) in &mut self.watches {
            let came = if watch.is_stable { stable } else { committed };
            let before = watch.counted_bytes.min(watch.room_bytes);
            watch.counted_bytes = watch.counted_bytes.saturating_add(came);
            let bytes = watch.counted_bytes.min(watch.room_bytes) - before;
            if bytes > 0 {
                let fetch = *fetch;
                wake(Woken { fetch, bytes });
            }
        }
    }

    fn note_unstable(&mut self, end: Offset, bytes: u64) {
        let is_full = self.unstable.len() >= UNSTABLE_SIZES_MAX;
        match self.unstable.back_mut() {
            Some(last) if is_full => *last = (end, last.1.saturating_add(bytes)),
            _ => self.unstable.push_back((end, bytes)),
        }
    }

    /// Every parked fetch has to look again (the partition goes away or changes its leader): wakes
    /// and forgets all.
    pub fn handle_end(&mut self, woken: &mut Vec<Woken>) {
        for (fetch, _) in std::mem::take(&mut self.watches) {
            woken.push(Woken { fetch, bytes: 0 });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wake(purgatory: &mut Purgatory, high_watermark: Offset) -> Vec<(u64, u64)> {
        wake_at(purgatory, high_watermark, high_watermark)
    }

    fn wake_at(
        purgatory: &mut Purgatory,
        high_watermark: Offset,
        stable: Offset,
    ) -> Vec<(u64, u64)> {
        let mut woken = Vec::new();
        purgatory.handle_high_watermark(high_watermark, stable, |one| woken.push(one));
        woken.iter().map(|w| (w.fetch, w.bytes)).collect()
    }

    #[test]
    fn who_wants_decided_transactions_waits_for_the_last_stable_offset() {
        let mut purgatory = Purgatory::default();
        assert!(purgatory.park(1, 1000, false));
        assert!(purgatory.park(2, 1000, true));
        purgatory.handle_append(10, 100);
        purgatory.handle_append(20, 200);
        assert_eq!(wake_at(&mut purgatory, 20, 10), [(1, 300), (2, 100)]);
        purgatory.handle_append(21, 7);
        assert_eq!(wake_at(&mut purgatory, 21, 21), [(1, 7), (2, 207)]);
    }

    #[test]
    fn sizes_behind_a_long_transaction_are_counted_together() {
        let mut purgatory = Purgatory::default();
        assert!(purgatory.park(1, u64::MAX, true));
        let count = i64::try_from(UNSTABLE_SIZES_MAX).expect("small") * 3;
        for end in 1..=count {
            purgatory.handle_append(end, 1);
            assert_eq!(wake_at(&mut purgatory, end, 0), []);
        }
        assert_eq!(purgatory.unstable.len(), UNSTABLE_SIZES_MAX);
        assert_eq!(wake_at(&mut purgatory, count, 5), [(1, 5)]);
        let rest = count.unsigned_abs() - 5;
        assert_eq!(wake_at(&mut purgatory, count, count), [(1, rest)]);
    }

    #[test]
    fn the_high_watermark_wakes_and_an_append_alone_does_not() {
        let mut purgatory = Purgatory::default();
        assert!(purgatory.park(1, 1000, false));
        purgatory.handle_append(10, 100);
        purgatory.handle_append(20, 200);
        assert_eq!(wake(&mut purgatory, 9), []);
        assert_eq!(wake(&mut purgatory, 10), [(1, 100)]);
        assert_eq!(wake(&mut purgatory, 20), [(1, 200)]);
        assert_eq!(wake(&mut purgatory, 20), []);
    }

    #[test]
    fn no_more_is_counted_than_the_fetch_may_take() {
        let mut purgatory = Purgatory::default();
        assert!(purgatory.park(1, 150, false));
        assert!(purgatory.park(2, 0, false));
        purgatory.handle_append(10, 100);
        purgatory.handle_append(20, 100);
        purgatory.handle_append(30, 100);
        assert_eq!(wake(&mut purgatory, 10), [(1, 100)]);
        assert_eq!(wake(&mut purgatory, 20), [(1, 50)]);
        assert_eq!(wake(&mut purgatory, 30), []);
    }

    #[test]
    fn lost_appends_never_count() {
        let mut purgatory = Purgatory::default();
        assert!(purgatory.park(1, 1000, false));
        purgatory.handle_append(10, 100);
        purgatory.handle_append(20, 100);
        purgatory.handle_lost(10);
        purgatory.handle_append(15, 7);
        assert_eq!(wake(&mut purgatory, 15), [(1, 107)]);
    }

    #[test]
    fn parking_is_bounded_and_an_end_wakes_all() {
        let mut purgatory = Purgatory::default();
        for fetch in 0..PARKED_FETCHES_PER_PARTITION_MAX {
            assert!(purgatory.park(u64::try_from(fetch).expect("small"), 1, false));
        }
        assert!(!purgatory.park(u64::MAX, 1, false));
        purgatory.remove(0);
        assert!(purgatory.park(u64::MAX, 1, false));
        let mut woken = Vec::new();
        purgatory.handle_end(&mut woken);
        assert_eq!(woken.len(), PARKED_FETCHES_PER_PARTITION_MAX);
        assert!(purgatory.is_empty());
    }
}
