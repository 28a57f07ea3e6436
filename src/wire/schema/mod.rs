// SPDX-License-Identifier: Apache-2.0
//! Metadata records: flatbuffers tables, each with a version.
//!
//! Owns: the form in which the metadata log and its snapshots hold what happened
//! (`metadata.fbs` beside this file describes it; a test holds the two together).
//! Invariants: written with the builder of the `flatbuffers` crate; read by our own reader, which
//! checks every offset and length, so that no bytes whatsoever panic or reserve more than they are
//! long. A record with a version that this release does not know is refused, never guessed.
//! Runs on: the control shard, and the simulator. Bounded by: the bytes of one record.

pub mod error;
mod field;
pub mod record;
mod table;

#[cfg(test)]
mod tests;
