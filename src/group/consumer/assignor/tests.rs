// SPDX-License-Identifier: Apache-2.0
//! What assignors promise: textbook cases, and properties over drawn groups.

use std::collections::{BTreeMap, BTreeSet};

use bytestring::ByteString;
use proptest::prelude::*;

use super::*;
use crate::model::ids::Uuid;

/// A group as tests write it: members with their topics, topics with their sizes.
#[derive(Clone, Debug, Default)]
struct Drawn {
    members: BTreeMap<ByteString, (Option<ByteString>, BTreeSet<TopicId>)>,
    topics: BTreeMap<TopicId, i32>,
}

fn topic(number: u8) -> TopicId {
    Uuid([number; 16])
}

impl Drawn {
    fn new(members: &[(&str, &[u8])], topics: &[(u8, i32)]) -> Drawn {
        let members = members.iter().map(|(id, topics)| {
            let topics = topics.iter().map(|number| topic(*number)).collect();
            (ByteString::from(*id), (None, topics))
        });
        Drawn {
            members: members.collect(),
            topics: topics
                .iter()
                .map(|(one, size)| (topic(*one), *size))
                .collect(),
        }
    }

    fn assign(&self, assignor: Assignor, before: &Answer) -> Answer {
        let mut question = Question {
            topics: self.topics.clone(),
            ..Question::default()
        };
        for (id, (instance, topics)) in &self.members {
            let known = question.wishes.iter().position(|wish| wish == topics);
            let wish = known.unwrap_or_else(|| {
                question.wishes.push(topics.clone());
                question.wishes.len() - 1
            });
            let candidate = Candidate {
                instance: instance.as_ref(),
                wish,
                before: before.get(id),
            };
            question.members.insert(id, candidate);
        }
        assignor.assign(&question)
    }

    /// Each wanted partition that exists has one owner, who wants it, and nothing else is assigned.
    fn check(&self, answer: &Answer) {
        let mut owners: BTreeMap<(TopicId, i32), &ByteString> = BTreeMap::new();
        let members: Vec<&ByteString> = self.members.keys().collect();
        assert_eq!(answer.keys().collect::<Vec<_>>(), members);
        for (id, owned) in answer {
            for (topic, partition) in owned.iter() {
                assert!(self.members[id].1.contains(&topic), "{id} does not want it");
                assert!((0..self.topics[&topic]).contains(&partition));
                let other = owners.insert((topic, partition), id);
                assert_eq!(other, None, "two owners");
            }
        }
        let wanted: BTreeSet<TopicId> = self
            .members
            .values()
            .flat_map(|(_, topics)| topics.iter().copied())
            .collect();
        let sizes = self
            .topics
            .iter()
            .filter(|(topic, _)| wanted.contains(topic));
        let count: i32 = sizes.map(|(_, size)| *size).sum();
        assert_eq!(owners.len(), usize::try_from(count).expect("not negative"));
    }

    /// No partition could move to somebody who has two or more less.
    fn check_balance(&self, answer: &Answer) {
        for (giver, owned) in answer {
            for topic in owned.topic_ids() {
                for (receiver, other) in answer {
                    let wants = self.members[receiver].1.contains(&topic);
                    let is_even = other.len() + 2 > owned.len();
                    assert!(!wants || is_even, "{giver} could give to {receiver}");
                }
            }
        }
    }
}

fn shown(answer: &Answer) -> Vec<(String, Vec<String>)> {
    let shown = answer.iter().map(|(id, owned)| {
        let owned = owned
            .iter()
            .map(|(topic, one)| format!("{}-{one}", topic.0[0]));
        (id.to_string(), owned.collect())
    });
    shown.collect()
}

fn kept(before: &Answer, after: &Answer) -> usize {
    let kept = after.iter().map(|(id, owned)| {
        let before = before.get(id);
        before.map_or(0, |before| before.and(owned).len())
    });
    kept.sum()
}

#[test]
fn range_gives_neighbours_and_the_same_of_equal_topics() {
    let drawn = Drawn::new(&[("a", &[1, 2]), ("b", &[1, 2])], &[(1, 3), (2, 3)]);
    let answer = drawn.assign(Assignor::Range, &Answer::new());
    assert_eq!(
        shown(&answer),
        [
            (
                "a".into(),
                vec!["1-0".into(), "1-1".into(), "2-0".into(), "2-1".into()]
            ),
            ("b".into(), vec!["1-2".into(), "2-2".into()]),
        ]
    );
}

#[test]
fn range_puts_static_members_first_in_the_order_of_their_names() {
    let mut drawn = Drawn::new(&[("a", &[1]), ("b", &[1]), ("c", &[1])], &[(1, 3)]);
    let name = |drawn: &mut Drawn, id: &str, name: &str| {
        let member = drawn.members.get_mut(id).expect("it is there");
        member.0 = Some(name.into());
    };
    name(&mut drawn, "c", "i-1");
    name(&mut drawn, "b", "i-2");
    let answer = drawn.assign(Assignor::Range, &Answer::new());
    let owners = [("c", "1-0"), ("b", "1-1"), ("a", "1-2")];
    for (id, partition) in owners {
        let one = shown(&answer).into_iter().find(|(name, _)| name == id);
        assert_eq!(one, Some((id.to_owned(), vec![partition.to_owned()])));
    }
}

#[test]
fn uniform_moves_no_more_than_it_must() {
    let mut drawn = Drawn::new(&[("a", &[1]), ("b", &[1]), ("c", &[1])], &[(1, 18)]);
    let before = drawn.assign(Assignor::Uniform, &Answer::new());
    drawn.members.insert("d".into(), (None, [topic(1)].into()));
    let after = drawn.assign(Assignor::Uniform, &before);
    let mut loads: Vec<usize> = after.values().map(Assignment::len).collect();
    loads.sort_unstable();
    assert_eq!(loads, [4, 4, 5, 5]);
    assert_eq!(kept(&before, &after), 14, "the newcomer takes four");
    drawn.members.remove("d");
    let again = drawn.assign(Assignor::Uniform, &after);
    assert_eq!(kept(&after, &again), 14, "nobody else loses anything");
}

#[test]
fn uniform_gives_to_those_who_can_take_little_else() {
    // Only `b` wants the second topic, so `a` gets the first one as a whole.
    let drawn = Drawn::new(&[("a", &[1]), ("b", &[1, 2])], &[(1, 3), (2, 3)]);
    let answer = drawn.assign(Assignor::Uniform, &Answer::new());
    assert_eq!(
        shown(&answer),
        [
            ("a".into(), vec!["1-0".into(), "1-1".into(), "1-2".into()]),
            ("b".into(), vec!["2-0".into(), "2-1".into(), "2-2".into()]),
        ]
    );
}

#[test]
fn nobody_gets_nothing_and_nothing_is_wanted_by_nobody() {
    for assignor in [Assignor::Uniform, Assignor::Range] {
        let drawn = Drawn::new(&[], &[(1, 3)]);
        assert_eq!(drawn.assign(assignor, &Answer::new()), Answer::new());
        let drawn = Drawn::new(&[("a", &[9])], &[(1, 3)]);
        let answer = drawn.assign(assignor, &Answer::new());
        assert_eq!(shown(&answer), [("a".to_owned(), vec![])]);
        assert_eq!(Assignor::by_name(assignor.name()), Some(assignor));
    }
    assert_eq!(Assignor::by_name("sticky"), None);
}

#[test]
fn ten_thousand_members_are_assigned() {
    let ids: Vec<String> = (0..10_000)
        .map(|number| format!("member-{number:05}"))
        .collect();
    let members: Vec<(&str, &[u8])> = ids.iter().map(|id| (&**id, &[1, 2][..])).collect();
    let mut drawn = Drawn::new(&members, &[(1, 10_000), (2, 15_000)]);
    let before = drawn.assign(Assignor::Uniform, &Answer::new());
    drawn.check(&before);
    let most = before.values().map(Assignment::len).max();
    let least = before.values().map(Assignment::len).min();
    assert_eq!((most, least), (Some(3), Some(2)));
    drawn.members.remove("member-00000");
    let after = drawn.assign(Assignor::Uniform, &before);
    let lost = before["member-00000"].len();
    assert_eq!(
        kept(&before, &after),
        25_000 - lost,
        "only what was lost moves"
    );
    drawn.check(&drawn.assign(Assignor::Range, &after));
}

fn drawn_group() -> impl Strategy<Value = Drawn> {
    let wishes = proptest::collection::vec((0u8..3, 0u8..63), 0..9);
    let sizes = proptest::collection::vec(0i32..7, 6);
    (wishes, sizes).prop_map(|(members, sizes)| {
        let members = members.iter().enumerate().map(|(number, (kind, wish))| {
            let topics = (0..6).filter(|bit| wish >> bit & 1 == 1).map(topic);
            let id = ByteString::from(format!("m{number}"));
            let instance = (*kind == 0).then(|| ByteString::from(format!("i{}", 9 - number)));
            (id, (instance, topics.collect()))
        });
        Drawn {
            members: members.collect(),
            topics: (0..6)
                .map(topic)
                .zip(sizes)
                .filter(|(_, size)| *size > 0)
                .collect(),
        }
    })
}

/// The same group once somebody has left, come, or changed its mind, or a topic has grown.
fn changed(mut drawn: Drawn, what: u8, who: u8) -> Drawn {
    let id = ByteString::from(format!("m{}", who % 9));
    match what {
        0 => drop(drawn.members.remove(&id)),
        1 => drop(
            drawn
                .members
                .insert(id, (None, (0..6).map(topic).collect())),
        ),
        2 => drop(drawn.members.insert(id, (None, [topic(who % 6)].into()))),
        3 => drop(drawn.topics.insert(topic(who % 6), i32::from(who))),
        _ => drop(drawn.topics.remove(&topic(who % 6))),
    }
    drawn
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn assignments_are_whole_even_and_repeatable(
        drawn in drawn_group(),
        changes in proptest::collection::vec((0u8..5, 0u8..12), 0..8),
    ) {
        let mut drawn = drawn;
        let mut before = Answer::new();
        for (what, who) in std::iter::once((9, 0)).chain(changes) {
            drawn = changed(drawn, what, who);
            let answer = drawn.assign(Assignor::Uniform, &before);
            drawn.check(&answer);
            drawn.check_balance(&answer);
            prop_assert_eq!(&drawn.assign(Assignor::Uniform, &before), &answer);
            prop_assert_eq!(&drawn.assign(Assignor::Uniform, &answer), &answer, "it rests");
            let range = drawn.assign(Assignor::Range, &answer);
            drawn.check(&range);
            prop_assert_eq!(&drawn.assign(Assignor::Range, &Answer::new()), &range);
            before = answer;
        }
    }

    #[test]
    fn where_all_want_the_same_as_few_as_possible_move(
        count in 1usize..8, size in 0i32..40, changes in proptest::collection::vec(0usize..9, 1..8),
    ) {
        let mut drawn = Drawn::default();
        drawn.topics.insert(topic(1), size);
        for number in 0..count {
            let id = ByteString::from(format!("m{number}"));
            drawn.members.insert(id, (None, [topic(1)].into()));
        }
        let mut before = drawn.assign(Assignor::Uniform, &Answer::new());
        for who in changes {
            let id = ByteString::from(format!("m{who}"));
            if drawn.members.remove(&id).is_none() {
                drawn.members.insert(id, (None, [topic(1)].into()));
            }
            if drawn.members.is_empty() {
                continue;
            }
            let after = drawn.assign(Assignor::Uniform, &before);
            // The best that any even assignment can keep: the larger shares go to who had most.
            let members = drawn.members.len();
            let size = usize::try_from(size).expect("not negative");
            let mut had: Vec<usize> = drawn
                .members
                .keys()
                .map(|id| before.get(id).map_or(0, Assignment::len))
                .collect();
            had.sort_unstable_by(|a, b| b.cmp(a));
            let share = |place: usize| size / members + usize::from(place < size % members);
            let best: usize = had.iter().enumerate().map(|(at, had)| share(at).min(*had)).sum();
            prop_assert_eq!(kept(&before, &after), best);
            before = after;
        }
    }
}
