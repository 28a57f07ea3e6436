// SPDX-License-Identifier: Apache-2.0
//! Who may use how much.
//!
//! Owns: the rule which quota counts for whom (`lookup`), rates over windows of time (`window`),
//! the counts of a shard (`meters`), and stocks that refill (`bucket`). Invariants: whole numbers
//! only; time is handed in. Runs on: every core. Bounded by: `QUOTA_METERS_PER_SHARD_MAX`,
//! `QUOTA_BUCKETS_MAX`.

pub mod bucket;
pub mod lookup;
pub mod meters;
pub mod window;

pub use lookup::{Found, Scope};
pub use meters::{MeterId, MeterKey, MeterUse, Meters};
