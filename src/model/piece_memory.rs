// SPDX-License-Identifier: Apache-2.0
//! Memory for what is written once, shared, and soon gone: answers, copies of a few records. It is
//! cut off larger pieces, and a piece is used again once nobody has any part of it.
//!
//! Owns: [`PieceMemory`]. Invariants: what was cut off never changes; a warm memory allocates only
//! while more of its pieces are held than it keeps. Runs on: the core of its owner. Bounded by: the
//! number of pieces that its maker names, each at most `PIECE_BYTES_MAX`; whoever holds a part
//! keeps a whole piece.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::limits::PIECE_BYTES_MAX;

/// Pieces that are looked at before a new one is made.
const TRIES: usize = 3;

/// Memory in pieces.
#[derive(Debug)]
pub struct PieceMemory {
    current: BytesMut,
    /// Pieces of which something may be held, the oldest first.
    used: VecDeque<BytesMut>,
    pieces_max: usize,
    piece_bytes_min: usize,
    /// The largest part so far.
    largest: usize,
}

impl PieceMemory {
    /// A memory that keeps so many pieces of at least this size.
    #[must_use]
    pub fn new(pieces_max: usize, piece_bytes_min: usize) -> PieceMemory {
        assert!(pieces_max > 0 && piece_bytes_min <= PIECE_BYTES_MAX);
        PieceMemory {
            current: BytesMut::new(),
            used: VecDeque::new(),
            pieces_max,
            piece_bytes_min,
            largest: piece_bytes_min / 16,
        }
    }

    /// Memory to write the next part to, which is to be split off; the rest has to come back with
    /// `put_back`.
    #[must_use]
    pub fn take(&mut self) -> BytesMut {
        if self.current.capacity() < self.largest {
            self.next_piece();
        }
        std::mem::take(&mut self.current)
    }

    /// The rest of what `take` gave, after a part of so many bytes was split off.
    pub fn put_back(&mut self, rest: BytesMut, part_bytes: usize) {
        assert!(rest.is_empty(), "what is written is split off");
        self.largest = self.largest.max(part_bytes.min(PIECE_BYTES_MAX / 2));
        self.current = rest;
    }

    /// A copy of bytes.
    #[must_use]
    pub fn copy(&mut self, bytes: &[u8]) -> Bytes {
        self.largest = self.largest.max(bytes.len().min(PIECE_BYTES_MAX / 2));
        let mut memory = self.take();
        memory.extend_from_slice(bytes);
        let copy = memory.split().freeze();
        self.put_back(memory, bytes.len());
        copy
    }

    /// Gives up all pieces; what is held stays.
    pub fn clear(&mut self) {
        self.current = BytesMut::new();
        self.used.clear();
    }

    fn piece_bytes(&self) -> usize {
        let wanted = (2 * self.largest).next_power_of_two();
        wanted.clamp(self.piece_bytes_min, PIECE_BYTES_MAX)
    }

    fn next_piece(&mut self) {
        let wanted = self.piece_bytes();
        let full = std::mem::take(&mut self.current);
        self.used.push_back(full);
        for _ in 0..TRIES.min(self.used.len()) {
            let Some(mut piece) = self.used.pop_front() else {
                break;
            };
            if piece.try_reclaim(wanted) {
                self.current = piece;
                return;
            }
            // Somebody may hold it still; one that is too small is not missed.
            self.used.push_back(piece);
        }
        while self.used.len() >= self.pieces_max {
            self.used.pop_front();
        }
        self.current = BytesMut::with_capacity(wanted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_used_again_once_nobody_holds_a_part_of_it() {
        let mut memory = PieceMemory::new(4, 4096);
        let first = memory.copy(&[1; 100]);
        let place = first.as_ptr();
        let held = memory.copy(&[2; 100]);
        drop(first);
        let mut places = Vec::new();
        for _ in 0..200 {
            places.push(memory.copy(&[3; 100]).as_ptr());
        }
        assert!(!places.contains(&place), "a part of it is held");
        assert_eq!(&held[..], &[2; 100]);
        drop(held);
        places.clear();
        for _ in 0..400 {
            places.push(memory.copy(&[4; 100]).as_ptr());
        }
        assert!(places.contains(&place));
        places.sort_unstable();
        places.dedup();
        assert!(
            places.len() <= 4 * 4096 / 100,
            "the same memory again and again"
        );
    }

    #[test]
    fn what_is_held_by_nobody_is_bounded() {
        let mut memory = PieceMemory::new(3, 4096);
        let held: Vec<Bytes> = (0..300).map(|_| memory.copy(&[5; 1000])).collect();
        assert!(memory.used.len() <= 3);
        assert!(held.iter().all(|part| part[..] == [5; 1000]));
        memory.clear();
        assert!(memory.used.is_empty() && memory.current.capacity() == 0);
    }

    #[test]
    fn parts_of_any_size_come_out_as_they_went_in() {
        let mut memory = PieceMemory::new(4, 1024);
        for len in [0, 1, 1000, 5000, PIECE_BYTES_MAX, 3 * PIECE_BYTES_MAX, 7] {
            let bytes = vec![u8::try_from(len % 251).expect("small"); len];
            assert_eq!(memory.copy(&bytes), bytes);
        }
        assert!(memory.piece_bytes() <= PIECE_BYTES_MAX);
    }
}
