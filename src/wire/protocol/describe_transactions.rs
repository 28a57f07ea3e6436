// SPDX-License-Identifier: Apache-2.0
//! DescribeTransactions (65): the states of transactions (KIP-664).
//!
//! Owns: the layout of its request and response. Invariants: those of [`super::describe`].
//! Runs on: every core. Bounded by: the `max` of each array.

use bytestring::ByteString;

use super::describe::{api, messages, since};
use crate::limits::{PARTITIONS_PER_TOPIC_MAX, TOPICS_MAX, TRANSACTIONS_MAX};

api! { 65, versions 0..=0, flexible 0:
DescribeTransactionsRequest => DescribeTransactionsResponse }

messages! {
    /// Asks for transactions.
    pub struct DescribeTransactionsRequest {
        /// The transactional ids.
        transactional_ids: Vec<ByteString> = Vec::new(), since(0).max(TRANSACTIONS_MAX);
    }

    /// The transactions.
    pub struct DescribeTransactionsResponse {
        /// How long a quota held the client back, in milliseconds.
        throttle_time_ms: i32 = 0, since(0);
        /// One entry per transactional id.
        transaction_states: Vec<TransactionState> = Vec::new(), since(0).max(TRANSACTIONS_MAX);
    }

    /// One transaction.
    pub struct TransactionState {
        /// Error code, 0 for none.
        error_code: i16 = 0, since(0);
        /// The transactional id.
        transactional_id: ByteString = ByteString::new(), since(0);
        /// Its state.
        transaction_state: ByteString = ByteString::new(), since(0);
        /// How long it may take, in milliseconds.
        transaction_timeout_ms: i32 = 0, since(0);
        /// When it began, in milliseconds since 1970; -1 if none is open.
        transaction_start_time_ms: i64 = 0, since(0);
        /// Id of its producer.
        producer_id: i64 = 0, since(0);
        /// Epoch of its producer.
        producer_epoch: i16 = 0, since(0);
        /// Where it has written; while it ends, where its markers are missing.
        topics: Vec<TopicData> = Vec::new(), since(0).max(TOPICS_MAX);
    }

    /// Partitions of one topic.
    pub struct TopicData {
        /// Name of the topic.
        topic: ByteString = ByteString::new(), since(0);
        /// Indexes of the partitions.
        partitions: Vec<i32> = Vec::new(), since(0).max(PARTITIONS_PER_TOPIC_MAX);
    }
}
