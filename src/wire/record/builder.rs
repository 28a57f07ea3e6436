// SPDX-License-Identifier: Apache-2.0
//! Making record batches: the command line, the internal logs, the tests.
//!
//! Owns: [`BatchBuilder`].
//! Invariants: what [`BatchBuilder::build`] returns passes `validate_batch`. Records are written
//! once into the buffer that becomes the batch (compressed ones are packed from it).
//! Runs on: every core (pure). Bounded by: `limits::RECORD_BATCH_BYTES_MAX`, asserted per record.

use super::batch::{
    ATTRIBUTES_AT, Attributes, BATCH_HEADER_BYTES, LOG_OVERHEAD_BYTES, MAGIC, seal,
};
use super::compression::{Compression, compress};
use super::varint::{VARINT_BYTES_MAX, VARLONG_BYTES_MAX, put_varint, varint_len};
use crate::limits::RECORD_BATCH_BYTES_MAX;
use bytes::Bytes;

/// A batch under construction.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    compression: Compression,
    is_transactional: bool,
    is_control: bool,
    base_offset: i64,
    leader_epoch: i32,
    producer_id: i64,
    producer_epoch: i16,
    base_sequence: i32,
    base_timestamp: i64,
    max_timestamp: i64,
    count: i32,
    /// Room for the header, then the records.
    buffer: Vec<u8>,
}

fn length_of(bytes: Option<&[u8]>) -> i64 {
    bytes.map_or(-1, |bytes| {
        i64::try_from(bytes.len()).expect("memory is smaller than an i64")
    })
}

fn put_nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    put_varint(out, length_of(bytes));
    out.extend_from_slice(bytes.unwrap_or_default());
}

fn nullable_len(bytes: Option<&[u8]>) -> usize {
    varint_len(length_of(bytes)) + bytes.map_or(0, <[u8]>::len)
}

impl BatchBuilder {
    /// An empty batch: base offset 0, no leader epoch, no producer.
    #[must_use]
    pub fn new(compression: Compression) -> BatchBuilder {
        BatchBuilder::with_capacity(compression, 0)
    }

    /// An empty batch with room for `records_bytes` bytes of records.
    #[must_use]
    pub fn with_capacity(compression: Compression, records_bytes: usize) -> BatchBuilder {
        let mut buffer = Vec::with_capacity(BATCH_HEADER_BYTES + records_bytes);
        buffer.resize(BATCH_HEADER_BYTES, 0);
        BatchBuilder {
            compression,
            is_transactional: false,
            is_control: false,
            base_offset: 0,
            leader_epoch: -1,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            base_timestamp: 0,
            max_timestamp: i64::MIN,
            count: 0,
            buffer,
        }
    }

    /// Names the idempotent producer and the sequence number of the first record.
    pub fn producer(&mut self, id: i64, epoch: i16, base_sequence: i32) -> &mut Self {
        self.producer_id = id;
        self.producer_epoch = epoch;
        self.base_sequence = base_sequence;
        self
    }

    /// Makes the batch part of a transaction.
    pub fn transactional(&mut self) -> &mut Self {
        self.is_transactional = true;
        self
    }

    /// Makes the batch a control batch.
    pub fn control(&mut self) -> &mut Self {
        self.is_control = true;
        self
    }

    /// Sets what a leader sets at the append.
    pub fn offsets(&mut self, base_offset: i64, leader_epoch: i32) -> &mut Self {
        self.base_offset = base_offset;
        self.leader_epoch = leader_epoch;
        self
    }

    /// Appends one record.
    ///
    /// # Panics If the batch would pass `limits::RECORD_BATCH_BYTES_MAX`: ask
    /// [`BatchBuilder::size_bytes`] and [`BatchBuilder::record_bytes_max`] before.
    pub fn append(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&[u8], Option<&[u8]>)],
    ) {
        if self.count == 0 {
            self.base_timestamp = timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        let timestamp_delta = timestamp.saturating_sub(self.base_timestamp);
        let offset_delta = i64::from(self.count);
        let headers_len = i64::try_from(headers.len()).expect("memory is smaller than an i64");
        let body_len = 1
            + varint_len(timestamp_delta)
            + varint_len(offset_delta)
            + nullable_len(key)
            + nullable_len(value)
            + varint_len(headers_len)
            + headers
                .iter()
                .map(|(name, value)| nullable_len(Some(name)) + nullable_len(*value))
                .sum::<usize>();
        let fits = body_len + VARINT_BYTES_MAX <= RECORD_BATCH_BYTES_MAX - self.buffer.len();
        assert!(fits, "the caller keeps a batch below its limit");
        let out = &mut self.buffer;
        put_varint(out, i64::try_from(body_len).expect("below the limit"));
        out.push(0);
        put_varint(out, timestamp_delta);
        put_varint(out, offset_delta);
        put_nullable(out, key);
        put_nullable(out, value);
        put_varint(out, headers_len);
        for (name, value) in headers {
            put_nullable(out, Some(name));
            put_nullable(out, *value);
        }
        self.count += 1;
    }

    /// The most bytes that a record without headers takes.
    #[must_use]
    pub fn record_bytes_max(key: Option<&[u8]>, value: Option<&[u8]>) -> usize {
        // Length, attributes, timestamp delta, offset delta, number of headers.
        const FIXED: usize = VARINT_BYTES_MAX + 1 + VARLONG_BYTES_MAX + VARINT_BYTES_MAX + 1;
        FIXED + nullable_len(key) + nullable_len(value)
    }

    /// Number of records so far.
    #[must_use]
    pub fn count(&self) -> i32 {
        self.count
    }

    /// Bytes of the batch so far, before compression.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// True before the first record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The batch as it goes over the wire.
    ///
    /// # Panics
    /// If there is no record, or if a block that does not compress passes the limit of a batch.
    #[must_use]
    pub fn build(self) -> Bytes {
        assert!(self.count > 0, "a batch holds at least one record");
        let mut batch = match self.compression {
            Compression::None => Vec::new(),
            codec => {
                let plain = &self.buffer[BATCH_HEADER_BYTES..];
                let mut packed = Vec::with_capacity(BATCH_HEADER_BYTES + plain.len() / 2);
                packed.resize(BATCH_HEADER_BYTES, 0);
                compress(codec, plain, &mut packed);
                packed
            }
        };
        let header = self.header(if batch.is_empty() {
            self.buffer.len()
        } else {
            batch.len()
        });
        if batch.is_empty() {
            batch = self.buffer;
        }
        batch[..BATCH_HEADER_BYTES].copy_from_slice(&header);
        seal(&mut batch);
        Bytes::from(batch)
    }

    fn header(&self, size_bytes: usize) -> [u8; BATCH_HEADER_BYTES] {
        assert!(
            size_bytes <= RECORD_BATCH_BYTES_MAX,
            "a batch stays below its limit"
        );
        let batch_length = i32::try_from(size_bytes - LOG_OVERHEAD_BYTES).expect("below the limit");
        let attributes = Attributes::new(self.compression, self.is_transactional, self.is_control);
        let mut out = Vec::with_capacity(BATCH_HEADER_BYTES);
        out.extend_from_slice(&self.base_offset.to_be_bytes());
        out.extend_from_slice(&batch_length.to_be_bytes());
        out.extend_from_slice(&self.leader_epoch.to_be_bytes());
        out.extend_from_slice(&MAGIC.to_be_bytes());
        out.extend_from_slice(&[0; 4]);
        assert_eq!(out.len(), ATTRIBUTES_AT, "the checksum covers what follows");
        out.extend_from_slice(&attributes.0.to_be_bytes());
        out.extend_from_slice(&(self.count - 1).to_be_bytes());
        out.extend_from_slice(&self.base_timestamp.to_be_bytes());
        out.extend_from_slice(&self.max_timestamp.to_be_bytes());
        out.extend_from_slice(&self.producer_id.to_be_bytes());
        out.extend_from_slice(&self.producer_epoch.to_be_bytes());
        out.extend_from_slice(&self.base_sequence.to_be_bytes());
        out.extend_from_slice(&self.count.to_be_bytes());
        out.try_into().expect("the fields are 61 bytes")
    }
}
