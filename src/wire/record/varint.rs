// SPDX-License-Identifier: Apache-2.0
//! Variable-length integers of records: base 128, zigzag, least significant group first.
//!
//! Owns: reading and writing them, and [`Cursor`], the checked walk over a record's bytes.
//! Invariants: total; an `i32` takes at most 5 bytes and an `i64` at most 10, and bits beyond the
//! type are refused.
//! Runs on: every core (pure). Bounded by: its input.

use super::error::RecordFault;

/// Most bytes that an `i32` takes.
pub const VARINT_BYTES_MAX: usize = 5;
/// Most bytes that an `i64` takes.
pub const VARLONG_BYTES_MAX: usize = 10;

/// A position in borrowed bytes; every read is checked.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// Starts at the front of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { bytes }
    }

    /// Bytes not yet read.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// Reads one byte.
    pub fn byte(&mut self) -> Result<u8, RecordFault> {
        let (first, rest) = self.bytes.split_first().ok_or(RecordFault::Truncated)?;
        self.bytes = rest;
        Ok(*first)
    }

    /// Reads `len` bytes.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], RecordFault> {
        if len > self.bytes.len() {
            return Err(RecordFault::Truncated);
        }
        let (taken, rest) = self.bytes.split_at(len);
        self.bytes = rest;
        Ok(taken)
    }

    /// Reads a zigzag `i32`.
    pub fn varint(&mut self) -> Result<i32, RecordFault> {
        // Almost all lengths and deltas of small records take one byte.
        if let Some((first, rest)) = self.bytes.split_first()
            && *first < 0x80
        {
            self.bytes = rest;
            return Ok(unzigzag_i32(u32::from(*first)));
        }
        let raw = self.raw(VARINT_BYTES_MAX)?;
        u32::try_from(raw)
            .map(unzigzag_i32)
            .map_err(|_| RecordFault::VarintTooLong)
    }

    /// Reads a zigzag `i64`.
    pub fn varlong(&mut self) -> Result<i64, RecordFault> {
        Ok(unzigzag_i64(self.raw(VARLONG_BYTES_MAX)?))
    }

    /// Reads a length: -1 is "null", other negative numbers are refused, the rest must be there.
    pub fn nullable_bytes(&mut self) -> Result<Option<&'a [u8]>, RecordFault> {
        let len = self.varint()?;
        if len == -1 {
            return Ok(None);
        }
        let len = usize::try_from(len).map_err(|_| RecordFault::Length)?;
        if len > self.bytes.len() {
            return Err(RecordFault::Length);
        }
        self.take(len).map(Some)
    }

    fn raw(&mut self, bytes_max: usize) -> Result<u64, RecordFault> {
        let mut value: u64 = 0;
        for place in 0..bytes_max {
            let byte = self.byte()?;
            let group = u64::from(byte & 0x7f);
            let shift = 7 * place;
            if (group << shift) >> shift != group {
                return Err(RecordFault::VarintTooLong);
            }
            value |= group << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(RecordFault::VarintTooLong)
    }
}

fn unzigzag_i32(raw: u32) -> i32 {
    (raw >> 1).cast_signed() ^ -(raw & 1).cast_signed()
}

fn unzigzag_i64(raw: u64) -> i64 {
    (raw >> 1).cast_signed() ^ -(raw & 1).cast_signed()
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// Appends `value` in zigzag form. The form of an `i32` is the form of the same number as an `i64`.
pub fn put_varint(out: &mut Vec<u8>, value: i64) {
    let mut raw = zigzag(value);
    while raw >= 0x80 {
        out.push(raw.to_le_bytes()[0] | 0x80);
        raw >>= 7;
    }
    out.push(raw.to_le_bytes()[0]);
}

/// Bytes that [`put_varint`] appends for `value`.
#[must_use]
pub fn varint_len(value: i64) -> usize {
    let bits = 64 - zigzag(value).leading_zeros();
    usize::try_from(bits.max(1).div_ceil(7)).expect("at most ten")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(value: i64) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, value);
        out
    }

    #[test]
    fn known_encodings() {
        assert_eq!(encoded(0), [0]);
        assert_eq!(encoded(-1), [1]);
        assert_eq!(encoded(1), [2]);
        assert_eq!(encoded(63), [0x7e]);
        assert_eq!(encoded(-64), [0x7f]);
        assert_eq!(encoded(64), [0x80, 0x01]);
        assert_eq!(encoded(i64::from(i32::MAX)), [0xfe, 0xff, 0xff, 0xff, 0x0f]);
        assert_eq!(encoded(i64::from(i32::MIN)), [0xff, 0xff, 0xff, 0xff, 0x0f]);
        assert_eq!(encoded(i64::MIN).len(), 10);
    }

    #[test]
    fn too_long_and_cut_off_integers_are_refused() {
        let too_long = [0x80, 0x80, 0x80, 0x80, 0x80, 0x00];
        assert_eq!(
            Cursor::new(&too_long).varint(),
            Err(RecordFault::VarintTooLong)
        );
        let too_large = [0xff, 0xff, 0xff, 0xff, 0x1f];
        assert_eq!(
            Cursor::new(&too_large).varint(),
            Err(RecordFault::VarintTooLong)
        );
        assert_eq!(
            Cursor::new(&[0x80; 11]).varlong(),
            Err(RecordFault::VarintTooLong)
        );
        let too_large = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert_eq!(
            Cursor::new(&too_large).varlong(),
            Err(RecordFault::VarintTooLong)
        );
        assert_eq!(Cursor::new(&[]).varint(), Err(RecordFault::Truncated));
        assert_eq!(
            Cursor::new(&[0x80, 0x80]).varint(),
            Err(RecordFault::Truncated)
        );
        // Padded, but inside five bytes: Kafka reads it, so do we.
        assert_eq!(Cursor::new(&[0x82, 0x00]).varint(), Ok(1));
    }

    #[test]
    fn lengths_below_null_and_past_the_end_are_refused() {
        assert_eq!(Cursor::new(&[0x01]).nullable_bytes(), Ok(None));
        assert_eq!(
            Cursor::new(&[0x03]).nullable_bytes(),
            Err(RecordFault::Length)
        );
        assert_eq!(
            Cursor::new(&[0x04, 9]).nullable_bytes(),
            Err(RecordFault::Length)
        );
        assert_eq!(
            Cursor::new(&[0x04, 9, 8]).nullable_bytes(),
            Ok(Some(&[9, 8][..]))
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(value: i64, small: i32) {
            let bytes = encoded(value);
            prop_assert_eq!(bytes.len(), varint_len(value));
            let mut cursor = Cursor::new(&bytes);
            prop_assert_eq!(cursor.varlong(), Ok(value));
            prop_assert_eq!(cursor.remaining(), 0);
            let bytes = encoded(i64::from(small));
            prop_assert_eq!(Cursor::new(&bytes).varint(), Ok(small));
            prop_assert_eq!(Cursor::new(&bytes).varlong(), Ok(i64::from(small)));
        }

        #[test]
        fn any_bytes_give_an_integer_or_a_fault(
            bytes in proptest::collection::vec(any::<u8>(), 0..12),
        ) {
            let mut cursor = Cursor::new(&bytes);
            if cursor.varlong().is_ok() {
                prop_assert!(cursor.remaining() < bytes.len());
            }
            if let Ok(small) = Cursor::new(&bytes).varint() {
                prop_assert_eq!(Cursor::new(&bytes).varlong(), Ok(i64::from(small)));
            }
        }
    }
}
