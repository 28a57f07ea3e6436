// SPDX-License-Identifier: Apache-2.0
//! Bytes to primitive values and back, in Kafka's encodings: big-endian integers, varints, strings,
//! arrays, tags.
//!
//! Owns: [`Reader`], [`Writer`] and their errors.
//! Invariants: every read is checked; nothing is reserved before the bytes that would fill it were
//! seen and the memory budget of the frame was asked; strings and byte fields stay slices of the
//! receive buffer, so they keep it alive.
//! Runs on: every core. Bounded by: `limits::FRAME_BYTES_MAX`, `limits::DECODED_BYTES_ALLOWANCE`.

mod error;
mod error_codes;
mod reader;
mod writer;

#[cfg(test)]
mod tests;

pub use error::{DecodeError, EncodeError};
pub use error_codes::ErrorCodes;
pub use reader::Reader;
pub use writer::Writer;
