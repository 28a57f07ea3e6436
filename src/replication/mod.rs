// SPDX-License-Identifier: Apache-2.0
//! What makes a record committed: the high watermark, who waits for it, and whether the in-sync set
//! is large enough.
//!
//! Owns: the leader's view of its replicas, waiting acknowledgements, parked fetches.
//! Invariants: knows no log and no wire; the high watermark never falls within a leader epoch; a
//! waiter is answered exactly once. Runs on: the shard that owns the partition. Bounded by:
//! `limits`.

pub mod ack_queue;
pub mod leader;
pub mod min_insync;
pub mod purgatory;
