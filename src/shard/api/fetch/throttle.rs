// SPDX-License-Identifier: Apache-2.0
//! Fetches of clients that have a quota.
//!
//! Owns: nothing; the bounds and the empty answer of [`super`]. Invariants: those of [`super`].
//! Runs on: the shard that accepted the connection. Bounded by: the quota.

use bytes::Bytes;

use super::{FetchLists, FetchPending};
use crate::shard::api::{ApiError, Reply};
use crate::shard::fetch_sessions::SessionContext;
use crate::shard::request_table::Call;
use crate::wire::protocol::fetch::FetchResponse;

impl FetchLists {
    /// Bytes of records in it.
    pub(super) fn bytes(&self) -> usize {
        let records = self.partitions.iter().flat_map(|one| &one.records);
        records.map(Bytes::len).sum()
    }
}

impl FetchPending {
    /// The answer may not have more bytes than this.
    pub(super) fn bound_bytes(&mut self, most: usize) {
        self.max_bytes = self.max_bytes.min(most);
        let most = u64::try_from(self.max_bytes).unwrap_or(u64::MAX);
        self.min_bytes = self.min_bytes.min(most);
    }
}

/// The answer to a client that is held back: nothing, in the session as it is (a new one is not
/// begun), and when to come again.
pub(super) fn throttled(
    call: &Call,
    context: SessionContext,
    throttle_ms: i32,
) -> Result<Reply, ApiError> {
    let session_id = match context {
        SessionContext::Sessionless | SessionContext::New => 0,
        SessionContext::Incremental { id, .. } => id,
    };
    call.reply(&FetchResponse {
        throttle_time_ms: throttle_ms,
        session_id,
        ..FetchResponse::default()
    })
}
