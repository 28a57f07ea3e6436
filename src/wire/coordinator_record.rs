// SPDX-License-Identifier: Apache-2.0
//! Keys and values of the topics in which coordinators keep their state: a version, then the fields
//! of that version.
//!
//! Owns: how they are read and written. Invariants: reading is total, and leaves nothing unread.
//! Runs on: every core. Bounded by: the `max` of each array, the record.

use bytes::Bytes;

use super::codec::{DecodeError, EncodeError, Reader, Writer};
use super::protocol::describe::{Place, WireStruct, WireType};
use crate::limits::DECODED_BYTES_PER_RESPONSE_BYTE;

/// A reader of a value.
pub(super) fn value_reader(bytes: Bytes) -> Reader {
    Reader::with_memory_per_byte(bytes, DECODED_BYTES_PER_RESPONSE_BYTE)
}

/// Reads the version, which may be `max` at most.
pub(super) fn checked_version(reader: &mut Reader, max: i16) -> Result<i16, DecodeError> {
    let version = reader.read_i16()?;
    if (0..=max).contains(&version) {
        return Ok(version);
    }
    // No API has this number; the version is what is said.
    let api_key = -1;
    Err(DecodeError::Version { api_key, version })
}

/// Reads the fields of a version; flexible ones have tagged fields.
pub(super) fn read<M: WireStruct + Default>(
    reader: &mut Reader,
    version: i16,
    is_flexible: bool,
) -> Result<M, DecodeError> {
    let place = Place::message(M::LAYOUT.name, version, is_flexible);
    let mut message = M::default();
    message.read_over(reader, place)?;
    reader.expect_end()?;
    Ok(message)
}

/// Writes a version and its fields.
pub(super) fn write<M: WireStruct>(
    message: &M,
    version: i16,
    is_flexible: bool,
) -> Result<Bytes, EncodeError> {
    let mut writer = Writer::new();
    writer.write_i16(version);
    let place = Place::message(M::LAYOUT.name, version, is_flexible);
    WireType::write(message, &mut writer, place)?;
    Ok(Bytes::from(writer.finish().concat()))
}
