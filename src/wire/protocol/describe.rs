// SPDX-License-Identifier: Apache-2.0
//! The description language of messages: what a field is, in which versions it exists, and what
//! follows from that.
//!
//! Owns: the rules of one field, the wire types, and the macros that turn a description into a
//! struct, its defaults, its decoder and its encoder for every version.
//! Invariants: one description is the only place that knows a message; a decoder is total; memory
//! is reserved only through `Reader::reserve`.
//! Runs on: every core. Bounded by: the `max` that each array field names.

mod layout;
mod macros;
mod types;

pub use layout::{Field, Kind, Layout, Rules, since};
pub(crate) use macros::{api, messages};
pub use types::{Place, WireStruct, WireType};
