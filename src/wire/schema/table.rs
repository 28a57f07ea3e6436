// SPDX-License-Identifier: Apache-2.0
//! Reads one flatbuffers table, checking everything.
//!
//! Owns: [`Table`]. The layout, all little endian, positions counted from the start of the bytes:
//!
//! ```text
//! 0        u32  position of the root table
//! 4        u8*4 identifier of the file
//! table    i32  distance back to the vtable of this table
//! table+.. ..   the fields, where the vtable says
//! vtable   u16  bytes of the vtable, itself included
//! vtable+2 u16  bytes of the table (not needed to read it)
//! vtable+4 u16* for each field its distance from the table, 0 if it is absent
//! vector   u32  number of elements, then the elements; a reference to one is a u32 distance
//! forward
//! ```
//!
//! Invariants: total on any bytes; a count is checked against the bytes that are there before
//! anything is reserved; tables are not nested deeper than the caller asks.
//! Runs on: any core. Bounded by: the bytes handed in.

use super::error::SchemaError;

/// Four bytes that mark a metadata record.
pub(super) const IDENTIFIER: &str = "FLMR";

/// A table inside some bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table<'a> {
    bytes: &'a [u8],
    position: usize,
    vtable: usize,
    vtable_len: usize,
}

impl<'a> Table<'a> {
    /// The root table of a whole record.
    pub(super) fn root(bytes: &'a [u8]) -> Result<Table<'a>, SchemaError> {
        if bytes.get(4..8) != Some(IDENTIFIER.as_bytes()) {
            return Err(SchemaError::NotARecord);
        }
        let position = forward(bytes, 0)?;
        Table::at(bytes, position)
    }

    fn at(bytes: &'a [u8], position: usize) -> Result<Table<'a>, SchemaError> {
        let back = i64::from(i32::from_le_bytes(read(bytes, position)?));
        let vtable = i64::try_from(position)
            .ok()
            .and_then(|position| position.checked_sub(back))
            .and_then(|vtable| usize::try_from(vtable).ok())
            .ok_or(SchemaError::OutOfBounds)?;
        let vtable_len = usize::from(u16::from_le_bytes(read(bytes, vtable)?));
        if vtable_len % 2 != 0 || add(vtable, vtable_len)? > bytes.len() {
            return Err(SchemaError::OutOfBounds);
        }
        Ok(Table {
            bytes,
            position,
            vtable,
            vtable_len,
        })
    }

    /// Where a field lies, if it is present.
    fn field(&self, slot: u16) -> Result<Option<usize>, SchemaError> {
        let entry = 4 + 2 * usize::from(slot);
        if entry + 2 > self.vtable_len {
            return Ok(None);
        }
        let distance = usize::from(u16::from_le_bytes(read(
            self.bytes,
            add(self.vtable, entry)?,
        )?));
        if distance == 0 {
            return Ok(None);
        }
        add(self.position, distance).map(Some)
    }

    /// The bytes of a scalar field, if it is present.
    pub(super) fn scalar<const N: usize>(&self, slot: u16) -> Result<Option<[u8; N]>, SchemaError> {
        match self.field(slot)? {
            Some(position) => read(self.bytes, position).map(Some),
            None => Ok(None),
        }
    }

    /// The elements of a vector of `element_size` bytes each, if it is present.
    pub(super) fn vector(
        &self,
        slot: u16,
        element_size: usize,
    ) -> Result<Option<&'a [u8]>, SchemaError> {
        let Some(position) = self.field(slot)? else {
            return Ok(None);
        };
        let vector = forward(self.bytes, position)?;
        let count = usize::try_from(u32::from_le_bytes(read(self.bytes, vector)?))
            .map_err(|_| SchemaError::OutOfBounds)?;
        let len = count
            .checked_mul(element_size)
            .ok_or(SchemaError::OutOfBounds)?;
        let start = add(vector, 4)?;
        self.bytes
            .get(start..add(start, len)?)
            .map(Some)
            .ok_or(SchemaError::OutOfBounds)
    }

    /// A table that this one refers to, if it is present.
    pub(super) fn table(&self, slot: u16) -> Result<Option<Table<'a>>, SchemaError> {
        match self.field(slot)? {
            Some(position) => Table::at(self.bytes, forward(self.bytes, position)?).map(Some),
            None => Ok(None),
        }
    }
}

/// The position to which the reference at `position` points.
fn forward(bytes: &[u8], position: usize) -> Result<usize, SchemaError> {
    let distance = u32::from_le_bytes(read(bytes, position)?);
    let distance = usize::try_from(distance).map_err(|_| SchemaError::OutOfBounds)?;
    add(position, distance)
}

fn add(left: usize, right: usize) -> Result<usize, SchemaError> {
    left.checked_add(right).ok_or(SchemaError::OutOfBounds)
}

fn read<const N: usize>(bytes: &[u8], position: usize) -> Result<[u8; N], SchemaError> {
    bytes
        .get(position..add(position, N)?)
        .and_then(|found| found.try_into().ok())
        .ok_or(SchemaError::OutOfBounds)
}
