// SPDX-License-Identifier: Apache-2.0
//! Which error codes a message holds, counted as it is written.
//!
//! Owns: [`ErrorCodes`]. Invariants: every noted code is counted, under its own number or, past
//! the bound of different ones, among the others.
//! Runs on: every core. Bounded by: `ERROR_CODES_TOLD_MAX` different codes.

use crate::limits::ERROR_CODES_TOLD_MAX;

/// The error codes of one message, 0 (none) included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ErrorCodes {
    known: [(i16, u32); ERROR_CODES_TOLD_MAX],
    /// How many of them are in use.
    used: u8,
    others: u32,
}

impl ErrorCodes {
    /// One more.
    pub fn note(&mut self, code: i16) {
        // Mostly it is the one that came first.
        let (first, count) = &mut self.known[0];
        if *first == code && self.used > 0 {
            *count = count.saturating_add(1);
        } else {
            self.add(code, 1);
        }
    }

    /// All that another message holds.
    pub fn add_all(&mut self, more: &ErrorCodes) {
        for (code, count) in more.iter() {
            self.add(code, count);
        }
        self.others = self.others.saturating_add(more.others);
    }

    fn add(&mut self, code: i16, count: u32) {
        let used = usize::from(self.used);
        let mut known = self.known[..used].iter_mut();
        if let Some((_, counted)) = known.find(|(known, _)| *known == code) {
            *counted = counted.saturating_add(count);
        } else if let Some(free) = self.known.get_mut(used) {
            *free = (code, count);
            self.used += 1;
        } else {
            self.others = self.others.saturating_add(count);
        }
    }

    /// Each code and how often it stands there, in the order of the first.
    pub fn iter(&self) -> impl Iterator<Item = (i16, u32)> {
        self.known[..usize::from(self.used)].iter().copied()
    }

    /// How many codes are not among those.
    #[must_use]
    pub fn others(&self) -> u32 {
        self.others
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_counted_once() {
        let mut codes = ErrorCodes::default();
        for code in [0, 3, 0, 6, 0] {
            codes.note(code);
        }
        assert_eq!(codes.iter().collect::<Vec<_>>(), [(0, 3), (3, 1), (6, 1)]);
        let mut many = ErrorCodes::default();
        for code in 0..20 {
            many.note(code);
            many.note(code);
        }
        many.add_all(&codes);
        let told: u32 = many.iter().map(|(_, count)| count).sum();
        assert_eq!(told + many.others(), 45);
        assert_eq!(many.iter().count(), ERROR_CODES_TOLD_MAX);
        assert_eq!(many.iter().next(), Some((0, 5)));
    }
}
