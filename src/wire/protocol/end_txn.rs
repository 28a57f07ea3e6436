// SPDX-License-Identifier: Apache-2.0
//! EndTxn (26): commits or aborts a transaction.
//!
//! Owns: the layout of its request and response. Invariants: those of [`super::describe`].
//! Runs on: every core. Bounded by: the `max` of each array.

use bytestring::ByteString;

use super::describe::{api, messages, since};

api! { 26, versions 0..=5, flexible 3:
EndTxnRequest => EndTxnResponse }

messages! {
    /// Ends a transaction.
    pub struct EndTxnRequest {
        /// The transactional id.
        transactional_id: ByteString = ByteString::new(), since(0);
        /// Id of its producer.
        producer_id: i64 = 0, since(0);
        /// Epoch of its producer.
        producer_epoch: i16 = 0, since(0);
        /// True to commit, false to abort.
        committed: bool = false, since(0);
    }

    /// How that ended.
    pub struct EndTxnResponse {
        /// How long a quota held the client back, in milliseconds.
        throttle_time_ms: i32 = 0, since(0);
        /// Error code, 0 for none.
        error_code: i16 = 0, since(0);
        /// Id of the producer in the next transaction (KIP-890).
        producer_id: i64 = -1, since(5).ignorable();
        /// Its epoch in the next transaction.
        producer_epoch: i16 = -1, since(5).ignorable();
    }
}
