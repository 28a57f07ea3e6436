// SPDX-License-Identifier: Apache-2.0
//! The process around the machines: start, the loop of each executor, stop.
//!
//! Owns: the order of start and stop. Invariants: no Kafka decision is made here.
//! Runs on: the main thread and each executor. Bounded by: `limits`.

pub mod admin;
pub mod boot;
pub mod check;
pub mod collector;
mod coordinator_figures;
pub mod disk_ahead;
pub mod executors;
pub mod exposition;
pub mod findings;
pub mod identity;
pub mod logging;
pub mod machine_loop;
pub mod options;
pub mod serve;
mod shard_admin;
pub mod slow_log;
pub mod stages;
pub mod start_progress;
pub mod storage_findings;
pub mod supervisor;
mod topic_figures;

#[cfg(test)]
mod tests;
