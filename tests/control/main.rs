// SPDX-License-Identifier: Apache-2.0
//! Tests of the control shard with its log, on a disk in memory that loses what was not flushed.
//!
//! Owns: nothing. Invariants: none. Runs on: tests. Bounded by: each test.

mod crash;
#[path = "../log/disk.rs"]
mod disk;
mod host;
mod quotas;
mod rounds;
mod snapshots;
