// SPDX-License-Identifier: Apache-2.0
//! What one record says of a transactional id, and what may follow from it.
//!
//! Owns: [`Facts`], [`Partitions`]. Invariants: an epoch never falls for one producer id; a
//! producer id that has no further epoch is followed by another one. Runs on: the shard that
//! coordinates. Bounded by: one record.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use bytestring::ByteString;

use super::request::{InitProducer, Producer, TxnPartition};
use super::state::State;
use crate::wire::transaction_topic::{PartitionsSchema, TransactionLogValue};

/// Stands for no producer id.
pub(super) const NO_ID: i64 = -1;

/// Stands for no epoch.
pub(super) const NO_EPOCH: i16 = -1;

/// Stands for no time.
const NEVER: i64 = -1;

/// The last epoch that a client gets of a producer id: one more is left to fence it.
pub(super) const LAST_EPOCH: i16 = i16::MAX - 1;

/// From this `transaction.version` on each transaction has an epoch of its own (KIP-890).
pub const EPOCH_PER_TRANSACTION: i16 = 2;

/// Partitions by the names of their topics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Partitions(BTreeMap<ByteString, BTreeSet<i32>>);

impl Partitions {
    pub(super) fn insert(&mut self, (topic, partition): &TxnPartition) {
        if let Some(partitions) = self.0.get_mut(topic) {
            partitions.insert(*partition);
            return;
        }
        // A text of its own, which holds no frame.
        let topic = ByteString::from(&**topic);
        self.0.insert(topic, BTreeSet::from([*partition]));
    }

    pub(super) fn remove(&mut self, (topic, partition): &TxnPartition) {
        if let Some(partitions) = self.0.get_mut(topic) {
            partitions.remove(partition);
            if partitions.is_empty() {
                self.0.remove(topic);
            }
        }
    }

    pub(super) fn contains(&self, (topic, partition): &TxnPartition) -> bool {
        let partitions = self.0.get(topic);
        partitions.is_some_and(|partitions| partitions.contains(partition))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn all(&self) -> Vec<TxnPartition> {
        let topics = self.by_topic();
        topics
            .flat_map(|(topic, partitions)| {
                partitions
                    .iter()
                    .map(|partition| (topic.clone(), *partition))
            })
            .collect()
    }

    pub(super) fn by_topic(&self) -> impl Iterator<Item = (&ByteString, &BTreeSet<i32>)> {
        self.0.iter()
    }
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// The producer; its epoch is the one of the markers while a transaction ends.
    pub(super) producer: Producer,
    /// The producer id in the record before.
    pub(super) previous_id: i64,
    /// The producer id after the end of the transaction, if it is another one.
    pub(super) next_id: i64,
    /// The epoch that the client had before: it may not have heard of the new one. Not in the log,
    /// as in Kafka.
    pub(super) last_epoch: i16,
    /// How long a transaction may last.
    pub(super) timeout_ms: i32,
    pub(super) state: State,
    pub(super) partitions: Partitions,
    /// When the transaction began.
    pub(super) started_ms: i64,
    /// When this record was made.
    pub(super) updated_ms: i64,
    /// The `transaction.version` of the client.
    pub(super) version: i16,
}

impl Facts {
    /// A transactional id that is new.
    pub(super) fn new(producer_id: i64, timeout_ms: i32) -> Facts {
        Facts {
            producer: Producer {
                id: producer_id,
                epoch: NO_EPOCH,
            },
            previous_id: NO_ID,
            next_id: NO_ID,
            last_epoch: NO_EPOCH,
            timeout_ms,
            state: State::Empty,
            partitions: Partitions::default(),
            started_ms: NEVER,
            updated_ms: NEVER,
            version: 0,
        }
    }

    /// True if the client can get no further epoch of this producer id.
    pub(super) fn is_exhausted(&self) -> bool {
        self.producer.epoch >= LAST_EPOCH
    }

    fn next(&self, state: State, now_ms: i64) -> Facts {
        assert!(
            self.state.may_become(state),
            "{:?} is not followed by {state:?}",
            self.state
        );
        Facts {
            previous_id: self.producer.id,
            state,
            updated_ms: now_ms,
            ..self.clone()
        }
    }

    fn emptied(&self, timeout_ms: i32, now_ms: i64) -> Facts {
        Facts {
            timeout_ms,
            partitions: Partitions::default(),
            started_ms: NEVER,
            ..self.next(State::Empty, now_ms)
        }
    }

    /// The producer begins anew, with these epochs.
    pub(super) fn with_epoch(&self, call: &InitProducer, epoch: i16, last: i16, now: i64) -> Facts {
        let mut facts = self.emptied(call.timeout_ms, now);
        facts.producer.epoch = epoch;
        facts.last_epoch = last;
        facts
    }

    /// The producer begins anew, under another id.
    pub(super) fn with_id(&self, call: &InitProducer, id: i64, now_ms: i64) -> Facts {
        let mut facts = self.emptied(call.timeout_ms, now_ms);
        facts.last_epoch = match call.producer {
            Some(_) => self.producer.epoch,
            None => NO_EPOCH,
        };
        facts.producer = Producer { id, epoch: 0 };
        facts
    }

    /// Partitions are added; a transaction begins where none is open.
    pub(super) fn with_partitions(
        &self,
        partitions: &[TxnPartition],
        version: i16,
        now_ms: i64,
    ) -> Facts {
        let mut facts = self.next(State::Ongoing, now_ms);
        for partition in partitions {
            facts.partitions.insert(partition);
        }
        if self.state.is_quiet() {
            facts.started_ms = now_ms;
        }
        facts.version = version;
        facts
    }

    /// The transaction is decided. From version 2 on the producer gets another epoch with it; where
    /// there is no further one that a client may have, `next_id` follows.
    pub(super) fn decided(
        &self,
        is_commit: bool,
        version: i16,
        next_id: Option<i64>,
        now_ms: i64,
    ) -> Facts {
        let mut facts = self.next(
            match is_commit {
                true => State::PrepareCommit,
                false => State::PrepareAbort,
            },
            now_ms,
        );
        if version >= EPOCH_PER_TRANSACTION {
            facts.last_epoch = self.producer.epoch;
            // A log of Kafka may hold the last number there is.
            facts.producer.epoch = self.producer.epoch.saturating_add(1);
        }
        if self.state.is_quiet() {
            facts.started_ms = now_ms;
        }
        facts.next_id = next_id.unwrap_or(NO_ID);
        facts.version = version;
        facts
    }

    /// All partitions know the outcome.
    pub(super) fn completed(&self, now_ms: i64) -> Facts {
        let mut facts = self.next(
            match self.state {
                State::PrepareCommit => State::CompleteCommit,
                _ => State::CompleteAbort,
            },
            now_ms,
        );
        facts.producer = self.successor();
        facts.next_id = NO_ID;
        facts.partitions = Partitions::default();
        facts
    }

    /// Who the client is once the transaction has ended.
    pub(super) fn successor(&self) -> Producer {
        match self.next_id {
            NO_ID => self.producer,
            id => Producer { id, epoch: 0 },
        }
    }

    /// True if this transaction ends, or has ended, by what a producer with this epoch asked.
    pub(super) fn follows_epoch(&self, epoch: i16) -> bool {
        epoch >= 0 && i32::from(self.producer.epoch) == i32::from(epoch) + 1
    }

    /// The record.
    pub(super) fn value(&self) -> TransactionLogValue {
        let topics = self.partitions.by_topic();
        let topics = topics.map(|(topic, partitions)| PartitionsSchema {
            topic: topic.clone(),
            partition_ids: partitions.iter().copied().collect(),
        });
        TransactionLogValue {
            producer_id: self.producer.id,
            previous_producer_id: self.previous_id,
            next_producer_id: self.next_id,
            producer_epoch: self.producer.epoch,
            transaction_timeout_ms: self.timeout_ms,
            transaction_status: self.state.code(),
            transaction_partitions: match self.state {
                State::Empty => None,
                _ => Some(topics.collect()),
            },
            transaction_last_update_timestamp_ms: self.updated_ms,
            transaction_start_timestamp_ms: self.started_ms,
            client_transaction_version: self.version,
        }
    }

    /// From a record.
    pub(super) fn decode(bytes: Bytes) -> Option<Facts> {
        let value = TransactionLogValue::decode(bytes).ok()?;
        let state = State::from_code(value.transaction_status)?;
        if matches!(state, State::Dead | State::PrepareEpochFence) {
            return None; // Nobody writes these.
        }
        let mut partitions = Partitions::default();
        for topic in value.transaction_partitions.unwrap_or_default() {
            for partition in topic.partition_ids {
                partitions.insert(&(topic.topic.clone(), partition));
            }
        }
        Some(Facts {
            producer: Producer {
                id: value.producer_id,
                epoch: value.producer_epoch,
            },
            previous_id: value.previous_producer_id,
            next_id: value.next_producer_id,
            last_epoch: NO_EPOCH,
            timeout_ms: value.transaction_timeout_ms,
            state,
            partitions,
            started_ms: value.transaction_start_timestamp_ms,
            updated_ms: value.transaction_last_update_timestamp_ms,
            version: value.client_transaction_version,
        })
    }
}
