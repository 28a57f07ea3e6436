// SPDX-License-Identifier: Apache-2.0
//! Requests to the coordinators of transactions, and the topic that keeps transactions.
//!
//! Owns: [`TxnPlan`], what the topic is made like, the code that old clients get for being fenced.
//! Invariants: those of `calls`. Runs on: the shard that accepted the connection. Bounded by: the
//! frame.

use bytestring::ByteString;

use super::calls::{Asked, CallPlan, CallsPending};
use super::groups::replication_factor;
use crate::control::request::NewTopic;
use crate::model::error_code::ErrorCode;
use crate::shard::machine::Shard;
use crate::shard::mesh_message::MeshMessage;
use crate::shard::request_table::Pending;
use crate::shard::transactions::TxnAsk;
use crate::txn::{Coordinator, TRANSACTIONS_TOPIC, TxnAnswer};

/// The calls of one request.
pub type TxnPlan = CallPlan<Coordinator>;

impl Asked for Coordinator {
    fn asks(request: u64, asks: Vec<TxnAsk>) -> MeshMessage {
        MeshMessage::TxnAsks { request, asks }
    }

    fn pending(calls: CallsPending<TxnAnswer>) -> Pending {
        Pending::Transactions(calls)
    }

    fn calls(pending: &mut Pending) -> Option<&mut CallsPending<TxnAnswer>> {
        match pending {
            Pending::Transactions(calls) => Some(calls),
            _ => None,
        }
    }

    fn into_calls(pending: Pending) -> Option<CallsPending<TxnAnswer>> {
        match pending {
            Pending::Transactions(calls) => Some(calls),
            _ => None,
        }
    }
}

/// The topic that keeps transactions, as it is made where it is missing.
pub fn transactions_topic(shard: &Shard) -> NewTopic {
    let settings = shard.transactions.settings();
    let replication_factor = replication_factor(shard, settings.topic_replication_factor);
    let configs = settings.topic_configs(replication_factor).into_iter();
    NewTopic {
        name: ByteString::from_static(TRANSACTIONS_TOPIC),
        num_partitions: settings.topic_partitions,
        replication_factor,
        assignments: Vec::new(),
        configs: configs.map(|(name, value)| (name, Some(value))).collect(),
    }
}

/// A client before the version that knows PRODUCER_FENCED is told INVALID_PRODUCER_EPOCH instead,
/// which ends it, too (KIP-588).
pub fn fenced_code(code: ErrorCode, version: i16, known_from: i16) -> ErrorCode {
    match code {
        ErrorCode::ProducerFenced if version < known_from => ErrorCode::InvalidProducerEpoch,
        code => code,
    }
}
