// SPDX-License-Identifier: Apache-2.0
//! The way of a member from what it owns to what it is to own: first it gives up, then it takes
//! what others have given up.
//!
//! ```text
//! Stable      -> Unrevoked (something to give up), Unreleased (something is not free), Stable
//! Unrevoked   -> Unrevoked (not given up), Unreleased, Stable
//! Unreleased  -> Unrevoked, Unreleased, Stable
//! ```
//!
//! Owns: [`next_part`]. Invariants: a member is given nothing that another one owns or has not
//! given up yet; it reaches the epoch of the target once it has given up all that it had to.
//! Runs on: the shard that coordinates. Bounded by: what the member owns and is to own.

use super::assignment::Assignment;
use super::member::{Part, Progress};
use crate::model::ids::TopicId;

/// What a member is to reach.
pub(super) struct Goal<'a> {
    pub(super) epoch: i32,
    pub(super) target: &'a Assignment,
    /// What it says that it owns, if it says so.
    pub(super) owned: Option<&'a Assignment>,
}

/// The next part of a member; `is_free` tells whether no other member has a partition.
pub(super) fn next_part(
    part: &Part,
    goal: &Goal<'_>,
    is_free: impl Fn(TopicId, i32) -> bool,
) -> Part {
    match part.progress {
        Progress::Stable if part.epoch == goal.epoch => part.clone(),
        Progress::Stable | Progress::Unreleased => step(part, goal, is_free),
        Progress::Unrevoked => match goal.owned {
            Some(owned) if !owned.meets(&part.revoking) => step(part, goal, is_free),
            _ => part.clone(),
        },
    }
}

fn step(part: &Part, goal: &Goal<'_>, is_free: impl Fn(TopicId, i32) -> bool) -> Part {
    let mut assigned = part.assigned.and(goal.target);
    let revoking = part.assigned.without(goal.target);
    let has_to_revoke =
        !revoking.is_empty() && goal.owned.is_none_or(|owned| owned.meets(&revoking));
    if has_to_revoke {
        return Part {
            epoch: part.epoch,
            previous_epoch: part.epoch,
            progress: Progress::Unrevoked,
            assigned,
            revoking,
        };
    }
    let mut progress = Progress::Stable;
    for (topic, partition) in goal.target.without(&assigned).iter() {
        if is_free(topic, partition) {
            assigned.insert(topic, partition);
        } else {
            progress = Progress::Unreleased;
        }
    }
    let mut next = Part {
        epoch: goal.epoch,
        previous_epoch: part.epoch,
        progress,
        assigned,
        revoking: Assignment::default(),
    };
    let is_same = Part {
        previous_epoch: part.previous_epoch,
        ..next.clone()
    };
    if is_same == *part {
        // Nothing that its client has not heard of.
        next.previous_epoch = part.previous_epoch;
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::Uuid;

    fn set(partitions: &[i32]) -> Assignment {
        let partitions = partitions.iter();
        partitions.map(|one| (Uuid([1; 16]), *one)).collect()
    }

    fn part(epoch: i32, progress: Progress, assigned: &[i32], revoking: &[i32]) -> Part {
        Part {
            epoch,
            previous_epoch: epoch - 1,
            progress,
            assigned: set(assigned),
            revoking: set(revoking),
        }
    }

    fn next(part: &Part, epoch: i32, target: &[i32], owned: Option<&[i32]>, taken: &[i32]) -> Part {
        let (target, owned) = (set(target), owned.map(set));
        let goal = Goal {
            epoch,
            target: &target,
            owned: owned.as_ref(),
        };
        next_part(part, &goal, |_, one| !taken.contains(&one))
    }

    #[test]
    fn who_is_where_it_is_to_be_stays() {
        let stable = part(5, Progress::Stable, &[1], &[]);
        assert_eq!(next(&stable, 5, &[1], None, &[]), stable);
        let moved = next(&stable, 6, &[1], None, &[]);
        assert_eq!((moved.epoch, moved.previous_epoch), (6, 5));
        assert_eq!(moved.assigned, set(&[1]));
    }

    #[test]
    fn first_it_gives_up_and_then_it_takes() {
        let stable = part(5, Progress::Stable, &[1, 2], &[]);
        let revoking = next(&stable, 6, &[2, 3], None, &[]);
        assert_eq!(revoking.progress, Progress::Unrevoked);
        assert_eq!((revoking.epoch, revoking.previous_epoch), (5, 5));
        assert_eq!(
            (&revoking.assigned, &revoking.revoking),
            (&set(&[2]), &set(&[1]))
        );
        // It says nothing, or still owns it.
        assert_eq!(next(&revoking, 6, &[2, 3], None, &[]), revoking);
        assert_eq!(next(&revoking, 7, &[2, 3], Some(&[1, 2]), &[]), revoking);
        let done = next(&revoking, 7, &[2, 3], Some(&[2]), &[]);
        assert_eq!((done.epoch, done.progress), (7, Progress::Stable));
        assert_eq!((&done.assigned, &done.revoking), (&set(&[2, 3]), &set(&[])));
    }

    #[test]
    fn it_takes_what_is_free_and_waits_for_the_rest() {
        let new = Part::default();
        let waits = next(&new, 3, &[1, 2], Some(&[]), &[2]);
        assert_eq!((waits.epoch, waits.progress), (3, Progress::Unreleased));
        assert_eq!(waits.assigned, set(&[1]));
        assert_eq!(next(&waits, 3, &[1, 2], None, &[2]), waits, "nothing new");
        let whole = next(&waits, 3, &[1, 2], None, &[]);
        assert_eq!((whole.epoch, whole.progress), (3, Progress::Stable));
        assert_eq!(whole.assigned, set(&[1, 2]));
        // While it waits it may have to give something up again.
        let back = next(&waits, 4, &[2], Some(&[1]), &[2]);
        assert_eq!((back.epoch, back.progress), (3, Progress::Unrevoked));
    }

    #[test]
    fn what_it_does_not_own_any_more_it_need_not_give_up() {
        let stable = part(5, Progress::Stable, &[1, 2], &[]);
        let next = next(&stable, 6, &[3], Some(&[]), &[]);
        assert_eq!((next.epoch, next.progress), (6, Progress::Stable));
        assert_eq!(next.assigned, set(&[3]));
    }
}
