// SPDX-License-Identifier: Apache-2.0
//! Memory that frames are received in, used again once the frames are gone.
//!
//! Owns: [`FrameMemory`]: for each piece a handle that shares it with the frames cut from it.
//! Invariants: a piece is given out again only when nothing else shares it; one that is more than
//! twice what is asked for stays where it is, or a small frame would hold it. Runs on: one
//! executor; frames may end on any other. Bounded by: its bytes, in use or not, and
//! `FRAME_MEMORY_PIECES_MAX`; the piece that came back longest ago is forgotten first.

use std::collections::VecDeque;

use bytes::BytesMut;

use crate::limits::FRAME_MEMORY_PIECES_MAX;

/// One piece of memory.
pub(super) struct Piece {
    /// How large it is, whatever part of it the handle shows.
    pub size_bytes: usize,
    /// The part that is not a frame yet.
    pub handle: BytesMut,
}

impl Piece {
    /// No memory.
    pub(super) fn none() -> Piece {
        Piece {
            size_bytes: 0,
            handle: BytesMut::new(),
        }
    }
}

/// The pieces of one executor.
pub(super) struct FrameMemory {
    pieces: VecDeque<Piece>,
    held_bytes: usize,
    bytes_max: usize,
}

impl FrameMemory {
    pub(super) fn new(bytes_max: usize) -> FrameMemory {
        FrameMemory {
            pieces: VecDeque::with_capacity(FRAME_MEMORY_PIECES_MAX + 1),
            held_bytes: 0,
            bytes_max,
        }
    }

    /// Empty memory for so many bytes.
    pub(super) fn take(&mut self, size_bytes: usize) -> Piece {
        for place in 0..self.pieces.len() {
            let piece = &mut self.pieces[place];
            let fits = (size_bytes..=size_bytes.saturating_mul(2)).contains(&piece.size_bytes);
            if fits && piece.handle.try_reclaim(size_bytes) {
                let piece = self.pieces.remove(place).expect("it was just there");
                self.held_bytes -= piece.size_bytes;
                return piece;
            }
        }
        Piece {
            size_bytes,
            handle: BytesMut::with_capacity(size_bytes),
        }
    }

    /// Takes a piece back, which frames may still share.
    pub(super) fn keep(&mut self, mut piece: Piece) {
        piece.handle.clear();
        self.held_bytes += piece.size_bytes;
        self.pieces.push_back(piece);
        while self.held_bytes > self.bytes_max || self.pieces.len() > FRAME_MEMORY_PIECES_MAX {
            let oldest = self
                .pieces
                .pop_front()
                .expect("what is held is in the list");
            self.held_bytes -= oldest.size_bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame that fills a piece, and the piece kept.
    fn frame(memory: &mut FrameMemory, size_bytes: usize) -> bytes::Bytes {
        let mut piece = memory.take(size_bytes);
        piece.handle.resize(size_bytes, 7);
        let frame = piece.handle.split_to(size_bytes).freeze();
        memory.keep(piece);
        frame
    }

    #[test]
    fn memory_is_used_again_once_its_frame_is_gone() {
        let mut memory = FrameMemory::new(1 << 20);
        let first = frame(&mut memory, 100_000);
        let place = first.as_ptr();
        let second = frame(&mut memory, 100_000);
        assert_ne!(second.as_ptr(), place, "the first frame is still there");
        let slice = first.slice(50_000..);
        drop(first);
        let third = frame(&mut memory, 90_000);
        assert_ne!(
            third.as_ptr(),
            place,
            "a slice of the first frame is still there"
        );
        assert!(slice.iter().all(|byte| *byte == 7));
        drop(slice);
        let fourth = frame(&mut memory, 90_000);
        assert_eq!(fourth.as_ptr(), place);
        assert_eq!(fourth.len(), 90_000);
    }

    #[test]
    fn a_small_frame_does_not_hold_a_large_piece() {
        let mut memory = FrameMemory::new(1 << 20);
        let large = frame(&mut memory, 100_000);
        let place = large.as_ptr();
        drop(large);
        assert_ne!(frame(&mut memory, 49_000).as_ptr(), place);
        assert_ne!(frame(&mut memory, 100_001).as_ptr(), place);
        assert_eq!(frame(&mut memory, 50_000).as_ptr(), place);
    }

    #[test]
    fn what_is_kept_is_bounded_in_bytes_and_pieces() {
        let mut memory = FrameMemory::new(250_000);
        let frames: Vec<_> = (0..3).map(|_| frame(&mut memory, 100_000)).collect();
        assert_eq!((memory.held_bytes, memory.pieces.len()), (200_000, 2));
        let oldest = frames[0].as_ptr();
        drop(frames);
        assert_ne!(frame(&mut memory, 100_000).as_ptr(), oldest);
        let mut memory = FrameMemory::new(1 << 30);
        for _ in 0..2 * FRAME_MEMORY_PIECES_MAX {
            memory.keep(Piece {
                size_bytes: 1000,
                handle: BytesMut::with_capacity(1000),
            });
        }
        assert_eq!(memory.pieces.len(), FRAME_MEMORY_PIECES_MAX);
        assert_eq!(memory.held_bytes, 1000 * FRAME_MEMORY_PIECES_MAX);
        memory.keep(Piece {
            size_bytes: 2 << 30,
            handle: BytesMut::new(),
        });
        assert_eq!(
            (memory.held_bytes, memory.pieces.len()),
            (0, 0),
            "too large to be kept"
        );
    }
}
