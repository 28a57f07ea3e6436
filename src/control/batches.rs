// SPDX-License-Identifier: Apache-2.0
//! Metadata records in record batches, as the metadata log and its snapshots hold them.
//!
//! Owns: [`build`], [`read`]. Invariants: the records of one request are one batch; a record's
//! value is a metadata record, it has no key and no headers. Runs on: the control shard.
//! Bounded by: `METADATA_BATCH_BYTES_MAX`, and the bytes that are read.

use bytes::Bytes;

use super::state::{MetadataState, ReplayError};
use crate::limits::RECORD_BATCH_BYTES_MAX;
use crate::model::ids::Offset;
use crate::wire::record::{BatchBuilder, BatchError, Compression, records, split_batches};

/// Why batches of the metadata log cannot be replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BatchesError {
    /// The batches are damaged.
    Batch(BatchError),
    /// A record has no value.
    NoValue(Offset),
    /// A record does not fit what came before.
    Replay(ReplayError),
}

impl std::fmt::Display for BatchesError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BatchesError::Batch(error) => {
                write!(f, "A batch of metadata records is damaged: {error}.")
            }
            BatchesError::NoValue(offset) => {
                write!(f, "The metadata record at offset {offset} has no value.")
            }
            BatchesError::Replay(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BatchesError {}

impl From<BatchError> for BatchesError {
    fn from(error: BatchError) -> BatchesError {
        BatchesError::Batch(error)
    }
}

/// One batch of these records.
#[must_use]
pub fn build(values: &[Bytes], wall_ms: i64) -> Bytes {
    let bytes = values
        .iter()
        .map(|value| BatchBuilder::record_bytes_max(None, Some(value)))
        .sum();
    let mut builder = BatchBuilder::with_capacity(Compression::None, bytes);
    for value in values {
        builder.append(wall_ms, None, Some(value), &[]);
    }
    builder.build()
}

/// Hands every record of these batches to `each`, with its offset.
pub fn read<E: From<BatchesError>>(
    batches: &Bytes,
    mut each: impl FnMut(Offset, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    for batch in split_batches(batches) {
        let batch = batch.map_err(BatchesError::Batch)?;
        let opened = records(&batch, RECORD_BATCH_BYTES_MAX).map_err(BatchesError::Batch)?;
        for record in &opened {
            let record = record.map_err(BatchesError::Batch)?;
            let value = record.value.ok_or(BatchesError::NoValue(record.offset))?;
            each(record.offset, value)?;
        }
    }
    Ok(())
}

/// Replays what of these batches lies at or past the state's version. Returns how many bytes of
/// values were replayed.
pub fn replay(state: &mut MetadataState, batches: &Bytes) -> Result<u64, BatchesError> {
    let mut replayed_bytes = 0u64;
    read(batches, |offset, value| {
        if offset < state.version() {
            return Ok(());
        }
        replayed_bytes += u64::try_from(value.len()).expect("memory is smaller than 64 bits");
        state
            .replay_bytes(offset, value)
            .map_err(BatchesError::Replay)
    })?;
    Ok(replayed_bytes)
}
