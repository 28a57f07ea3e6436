// SPDX-License-Identifier: Apache-2.0
//! Requests of this shard's clients that wait for something: other cores, the disk, the controller,
//! time.
//!
//! Owns: [`RequestTable`]. Invariants: a number is used once; a request is taken out before it is
//! answered.
//! Runs on: the shard that accepted the connection.
//! Bounded by: `CONNECTIONS_PER_SHARD_MAX` times `REQUESTS_IN_FLIGHT_PER_CONNECTION_MAX`.

use super::api::asks::AsksPending;
use super::api::calls::CallsPending;
use super::api::fetch::FetchPending;
use super::api::list_offsets::OffsetsPending;
use super::api::produce::ProducePending;
use super::api::{ApiError, Reply};
use super::connection::SlotId;
use super::machine::Shard;
use crate::control::request::ControlAnswer;
use crate::group::GroupAnswer;
use crate::model::number_map::NumberMap;
use crate::model::time::MonotonicUs;
use crate::txn::TxnAnswer;
use crate::wire::protocol::describe_log_dirs::DescribeLogDirsRequest;

/// What every handler knows of the request it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Where the answer goes.
    pub slot: SlotId,
    /// Version of the request and its answer.
    pub version: i16,
    /// Repeated by the answer.
    pub correlation_id: i32,
    /// The place of its API in `APIS`.
    pub api: usize,
    /// When its frame was there.
    pub arrived_us: MonotonicUs,
    /// When it was handled.
    pub handled_us: MonotonicUs,
}

/// Makes the answer once the controller has answered.
pub type Continuation = Box<dyn FnOnce(&Shard, &Call, ControlAnswer) -> Result<Reply, ApiError>>;

/// What a request waits for.
pub enum Pending {
    /// The owners of partitions that are written to.
    Produce(ProducePending),
    /// The owners of partitions that are read.
    Fetch(FetchPending),
    /// The owners of partitions whose offsets are asked for.
    Offsets(OffsetsPending),
    /// The owners of partitions that are asked something.
    Asks(AsksPending),
    /// The size of the volume.
    Volume(DescribeLogDirsRequest),
    /// The coordinators of groups.
    Groups(CallsPending<GroupAnswer>),
    /// The coordinators of transactions.
    Transactions(CallsPending<TxnAnswer>),
    /// The controller.
    Control(Continuation),
}

/// All requests that wait.
#[derive(Default)]
pub struct RequestTable {
    requests: NumberMap<(Call, Pending)>,
    next: u64,
}

impl RequestTable {
    /// A number for a request.
    pub fn next_number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Keeps a request under its number.
    pub fn insert(&mut self, request: u64, call: Call, pending: Pending) {
        let before = self.requests.insert(request, (call, pending));
        assert!(before.is_none(), "a request is kept once");
    }

    /// The request with this number.
    pub fn get_mut(&mut self, request: u64) -> Option<&mut (Call, Pending)> {
        self.requests.get_mut(request)
    }

    /// Takes out the request with this number.
    pub fn remove(&mut self, request: u64) -> Option<(Call, Pending)> {
        self.requests.remove(request)
    }

    /// How many wait.
    #[must_use]
    pub fn count(&self) -> usize {
        self.requests.len()
    }
}
