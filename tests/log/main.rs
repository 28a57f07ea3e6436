// SPDX-License-Identifier: Apache-2.0
//! Tests of one partition's log on a disk in memory that loses what was not flushed.
//!
//! Owns: nothing. Invariants: none. Runs on: tests. Bounded by: each test.

mod committed;
mod compaction;
mod compaction_rules;
mod compaction_transactions;
mod crash;
mod damage;
mod delete_records;
mod device_flush;
mod disk;
mod flush_modes;
mod host;
mod idempotence;
mod index_damage;
mod lifecycle;
mod lookup;
mod memory;
mod no_space;
mod read_ahead;
mod recovery_points;
mod recycling;
mod transactions;
