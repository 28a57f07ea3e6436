// SPDX-License-Identifier: Apache-2.0
//! Moments at which something is due in a group: sessions, rebalances, retention.
//!
//! Owns: [`Alarm`], [`AlarmQueue`]. Invariants: an alarm has at most one entry in the queue, never
//! later than its moment. One that is put off keeps its entry, which is moved when it comes up: a
//! heartbeat touches no tree. Runs on: the shard that coordinates. Bounded by: members and groups.

use std::collections::BTreeSet;

use bytestring::ByteString;

use crate::model::time::{MonotonicUs, Now};

/// Whose moment it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum AlarmOwner {
    /// A group waits for its members to join.
    Join(ByteString),
    /// A group waits for its members to fetch their assignment.
    Sync(ByteString),
    /// The session of a member (group, member).
    Session(ByteString, ByteString),
    /// An id that was given and not used yet (group, member).
    Pending(ByteString, ByteString),
    /// A member gives partitions up (group, member).
    Revoke(ByteString, ByteString),
    /// A classic member of a group of the new protocol joins or syncs (group, member).
    Step(ByteString, ByteString),
    /// Old offsets are looked for.
    Retention,
}

/// All entries, by moment.
#[derive(Debug, Default)]
pub(super) struct AlarmQueue {
    entries: BTreeSet<(MonotonicUs, AlarmOwner)>,
}

impl AlarmQueue {
    /// The earliest entry.
    pub(super) fn next(&self) -> Option<MonotonicUs> {
        self.entries.first().map(|(at, _)| *at)
    }

    /// Takes the earliest entry if it is due; its alarm has to be asked what it means.
    pub(super) fn pop_due(&mut self, now: Now) -> Option<AlarmOwner> {
        let (at, _) = self.entries.first()?;
        if *at > now.monotonic_us {
            return None;
        }
        self.entries.pop_first().map(|(_, owner)| owner)
    }

    /// How many entries there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }
}

/// One moment that may be set, put off and taken back.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Alarm {
    at: Option<MonotonicUs>,
    /// Where its entry stands.
    queued: Option<MonotonicUs>,
}

impl Alarm {
    /// True if there is a moment.
    pub(super) fn is_set(&self) -> bool {
        self.at.is_some()
    }

    /// Sets the moment; `owner` names who it belongs to.
    pub(super) fn set(
        &mut self,
        at: MonotonicUs,
        queue: &mut AlarmQueue,
        owner: impl Fn() -> AlarmOwner,
    ) {
        self.at = Some(at);
        match self.queued {
            Some(queued) if queued <= at => return,
            Some(queued) => {
                queue.entries.remove(&(queued, owner()));
            }
            None => {}
        }
        self.queued = Some(at);
        queue.entries.insert((at, owner()));
    }

    /// Takes the moment back.
    pub(super) fn cancel(&mut self, queue: &mut AlarmQueue, owner: impl Fn() -> AlarmOwner) {
        self.at = None;
        if let Some(queued) = self.queued.take() {
            queue.entries.remove(&(queued, owner()));
        }
    }

    /// Its entry came up. True if the moment has come; one that was put off gets a new entry.
    pub(super) fn is_due(
        &mut self,
        now: Now,
        queue: &mut AlarmQueue,
        owner: impl Fn() -> AlarmOwner,
    ) -> bool {
        self.queued = None;
        match self.at {
            Some(at) if at > now.monotonic_us => {
                self.set(at, queue, owner);
                false
            }
            Some(_) => {
                self.at = None;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(monotonic_us: u64) -> Now {
        Now {
            monotonic_us,
            wall_ms: 0,
        }
    }

    fn owner() -> AlarmOwner {
        AlarmOwner::Join("g".into())
    }

    #[test]
    fn an_alarm_that_is_put_off_comes_at_its_last_moment() {
        let (mut alarm, mut queue) = (Alarm::default(), AlarmQueue::default());
        alarm.set(10, &mut queue, owner);
        alarm.set(30, &mut queue, owner);
        assert_eq!((queue.next(), queue.len()), (Some(10), 1));
        assert_eq!(queue.pop_due(at(9)), None);
        assert_eq!(queue.pop_due(at(10)), Some(owner()));
        assert!(!alarm.is_due(at(10), &mut queue, owner));
        assert_eq!(queue.next(), Some(30));
        assert_eq!(queue.pop_due(at(30)), Some(owner()));
        assert!(alarm.is_due(at(30), &mut queue, owner));
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn an_alarm_that_is_brought_forward_or_taken_back_leaves_nothing_behind() {
        let (mut alarm, mut queue) = (Alarm::default(), AlarmQueue::default());
        alarm.set(30, &mut queue, owner);
        alarm.set(10, &mut queue, owner);
        assert_eq!((queue.next(), queue.len()), (Some(10), 1));
        alarm.cancel(&mut queue, owner);
        assert_eq!(queue.len(), 0);
        assert!(!alarm.is_due(at(99), &mut queue, owner));
    }
}
