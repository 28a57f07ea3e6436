// SPDX-License-Identifier: Apache-2.0
//! Where the offsets of a group are to go, and what that means for each partition.
//!
//! Owns: [`Goal`], [`plan`]. Invariants: no planned offset lies outside its partition's log; what
//! was asked for and lies outside is moved to the nearer end, and said. Runs on: the command's
//! thread. Bounded by: the partitions of one group.

use std::collections::BTreeMap;

use crate::cli::client::offsets::Place;

/// Where to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// To the first record.
    Earliest,
    /// Behind the last record.
    Latest,
    /// Where the group is; where it is not, behind the last record.
    Current,
    /// To an offset.
    Offset(i64),
    /// So many records forward, or back.
    Shift(i64),
    /// To the first record of a moment or later, in milliseconds since 1970.
    Time(i64),
    /// To an offset for each partition.
    Each(BTreeMap<Place, i64>),
}

/// What is known of one partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// Its first offset.
    pub(super) begin: i64,
    /// The offset of the next record to be written.
    pub(super) end: i64,
    /// What the group committed.
    pub(super) committed: Option<i64>,
    /// The first offset at the moment, if a moment is the goal and there is such a record.
    pub(super) at_time: Option<i64>,
}

/// One partition's way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// Topic and partition.
    pub(super) place: Place,
    /// What is known of it.
    pub(super) known: Known,
    /// The offset to commit.
    pub(super) to: i64,
    /// What a person should know about that.
    pub(super) note: Option<String>,
}

/// The way of each partition.
///
/// # Errors
/// A sentence for a partition that cannot go there.
pub(super) fn plan(goal: &Goal, known: &BTreeMap<Place, Known>) -> Result<Vec<Change>, String> {
    let one = |(place, known): (&Place, &Known)| {
        let wanted = wanted(goal, place, known)?;
        let to = wanted.clamp(known.begin, known.end);
        let note = match wanted.cmp(&to) {
            std::cmp::Ordering::Less => Some(format!("{wanted} is before the first record")),
            std::cmp::Ordering::Greater => Some(format!("{wanted} is past the end")),
            std::cmp::Ordering::Equal if matches!(goal, Goal::Time(_)) => known
                .at_time
                .is_none()
                .then(|| "no record is that late".to_owned()),
            std::cmp::Ordering::Equal => None,
        };
        Ok(Change {
            place: place.clone(),
            known: *known,
            to,
            note,
        })
    };
    known.iter().map(one).collect()
}

fn wanted(goal: &Goal, place: &Place, known: &Known) -> Result<i64, String> {
    let (topic, partition) = place;
    Ok(match goal {
        Goal::Earliest => known.begin,
        Goal::Latest => known.end,
        Goal::Current => known.committed.unwrap_or(known.end),
        Goal::Offset(offset) => *offset,
        Goal::Shift(count) => match known.committed {
            Some(committed) => committed.saturating_add(*count),
            None => {
                return Err(format!(
                    "the group has no offset in partition {partition} of topic {topic} that could \
                     be shifted; give --to-earliest, --to-latest or --to-offset for it"
                ));
            }
        },
        Goal::Time(_) => known.at_time.unwrap_or(known.end),
        Goal::Each(offsets) => *offsets
            .get(place)
            .ok_or_else(|| format!("the file has no partition {partition} of topic {topic}"))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place(partition: i32) -> Place {
        ("t".to_owned(), partition)
    }

    fn one(goal: &Goal, known: Known) -> Result<(i64, Option<String>), String> {
        let mut changes = plan(goal, &BTreeMap::from([(place(0), known)]))?;
        let change = changes.pop().expect("one partition, one change");
        Ok((change.to, change.note))
    }

    const KNOWN: Known = Known {
        begin: 10,
        end: 50,
        committed: Some(30),
        at_time: Some(40),
    };

    #[test]
    fn every_goal_has_its_offset() {
        for (goal, to) in [
            (Goal::Earliest, 10),
            (Goal::Latest, 50),
            (Goal::Current, 30),
            (Goal::Offset(33), 33),
            (Goal::Shift(-5), 25),
            (Goal::Shift(5), 35),
            (Goal::Time(7), 40),
            (Goal::Each(BTreeMap::from([(place(0), 12)])), 12),
        ] {
            assert_eq!(one(&goal, KNOWN), Ok((to, None)), "{goal:?}");
        }
    }

    #[test]
    fn what_lies_outside_is_moved_and_said() {
        for (goal, to, words) in [
            (Goal::Offset(3), 10, "3 is before the first record"),
            (Goal::Offset(99), 50, "99 is past the end"),
            (Goal::Shift(-25), 10, "5 is before the first record"),
            (Goal::Shift(i64::MAX), 50, "is past the end"),
        ] {
            let (found, note) = one(&goal, KNOWN).expect("a plan");
            assert_eq!(found, to, "{goal:?}");
            assert!(note.expect("a note").contains(words), "{goal:?}");
        }
    }

    #[test]
    fn a_group_that_has_nothing_there() {
        let fresh = Known {
            committed: None,
            at_time: None,
            ..KNOWN
        };
        assert_eq!(one(&Goal::Current, fresh), Ok((50, None)));
        let late = one(&Goal::Time(7), fresh).expect("the end");
        assert_eq!(late, (50, Some("no record is that late".to_owned())));
        let sentence = one(&Goal::Shift(1), fresh).expect_err("from where?");
        assert!(sentence.contains("partition 0 of topic t"), "{sentence}");
        let sentence = one(&Goal::Each(BTreeMap::new()), fresh).expect_err("not in the file");
        assert!(
            sentence.contains("the file has no partition 0"),
            "{sentence}"
        );
    }

    proptest! {
        #[test]
        fn no_plan_leaves_the_log(
            begin in 0i64..1000,
            length in 0i64..1000,
            committed in prop::option::of(0i64..3000),
            wanted in any::<i64>(),
        ) {
            let end = begin + length;
            let known = Known { begin, end, committed, at_time: None };
            for goal in [
                Goal::Earliest,
                Goal::Latest,
                Goal::Current,
                Goal::Offset(wanted),
                Goal::Shift(wanted),
                Goal::Time(wanted),
            ] {
                if let Ok((to, _)) = one(&goal, known) {
                    prop_assert!((begin..=end).contains(&to), "{:?}", goal);
                }
            }
        }
    }
}
