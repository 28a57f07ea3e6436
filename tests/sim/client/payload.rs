// SPDX-License-Identifier: Apache-2.0
//! Batches as clients make them and read them.
//!
//! Invariants: no two records of a run are alike; what is read is checked down to the last byte by
//! `wire::record`, and remembered as a digest.

use bytes::Bytes;
use furlong::limits::DECOMPRESSED_BYTES_MAX;
use furlong::model::topic_config::TimestampType;
use furlong::wire::record::{
    BatchBuilder, BatchHeader, Compression, RecordView, records, split_batches,
};

use super::Context;
use crate::history::{ReadBatch, RecordFact};
use crate::prng::digest;

/// How large batches are.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Longest value in bytes.
    pub value_bytes_max: u64,
    /// Most records of a batch.
    pub records_max: u64,
}

/// Bytes that no batch of a run with such values exceeds.
pub fn batch_bytes_max(value_bytes_max: u64) -> u64 {
    4 * value_bytes_max + 600
}

/// True if the batch is packed with zstd, which older versions of Produce may not carry (KIP-110).
pub fn is_zstd(batch: &Bytes) -> bool {
    BatchHeader::parse(batch).map(|header| header.attributes.compression())
        == Ok(Ok(Compression::Zstd))
}

/// Makes a batch: its bytes and what is in it.
pub fn make(
    context: &mut Context<'_>,
    sizes: Sizes,
    producer: Option<(i64, i16, i32)>,
) -> (Bytes, Vec<RecordFact>) {
    let codec = match context.prng.below(10) {
        0 => Compression::Gzip,
        1 => Compression::Snappy,
        2 => Compression::Lz4,
        3 => Compression::Zstd,
        _ => Compression::None,
    };
    let mut builder = BatchBuilder::new(codec);
    if let Some((id, epoch, sequence)) = producer {
        builder.producer(id, epoch, sequence);
    }
    let mut facts = Vec::new();
    for _ in 0..context.prng.skewed(1, sizes.records_max) {
        context.board.last_record += 1;
        let number = context.board.last_record.to_be_bytes();
        let len = context.prng.skewed(8, sizes.value_bytes_max);
        let filler = context.prng.draw();
        let mut value = number.to_vec();
        while (value.len() as u64) < len {
            value.extend_from_slice(&filler.wrapping_mul(value.len() as u64).to_le_bytes());
        }
        let key = context.prng.chance(500).then_some(&number[4..]);
        let header: &[(&[u8], Option<&[u8]>)] = &[(b"h", Some(&number)), (b"n", None)];
        if !facts.is_empty() && builder.size_bytes() as u64 > 3 * sizes.value_bytes_max {
            break;
        }
        let headers = if context.prng.chance(100) {
            header
        } else {
            &[]
        };
        let timestamp = context.wall_ms;
        builder.append(timestamp, key, Some(&value), headers);
        let mut fact = digest(&value, 0);
        fact = digest(key.unwrap_or_default(), fact);
        for (name, value) in headers {
            fact = digest(value.unwrap_or_default(), digest(name, fact));
        }
        facts.push(RecordFact {
            digest: fact,
            timestamp,
        });
    }
    (builder.build(), facts)
}

fn fact_of(record: &RecordView<'_>) -> RecordFact {
    let mut fact = digest(record.value.unwrap_or_default(), 0);
    fact = digest(record.key.unwrap_or_default(), fact);
    for (name, value) in record.headers {
        fact = digest(value.unwrap_or_default(), digest(name, fact));
    }
    RecordFact {
        digest: fact,
        timestamp: record.timestamp,
    }
}

/// Reads the whole batches of an answer to a fetch; the sentence says what is wrong with them.
pub fn read(answer: &Bytes) -> Result<Vec<ReadBatch>, String> {
    let mut batches = Vec::new();
    for batch in split_batches(answer) {
        let batch = batch.map_err(|error| error.to_string())?;
        let header = BatchHeader::parse(&batch).map_err(|error| error.to_string())?;
        let crc = furlong::wire::checksum::crc32c(&batch[21..]);
        if crc != header.crc {
            return Err(format!("a bad checksum at offset {}", header.base_offset));
        }
        let opened = records(&batch, DECOMPRESSED_BYTES_MAX).map_err(|error| error.to_string())?;
        let mut facts = Vec::new();
        for (record, offset) in opened.iter().zip(header.base_offset..) {
            let record = record.map_err(|error| format!("{error:?}"))?;
            if record.offset != offset {
                return Err(format!("offset {} where {offset} was due", record.offset));
            }
            facts.push(fact_of(&record));
        }
        if i32::try_from(facts.len()) != Ok(header.last_offset_delta + 1) {
            return Err(format!("a wrong count at offset {}", header.base_offset));
        }
        batches.push(ReadBatch {
            base_offset: header.base_offset,
            leader_epoch: header.partition_leader_epoch,
            crc: header.crc,
            producer: (
                header.producer_id,
                header.producer_epoch,
                header.base_sequence,
            ),
            log_append_time: header.attributes.timestamp_type() == TimestampType::LogAppendTime,
            records: facts,
        });
    }
    Ok(batches)
}
