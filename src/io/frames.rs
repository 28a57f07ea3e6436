// SPDX-License-Identifier: Apache-2.0
//! Cuts the bytes of a connection into frames: four bytes of length, big-endian, then the body.
//!
//! Owns: the bytes received and not yet delivered. Invariants: a frame is delivered whole, without
//! its length field, and without a copy of a large body; memory follows what has arrived, not what
//! a length field claims; it comes from `FrameMemory` and goes back there.
//! Runs on: the executor of the connection. Bounded by: `FRAME_BYTES_MAX`, twice that while a
//! body's memory grows; all connections together by the gate.

use std::mem::MaybeUninit;

use bytes::{BufMut, Bytes};

use super::frame_memory::{FrameMemory, Piece};
use crate::limits::{FRAME_BYTES_RESERVED_UNSEEN, FRAME_BYTES_TRUSTED_MAX};

/// Bytes of the length field.
const LENGTH_BYTES: usize = 4;

/// First size of the buffer for small frames; it doubles when one receive fills it.
const BUFFER_BYTES_MIN: usize = 8 * 1024;

/// Last size of that buffer. A frame that does not fit it gets a piece of its own.
const BUFFER_BYTES_MAX: usize = FRAME_BYTES_RESERVED_UNSEEN;

/// The length field is negative or larger than any frame may be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadLength;

/// Where the next receive goes.
pub(super) struct Space<'a> {
    /// The memory, not yet initialised.
    pub memory: &'a mut [MaybeUninit<u8>],
    /// True if nothing can be delivered before all of it is filled.
    pub whole: bool,
}

/// A large frame that is received straight into the memory it is delivered in.
struct Body {
    len_bytes: usize,
    piece: Piece,
}

/// Receives frames of one connection.
pub(super) struct FrameReceiver {
    buffer: Piece,
    buffer_bytes: usize,
    body: Option<Body>,
    largest_seen: usize,
    frame_bytes_max: usize,
}

impl FrameReceiver {
    pub(super) fn new(frame_bytes_max: usize) -> FrameReceiver {
        FrameReceiver {
            buffer: Piece::none(),
            buffer_bytes: BUFFER_BYTES_MIN,
            body: None,
            largest_seen: 0,
            frame_bytes_max,
        }
    }

    /// True if a whole frame is here. Not while a receive is under way.
    pub(super) fn has_frame(&self) -> Result<bool, BadLength> {
        if let Some(body) = &self.body {
            return Ok(body.piece.handle.len() == body.len_bytes);
        }
        let Some(len_bytes) = self.claimed_length()? else {
            return Ok(false);
        };
        Ok(self.buffer.handle.len() >= LENGTH_BYTES + len_bytes)
    }

    /// How much memory of its own the next receive adds for a large frame. The buffer for small
    /// frames, of at most `BUFFER_BYTES_MAX`, is not counted.
    pub(super) fn growth(&self) -> usize {
        match &self.body {
            Some(body) if body.piece.handle.len() == body.piece.handle.capacity() => {
                let missing = body.len_bytes - body.piece.handle.len();
                missing.min(body.piece.handle.len())
            }
            Some(_) => 0,
            None => self.large_frame().map_or(0, |len| self.first_reserve(len)),
        }
    }

    /// The length of a frame that needs memory of its own and has none yet.
    fn large_frame(&self) -> Option<usize> {
        let len_bytes = self.claimed_length().ok().flatten()?;
        let is_large = LENGTH_BYTES + len_bytes > BUFFER_BYTES_MAX;
        (is_large && self.buffer.handle.len() < LENGTH_BYTES + len_bytes).then_some(len_bytes)
    }

    fn first_reserve(&self, len_bytes: usize) -> usize {
        // A connection that has really sent frames of this size is trusted with the memory at once.
        let trusted = self.largest_seen.min(FRAME_BYTES_TRUSTED_MAX);
        let reserved = len_bytes.min(FRAME_BYTES_RESERVED_UNSEEN.max(trusted));
        reserved.max(self.buffer.handle.len())
    }

    /// The length of the next whole frame, if it is here. Not while a receive is under way.
    pub(super) fn frame_len(&self) -> Result<Option<usize>, BadLength> {
        if !self.has_frame()? {
            return Ok(None);
        }
        match &self.body {
            Some(body) => Ok(Some(body.len_bytes)),
            None => self.claimed_length(),
        }
    }

    /// The next whole frame, if it is here. Not while a receive is under way.
    pub(super) fn take_frame(
        &mut self,
        memory: &mut FrameMemory,
    ) -> Result<Option<Bytes>, BadLength> {
        if !self.has_frame()? {
            return Ok(None);
        }
        if let Some(Body {
            len_bytes,
            mut piece,
        }) = self.body.take()
        {
            self.largest_seen = self.largest_seen.max(len_bytes);
            let frame = piece.handle.split_to(len_bytes).freeze();
            memory.keep(piece);
            return Ok(Some(frame));
        }
        let len_bytes = self.claimed_length()?.expect("has_frame has seen it");
        let mut frame = self.buffer.handle.split_to(LENGTH_BYTES + len_bytes);
        let _length = frame.split_to(LENGTH_BYTES);
        Ok(Some(frame.freeze()))
    }

    fn claimed_length(&self) -> Result<Option<usize>, BadLength> {
        let Some(field) = self.buffer.handle.first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let len_bytes = usize::try_from(i32::from_be_bytes(*field)).map_err(|_| BadLength)?;
        if len_bytes > self.frame_bytes_max {
            return Err(BadLength);
        }
        Ok(Some(len_bytes))
    }

    fn start_body(&mut self, len_bytes: usize, memory: &mut FrameMemory) {
        let mut piece = memory.take(self.first_reserve(len_bytes));
        let begun = &self.buffer.handle[LENGTH_BYTES..];
        piece.handle.extend_from_slice(begun);
        self.buffer.handle.clear();
        self.body = Some(Body { len_bytes, piece });
    }

    /// Makes room in the buffer for small frames: where it is, if no frame shares it any more, else
    /// in another piece.
    fn make_room(&mut self, memory: &mut FrameMemory) {
        let begun = self.buffer.handle.len();
        // The buffer may be smaller than the frame that has begun in it.
        let missing = self.buffer_bytes.saturating_sub(begun);
        let wanted = missing.max(self.buffer_bytes / 4);
        if self.buffer.handle.try_reclaim(wanted) {
            return;
        }
        let mut piece = memory.take(begun + wanted);
        piece.handle.extend_from_slice(&self.buffer.handle);
        let before = std::mem::replace(&mut self.buffer, piece);
        if before.size_bytes > 0 {
            memory.keep(before);
        }
    }

    /// Memory for the next receive, never empty.
    pub(super) fn space(&mut self, memory: &mut FrameMemory) -> Space<'_> {
        if self.body.is_none()
            && let Some(len_bytes) = self.large_frame()
        {
            self.start_body(len_bytes, memory);
        }
        if self.body.is_some() {
            return self.space_of_body();
        }
        // What is here is part of a frame that fits the buffer, so the rest fits what is reserved.
        if self.buffer.handle.capacity() - self.buffer.handle.len() < self.buffer_bytes / 4 {
            self.make_room(memory);
        }
        Space {
            memory: self.buffer.handle.spare_capacity_mut(),
            whole: false,
        }
    }

    fn space_of_body(&mut self) -> Space<'_> {
        let body = self.body.as_mut().expect("the caller looked");
        let bytes = &mut body.piece.handle;
        let missing = body.len_bytes - bytes.len();
        if bytes.len() == bytes.capacity() {
            bytes.reserve(missing.min(bytes.len()));
            body.piece.size_bytes = body.piece.size_bytes.max(bytes.capacity());
        }
        let spare = bytes.spare_capacity_mut();
        let usable = spare.len().min(missing);
        Space {
            memory: &mut spare[..usable],
            whole: true,
        }
    }

    /// The kernel has filled the first `len_bytes` of what `space` gave.
    ///
    /// # Safety
    /// Those bytes must have been initialised, and `space` must have been the last call.
    pub(super) unsafe fn received(&mut self, len_bytes: usize) {
        if let Some(body) = &mut self.body {
            // SAFETY: the caller vouches for the bytes, which lie in the spare capacity.
            unsafe { body.piece.handle.advance_mut(len_bytes) };
            return;
        }
        let filled = len_bytes == self.buffer.handle.capacity() - self.buffer.handle.len();
        // SAFETY: likewise.
        unsafe { self.buffer.handle.advance_mut(len_bytes) };
        if filled {
            self.buffer_bytes = (self.buffer_bytes * 2).min(BUFFER_BYTES_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::FRAME_BYTES_MAX;
    use proptest::prelude::*;

    /// Feeds bytes as the kernel would, at most `step` at a time, and takes what comes.
    fn feed(receiver: &mut FrameReceiver, mut bytes: &[u8], step: usize) -> Vec<Bytes> {
        let mut frames = Vec::new();
        let memory = &mut FrameMemory::new(1 << 20);
        while !bytes.is_empty() {
            let space = receiver.space(memory);
            assert!(!space.memory.is_empty());
            let now = step.min(space.memory.len()).min(bytes.len());
            for (place, byte) in space.memory.iter_mut().zip(&bytes[..now]) {
                place.write(*byte);
            }
            // SAFETY: the bytes were just written.
            unsafe { receiver.received(now) };
            bytes = &bytes[now..];
            while let Some(frame) = receiver.take_frame(memory).expect("good lengths") {
                frames.push(frame);
            }
        }
        frames
    }

    fn framed(body: &[u8]) -> Vec<u8> {
        let length = i32::try_from(body.len()).expect("small");
        [&length.to_be_bytes()[..], body].concat()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn frames_come_out_as_they_went_in(
            sizes in proptest::collection::vec(
                prop_oneof![
                    0usize..40, 0usize..20_000, 65_000usize..66_000, 100_000usize..600_000,
                ],
                1..8,
            ),
            step in prop_oneof![1usize..200, 1000usize..70_000, Just(usize::MAX)],
        ) {
            let bodies: Vec<Vec<u8>> = sizes
                .iter()
                .map(|size| (0..*size).map(|place| u8::try_from(place % 251).expect("below \
                251")).collect())
                .collect();
            let stream: Vec<u8> = bodies.iter().flat_map(|body| framed(body)).collect();
            let mut receiver = FrameReceiver::new(FRAME_BYTES_MAX);
            let frames = feed(&mut receiver, &stream, step);
            prop_assert_eq!(frames, bodies);
        }
    }

    #[test]
    fn a_lying_length_reserves_nothing_and_a_bad_one_is_refused() {
        let mut receiver = FrameReceiver::new(FRAME_BYTES_MAX);
        let claim = i32::try_from(FRAME_BYTES_MAX).expect("small").to_be_bytes();
        assert!(feed(&mut receiver, &claim, 4).is_empty());
        let memory = &mut FrameMemory::new(1 << 20);
        assert!(receiver.space(memory).memory.len() <= FRAME_BYTES_RESERVED_UNSEEN);
        for bad in [
            -1,
            i32::MIN,
            i32::MAX,
            i32::try_from(FRAME_BYTES_MAX).expect("small") + 1,
        ] {
            let mut receiver = FrameReceiver::new(FRAME_BYTES_MAX);
            let space = receiver.space(memory);
            for (place, byte) in space.memory.iter_mut().zip(bad.to_be_bytes()) {
                place.write(byte);
            }
            // SAFETY: four bytes were just written.
            unsafe { receiver.received(4) };
            assert_eq!(receiver.take_frame(memory), Err(BadLength));
        }
    }

    #[test]
    fn memory_grows_with_what_arrives() {
        let mut receiver = FrameReceiver::new(FRAME_BYTES_MAX);
        let claim = 50_000_000i32.to_be_bytes();
        feed(&mut receiver, &claim, 4);
        feed(&mut receiver, &vec![0; 300_000], usize::MAX);
        let body = receiver.body.as_ref().expect("a body");
        let capacity = body.piece.handle.capacity();
        assert!(capacity <= 1_200_000, "{capacity}");
    }
}
