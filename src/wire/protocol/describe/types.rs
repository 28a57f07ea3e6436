// SPDX-License-Identifier: Apache-2.0
//! The types a field may have, each with its decoder and encoder.
//!
//! Owns: [`WireType`] and its implementations for everything but described structs.
//! Invariants: `bytes_min` never exceeds what any accepted form of the value takes.
//! Runs on: every core. Bounded by: [`Reader::reserve`].

use bytes::Bytes;
use bytestring::ByteString;

use super::layout::{Kind, Layout, Rules};
use crate::model::ids::Uuid;
use crate::wire::codec::{DecodeError, EncodeError, Reader, Writer};

/// Where a value stands: in which field of which version.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The field, for errors.
    pub field: &'static str,
    /// The version of the message.
    pub version: i16,
    /// Whether lengths are compact and structs end in tagged fields.
    pub flexible: bool,
    /// Whether null is allowed.
    pub nullable: bool,
    /// The largest number of elements that is accepted.
    pub max: usize,
}

impl Place {
    /// The place of a whole message.
    #[must_use]
    pub const fn message(name: &'static str, version: i16, flexible: bool) -> Place {
        Place {
            field: name,
            version,
            flexible,
            nullable: false,
            max: 0,
        }
    }

    /// The place of a field inside a struct that stands here.
    #[must_use]
    pub const fn field(self, name: &'static str, rules: Rules) -> Place {
        Place {
            field: name,
            version: self.version,
            flexible: self.flexible,
            nullable: rules.is_nullable(self.version),
            max: rules.elements_max(),
        }
    }

    /// The place of an element of an array that stands here.
    const fn element(self) -> Place {
        Place {
            nullable: false,
            max: 0,
            ..self
        }
    }

    fn null_refused(self) -> DecodeError {
        DecodeError::Null { field: self.field }
    }

    fn null_not_expressible(self) -> EncodeError {
        EncodeError::Null {
            field: self.field,
            version: self.version,
        }
    }
}

/// A type that can stand in a message.
pub trait WireType: Sized + PartialEq {
    /// The type as data.
    const KIND: Kind;

    /// The fewest bytes that a value takes here.
    fn bytes_min(place: Place) -> usize;

    /// Reads a value.
    fn read(reader: &mut Reader, place: Place) -> Result<Self, DecodeError>;

    /// Reads a value over this one, whose lists keep their memory. After an error it is any value.
    fn read_over(&mut self, reader: &mut Reader, place: Place) -> Result<(), DecodeError>;

    /// Lets go of what it shares with a frame, and keeps the memory of its lists.
    fn release(&mut self);

    /// Writes a value.
    fn write(&self, writer: &mut Writer, place: Place) -> Result<(), EncodeError>;
}

/// A described struct.
pub trait WireStruct: WireType {
    /// The struct as data.
    const LAYOUT: Layout;
}

macro_rules! fixed_size_types {
    ($($kind:ident $type:ty, $bytes:literal, $read:ident, $write:ident;)*) => { $(
        impl WireType for $type {
            const KIND: Kind = Kind::$kind;

            fn bytes_min(_place: Place) -> usize {
                $bytes
            }

            fn read(reader: &mut Reader, _place: Place) -> Result<Self, DecodeError> {
                reader.$read()
            }

            fn read_over(
                &mut self,
                reader: &mut Reader,
                place: Place,
            ) -> Result<(), DecodeError> {
                *self = Self::read(reader, place)?;
                Ok(())
            }

            fn release(&mut self) {}

            fn write(&self, writer: &mut Writer, _place: Place) -> Result<(), EncodeError> {
                writer.$write(*self);
                Ok(())
            }
        }
    )* };
}

fixed_size_types! {
    Bool bool, 1, read_bool, write_bool;
    Int8 i8, 1, read_i8, write_i8;
    Uint16 u16, 2, read_u16, write_u16;
    Int32 i32, 4, read_i32, write_i32;
    Int64 i64, 8, read_i64, write_i64;
    Float64 f64, 8, read_f64, write_f64;
}

impl WireType for i16 {
    const KIND: Kind = Kind::Int16;

    fn bytes_min(_place: Place) -> usize {
        2
    }

    fn read(reader: &mut Reader, _place: Place) -> Result<Self, DecodeError> {
        reader.read_i16()
    }

    fn read_over(&mut self, reader: &mut Reader, place: Place) -> Result<(), DecodeError> {
        *self = Self::read(reader, place)?;
        Ok(())
    }

    fn release(&mut self) {}

    fn write(&self, writer: &mut Writer, place: Place) -> Result<(), EncodeError> {
        writer.write_i16(*self);
        // Kafka calls it so wherever it stands.
        if place.field == "error_code" {
            writer.note_error_code(*self);
        }
        Ok(())
    }
}

impl WireType for Uuid {
    const KIND: Kind = Kind::Uuid;

    fn bytes_min(_place: Place) -> usize {
        16
    }

    fn read(reader: &mut Reader, _place: Place) -> Result<Self, DecodeError> {
        reader.read_array().map(Uuid)
    }

    fn read_over(&mut self, reader: &mut Reader, place: Place) -> Result<(), DecodeError> {
        *self = Self::read(reader, place)?;
        Ok(())
    }

    fn release(&mut self) {}

    fn write(&self, writer: &mut Writer, _place: Place) -> Result<(), EncodeError> {
        writer.write_raw(&self.0);
        Ok(())
    }
}

impl WireType for Option<ByteString> {
    const KIND: Kind = Kind::String;

    fn bytes_min(place: Place) -> usize {
        if place.flexible { 1 } else { 2 }
    }

    fn read(reader: &mut Reader, place: Place) -> Result<Self, DecodeError> {
        match reader.read_string_length(place.flexible)? {
            Some(length) => reader.read_text(place.field, length).map(Some),
            None if place.nullable => Ok(None),
            None => Err(place.null_refused()),
        }
    }

    fn read_over(&mut self, reader: &mut Reader, place: Place) -> Result<(), DecodeError> {
        *self = Self::read(reader, place)?;
        Ok(())
    }

    fn release(&mut self) {
        *self = None;
    }

    fn write(&self, writer: &mut Writer, place: Place) -> Result<(), EncodeError> {
        match self {
            Some(text) => text.write(writer, place),
            None if place.nullable => writer.write_string_length(place.field, None, place.flexible),
            None => Err(place.null_not_expressible()),
        }
    }
}

impl WireType for ByteString {
    const KIND: Kind = Kind::String;

    fn bytes_min(place: Place) -> usize {
        Option::<ByteString>::bytes_min(place)
    }

    fn read(reader: &mut Reader, place: Place) -> Result<Self, DecodeError> {
        let length = reader.read_string_length(place.flexible)?;
        reader.read_text(place.field, length.ok_or(place.null_refused())?)
    }

    fn read_over(&mut self, reader: &mut Reader, place: Place) -> Result<(), DecodeError> {
        *self = Self::read(reader, place)?;
        Ok(())
    }

    fn release(&mut self) {
        *self = ByteString::new();
    }

    fn write(&self, writer: &mut Writer, place: Place) -> Result<(), EncodeError> {
        writer.write_string_length(place.field, Some(self.len()), place.flexible)?;
        writer.write_raw(self.as_bytes());
        Ok(())
    }
}

impl WireType for Option<Bytes> {
    const KIND: Kind = Kind::Bytes;

    fn bytes_min(place: Place) -> usize {
        if place.flexible { 1 } else { 4 }
    }

    fn read(reader: &mut Reader, place: Place) -> Result<Self, DecodeError> {
        match reader.read_length(place.flexible)? {
            Some(length) => reader.read_slice(length).map(Some),
            None if place.nullable => Ok(None),
            None => Err(place.null_refused()),
        }
    }

    fn read_over(&mut self, reader: &mut Reader, place: Place) -> Result<(), DecodeError> {
        *self = Self::read(reader, place)?;
        Ok(())
    }

    fn release(&mut self) {
        *self = None;
    }

    fn write(&self, writer: &mut Writer, place: Place) -> Result<(), EncodeError> {
        match self {
            Some(bytes) => bytes.write(writer, place),
            None if place.nullable => writer.write_length(place.field, None, place.flexible),
            None => Err(place.null_not_expressible()),
        }
    }
}

impl WireType for Bytes {
    const KIND: Kind = Kind::Bytes;

    fn bytes_min(place: Place) -> usize {
        Option::<Bytes>::bytes_min(place)
    }

    fn read(reader: &mut Reader, place: Place) -> Result<Self, DecodeError> {
        let length = reader.read_length(place.flexible)?;
        reader.read_slice(length.ok_or(place.null_refused())?)
    }

    fn read_over(&mut self, reader: &mut Reader, place: Place) -> Result<(), DecodeError> {
        *self = Self::read(reader, place)?;
        Ok(())
    }

    fn release(&mut self) {
        *self = Bytes::new();
    }

    fn write(&self, writer: &mut Writer, place: Place) -> Result<(), EncodeError> {
        writer.write_length(place.field, Some(self.len()), place.flexible)?;
        writer.write_shared(self);
        Ok(())
    }
}

/// Reads so many elements over those that are there.
fn read_elements<T: WireType>(
    elements: &mut Vec<T>,
    count: usize,
    reader: &mut Reader,
    place: Place,
) -> Result<(), DecodeError> {
    let element = place.element();
    let bytes_min = T::bytes_min(element);
    reader.reserve(place.field, elements, count, bytes_min, place.max)?;
    elements.truncate(count);
    for value in elements.iter_mut() {
        value.read_over(reader, element)?;
    }
    while elements.len() < count {
        elements.push(T::read(reader, element)?);
    }
    Ok(())
}

impl<T: WireType> WireType for Option<Vec<T>> {
    const KIND: Kind = Kind::Array(&T::KIND);

    fn bytes_min(place: Place) -> usize {
        if place.flexible { 1 } else { 4 }
    }

    fn read(reader: &mut Reader, place: Place) -> Result<Self, DecodeError> {
        let Some(count) = reader.read_length(place.flexible)? else {
            return if place.nullable {
                Ok(None)
            } else {
                Err(place.null_refused())
            };
        };
        let mut elements = Vec::new();
        read_elements(&mut elements, count, reader, place)?;
        Ok(Some(elements))
    }

    fn read_over(&mut self, reader: &mut Reader, place: Place) -> Result<(), DecodeError> {
        *self = Self::read(reader, place)?;
        Ok(())
    }

    fn release(&mut self) {
        *self = None;
    }

    fn write(&self, writer: &mut Writer, place: Place) -> Result<(), EncodeError> {
        match self {
            Some(elements) => elements.write(writer, place),
            None if place.nullable => writer.write_length(place.field, None, place.flexible),
            None => Err(place.null_not_expressible()),
        }
    }
}

impl<T: WireType> WireType for Vec<T> {
    const KIND: Kind = Kind::Array(&T::KIND);

    fn bytes_min(place: Place) -> usize {
        Option::<Vec<T>>::bytes_min(place)
    }

    fn read(reader: &mut Reader, place: Place) -> Result<Self, DecodeError> {
        let mut elements = Vec::new();
        elements.read_over(reader, place)?;
        Ok(elements)
    }

    fn read_over(&mut self, reader: &mut Reader, place: Place) -> Result<(), DecodeError> {
        let count = reader.read_length(place.flexible)?;
        let count = count.ok_or(place.null_refused())?;
        read_elements(self, count, reader, place)
    }

    fn release(&mut self) {
        self.iter_mut().for_each(WireType::release);
    }

    fn write(&self, writer: &mut Writer, place: Place) -> Result<(), EncodeError> {
        writer.write_length(place.field, Some(self.len()), place.flexible)?;
        let element = place.element();
        self.iter()
            .try_for_each(|value| value.write(writer, element))
    }
}

impl<T: WireStruct> WireType for Option<T> {
    const KIND: Kind = Kind::NullableStruct(&T::LAYOUT);

    fn bytes_min(_place: Place) -> usize {
        1
    }

    fn read(reader: &mut Reader, place: Place) -> Result<Self, DecodeError> {
        match reader.read_i8()? {
            mark if mark >= 0 => T::read(reader, place.element()).map(Some),
            _ if place.nullable => Ok(None),
            _ => Err(place.null_refused()),
        }
    }

    fn read_over(&mut self, reader: &mut Reader, place: Place) -> Result<(), DecodeError> {
        *self = Self::read(reader, place)?;
        Ok(())
    }

    fn release(&mut self) {
        *self = None;
    }

    fn write(&self, writer: &mut Writer, place: Place) -> Result<(), EncodeError> {
        match self {
            Some(value) => {
                writer.write_i8(1);
                value.write(writer, place.element())
            }
            None if place.nullable => {
                writer.write_i8(-1);
                Ok(())
            }
            None => Err(place.null_not_expressible()),
        }
    }
}
