// SPDX-License-Identifier: Apache-2.0
//! The batches of a log file, read one after the other outside of any broker.
//!
//! Owns: [`BatchFile`]. Invariants: reads only; a batch is handed out whole, its checksum not yet
//! checked; zeros up to the end of the file are no damage (space that was prepared, or the last
//! block of a log that was not closed). Runs on: the caller's thread. Bounded by: one batch
//! (`limits::RECORD_BATCH_BYTES_MAX`).

use crate::wire::record::{BATCH_HEADER_BYTES, BatchError, BatchHeader};
use bytes::Bytes;
use std::fs::File;
use std::io::{self, BufReader, Read};

/// Bytes that are read at once.
pub(super) const READ_BYTES: usize = 1024 * 1024;

/// What stands at a place of a log file.
#[derive(Debug)]
pub(super) enum Found {
    /// A batch.
    Batch(Bytes),
    /// Nothing but zeros up to the end of the file, so many.
    Zeros(u64),
    /// The end of the file.
    End,
    /// Bytes that are no batch.
    Damage(BatchError),
}

/// A log file that is read from its start.
#[derive(Debug)]
pub(super) struct BatchFile {
    size: u64,
    position: u64,
    input: BufReader<File>,
}

impl BatchFile {
    /// A file of which nothing was read.
    pub(super) fn new(file: File) -> io::Result<BatchFile> {
        let size = file.metadata()?.len();
        Ok(BatchFile {
            size,
            position: 0,
            input: BufReader::with_capacity(READ_BYTES, file),
        })
    }

    /// Bytes of the file.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Where the next call looks.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// What comes next. After damage, and after zeros, nothing comes.
    pub(super) fn next(&mut self) -> io::Result<Found> {
        if self.position >= self.size {
            return Ok(Found::End);
        }
        let header = self.read(BATCH_HEADER_BYTES)?;
        let parsed = match BatchHeader::parse(&header) {
            Ok(parsed) => parsed,
            Err(_) if is_zero(&header) && self.rest_is_zero()? => {
                return Ok(Found::Zeros(self.size - self.position));
            }
            Err(error) => return Ok(Found::Damage(error)),
        };
        let needed = parsed.size_bytes();
        let mut batch = header;
        batch.extend_from_slice(&self.read(needed - BATCH_HEADER_BYTES)?);
        let found = batch.len();
        if found < needed {
            return Ok(Found::Damage(BatchError::Truncated { needed, found }));
        }
        self.position += u64::try_from(found).expect("a usize of 64 bits");
        Ok(Found::Batch(Bytes::from(batch)))
    }

    fn read(&mut self, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let bound = u64::try_from(len).expect("a usize of 64 bits");
        (&mut self.input).take(bound).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn rest_is_zero(&mut self) -> io::Result<bool> {
        loop {
            let block = self.read(READ_BYTES)?;
            if block.is_empty() || !is_zero(&block) {
                return Ok(block.is_empty());
            }
        }
    }
}

/// True if there is nothing but zeros.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}
