// SPDX-License-Identifier: Apache-2.0
//! One partition's log on disk: segments, their indexes, leader epochs and producer state, and the
//! machine that joins them.
//!
//! Owns: everything inside one partition directory. Invariants: what `LogEvent::DurableEnd` has
//! named is never lost, moved or changed; offsets are handed out once; a segment is created only
//! after the one before it is durable, exact in length and indexed. Runs on: the core of the
//! partition. Bounded by: `limits`, and by the segments that are retained.

pub mod aborted;
mod ahead;
mod append;
mod area;
pub mod batch_scanner;
mod batch_search;
pub mod clean_marker;
mod compaction;
mod compaction_copy;
mod compaction_pass;
mod compaction_transactions;
pub mod config;
mod cut;
mod damage;
mod delay;
mod delete;
pub mod event;
pub mod leader_epochs;
mod log_start;
mod lookup;
mod memory;
pub mod offset_index;
mod offset_map;
mod open;
mod operations;
pub mod partition_log;
pub mod partition_metadata;
mod point;
pub mod producer_snapshot;
pub mod producer_state;
mod read;
mod read_ahead;
mod recover;
mod recover_from_point;
pub mod recovery_point;
mod refused_producers;
mod retention;
mod roll;
pub mod segment;
mod segment_walk;
mod spare;
mod stop;
mod swap;
mod sync;
mod tail_buffer;
mod tail_cache;
mod task;
pub mod time_index;
mod transactions;
mod warm;
mod write;

pub use config::{AppendRules, LogConfig};
pub use event::{
    AppendError, Appended, CompactionReport, LogEvent, LookupStart, ReadError, ReadStart,
    RecoveryReport, RoundTimes, TimestampedOffset,
};
pub use memory::LogMemory;
pub use partition_log::PartitionLog;
pub use refused_producers::RefusedProducers;
