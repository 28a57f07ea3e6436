// SPDX-License-Identifier: Apache-2.0
//! Reading primitive values out of one received frame.
//!
//! Owns: the position in the frame and the memory budget of its decoded form.
//! Invariants: `position <= end <= bytes.len()`; a failed read never panics; `memory_left` only
//! falls, and arrays are reserved in one piece after it was charged.
//! Runs on: every core. Bounded by: the frame, `limits::DECODED_BYTES_PER_FRAME_BYTE`,
//! `limits::DECODED_BYTES_ALLOWANCE`.

use bytes::Bytes;
use bytestring::ByteString;

use super::DecodeError;
use crate::limits::{DECODED_BYTES_ALLOWANCE, DECODED_BYTES_PER_FRAME_BYTE};

/// Bytes that one allocation costs the allocator beside what was asked for; charged to the budget
/// as well.
const ALLOCATION_OVERHEAD_BYTES: usize = 16;

/// Bytes of the longest string: what the classic length of two bytes with a sign can say.
const STRING_BYTES_MAX: usize = 0x7fff;

/// Reads a frame from front to back. Byte fields come out as slices that share the frame's buffer.
#[derive(Debug)]
pub struct Reader {
    bytes: Bytes,
    position: usize,
    end: usize,
    memory_left: usize,
}

impl Reader {
    /// A reader at the start of `bytes`, with the memory budget that a frame of this size from an
    /// unknown peer gets.
    #[must_use]
    pub fn new(bytes: Bytes) -> Reader {
        Reader::with_memory_per_byte(bytes, DECODED_BYTES_PER_FRAME_BYTE)
    }

    /// A reader at the start of `bytes` whose decoded form may take `memory_per_byte` times the
    /// size of the frame, beside the fixed allowance.
    #[must_use]
    pub fn with_memory_per_byte(bytes: Bytes, memory_per_byte: usize) -> Reader {
        let end = bytes.len();
        let memory_left = end
            .saturating_mul(memory_per_byte)
            .saturating_add(DECODED_BYTES_ALLOWANCE);
        Reader {
            bytes,
            position: 0,
            end,
            memory_left,
        }
    }

    /// Bytes that have not been read yet.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.end - self.position
    }

    /// Reads the next `length` bytes as a slice of the frame.
    pub fn read_slice(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        let start = self.advance(length)?;
        Ok(self.bytes.slice(start..start + length))
    }

    /// Skips `length` bytes.
    pub fn skip(&mut self, length: usize) -> Result<(), DecodeError> {
        self.advance(length).map(|_| ())
    }

    /// Reads one byte; everything but 0 is true, as Kafka has it.
    pub fn read_bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.read_array::<1>()? != [0])
    }

    /// Reads a signed byte.
    pub fn read_i8(&mut self) -> Result<i8, DecodeError> {
        self.read_array().map(i8::from_be_bytes)
    }

    /// Reads two bytes.
    pub fn read_i16(&mut self) -> Result<i16, DecodeError> {
        self.read_array().map(i16::from_be_bytes)
    }

    /// Reads two bytes without a sign.
    pub fn read_u16(&mut self) -> Result<u16, DecodeError> {
        self.read_array().map(u16::from_be_bytes)
    }

    /// Reads four bytes.
    pub fn read_i32(&mut self) -> Result<i32, DecodeError> {
        self.read_array().map(i32::from_be_bytes)
    }

    /// Reads eight bytes.
    pub fn read_i64(&mut self) -> Result<i64, DecodeError> {
        self.read_array().map(i64::from_be_bytes)
    }

    /// Reads eight bytes as a floating-point number.
    pub fn read_f64(&mut self) -> Result<f64, DecodeError> {
        self.read_array().map(f64::from_be_bytes)
    }

    /// Reads `N` bytes.
    pub fn read_array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let start = self.advance(N)?;
        let mut array = [0; N];
        array.copy_from_slice(&self.bytes[start..start + N]);
        Ok(array)
    }

    /// Reads an unsigned varint of at most five bytes. Padded forms are accepted, as Kafka accepts
    /// them.
    pub fn read_unsigned_varint(&mut self) -> Result<u32, DecodeError> {
        let mut value: u32 = 0;
        for place in 0..5 {
            let [byte] = self.read_array::<1>()?;
            if place == 4 && byte > 0x0f {
                return Err(DecodeError::VarintTooLong);
            }
            value |= u32::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::VarintTooLong)
    }

    /// Reads a length in front of a string: one more than it as a varint where `flexible`, else two
    /// bytes. `None` stands for null.
    pub fn read_string_length(&mut self, flexible: bool) -> Result<Option<usize>, DecodeError> {
        if flexible {
            // Kafka holds strings to what the classic length can say in the flexible form, too.
            match self.read_compact_length()? {
                Some(length) if length > STRING_BYTES_MAX => Err(DecodeError::LengthOutOfRange),
                length => Ok(length),
            }
        } else {
            let length = self.read_i16()?;
            signed_length(i32::from(length))
        }
    }

    /// Reads a length in front of bytes or elements: one more than it as a varint where `flexible`,
    /// else four bytes. `None` stands for null.
    pub fn read_length(&mut self, flexible: bool) -> Result<Option<usize>, DecodeError> {
        if flexible {
            self.read_compact_length()
        } else {
            let length = self.read_i32()?;
            signed_length(length)
        }
    }

    /// Reads `length` bytes of text for `field`.
    pub fn read_text(
        &mut self,
        field: &'static str,
        length: usize,
    ) -> Result<ByteString, DecodeError> {
        let bytes = self.read_slice(length)?;
        ByteString::try_from(bytes).map_err(|_| DecodeError::NotUtf8 { field })
    }

    /// Gives `list` room for exactly `count` elements, unless it has it, each of which takes at
    /// least `element_bytes_min` bytes of this frame. Refuses a count that the remaining bytes
    /// cannot hold, that passes `limit`, or whose memory the budget of the frame does not cover;
    /// nothing is reserved then.
    pub fn reserve<T>(
        &mut self,
        field: &'static str,
        list: &mut Vec<T>,
        count: usize,
        element_bytes_min: usize,
        limit: usize,
    ) -> Result<(), DecodeError> {
        if count > self.remaining() / element_bytes_min.max(1) {
            return Err(DecodeError::CountBeyondBytes { field, count });
        }
        if count > limit {
            return Err(DecodeError::CountBeyondLimit {
                field,
                count,
                limit,
            });
        }
        if count == 0 {
            return Ok(());
        }
        let memory = count
            .saturating_mul(size_of::<T>())
            .saturating_add(ALLOCATION_OVERHEAD_BYTES);
        self.memory_left = self
            .memory_left
            .checked_sub(memory)
            .ok_or(DecodeError::MemoryBeyondBudget { field })?;
        list.reserve_exact(count.saturating_sub(list.len()));
        Ok(())
    }

    /// Reads a section of tagged fields. `known` is given each tag and either decodes its value and
    /// says true, or leaves it alone and says false; an unknown value is skipped and not kept. A
    /// known value must fill its length.
    pub fn read_tagged_fields(
        &mut self,
        mut known: impl FnMut(&mut Reader, u32) -> Result<bool, DecodeError>,
    ) -> Result<(), DecodeError> {
        let mut count = self.read_unsigned_varint()?;
        let mut tag_min: u32 = 0;
        while count > 0 {
            count -= 1;
            let tag = self.read_unsigned_varint()?;
            if tag < tag_min {
                return Err(DecodeError::TagsNotRising { tag });
            }
            // The largest tag has no successor; nothing may follow it.
            tag_min = match tag.checked_add(1) {
                Some(next) => next,
                None if count > 0 => return Err(DecodeError::TagsNotRising { tag }),
                None => tag,
            };
            let length = usize::try_from(self.read_unsigned_varint()?)
                .map_err(|_| DecodeError::LengthOutOfRange)?;
            self.read_within(length, |reader| {
                if known(reader, tag)? {
                    Ok(())
                } else {
                    reader.skip(reader.remaining())
                }
            })?;
        }
        Ok(())
    }

    /// Refuses bytes that nobody has read.
    pub fn expect_end(&self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            remaining => Err(DecodeError::TrailingBytes { remaining }),
        }
    }

    /// Lets `read` see the next `length` bytes only, all of which it must consume.
    fn read_within(
        &mut self,
        length: usize,
        read: impl FnOnce(&mut Reader) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        if length > self.remaining() {
            return Err(DecodeError::Truncated {
                needed: length,
                remaining: self.remaining(),
            });
        }
        let outer_end = self.end;
        self.end = self.position + length;
        let result = read(self).and_then(|()| self.expect_end());
        self.end = outer_end;
        result
    }

    fn read_compact_length(&mut self) -> Result<Option<usize>, DecodeError> {
        match self.read_unsigned_varint()?.checked_sub(1) {
            None => Ok(None),
            Some(length) => {
                let length = i32::try_from(length).map_err(|_| DecodeError::LengthOutOfRange)?;
                signed_length(length)
            }
        }
    }

    /// Moves past `length` bytes and gives the position in front of them.
    fn advance(&mut self, length: usize) -> Result<usize, DecodeError> {
        let remaining = self.remaining();
        if length > remaining {
            return Err(DecodeError::Truncated {
                needed: length,
                remaining,
            });
        }
        let start = self.position;
        self.position += length;
        assert!(
            self.position <= self.end,
            "advance was checked against the bytes that remain"
        );
        Ok(start)
    }
}

fn signed_length(length: i32) -> Result<Option<usize>, DecodeError> {
    if length == -1 {
        return Ok(None);
    }
    usize::try_from(length)
        .map(Some)
        .map_err(|_| DecodeError::LengthOutOfRange)
}
