// SPDX-License-Identifier: Apache-2.0
//! Writing primitive values into one frame.
//!
//! Owns: the growing frame as a list of parts.
//! Invariants: `length` is the sum of all parts; large byte fields are appended as they are and
//! never copied.
//! Runs on: every core. Bounded by: the value that is written.

use bytes::{BufMut, Bytes, BytesMut};

use super::{EncodeError, ErrorCodes};
use crate::limits::WRITER_COPY_BYTES_MAX;

/// Writes a frame from front to back.
#[derive(Debug, Default)]
pub struct Writer {
    /// The first part, once it is whole; it stays writable for the length of the frame. An empty
    /// part stands for it in the list.
    head: BytesMut,
    parts: Vec<Bytes>,
    tail: BytesMut,
    parts_bytes: usize,
    error_codes: ErrorCodes,
}

impl Writer {
    /// An empty writer.
    #[must_use]
    pub fn new() -> Writer {
        Writer::default()
    }

    /// An empty writer that uses this memory and this list, both of them empty, as far as they
    /// reach.
    #[must_use]
    pub fn reuse(memory: BytesMut, parts: Vec<Bytes>) -> Writer {
        assert!(memory.is_empty() && parts.is_empty());
        Writer {
            parts,
            tail: memory,
            ..Writer::default()
        }
    }

    /// Takes note of an error code that was written.
    pub fn note_error_code(&mut self, code: i16) {
        self.error_codes.note(code);
    }

    /// The error codes that were written.
    #[must_use]
    pub fn error_codes(&self) -> ErrorCodes {
        self.error_codes
    }

    /// Bytes written so far.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.parts_bytes + self.tail.len()
    }

    /// The frame, in parts whose concatenation it is. Large byte fields are parts of their own.
    #[must_use]
    pub fn finish(mut self) -> Vec<Bytes> {
        self.close_tail();
        if !self.head.is_empty() {
            self.parts[0] = self.head.freeze();
        }
        self.parts
    }

    /// Closes a frame that was begun with four bytes for its length: writes into them how many
    /// bytes follow. Gives the frame in parts whose concatenation it is (large byte fields are
    /// parts of their own), and the memory that is left.
    pub fn finish_frame(mut self) -> Result<(Vec<Bytes>, BytesMut), EncodeError> {
        let length = self
            .size_bytes()
            .checked_sub(4)
            .and_then(|length| i32::try_from(length).ok());
        let length = length.ok_or(EncodeError::TooLong { field: "frame" })?;
        self.close_tail();
        if self.head.len() < 4 {
            return Err(EncodeError::TooLong { field: "frame" });
        }
        self.head[..4].copy_from_slice(&length.to_be_bytes());
        self.parts[0] = self.head.freeze();
        Ok((self.parts, self.tail))
    }

    /// Writes raw bytes.
    pub fn write_raw(&mut self, bytes: &[u8]) {
        self.tail.put_slice(bytes);
    }

    /// Appends bytes; many of them become a part of their own, few are copied.
    pub fn write_shared(&mut self, bytes: &Bytes) {
        if bytes.len() <= WRITER_COPY_BYTES_MAX {
            self.write_raw(bytes);
            return;
        }
        self.close_tail();
        self.parts_bytes += bytes.len();
        self.parts.push(bytes.clone());
    }

    /// Appends all that another writer holds.
    pub fn write_all(&mut self, other: Writer) {
        self.write_raw(&other.head);
        for part in &other.parts {
            self.write_shared(part);
        }
        self.write_raw(&other.tail);
        self.error_codes.add_all(&other.error_codes);
    }

    /// Writes one byte, 0 or 1.
    pub fn write_bool(&mut self, value: bool) {
        self.tail.put_u8(u8::from(value));
    }

    /// Writes one byte.
    pub fn write_i8(&mut self, value: i8) {
        self.tail.put_i8(value);
    }

    /// Writes two bytes.
    pub fn write_i16(&mut self, value: i16) {
        self.tail.put_i16(value);
    }

    /// Writes two bytes without a sign.
    pub fn write_u16(&mut self, value: u16) {
        self.tail.put_u16(value);
    }

    /// Writes four bytes.
    pub fn write_i32(&mut self, value: i32) {
        self.tail.put_i32(value);
    }

    /// Writes eight bytes.
    pub fn write_i64(&mut self, value: i64) {
        self.tail.put_i64(value);
    }

    /// Writes eight bytes of a floating-point number.
    pub fn write_f64(&mut self, value: f64) {
        self.tail.put_f64(value);
    }

    /// Writes an unsigned varint in its shortest form.
    pub fn write_unsigned_varint(&mut self, value: u32) {
        let mut rest = value;
        while rest >= 0x80 {
            let [low, ..] = rest.to_le_bytes();
            self.tail.put_u8(low | 0x80);
            rest >>= 7;
        }
        let [low, ..] = rest.to_le_bytes();
        self.tail.put_u8(low);
    }

    /// Writes the length in front of a string; see [`super::Reader::read_string_length`].
    pub fn write_string_length(
        &mut self,
        field: &'static str,
        length: Option<usize>,
        flexible: bool,
    ) -> Result<(), EncodeError> {
        // Kafka holds strings to what the classic length can say in the flexible form, too.
        let short = match length {
            None => -1,
            Some(length) => i16::try_from(length).map_err(|_| EncodeError::TooLong { field })?,
        };
        if flexible {
            return self.write_length(field, length, true);
        }
        self.write_i16(short);
        Ok(())
    }

    /// Writes the length in front of bytes or elements; see [`super::Reader::read_length`].
    pub fn write_length(
        &mut self,
        field: &'static str,
        length: Option<usize>,
        flexible: bool,
    ) -> Result<(), EncodeError> {
        let long = match length {
            None => -1,
            Some(length) => i32::try_from(length).map_err(|_| EncodeError::TooLong { field })?,
        };
        if flexible {
            self.write_unsigned_varint(long.wrapping_add(1).cast_unsigned());
        } else {
            self.write_i32(long);
        }
        Ok(())
    }

    /// Writes one tagged field: tag, length, and what `write` writes.
    pub fn write_tagged_field(
        &mut self,
        field: &'static str,
        tag: u32,
        write: impl FnOnce(&mut Writer) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let mut value = Writer::new();
        write(&mut value)?;
        let length =
            u32::try_from(value.size_bytes()).map_err(|_| EncodeError::TooLong { field })?;
        self.write_unsigned_varint(tag);
        self.write_unsigned_varint(length);
        self.write_all(value);
        Ok(())
    }

    /// Turns what was written since the last shared part into a part.
    fn close_tail(&mut self) {
        if self.tail.is_empty() {
            return;
        }
        let part = self.tail.split();
        self.parts_bytes += part.len();
        if self.parts.is_empty() {
            self.head = part;
            self.parts.push(Bytes::new());
        } else {
            self.parts.push(part.freeze());
        }
    }
}
