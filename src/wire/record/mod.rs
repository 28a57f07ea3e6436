// SPDX-License-Identifier: Apache-2.0
//! Record batches, format v2 (KIP-98): the one format that is stored and sent.
//!
//! ```text
//!  0  base_offset            i64 |  outside the checksum, set by the broker
//!  8  batch_length           i32 |  bytes after this field
//! 12  partition_leader_epoch i32 |  outside the checksum, set by the broker
//! 16  magic                  i8  |  2
//! 17  crc                    u32 |  CRC-32C of everything from offset 21 to the end
//! 21  attributes             i16 |  bits 0-2 codec, 3 timestamp type, 4 transactional,
//!                                |  5 control, 6 delete horizon
//! 23  last_offset_delta      i32
//! 27  base_timestamp         i64
//! 35  max_timestamp          i64
//! 43  producer_id            i64
//! 51  producer_epoch         i16
//! 53  base_sequence          i32
//! 57  record_count           i32
//! 61  records, or one compressed block of them
//! ```
//!
//! Owns: header view, validation, iteration over records, building, codecs, variable-length
//! integers.
//! Invariants: every function is total on hostile bytes: an error, never a panic; nothing is
//! reserved for a count or length before it was checked against the bytes at hand; opening a
//! compressed batch stops at a limit.
//! Runs on: every core (pure). Bounded by: `limits::RECORD_BATCH_BYTES_MAX`,
//! `limits::DECOMPRESSED_BYTES_MAX`.

pub mod batch;
pub mod builder;
pub mod compression;
pub mod error;
pub mod filter;
pub mod iterate;
pub mod marker;
pub mod recompress;
pub mod validate;
pub mod varint;

#[cfg(test)]
mod tests;

pub use batch::{
    Attributes, BATCH_HEADER_BYTES, BatchHeader, Batches, patch_offsets, set_log_append_time,
    set_max_timestamp, split_batches,
};
pub use builder::BatchBuilder;
pub use compression::Compression;
pub use error::{BatchError, BatchFault, RecordFault};
pub use iterate::{Headers, RecordView, Records, records};
pub use marker::{EndMarker, MARKER_BYTES_MAX};
pub use recompress::recompress;
pub use validate::{BatchRules, CheckedBatch, check_batch, faulty_records, validate_batch};
