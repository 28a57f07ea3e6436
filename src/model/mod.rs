// SPDX-License-Identifier: Apache-2.0
//! Words that every layer shares: identifiers, time, aligned buffers, disk requests, error codes,
//! the metadata image.
//!
//! Owns: plain data types without behaviour of their own.
//! Invariants: nothing here imports another folder but `limits`.
//! Runs on: every core. Bounded by: `limits`.

pub mod block_buffer;
pub mod buffer_pool;
pub mod cleaner;
pub mod coordinator;
pub mod cores;
pub mod disk;
pub mod error_code;
pub mod features;
pub mod id_source;
pub mod ids;
pub mod image;
pub mod memory_budget;
pub mod mutation;
pub mod number_map;
pub mod peer;
pub mod piece_memory;
pub mod quota;
pub mod storage;
pub mod time;
pub mod topic_config;
