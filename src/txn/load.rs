// SPDX-License-Identifier: Apache-2.0
//! Transactional ids from their log.
//!
//! Owns: [`Loading`]. Invariants: of the records of one id the last one counts; what cannot be read
//! is passed over and told, and nothing else is lost for it. Runs on: the shard that coordinates.
//! Bounded by: the log, whose writer bounds it.

use std::collections::BTreeMap;

use bytes::Bytes;
use bytestring::ByteString;

use super::facts::Facts;
use super::transaction::Transaction;
use crate::limits::DECOMPRESSED_BYTES_MAX;
use crate::model::time::Now;
use crate::wire::record::{records, split_batches};
use crate::wire::transaction_topic::TransactionLogKey;

/// What has been read so far.
#[derive(Debug, Default)]
pub(super) struct Loading {
    facts: BTreeMap<ByteString, Facts>,
    /// Records that could not be read.
    unreadable: usize,
}

impl Loading {
    /// Takes whole batches.
    pub(super) fn take(&mut self, batches: &Bytes) {
        for batch in split_batches(batches) {
            let opened = batch.and_then(|batch| records(&batch, DECOMPRESSED_BYTES_MAX));
            let Ok(opened) = opened else {
                self.unreadable += 1;
                return;
            };
            if opened.header().attributes.is_control() {
                continue; // Nobody writes those here.
            }
            for record in opened.iter() {
                let read = match record {
                    Ok(record) => self.take_record(record.key, record.value),
                    Err(_) => None,
                };
                self.unreadable += usize::from(read.is_none());
            }
        }
    }

    fn take_record(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Option<()> {
        let key = TransactionLogKey::decode(Bytes::copy_from_slice(key?)).ok()?;
        let Some(TransactionLogKey { transactional_id }) = key else {
            return Some(()); // Of a kind that a later version knows.
        };
        match value {
            Some(value) => {
                let facts = Facts::decode(Bytes::copy_from_slice(value))?;
                let id = ByteString::from(&*transactional_id);
                self.facts.insert(id, facts);
            }
            None => {
                self.facts.remove(&transactional_id);
            }
        }
        Some(())
    }

    /// The transactional ids, and how many records could not be read.
    pub(super) fn finish(self, now: Now) -> (BTreeMap<ByteString, Transaction>, usize) {
        let facts = self.facts.into_iter();
        let transactions = facts.map(|(id, facts)| (id, Transaction::loaded(facts, now)));
        (transactions.collect(), self.unreadable)
    }
}
