// SPDX-License-Identifier: Apache-2.0
//! AddOffsetsToTxn (25): a group whose offsets a transaction commits.
//!
//! Owns: the layout of its request and response. Invariants: those of [`super::describe`].
//! Runs on: every core. Bounded by: the `max` of each array.

use bytestring::ByteString;

use super::describe::{api, messages, since};

api! { 25, versions 0..=4, flexible 3:
AddOffsetsToTxnRequest => AddOffsetsToTxnResponse }

messages! {
    /// Adds a group to a transaction.
    pub struct AddOffsetsToTxnRequest {
        /// The transactional id.
        transactional_id: ByteString = ByteString::new(), since(0);
        /// Id of its producer.
        producer_id: i64 = 0, since(0);
        /// Epoch of its producer.
        producer_epoch: i16 = 0, since(0);
        /// The group.
        group_id: ByteString = ByteString::new(), since(0);
    }

    /// What became of it.
    pub struct AddOffsetsToTxnResponse {
        /// How long a quota held the client back, in milliseconds.
        throttle_time_ms: i32 = 0, since(0);
        /// Error code, 0 for none.
        error_code: i16 = 0, since(0);
    }
}
