// SPDX-License-Identifier: Apache-2.0
//! What the machines allocate once they are warm: an allocator that counts, a shard that is driven
//! by hand, and the exact number of allocations that each kind of request may cost.
//!
//! With `FURLONG_ALLOCATION_TRACES=1` and `--nocapture`, each counted allocation prints its stack.

#[path = "../wire/allocation.rs"]
#[allow(dead_code, reason = "the tests of tests/wire use the rest of it")]
mod allocation;
mod append;
#[path = "../shard/controller.rs"]
#[allow(dead_code, reason = "the driver of tests/shard uses the rest of it")]
mod controller;
mod fetch;
mod host;
#[path = "../shard/memory_disk.rs"]
#[allow(dead_code, reason = "the tests of tests/shard use the rest of it")]
mod memory_disk;
