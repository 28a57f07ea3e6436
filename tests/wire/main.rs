// SPDX-License-Identifier: Apache-2.0
//! The wire module against the rest of the world: another implementation, golden frames, hostile
//! bytes.
//!
//! Owns: nothing but tests. Set `FURLONG_REWRITE_GOLDEN=1` to write the golden files anew.

#![allow(
    clippy::unwrap_used,
    reason = "a test says with a panic that something is wrong"
)]

#[allow(dead_code, reason = "tests/allocations uses the rest of it")]
mod allocation;
mod cases;
mod differential;
mod generate;
mod golden;
mod hostile;
mod mutation;
