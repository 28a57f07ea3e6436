// SPDX-License-Identifier: Apache-2.0
//! Decides which connections may take bytes in, so that the frames that are being received, and
//! those that were delivered and not yet dealt with, stay within a number of bytes.
//!
//! Owns: [`ReceiveGate`]. Invariants: past the bound one connection at a time goes on, so that a
//! frame that is larger than the bound passes too; those who were refused are asked again in the
//! order in which they came. Runs on: one executor.
//! Bounded by: `MemoryBudget::receive_bytes` and one frame; the connections that wait.

use std::collections::VecDeque;

/// What all connections of an executor hold for frames.
#[derive(Debug)]
pub(super) struct ReceiveGate {
    bytes_max: usize,
    held_bytes: usize,
    /// The connection that may pass the bound, by its slot.
    alone: Option<u32>,
    waiting: VecDeque<u32>,
}

impl ReceiveGate {
    pub(super) fn new(bytes_max: usize) -> ReceiveGate {
        ReceiveGate {
            bytes_max,
            held_bytes: 0,
            alone: None,
            waiting: VecDeque::new(),
        }
    }

    /// Takes memory for a connection. False if it has to wait; it is asked again.
    pub(super) fn take(&mut self, index: u32, bytes: usize) -> bool {
        if bytes == 0 {
            return true;
        }
        let fits = self.held_bytes.saturating_add(bytes) <= self.bytes_max;
        if !fits && self.alone.is_some_and(|alone| alone != index) {
            if !self.waiting.contains(&index) {
                self.waiting.push_back(index);
            }
            return false;
        }
        if !fits {
            self.alone = Some(index);
        }
        self.held_bytes += bytes;
        true
    }

    /// Gives memory of a connection back, which keeps `kept_bytes`.
    pub(super) fn give(&mut self, index: u32, bytes: usize, kept_bytes: usize) {
        assert!(
            bytes <= self.held_bytes,
            "only what was taken is given back"
        );
        self.held_bytes -= bytes;
        let is_within = self.held_bytes <= self.bytes_max;
        if is_within || (self.alone == Some(index) && kept_bytes == 0) {
            self.alone = None;
        }
    }

    /// A connection is gone.
    pub(super) fn forget(&mut self, index: u32) {
        self.waiting.retain(|waiting| *waiting != index);
        if self.alone == Some(index) {
            self.alone = None;
        }
    }

    /// The next connection that may ask again, if there is room.
    pub(super) fn next_waiting(&mut self) -> Option<u32> {
        if self.alone.is_some() {
            return None;
        }
        self.waiting.pop_front()
    }

    /// True if somebody waits.
    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// How many wait.
    pub(super) fn waiting_len(&self) -> usize {
        self.waiting.len()
    }

    /// What is held.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn past_the_bound_one_goes_on_alone() {
        let mut gate = ReceiveGate::new(100);
        assert!(gate.take(1, 60));
        assert!(gate.take(2, 1000), "nobody was past the bound");
        assert!(gate.take(2, 1000), "and it goes on");
        assert!(!gate.take(1, 1));
        assert!(!gate.take(3, 1));
        assert!(!gate.take(1, 1), "it waits once");
        assert_eq!(gate.next_waiting(), None);
        gate.give(2, 2000, 0);
        assert_eq!(gate.next_waiting(), Some(1));
        assert!(gate.take(1, 40));
        assert_eq!(gate.next_waiting(), Some(3));
        assert!(gate.take(3, 1));
        assert!(!gate.has_waiting());
        assert_eq!(gate.held_bytes(), 101);
    }

    #[test]
    fn one_that_goes_away_makes_room() {
        let mut gate = ReceiveGate::new(10);
        assert!(gate.take(1, 100));
        assert!(!gate.take(2, 5) && !gate.take(3, 5));
        gate.forget(2);
        gate.give(1, 100, 0);
        gate.forget(1);
        assert_eq!(gate.next_waiting(), Some(3));
        assert!(gate.take(3, 5));
    }

    /// Connections that receive frames piece by piece: all finish, and the bound is passed by no
    /// more than one of them.
    fn play(bound: usize, frames: &[Vec<usize>]) {
        let mut gate = ReceiveGate::new(bound);
        let mut todo: Vec<VecDeque<usize>> = frames.iter().map(|one| one.clone().into()).collect();
        let mut held = vec![0; frames.len()];
        let mut ready: VecDeque<usize> = (0..frames.len()).collect();
        let largest: usize = frames.iter().map(|one| one.iter().sum()).max().unwrap_or(0);
        let mut steps = 0;
        while todo.iter().any(|one| !one.is_empty()) {
            steps += 1;
            assert!(steps < 100_000, "no progress");
            let place = ready.pop_front().expect("somebody may go on");
            let index = u32::try_from(place).expect("small");
            let piece = todo[place][0];
            if gate.take(index, piece) {
                held[place] += piece;
                todo[place].pop_front();
                if todo[place].is_empty() {
                    // The whole frame was delivered and dealt with.
                    gate.give(index, held[place], 0);
                    held[place] = 0;
                } else {
                    ready.push_back(place);
                }
            }
            while let Some(index) = gate.next_waiting() {
                ready.push_back(usize::try_from(index).expect("small"));
                if ready.len() > frames.len() {
                    break;
                }
            }
            assert!(
                gate.held_bytes() <= bound + largest,
                "{} bytes",
                gate.held_bytes()
            );
        }
        assert_eq!(gate.held_bytes(), 0);
    }

    proptest! {
        #[test]
        fn everybody_finishes_within_the_bound_and_one_frame(
            bound in 1usize..500,
            frames in proptest::collection::vec(
                proptest::collection::vec(1usize..200, 1..8),
                1..20,
            ),
        ) {
            play(bound, &frames);
        }
    }
}
