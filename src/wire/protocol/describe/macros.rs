// SPDX-License-Identifier: Apache-2.0
//! From a description to a struct, its defaults, its decoder and its encoder.
//!
//! Owns: `messages!` (structs and their fields) and `api!` (which of them are the request and
//! response of an API).
//! Invariants: the expansion holds no rule of its own; all of them are in [`super::Rules`].
//! Runs on: every core. Bounded by: the descriptions.

/// Describes structs. A field is `name: Type = default, rules;` with Kafka's default for the field.
macro_rules! messages {
    ($(
        $(#[$struct_meta:meta])*
        pub struct $name:ident {
            $( $(#[$field_meta:meta])* $field:ident : $type:ty = $default:expr, $rules:expr; )*
        }
    )*) => { $(
        $(#[$struct_meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $( $(#[$field_meta])* pub $field: $type, )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )* }
            }
        }

        impl $crate::wire::protocol::describe::WireStruct for $name {
            const LAYOUT: $crate::wire::protocol::describe::Layout =
                $crate::wire::protocol::describe::Layout {
                    name: stringify!($name),
                    fields: &[ $( $crate::wire::protocol::describe::Field {
                        name: stringify!($field),
                        kind: <$type as $crate::wire::protocol::describe::WireType>::KIND,
                        rules: $rules,
                    }, )* ],
                };
        }

        impl $crate::wire::protocol::describe::WireType for $name {
            const KIND: $crate::wire::protocol::describe::Kind =
                $crate::wire::protocol::describe::Kind::Struct(
                    &<$name as $crate::wire::protocol::describe::WireStruct>::LAYOUT,
                );

            fn bytes_min(place: $crate::wire::protocol::describe::Place) -> usize {
                use $crate::wire::protocol::describe::{Rules, WireType};
                let mut bytes = usize::from(place.flexible);
                $( {
                    const RULES: Rules = $rules;
                    if RULES.in_body(place.version) {
                        let place = place.field(stringify!($field), RULES);
                        bytes += <$type as WireType>::bytes_min(place);
                    }
                } )*
                bytes
            }

            fn read(
                reader: &mut $crate::wire::codec::Reader,
                place: $crate::wire::protocol::describe::Place,
            ) -> Result<Self, $crate::wire::codec::DecodeError> {
                let mut message = Self::default();
                $crate::wire::protocol::describe::WireType::read_over(
                    &mut message, reader, place,
                )?;
                Ok(message)
            }

            fn read_over(
                &mut self,
                reader: &mut $crate::wire::codec::Reader,
                place: $crate::wire::protocol::describe::Place,
            ) -> Result<(), $crate::wire::codec::DecodeError> {
                use $crate::wire::protocol::describe::{Rules, WireType};
                $( {
                    const RULES: Rules = $rules;
                    if RULES.in_body(place.version) {
                        let place = place.field(stringify!($field), RULES);
                        WireType::read_over(&mut self.$field, reader, place)?;
                    } else {
                        self.$field = $default;
                    }
                } )*
                if place.flexible {
                    reader.read_tagged_fields(|reader, tag| {
                        $( {
                            const RULES: Rules = $rules;
                            if RULES.tag_number() == Some(tag) && RULES.covers(place.version) {
                                let place = place.field(stringify!($field), RULES);
                                WireType::read_over(&mut self.$field, reader, place)?;
                                return Ok(true);
                            }
                        } )*
                        let _ = (&reader, tag);
                        Ok(false)
                    })?;
                }
                Ok(())
            }

            fn release(&mut self) {
                $( $crate::wire::protocol::describe::WireType::release(&mut self.$field); )*
            }

            fn write(
                &self,
                writer: &mut $crate::wire::codec::Writer,
                place: $crate::wire::protocol::describe::Place,
            ) -> Result<(), $crate::wire::codec::EncodeError> {
                use $crate::wire::protocol::describe::{Rules, WireType};
                let mut tags: u32 = 0;
                $( {
                    const RULES: Rules = $rules;
                    if RULES.in_body(place.version) {
                        let place = place.field(stringify!($field), RULES);
                        WireType::write(&self.$field, writer, place)?;
                    } else if RULES.covers(place.version) {
                        let default: $type = $default;
                        tags += u32::from(self.$field != default);
                    } else if !RULES.is_ignorable() {
                        let default: $type = $default;
                        if self.$field != default {
                            return Err($crate::wire::codec::EncodeError::NotExpressible {
                                field: stringify!($field),
                                version: place.version,
                            });
                        }
                    }
                } )*
                if !place.flexible {
                    return Ok(());
                }
                writer.write_unsigned_varint(tags);
                $( {
                    const RULES: Rules = $rules;
                    if let Some(tag) = RULES.tag_number() && RULES.covers(place.version) {
                        let default: $type = $default;
                        if self.$field != default {
                            let place = place.field(stringify!($field), RULES);
                            writer.write_tagged_field(stringify!($field), tag, |writer| {
                                WireType::write(
                                    &self.$field, writer, place,
                                )
                            })?;
                        }
                    }
                } )*
                Ok(())
            }
        }
    )* };
}

/// Names the request and the response of an API: `Key, versions, flexible from: Request =>
/// Response`.
macro_rules! api {
    ($key:literal, versions $from:literal..=$to:literal, flexible $flexible:literal:
     $request:ident => $response:ident) => {
        $crate::wire::protocol::describe::api!(@message $request, $key, $from, $to, $flexible);
        $crate::wire::protocol::describe::api!(@message $response, $key, $from, $to, $flexible);

        impl $crate::wire::protocol::Request for $request {
            type Response = $response;
        }
    };
    (@message $name:ident, $key:literal, $from:literal, $to:literal, $flexible:literal) => {
        impl $crate::wire::protocol::Message for $name {
            const API_KEY: i16 = $key;
            const VERSIONS: std::ops::RangeInclusive<i16> = $from..=$to;
            const FLEXIBLE_FROM: i16 = $flexible;

            fn decode(
                reader: &mut $crate::wire::codec::Reader,
                version: i16,
            ) -> Result<Self, $crate::wire::codec::DecodeError> {
                $crate::wire::protocol::decode_message(reader, version)
            }

            fn decode_over(
                &mut self,
                reader: &mut $crate::wire::codec::Reader,
                version: i16,
            ) -> Result<(), $crate::wire::codec::DecodeError> {
                $crate::wire::protocol::decode_message_over(self, reader, version)
            }

            fn release(&mut self) {
                $crate::wire::protocol::describe::WireType::release(self);
            }

            fn encode(
                &self,
                writer: &mut $crate::wire::codec::Writer,
                version: i16,
            ) -> Result<(), $crate::wire::codec::EncodeError> {
                $crate::wire::protocol::encode_message(self, writer, version)
            }
        }
    };
}

pub(crate) use {api, messages};
