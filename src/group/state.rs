// SPDX-License-Identifier: Apache-2.0
//! The states of a group, and which follows which.
//!
//! ```text
//! Empty               -> PreparingRebalance, Dead
//! PreparingRebalance  -> CompletingRebalance, Empty
//! CompletingRebalance -> Stable, PreparingRebalance
//! Stable              -> PreparingRebalance
//! Dead                -> Empty (the log did not take its deletion)
//! ```
//!
//! Owns: [`State`]. Invariants: no other transition happens. Runs on: the shard that coordinates.
//! Bounded by: the list.

/// Where a group is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No members; it may have offsets.
    Empty,
    /// It waits for its members to join.
    PreparingRebalance,
    /// It waits for the assignment of its leader.
    CompletingRebalance,
    /// Its members have their assignments.
    Stable,
    /// It is being deleted.
    Dead,
}

impl State {
    /// Every state.
    pub const ALL: [State; 5] = [
        State::Empty,
        State::PreparingRebalance,
        State::CompletingRebalance,
        State::Stable,
        State::Dead,
    ];

    /// Its name in answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::PreparingRebalance => "PreparingRebalance",
            State::CompletingRebalance => "CompletingRebalance",
            State::Stable => "Stable",
            State::Dead => "Dead",
        }
    }

    /// True if a group may go from this state to that one.
    #[must_use]
    pub const fn may_become(self, next: State) -> bool {
        matches!(
            (self, next),
            (State::Empty, State::PreparingRebalance | State::Dead)
                | (
                    State::PreparingRebalance,
                    State::CompletingRebalance | State::Empty
                )
                | (
                    State::CompletingRebalance,
                    State::Stable | State::PreparingRebalance
                )
                | (State::Stable, State::PreparingRebalance)
                | (State::Dead, State::Empty)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The drawing in the head of this file.
    fn drawn() -> Vec<(String, String)> {
        let head = include_str!("state.rs");
        let lines = head.lines().filter(|line| line.starts_with("//! "));
        let arrows = lines.filter_map(|line| line.trim_start_matches("//! ").split_once("->"));
        let mut drawn = Vec::new();
        for (from, list) in arrows {
            let list = list.split('(').next().unwrap_or("");
            for to in list.split(',') {
                drawn.push((from.trim().to_owned(), to.trim().to_owned()));
            }
        }
        drawn
    }

    #[test]
    fn the_transitions_are_those_that_are_drawn() {
        let drawn = drawn();
        assert_eq!(drawn.len(), 8);
        for from in State::ALL {
            for to in State::ALL {
                let pair = (from.name().to_owned(), to.name().to_owned());
                assert_eq!(from.may_become(to), drawn.contains(&pair), "{pair:?}");
            }
        }
    }
}
