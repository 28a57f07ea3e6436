// SPDX-License-Identifier: Apache-2.0
//! All that one core owns.
//!
//! Owns: the shard machine. Invariants: see `contract`. Runs on: one core each. Bounded by:
//! `limits`.

pub mod api;
mod closings;
mod compactions;
pub mod connection;
pub mod contract;
mod control_calls;
pub mod control_shard;
pub mod coordinator_numbers;
mod fetch_sessions;
pub mod groups;
mod handover;
mod image_apply;
pub mod machine;
mod memory;
pub mod mesh_message;
pub mod numbers;
mod partition_table;
pub mod parts;
pub mod quotas;
mod request_table;
mod seats;
pub mod slow_requests;
mod spares;
pub mod stage;
mod start_progress;
mod strays;
mod timers;
pub mod transactions;
mod volume;

pub use closings::ClosedFor;
pub use machine::{Shard, ShardConfig};
pub use memory::MemoryUse;
pub use start_progress::RecoveryProgress;
