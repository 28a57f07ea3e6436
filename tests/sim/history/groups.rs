// SPDX-License-Identifier: Apache-2.0
//! What members of groups did and were told.
//!
//! Invariants: no two assignments and no two commits of a run have one number, so that an answer
//! says by itself where it comes from; a change of offsets is noted before it leaves, and each
//! attempt is a change of its own.

use super::{Entry, History, Place};

/// A group by its index in `GROUPS`.
pub type GroupIndex = usize;

/// The groups of a run: one with members that stays, one with members that is deleted now and
/// then, one without members, one whose offsets go along with transactions, one of the new
/// protocol, and one with members of both protocols.
pub const GROUPS: [&str; 6] = [
    "lasting-group",
    "churn-group",
    "alone-group",
    "txn-group",
    "new-group",
    "mixed-group",
];

/// Groups with members of the classic protocol, and the one without members.
pub const CLASSIC_GROUPS: [GroupIndex; 3] = [0, CHURN_GROUP, ALONE_GROUP];

/// The group with members of the new protocol.
pub const NEW_GROUP: GroupIndex = 4;

/// The group with members of both protocols.
pub const MIXED_GROUP: GroupIndex = 5;

/// The group whose offsets only transactions commit.
pub const TXN_GROUP: GroupIndex = 3;

/// The group that somebody deletes.
pub const CHURN_GROUP: GroupIndex = 1;

/// The group that has no members.
pub const ALONE_GROUP: GroupIndex = 2;

/// What one member gets of an assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// The member.
    pub member: String,
    /// The name that stays with a static member; the member's id for others.
    pub owner: String,
    /// What it gets.
    pub places: Vec<Place>,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Acknowledged.
    Done,
    /// Refused: it has changed nothing.
    Refused,
    /// It may have changed something, and will not any more.
    Over,
}

/// One attempt to change committed offsets.
#[derive(Clone, Debug)]
pub struct Change {
    /// Whose.
    pub group: GroupIndex,
    /// Of what, `None` for all that the group has.
    pub place: Option<Place>,
    /// The number of the commit, `None` for a deletion.
    pub mark: Option<u64>,
    /// The member, empty without one.
    pub member: String,
    /// Its generation or epoch, -1 without one.
    pub generation: i32,
    /// The process that it was sent to.
    pub incarnation: u32,
    /// Length of the history when it was sent.
    pub asked: usize,
    /// Length of the history when it was answered, and how.
    pub ended: Option<(usize, Outcome)>,
}

/// One entry.
#[derive(Clone, Debug)]
pub enum GroupEntry {
    /// A member was told the generation that it is in.
    Joined {
        group: GroupIndex,
        called: usize,
        generation: i32,
    },
    /// The leader of a generation sent its assignment.
    Assigned {
        group: GroupIndex,
        generation: i32,
        number: u64,
        shares: Vec<Share>,
    },
    /// A member was told what it has in a generation.
    Told {
        group: GroupIndex,
        called: usize,
        generation: i32,
        member: String,
        owner: String,
        /// Of the assignment; `None` if there was none.
        number: Option<u64>,
        places: Vec<Place>,
    },
    /// A change was asked for.
    ChangeAsked,
    /// A change was answered.
    ChangeEnded { change: usize },
    /// Somebody was told a committed offset, by the number of the commit.
    Offset {
        group: GroupIndex,
        place: Place,
        called: usize,
        mark: Option<u64>,
        /// The process that said it.
        incarnation: u32,
    },
}

impl History {
    /// Notes a change that is about to leave.
    pub fn ask_change(&mut self, mut change: Change) -> usize {
        change.asked = self.entries.len();
        let number = self.changes.len();
        self.changes.push(change);
        self.push(Entry::Group(GroupEntry::ChangeAsked));
        number
    }

    /// Notes the end of a change.
    pub fn end_change(&mut self, change: usize, outcome: Outcome) {
        let at = self.entries.len();
        self.changes[change].ended = Some((at, outcome));
        self.push(Entry::Group(GroupEntry::ChangeEnded { change }));
    }
}
