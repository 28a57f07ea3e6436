// SPDX-License-Identifier: Apache-2.0
//! Storing a batch with another codec than its producer's (`compression.type`).
//!
//! Owns: [`recompress`], [`Target`].
//! Invariants: the records of the result are, byte for byte, those of the batch; what was not
//! walked before is walked now, by the same rules; the result keeps to the size limit of the rules.
//! A batch that opens to more than `RECOMPRESSED_BYTES_MAX` is refused, and one that opens to more
//! than `RECOMPRESSED_AT_LEVEL_BYTES_MAX` is packed at the codec's usual level whatever is set, so
//! that no batch holds its core for long.
//! Runs on: every core (pure). Bounded by: the rules, `RECOMPRESSED_BYTES_MAX`.

use super::batch::{
    ATTRIBUTES_AT, Attributes, BATCH_HEADER_BYTES, BatchHeader, LOG_OVERHEAD_BYTES, seal,
};
use super::compression::{Compression, compress_at, decompress};
use super::error::BatchError;
use super::validate::{BatchRules, CheckedBatch, walk};
use crate::limits::{RECOMPRESSED_AT_LEVEL_BYTES_MAX, RECOMPRESSED_BYTES_MAX};

/// How records are to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The codec.
    pub codec: Compression,
    /// Its level, if it has levels and one is set.
    pub level: Option<i32>,
}

const BATCH_LENGTH_AT: usize = 8;

/// The batch with its records in another codec, and what a check of it says. The batch has passed
/// [`super::check_batch`] with these rules.
pub fn recompress(
    batch: &[u8],
    checked: &CheckedBatch,
    target: Target,
    rules: &BatchRules,
) -> Result<(Vec<u8>, CheckedBatch), BatchError> {
    let body = &batch[BATCH_HEADER_BYTES..];
    let source = checked.header.attributes.compression()?;
    let mut limit_bytes = rules.opened_bytes_max.min(RECOMPRESSED_BYTES_MAX);
    if target.codec == Compression::None {
        limit_bytes = limit_bytes.min(rules.size_bytes_max);
    }
    let mut largest_timestamp = checked.largest_timestamp;
    let opened;
    let plain = match source {
        Compression::None => body,
        codec => {
            opened = decompress(codec, body, limit_bytes)?;
            if largest_timestamp.is_none() {
                largest_timestamp = Some(walk(&opened, &checked.header, rules)?);
            }
            &opened[..]
        }
    };
    let is_large = plain.len() > RECOMPRESSED_AT_LEVEL_BYTES_MAX;
    let level = target.level.filter(|_| !is_large);
    let mut packed = Vec::with_capacity(BATCH_HEADER_BYTES + plain.len() / 2);
    packed.extend_from_slice(&batch[..BATCH_HEADER_BYTES]);
    compress_at(target.codec, level, plain, &mut packed);
    let size_bytes = packed.len();
    if size_bytes > rules.size_bytes_max {
        return Err(BatchError::TooLarge {
            size_bytes,
            limit_bytes: rules.size_bytes_max,
        });
    }
    let length = i32::try_from(size_bytes - LOG_OVERHEAD_BYTES).expect("below the limit");
    packed[BATCH_LENGTH_AT..BATCH_LENGTH_AT + 4].copy_from_slice(&length.to_be_bytes());
    let attributes = with_codec(checked.header.attributes, target.codec);
    packed[ATTRIBUTES_AT..ATTRIBUTES_AT + 2].copy_from_slice(&attributes.0.to_be_bytes());
    seal(&mut packed);
    let header = BatchHeader::parse(&packed).expect("only its length and codec were changed");
    let checked = CheckedBatch {
        header,
        largest_timestamp,
    };
    Ok((packed, checked))
}

fn with_codec(attributes: Attributes, codec: Compression) -> Attributes {
    const CODEC_BITS: i16 = 0b111;
    Attributes(attributes.0 & !CODEC_BITS | codec.code())
}
