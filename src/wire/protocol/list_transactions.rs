// SPDX-License-Identifier: Apache-2.0
//! ListTransactions (66): names of transactions (KIP-664, KIP-994, KIP-1152).
//!
//! Owns: the layout of its request and response. Invariants: those of [`super::describe`].
//! Runs on: every core. Bounded by: the `max` of each array.

use bytestring::ByteString;

use super::describe::{api, messages, since};
use crate::limits::{TRANSACTION_FILTERS_MAX, TRANSACTIONS_MAX};

api! { 66, versions 0..=2, flexible 0:
ListTransactionsRequest => ListTransactionsResponse }

messages! {
    /// Asks for transactions that pass filters.
    pub struct ListTransactionsRequest {
        /// States to list; none lists all.
        state_filters: Vec<ByteString> = Vec::new(), since(0).max(TRANSACTION_FILTERS_MAX);
        /// Producer ids to list; none lists all.
        producer_id_filters: Vec<i64> = Vec::new(), since(0).max(TRANSACTIONS_MAX);
        /// Lists what has been open for longer than so many milliseconds; below 0 all.
        duration_filter: i64 = -1, since(1);
        /// Lists what matches this regular expression; null or empty lists all.
        transactional_id_pattern: Option<ByteString> = None, since(2).nullable(2);
    }

    /// The transactions.
    pub struct ListTransactionsResponse {
        /// How long a quota held the client back, in milliseconds.
        throttle_time_ms: i32 = 0, since(0);
        /// Error code, 0 for none.
        error_code: i16 = 0, since(0);
        /// States to list that there are not.
        unknown_state_filters: Vec<ByteString> = Vec::new(), since(0).max(TRANSACTION_FILTERS_MAX);
        /// One entry per transaction.
        transaction_states: Vec<TransactionState> = Vec::new(), since(0).max(TRANSACTIONS_MAX);
    }

    /// One transaction.
    pub struct TransactionState {
        /// The transactional id.
        transactional_id: ByteString = ByteString::new(), since(0);
        /// Id of its producer.
        producer_id: i64 = 0, since(0);
        /// Its state.
        transaction_state: ByteString = ByteString::new(), since(0);
    }
}
