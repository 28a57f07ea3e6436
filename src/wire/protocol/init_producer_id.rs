// SPDX-License-Identifier: Apache-2.0
//! InitProducerId (22): hands out producer ids and epochs.
//!
//! Owns: the layout of its request and response. Invariants: those of [`super::describe`].
//! Runs on: every core. Bounded by: the `max` of each array.

use bytestring::ByteString;

use super::describe::{api, messages, since};

api! { 22, versions 0..=5, flexible 2:
InitProducerIdRequest => InitProducerIdResponse }

messages! {
    /// Asks for a producer id, or for the next epoch of one.
    pub struct InitProducerIdRequest {
        /// Transactional id, null for a producer that is only idempotent.
        transactional_id: Option<ByteString> = Some(ByteString::new()), since(0).nullable(0);
        /// How long a transaction may stand still before it is aborted, in milliseconds.
        transaction_timeout_ms: i32 = 0, since(0);
        /// Producer id the client goes on with, -1 for a new one.
        producer_id: i64 = -1, since(3);
        /// Epoch that the client holds, -1 for none.
        producer_epoch: i16 = -1, since(3);
    }

    /// A producer id and its epoch.
    pub struct InitProducerIdResponse {
        /// How long a quota held the client back, in milliseconds.
        throttle_time_ms: i32 = 0, since(0).ignorable();
        /// Error code, 0 for none.
        error_code: i16 = 0, since(0);
        /// The producer id, -1 on error.
        producer_id: i64 = -1, since(0);
        /// Its epoch.
        producer_epoch: i16 = 0, since(0);
    }
}
