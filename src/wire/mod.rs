// SPDX-License-Identifier: Apache-2.0
//! Bytes to types and back: protocol messages, record batches, checksums, metadata schema.
//!
//! Owns: every byte layout but those of the log's own small files.
//! Invariants: reading is total (any bytes give a value or an error) and never reserves more than
//! the bytes at hand can fill; payloads stay slices of what was received.
//! Runs on: every core. Bounded by: `limits`.

pub mod checksum;
pub mod codec;
pub mod consumer_groups;
pub mod consumer_protocol;
mod coordinator_record;
pub mod offsets_topic;
pub mod protocol;
pub mod record;
pub mod schema;
pub mod transaction_topic;
