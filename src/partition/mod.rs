// SPDX-License-Identifier: Apache-2.0
//! Log and replication joined for one replica of one partition.
//!
//! Owns: [`Partition`], its events and the errors of its operations.
//! Invariants: a produce is answered only by the handler of the completion that makes the answer
//! true; a reader never sees an offset at or above the high watermark. Runs on: the shard that owns
//! the partition. Bounded by: `limits`.

mod admin;
pub mod error;
pub mod event;
mod fetch;
mod lookup;
mod produce;
mod replica;
pub mod spec;

pub use admin::ProducerFact;
pub use error::{DeleteRecordsError, FetchError, ProduceError};
pub use event::{AppendWait, Fetched, FoundOffset, PartitionEvent, Produced};
pub use fetch::{FetchAt, FetchStart, Isolation};
pub use lookup::{OffsetQuery, QueryStart};
pub use produce::{AppendRequest, MarkerRequest};
pub use replica::{AppendCounts, Partition};
pub use spec::PartitionSpec;
