// SPDX-License-Identifier: Apache-2.0
//! The metadata machine: requests become records, committed records become the image.
//!
//! Owns: the rules for topics, settings, quotas, producer ids, registrations and placement; the
//! form of the metadata log's batches and snapshots; the seam to the quorum that commits them.
//! Invariants: a request changes nothing: it gives records and the answer that they make true.
//! State changes only where a committed record is replayed, so the log alone, or a snapshot and the
//! log after it, gives the same state again. Nothing here knows a file or a core.
//! Runs on: the control shard. Bounded by: `TOPICS_MAX`, `PARTITIONS_MAX`,
//! `METADATA_BATCH_BYTES_MAX` per request.

pub mod allowance;
pub mod batches;
mod configs;
pub mod controller;
mod moves;
mod partitions;
mod placement;
pub mod quorum;
mod quotas;
mod record_list;
mod registration;
pub mod request;
pub mod snapshot;
pub mod state;
pub mod topic_name;
mod topics;

#[cfg(test)]
mod tests;

pub use controller::{Controller, ControllerConfig, Plan};
