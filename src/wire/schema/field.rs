// SPDX-License-Identifier: Apache-2.0
//! How each type of field is written and read.
//!
//! Owns: [`Field`] and its implementations. Invariants: what is written is read back equal; an
//! absent number is 0, an absent list is empty, an absent text or id is refused unless the field is
//! optional.
//! Runs on: any core. Bounded by: the table that is read.

use bytestring::ByteString;
use flatbuffers::{FlatBufferBuilder, UnionWIPOffset, WIPOffset};

use super::error::SchemaError;
use super::table::Table;
use crate::model::ids::{BrokerId, ShardId, Uuid};

/// Something already in the builder, to which a table can refer.
pub(super) type Reference = WIPOffset<UnionWIPOffset>;

/// A type that a field of a table can have.
pub(super) trait Field: Sized {
    /// Its name in `metadata.fbs`.
    #[cfg(test)]
    const SCHEMA_TYPE: &'static str;

    /// Writes what lies outside the table; must happen before the table is begun.
    fn prepare(&self, builder: &mut FlatBufferBuilder<'_>) -> Option<Reference>;

    /// Writes the field into the table that was begun.
    fn push(&self, prepared: Option<Reference>, slot: u16, builder: &mut FlatBufferBuilder<'_>);

    /// Reads the field.
    fn read(table: &Table<'_>, slot: u16, name: &'static str) -> Result<Self, SchemaError>;
}

/// Position of a field's entry in a vtable.
fn entry(slot: u16) -> u16 {
    4 + 2 * slot
}

macro_rules! scalar_fields {
    ($($kind:ty = $schema:literal,)*) => {
        $(impl Field for $kind {
            #[cfg(test)]
            const SCHEMA_TYPE: &'static str = $schema;

            fn prepare(&self, _: &mut FlatBufferBuilder<'_>) -> Option<Reference> {
                None
            }

            fn push(&self, _: Option<Reference>, slot: u16, builder: &mut FlatBufferBuilder<'_>) {
                builder.push_slot::<$kind>(entry(slot), *self, 0);
            }

            fn read(table: &Table<'_>, slot: u16, _: &'static str) -> Result<Self, SchemaError> {
                Ok(table.scalar(slot)?.map_or(0, <$kind>::from_le_bytes))
            }
        })*
    };
}

scalar_fields! {
    i32 = "int",
    i64 = "long",
    u16 = "ushort",
}

macro_rules! wrapped_fields {
    ($($kind:ident around $inner:ty,)*) => {
        $(impl Field for $kind {
            #[cfg(test)]
            const SCHEMA_TYPE: &'static str = <$inner as Field>::SCHEMA_TYPE;

            fn prepare(&self, _: &mut FlatBufferBuilder<'_>) -> Option<Reference> {
                None
            }

            fn push(
                &self,
                prepared: Option<Reference>,
                slot: u16,
                builder: &mut FlatBufferBuilder<'_>,
            ) {
                self.0.push(prepared, slot, builder);
            }

            fn read(
                table: &Table<'_>,
                slot: u16,
                name: &'static str,
            ) -> Result<Self, SchemaError> {
                <$inner>::read(table, slot, name).map($kind)
            }
        })*
    };
}

wrapped_fields! {
    BrokerId around i32,
    ShardId around u16,
}

impl Field for Option<BrokerId> {
    #[cfg(test)]
    const SCHEMA_TYPE: &'static str = "int = null";

    fn prepare(&self, _: &mut FlatBufferBuilder<'_>) -> Option<Reference> {
        None
    }

    fn push(&self, _: Option<Reference>, slot: u16, builder: &mut FlatBufferBuilder<'_>) {
        if let Some(broker) = self {
            builder.push_slot_always::<i32>(entry(slot), broker.0);
        }
    }

    fn read(table: &Table<'_>, slot: u16, _: &'static str) -> Result<Self, SchemaError> {
        let found = table.scalar(slot)?;
        Ok(found.map(|bytes| BrokerId(i32::from_le_bytes(bytes))))
    }
}

fn push_reference(prepared: Option<Reference>, slot: u16, builder: &mut FlatBufferBuilder<'_>) {
    if let Some(reference) = prepared {
        builder.push_slot_always(entry(slot), reference);
    }
}

impl Field for Vec<BrokerId> {
    #[cfg(test)]
    const SCHEMA_TYPE: &'static str = "[int]";

    fn prepare(&self, builder: &mut FlatBufferBuilder<'_>) -> Option<Reference> {
        let brokers = self.iter().map(|broker| broker.0);
        Some(builder.create_vector_from_iter(brokers).as_union_value())
    }

    fn push(&self, prepared: Option<Reference>, slot: u16, builder: &mut FlatBufferBuilder<'_>) {
        push_reference(prepared, slot, builder);
    }

    fn read(table: &Table<'_>, slot: u16, _: &'static str) -> Result<Self, SchemaError> {
        let (elements, _) = table.vector(slot, 4)?.unwrap_or_default().as_chunks::<4>();
        Ok(elements
            .iter()
            .map(|element| BrokerId(i32::from_le_bytes(*element)))
            .collect())
    }
}

impl Field for Uuid {
    #[cfg(test)]
    const SCHEMA_TYPE: &'static str = "[ubyte] (required)";

    fn prepare(&self, builder: &mut FlatBufferBuilder<'_>) -> Option<Reference> {
        Some(builder.create_vector(&self.0).as_union_value())
    }

    fn push(&self, prepared: Option<Reference>, slot: u16, builder: &mut FlatBufferBuilder<'_>) {
        push_reference(prepared, slot, builder);
    }

    fn read(table: &Table<'_>, slot: u16, field: &'static str) -> Result<Self, SchemaError> {
        let bytes = table
            .vector(slot, 1)?
            .ok_or(SchemaError::Missing { field })?;
        let id = bytes
            .try_into()
            .map_err(|_| SchemaError::Invalid { field })?;
        Ok(Uuid(id))
    }
}

impl Field for Option<ByteString> {
    #[cfg(test)]
    const SCHEMA_TYPE: &'static str = "string";

    fn prepare(&self, builder: &mut FlatBufferBuilder<'_>) -> Option<Reference> {
        let text = self.as_deref()?;
        Some(builder.create_string(text).as_union_value())
    }

    fn push(&self, prepared: Option<Reference>, slot: u16, builder: &mut FlatBufferBuilder<'_>) {
        push_reference(prepared, slot, builder);
    }

    fn read(table: &Table<'_>, slot: u16, field: &'static str) -> Result<Self, SchemaError> {
        let Some(bytes) = table.vector(slot, 1)? else {
            return Ok(None);
        };
        let text = std::str::from_utf8(bytes).map_err(|_| SchemaError::Invalid { field })?;
        Ok(Some(text.into()))
    }
}

impl Field for ByteString {
    #[cfg(test)]
    const SCHEMA_TYPE: &'static str = "string (required)";

    fn prepare(&self, builder: &mut FlatBufferBuilder<'_>) -> Option<Reference> {
        Some(builder.create_string(self).as_union_value())
    }

    fn push(&self, prepared: Option<Reference>, slot: u16, builder: &mut FlatBufferBuilder<'_>) {
        push_reference(prepared, slot, builder);
    }

    fn read(table: &Table<'_>, slot: u16, field: &'static str) -> Result<Self, SchemaError> {
        Option::<ByteString>::read(table, slot, field)?.ok_or(SchemaError::Missing { field })
    }
}
