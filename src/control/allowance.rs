// SPDX-License-Identifier: Apache-2.0
//! How many partitions one request may make or take away (KIP-599).
//!
//! Owns: [`Allowance`]. Invariants: who asks strictly is refused once nothing is left, and what is
//! left may be overdrawn once; who does not is counted only. Runs on: the control shard.
//! Bounded by: its fields.

use super::request::Refusal;
use super::topics::refusal;
use crate::model::error_code::ErrorCode;

/// What a request may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    /// Partitions that are left; less than none if it is overdrawn. `None` for any number.
    left: Option<i64>,
    is_strict: bool,
    taken: u64,
    has_refused: bool,
}

impl Allowance {
    /// So many partitions are left, or -1 and less if they are overdrawn.
    #[must_use]
    pub fn of(left: i64, is_strict: bool) -> Allowance {
        Allowance {
            left: Some(left),
            is_strict,
            ..Allowance::default()
        }
    }

    /// Takes the partitions of one topic.
    pub(super) fn take(&mut self, partitions: usize) -> Result<(), Refusal> {
        let partitions = u64::try_from(partitions).expect("a usize fits 64 bits");
        if let Some(left) = &mut self.left {
            if self.is_strict && *left < 0 {
                self.has_refused = true;
                return Err(refusal(
                    ErrorCode::ThrottlingQuotaExceeded,
                    "The quota of changes is used up (controller_mutation_rate): try again later.",
                ));
            }
            *left = left.saturating_sub_unsigned(partitions);
        }
        self.taken += partitions;
        Ok(())
    }

    /// Partitions that were taken.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// True if the client has to wait: something was refused, or, of one that is not refused
    /// anything, more was taken than was left.
    #[must_use]
    pub fn is_exceeded(&self) -> bool {
        match self.is_strict {
            true => self.has_refused,
            false => self.left.is_some_and(|left| left < 0) && self.taken > 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strict_one_is_overdrawn_once_and_refuses_then() {
        let mut allowance = Allowance::of(3, true);
        assert_eq!(allowance.take(5), Ok(()));
        assert!(!allowance.is_exceeded(), "nothing was refused");
        let refused = allowance.take(1).expect_err("overdrawn");
        assert_eq!(refused.code, ErrorCode::ThrottlingQuotaExceeded);
        assert_eq!((allowance.taken(), allowance.is_exceeded()), (5, true));
    }

    #[test]
    fn a_permissive_one_counts_and_refuses_nothing() {
        let mut allowance = Allowance::of(3, false);
        assert_eq!(allowance.take(3), Ok(()));
        assert!(!allowance.is_exceeded());
        assert_eq!(allowance.take(2), Ok(()));
        assert_eq!((allowance.taken(), allowance.is_exceeded()), (5, true));
        let mut unlimited = Allowance::default();
        assert_eq!(unlimited.take(1_000_000), Ok(()));
        assert!(!unlimited.is_exceeded());
    }
}
