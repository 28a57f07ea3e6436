// SPDX-License-Identifier: Apache-2.0
//! Messages from core to core.
//!
//! Owns: [`MeshMessage`]. Invariants: one message per foreign shard and request (a fetch that waits
//! takes a second one, and a call to a coordinator that waits for other members has its own
//! answer); record bytes cross as `Bytes`; a shard that asks itself uses the same messages, without
//! the mesh.
//! Runs on: made on one core, consumed on another. Bounded by: `MESH_LANE_MESSAGES_MAX` per pair of
//! cores.

use std::sync::Arc;

use super::control_shard::admission::Refusal;
use super::groups::GroupAsk;
use super::parts::asks::{Ask, AskResult};
use super::parts::fetch::{FetchParts, FetchedParts};
use super::parts::offsets::{OffsetLookup, OffsetResult};
use super::parts::produce::{ProduceBatch, ProduceParts};
use super::stage::Way;
use super::transactions::TxnAsk;
use crate::control::request::{ControlAnswer, ControlRequest};
use crate::group::GroupAnswer;
use crate::log::RefusedProducers;
use crate::model::ids::{ConnectionId, ShardId, TopicPartition};
use crate::model::image::MetadataImage;
use crate::model::peer::PeerAddress;
use crate::quota::MeterUse;
use crate::txn::TxnAnswer;

/// Where a message comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// From whom.
    pub shard: ShardId,
    /// How long it was under way; nothing within a shard.
    pub hop_us: u64,
}

/// What one core tells another. Requests carry a number of the asker's choosing that comes back
/// with the answer.
#[derive(Debug)]
pub enum MeshMessage {
    /// Any shard to the control shard.
    ControlRequest {
        /// Comes back with the answer.
        request: u64,
        /// What is asked.
        body: ControlRequest,
    },
    /// The control shard's answer; sent after every shard has applied the image that makes it true.
    ControlAnswer {
        /// Of the request.
        request: u64,
        /// The outcome.
        body: ControlAnswer,
    },
    /// A data shard has accepted a connection.
    Arrived {
        /// Which.
        connection: ConnectionId,
        /// From where.
        peer: PeerAddress,
        /// True if no request of it is taken before it is admitted.
        waits: bool,
    },
    /// A connection has ended.
    Left {
        /// Which.
        connection: ConnectionId,
    },
    /// Whether a connection is served.
    Admitted {
        /// Which.
        connection: ConnectionId,
        /// Why not, if it is not.
        result: Result<(), Refusal>,
    },
    /// The control shard publishes new metadata to a data shard.
    Image(Arc<MetadataImage>),
    /// A data shard has applied an image: its partitions are open (or deleted) accordingly.
    ImageApplied {
        /// `MetadataImage::version`.
        version: i64,
    },
    /// The control shard tells a data shard to listen: it has sent the first image, so metadata can
    /// be answered; partitions that are not open yet ask their clients to try again.
    Serve,
    /// Partitions leave the shard that sends this: say `Drained` behind every request that was
    /// routed by an older image than this one.
    Drain {
        /// `MetadataImage::version`.
        version: i64,
    },
    /// The answer to `Drain`.
    Drained,
    /// The log of a partition was closed by the shard that sends this; open it.
    Handover {
        /// Which.
        at: TopicPartition,
        /// Producers that were refused there.
        refused: RefusedProducers,
    },
    /// Append to partitions of the shard that gets this.
    Produce {
        /// Comes back with `Produced`.
        request: u64,
        /// What.
        body: ProduceParts,
    },
    /// How the appends ended.
    Produced {
        /// Of the request.
        request: u64,
        /// The batches, without their records and with their outcomes.
        batches: Vec<ProduceBatch>,
        /// What the one waited for that ended last.
        way: Way,
    },
    /// Read from partitions of the shard that gets this.
    Fetch {
        /// Comes back with `Fetched`.
        request: u64,
        /// What.
        body: FetchParts,
    },
    /// A fetch that waits is to be answered now with what there is.
    FetchFinish {
        /// Of the request.
        request: u64,
    },
    /// A fetch that waits is not wanted any more.
    FetchCancel {
        /// Of the request.
        request: u64,
    },
    /// What was read.
    Fetched {
        /// Of the request.
        request: u64,
        /// The outcome.
        body: FetchedParts,
    },
    /// Bytes came for a fetch that waits on several shards, too few to end it by themselves.
    FetchProgress {
        /// Of the request.
        request: u64,
        /// Bytes that it could read on this shard now.
        bytes: u64,
    },
    /// Find offsets in partitions of the shard that gets this.
    Offsets {
        /// Comes back with `OffsetsFound`.
        request: u64,
        /// What.
        lookups: Vec<OffsetLookup>,
    },
    /// Put questions to partitions of the shard that gets this.
    Asks {
        /// Comes back with `Said`.
        request: u64,
        /// What.
        asks: Vec<Ask>,
    },
    /// What the partitions say.
    Said {
        /// Of the request.
        request: u64,
        /// One for each.
        results: Vec<AskResult>,
    },
    /// Calls to coordinators of the shard that gets this.
    GroupAsks {
        /// Comes back with `GroupsSaid`.
        request: u64,
        /// What.
        asks: Vec<GroupAsk>,
    },
    /// What coordinators say to some of the calls of a request; the others follow.
    GroupsSaid {
        /// Of the request.
        request: u64,
        /// For how long they waited for others, as they were asked to, in microseconds.
        waited_us: u64,
        /// Places and answers.
        answers: Vec<(usize, GroupAnswer)>,
    },
    /// Calls to coordinators of transactions of the shard that gets this.
    TxnAsks {
        /// Comes back with `TxnsSaid`.
        request: u64,
        /// What.
        asks: Vec<TxnAsk>,
    },
    /// What they say to some of the calls of a request; the others follow.
    TxnsSaid {
        /// Of the request.
        request: u64,
        /// Places and answers.
        answers: Vec<(usize, TxnAnswer)>,
    },
    /// A part of a request of this connection took so long on the shard that sends this.
    TimeSpent {
        /// Of which connection.
        connection: ConnectionId,
        /// How long, in microseconds.
        took_us: u64,
    },
    /// What clients of the shard that sends this have used of their quotas since it told last.
    QuotaUses {
        /// Of which quotas, and how much.
        uses: Arc<[MeterUse]>,
    },
    /// The offsets.
    OffsetsFound {
        /// Of the request.
        request: u64,
        /// One for each.
        results: Vec<OffsetResult>,
    },
}
