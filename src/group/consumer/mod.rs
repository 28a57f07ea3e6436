// SPDX-License-Identifier: Apache-2.0
//! Groups of the new protocol (KIP-848): the coordinator assigns, and leads each member from what
//! it owns to what it is to own.
//!
//! Three epochs tell how far everybody is: that of the group rises when somebody comes, goes or
//! wants something else, or topics change; that of the target assignment follows when the target
//! is made; that of a member follows once it has given up what it has to.
//!
//! A handler makes changes, which hold in memory at once, and become records; answers leave once
//! the records are committed. If the log loses one, the coordinator forgets all and reads it anew.
//!
//! Owns: [`ConsumerGroup`]. Invariants: no partition has two owners; whatever a member is told is
//! in the log. Runs on: the shard that coordinates. Bounded by: `GROUP_MEMBERS_MAX`.

mod assignment;
mod assignor;
mod change;
mod classic_members;
mod commit;
mod describe;
mod heartbeat;
mod leave;
mod member;
mod migrate;
mod pattern;
mod reconcile;
mod state;
mod steps;
mod subscription;
mod target;
mod timers;

pub(super) use change::Change;
pub(super) use heartbeat::{Beat, check_request, refusal};
pub(super) use state::ConsumerGroup;
