// SPDX-License-Identifier: Apache-2.0
//! The states of a transactional id, with Kafka's numbers and names.
//!
//! ```text
//! Empty --------> Ongoing --> PrepareCommit --> CompleteCommit --> Ongoing, Empty
//!   |                |                                |
//!   +--------------> +------> PrepareAbort ---> CompleteAbort ---> Ongoing, Empty
//! ```
//! From `Empty` and the complete ones an abort may follow as well (KIP-890), and removal.
//!
//! Owns: [`State`]. Invariants: [`State::may_become`] holds for any two states that follow each
//! other in the log. Runs on: every core. Bounded by: the list.

/// Where a transactional id stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// A producer is there, and has begun nothing.
    Empty,
    /// A transaction is open.
    Ongoing,
    /// It is decided that it is committed; partitions are told.
    PrepareCommit,
    /// It is decided that it is aborted; partitions are told.
    PrepareAbort,
    /// It was committed.
    CompleteCommit,
    /// It was aborted.
    CompleteAbort,
    /// The id has expired. Never in the log, where a tombstone stands for it.
    Dead,
    /// A producer is being fenced. Never in the log.
    PrepareEpochFence,
}

/// All of them, by rising number.
const ALL: [State; 8] = [
    State::Empty,
    State::Ongoing,
    State::PrepareCommit,
    State::PrepareAbort,
    State::CompleteCommit,
    State::CompleteAbort,
    State::Dead,
    State::PrepareEpochFence,
];

impl State {
    /// The number in a record.
    #[must_use]
    pub fn code(self) -> i8 {
        match self {
            State::Empty => 0,
            State::Ongoing => 1,
            State::PrepareCommit => 2,
            State::PrepareAbort => 3,
            State::CompleteCommit => 4,
            State::CompleteAbort => 5,
            State::Dead => 6,
            State::PrepareEpochFence => 7,
        }
    }

    /// The state with this number.
    #[must_use]
    pub fn from_code(code: i8) -> Option<State> {
        ALL.into_iter().find(|state| state.code() == code)
    }

    /// What clients are told.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::Ongoing => "Ongoing",
            State::PrepareCommit => "PrepareCommit",
            State::PrepareAbort => "PrepareAbort",
            State::CompleteCommit => "CompleteCommit",
            State::CompleteAbort => "CompleteAbort",
            State::Dead => "Dead",
            State::PrepareEpochFence => "PrepareEpochFence",
        }
    }

    /// The state with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<State> {
        ALL.into_iter().find(|state| state.name() == name)
    }

    /// The outcome is decided, and partitions are told.
    #[must_use]
    pub fn is_ending(self) -> bool {
        matches!(self, State::PrepareCommit | State::PrepareAbort)
    }

    /// Nothing is open: the id may expire.
    #[must_use]
    pub fn is_quiet(self) -> bool {
        matches!(
            self,
            State::Empty | State::CompleteCommit | State::CompleteAbort
        )
    }

    /// Whether a record in this state may be followed by one in that state.
    #[must_use]
    pub fn may_become(self, next: State) -> bool {
        match next {
            State::Empty => self.is_quiet(),
            State::Ongoing => self.is_quiet() || self == State::Ongoing,
            State::PrepareCommit => self == State::Ongoing,
            State::PrepareAbort => self.is_quiet() || self == State::Ongoing,
            State::CompleteCommit => self == State::PrepareCommit,
            State::CompleteAbort => self == State::PrepareAbort,
            State::Dead | State::PrepareEpochFence => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_kafkas_and_come_back() {
        for (state, code) in ALL.into_iter().zip(0..) {
            assert_eq!(state.code(), code);
            assert_eq!(State::from_code(code), Some(state));
            assert_eq!(State::from_name(state.name()), Some(state));
        }
        assert_eq!(State::from_code(8), None);
        assert_eq!(State::from_code(-1), None);
        assert_eq!(
            State::from_name("ongoing"),
            None,
            "Kafka's names have capitals"
        );
    }

    #[test]
    fn an_outcome_is_never_taken_back() {
        assert!(!State::PrepareCommit.may_become(State::PrepareAbort));
        assert!(!State::PrepareCommit.may_become(State::CompleteAbort));
        assert!(!State::PrepareAbort.may_become(State::CompleteCommit));
        assert!(!State::CompleteCommit.may_become(State::PrepareCommit));
        for ending in [State::PrepareCommit, State::PrepareAbort] {
            assert!(!ending.may_become(State::Ongoing));
            assert!(!ending.may_become(State::Empty));
        }
    }
}
