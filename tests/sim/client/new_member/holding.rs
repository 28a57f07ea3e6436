// SPDX-License-Identifier: Apache-2.0
//! What a member of the new protocol holds, and until when at the latest.
//!
//! Invariants: what it holds it was told and has not given up; its time is over before that of the
//! coordinator: the session counts from when the last request left that was answered, and the time
//! to give something up from when the last one left before anything could have been asked of it.

use std::collections::BTreeSet;

use crate::history::owners::Spot;

/// What an answer is worth: what the request said, and what has happened since.
#[derive(Clone, Copy, Debug)]
pub struct Word {
    /// When the request left.
    pub sent_us: u64,
    /// It said everything, and so its answer does.
    pub is_whole: bool,
    /// It said what the member owns.
    pub says_owned: bool,
    /// The number of doubts then.
    pub doubts: u64,
    /// The number of changes then.
    pub changes: u64,
}

/// What a member holds.
#[derive(Clone, Debug)]
pub struct Holding {
    session_us: u64,
    rebalance_us: u64,
    /// What it may use.
    owned: BTreeSet<Spot>,
    /// What it still has and has to give up.
    to_give_up: BTreeSet<Spot>,
    /// When the last request left that was answered.
    heard_us: u64,
    /// By then the coordinator must know that something was given up.
    revoke_until_us: Option<u64>,
    /// Since then something may have been asked of it that it has not heard of.
    doubt_since_us: Option<u64>,
    doubts: u64,
    /// Rises with what it holds.
    changes: u64,
    /// The number of changes that the coordinator knows of.
    said: u64,
}

impl Holding {
    /// Nothing.
    pub fn new(session_us: u64, rebalance_us: u64) -> Holding {
        Holding {
            session_us,
            rebalance_us,
            owned: BTreeSet::new(),
            to_give_up: BTreeSet::new(),
            heard_us: 0,
            revoke_until_us: None,
            doubt_since_us: None,
            doubts: 0,
            changes: 0,
            said: 0,
        }
    }

    /// A process that nobody knows begins: it holds nothing, and nothing can have been asked of it.
    pub fn begin(&mut self, now_us: u64) {
        self.drop_all();
        self.heard_us = now_us;
        self.doubt_since_us = None;
        self.revoke_until_us = None;
    }

    /// All that it has.
    pub fn spots(&self) -> Vec<Spot> {
        self.owned.union(&self.to_give_up).copied().collect()
    }

    /// What it may use.
    pub fn owned(&self) -> &BTreeSet<Spot> {
        &self.owned
    }

    /// True if it has to give something up.
    pub fn is_asked(&self) -> bool {
        !self.to_give_up.is_empty()
    }

    /// True if it has something to say.
    pub fn has_news(&self) -> bool {
        self.said != self.changes
    }

    /// True if it must say everything, to hear everything.
    pub fn is_in_doubt(&self) -> bool {
        self.doubt_since_us.is_some()
    }

    /// How often it has changed.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Until when it holds what it holds.
    pub fn until_us(&self) -> u64 {
        let session = self.heard_us + self.session_us;
        let doubt = self.doubt_since_us.map(|at| at + self.rebalance_us);
        let ends = [doubt, self.revoke_until_us].into_iter().flatten();
        ends.fold(session, u64::min)
    }

    /// True if its time is over.
    pub fn is_over(&self, now_us: u64) -> bool {
        let has_any = !self.owned.is_empty() || !self.to_give_up.is_empty();
        has_any && self.until_us() <= now_us
    }

    /// What a request that leaves now is worth.
    pub fn word(&self, sent_us: u64, is_whole: bool, says_owned: bool) -> Word {
        Word {
            sent_us,
            is_whole,
            says_owned,
            doubts: self.doubts,
            changes: self.changes,
        }
    }

    /// Something of it may be dealt with whose answer does not count here.
    pub fn doubt(&mut self) {
        self.doubts += 1;
        self.doubt_since_us.get_or_insert(self.heard_us);
    }

    /// It has given up what it had to.
    pub fn give_up(&mut self) {
        if self.is_asked() {
            self.to_give_up.clear();
            self.changes += 1;
        }
    }

    /// It gives up everything.
    pub fn drop_all(&mut self) {
        self.owned.clear();
        self.to_give_up.clear();
        self.changes += 1;
    }

    /// Takes an answer to a request that joined, or said that it is there. False if it came so late
    /// that it is worth nothing.
    pub fn take(
        &mut self,
        word: Word,
        joins: bool,
        given: Option<BTreeSet<Spot>>,
        now_us: u64,
    ) -> bool {
        if word.sent_us + self.session_us <= now_us {
            self.doubt();
            return false;
        }
        let base_us = self.doubt_since_us.unwrap_or(self.heard_us);
        self.heard_us = self.heard_us.max(word.sent_us);
        let is_certain = word.doubts == self.doubts;
        if joins && self.is_in_doubt() {
            // It may be another join that was dealt with: what it has to give up it hears only in
            // the answer to what it says next.
            return true;
        }
        if word.says_owned && is_certain && word.changes == self.changes {
            self.said = self.changes;
            self.revoke_until_us = None;
        }
        if let Some(given) = given {
            self.turn_to(given, base_us);
        }
        if word.is_whole && is_certain && !joins {
            self.doubt_since_us = None;
        }
        true
    }

    fn turn_to(&mut self, given: BTreeSet<Spot>, base_us: u64) {
        let had: BTreeSet<Spot> = self.spots().into_iter().collect();
        let to_give_up: BTreeSet<Spot> = had.difference(&given).copied().collect();
        if (&given, &to_give_up) != (&self.owned, &self.to_give_up) {
            self.changes += 1;
        }
        (self.owned, self.to_give_up) = (given, to_give_up);
        if self.is_asked() {
            let until_us = base_us + self.rebalance_us;
            let before = self.revoke_until_us.unwrap_or(until_us);
            self.revoke_until_us = Some(before.min(until_us));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use furlong::model::ids::Uuid;

    fn set(partitions: &[i32]) -> BTreeSet<Spot> {
        let partitions = partitions.iter();
        partitions.map(|one| (Uuid([1; 16]), *one)).collect()
    }

    /// A session of 100, 300 to give something up; it has joined at 10 and got 0 and 1.
    fn joined() -> Holding {
        let mut holding = Holding::new(100, 300);
        holding.begin(10);
        let word = holding.word(10, true, true);
        assert!(holding.take(word, true, Some(set(&[0, 1])), 20));
        holding
    }

    #[test]
    fn the_session_counts_from_what_was_sent() {
        let mut holding = joined();
        assert_eq!((holding.until_us(), holding.spots().len()), (110, 2));
        assert!(!holding.is_over(109) && holding.is_over(110));
        let word = holding.word(90, false, false);
        assert!(holding.take(word, false, None, 95));
        assert_eq!(holding.until_us(), 190);
        let word = holding.word(95, false, false);
        assert!(!holding.take(word, false, None, 195), "it took too long");
    }

    #[test]
    fn what_is_given_up_in_time_is_given_up() {
        let mut holding = joined();
        let word = holding.word(50, true, true);
        holding.take(word, false, Some(set(&[1])), 60);
        assert!(holding.is_asked() && holding.spots() == joined().spots());
        let word = holding.word(140, false, false);
        holding.take(word, false, None, 141);
        // It had been heard at 10 before it was asked at 60.
        let word = holding.word(230, false, false);
        holding.take(word, false, None, 231);
        assert_eq!(holding.until_us(), 310);
        holding.give_up();
        assert!(holding.has_news() && holding.spots() == Vec::from_iter(set(&[1])));
        assert_eq!(holding.until_us(), 310, "the coordinator does not know");
        let word = holding.word(250, false, true);
        holding.take(word, false, Some(set(&[1])), 251);
        assert_eq!((holding.until_us(), holding.has_news()), (350, false));
    }

    #[test]
    fn in_doubt_all_is_asked_again() {
        let mut holding = joined();
        let word = holding.word(60, false, false);
        holding.doubt();
        holding.take(word, false, None, 61);
        assert!(holding.is_in_doubt());
        for sent_us in [150, 240] {
            let word = holding.word(sent_us, false, false);
            holding.take(word, false, None, sent_us + 1);
        }
        assert_eq!(holding.until_us(), 310, "it may have been asked at 10");
        let word = holding.word(270, true, true);
        holding.take(word, false, Some(set(&[0, 1])), 271);
        assert!(!holding.is_in_doubt());
        assert_eq!(holding.until_us(), 370);
    }

    #[test]
    fn who_joins_again_in_doubt_holds_nothing_before_its_next_word() {
        let mut holding = joined();
        holding.doubt();
        holding.drop_all();
        let word = holding.word(1_000, true, true);
        assert!(holding.take(word, true, Some(set(&[0])), 1_001));
        assert!(holding.spots().is_empty() && !holding.is_over(5_000));
        let word = holding.word(1_010, true, true);
        holding.take(word, false, Some(set(&[0])), 1_011);
        assert_eq!((holding.spots().len(), holding.until_us()), (1, 1_110));
    }
}
