// SPDX-License-Identifier: Apache-2.0
//! What members of groups of the new protocol (KIP-848) were told, and what they held when.
//!
//! Invariants: a member notes what it holds before it acts on it, and what it holds no more before
//! it says so to anybody; no two processes have one member id.

use furlong::model::ids::Uuid;

use super::groups::GroupIndex;

/// A partition as the new protocol names it.
pub type Spot = (Uuid, i32);

/// One entry.
#[derive(Clone, Debug)]
pub enum OwnerEntry {
    /// A member was told its epoch.
    Epoch {
        group: GroupIndex,
        member: String,
        /// Length of the history when it asked.
        called: usize,
        epoch: i32,
    },
    /// All that a member holds from now on. If it says nothing further, it holds it until then: its
    /// session, or the time that it has to give something up, may be over.
    Holds {
        group: GroupIndex,
        member: String,
        at_us: u64,
        until_us: u64,
        spots: Vec<Spot>,
    },
    /// A member was told that it is none any more with this epoch.
    Outcast {
        group: GroupIndex,
        member: String,
        epoch: i32,
    },
    /// At the end: what a client wants, whose group has come to rest.
    Wants {
        group: GroupIndex,
        client: usize,
        at_us: u64,
        spots: Vec<Spot>,
    },
}
