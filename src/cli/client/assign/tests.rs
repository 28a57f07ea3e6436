// SPDX-License-Identifier: Apache-2.0
//! The assignors on the textbook cases of Kafka's documentation, and as properties.
//!
//! Owns: nothing. Invariants: none. Runs on: the test runner. Bounded by: small groups.

use super::*;
use proptest::prelude::*;

fn wish(member: &str, topics: &[&str]) -> Wish {
    Wish {
        member: member.to_owned(),
        topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
        generation: -1,
        ..Wish::default()
    }
}

fn counts(topics: &[(&str, i32)]) -> BTreeMap<String, i32> {
    let owned = topics
        .iter()
        .map(|(topic, count)| ((*topic).to_owned(), *count));
    owned.collect()
}

/// `t0-0 t0-1`, for each member.
fn shown(shares: &Shares) -> Vec<(&str, String)> {
    let one = |(member, places): (&String, &Vec<Place>)| -> (_, _) {
        let names: Vec<String> = places
            .iter()
            .map(|(topic, partition)| format!("{topic}-{partition}"))
            .collect();
        (
            shares.get_key_value(member).map_or("", |(name, _)| name),
            names.join(" "),
        )
    };
    shares.iter().map(one).collect()
}

fn given(assignor: Assignor, wishes: &[Wish], topics: &[(&str, i32)], expected: &[(&str, &str)]) {
    let shares = assign(assignor, wishes, &counts(topics));
    let expected: Vec<(&str, String)> = expected
        .iter()
        .map(|(member, places)| (*member, (*places).to_owned()))
        .collect();
    assert_eq!(shown(&shares), expected, "{assignor:?}");
}

/// The members as they are after they got their shares.
fn after(wishes: &[Wish], shares: &Shares, generation: i32) -> Vec<Wish> {
    let mut wishes = wishes.to_vec();
    for wish in &mut wishes {
        wish.owned = shares[&wish.member].clone();
        wish.generation = generation;
    }
    wishes
}

#[test]
fn range_gives_neighbours_of_each_topic() {
    let both = [wish("c0", &["t0", "t1"]), wish("c1", &["t0", "t1"])];
    let expected = [("c0", "t0-0 t0-1 t1-0 t1-1"), ("c1", "t0-2 t1-2")];
    given(Assignor::Range, &both, &[("t0", 3), ("t1", 3)], &expected);
    let uneven = [
        wish("c0", &["t0"]),
        wish("c1", &["t0", "t1"]),
        wish("c2", &["t0"]),
    ];
    let expected = [("c0", "t0-0"), ("c1", "t0-1 t1-0 t1-1"), ("c2", "")];
    given(Assignor::Range, &uneven, &[("t0", 2), ("t1", 2)], &expected);
}

#[test]
fn round_robin_goes_on_from_topic_to_topic() {
    let both = [wish("c0", &["t0", "t1"]), wish("c1", &["t0", "t1"])];
    let expected = [("c0", "t0-0 t0-2 t1-1"), ("c1", "t0-1 t1-0 t1-2")];
    given(
        Assignor::RoundRobin,
        &both,
        &[("t0", 3), ("t1", 3)],
        &expected,
    );
    let uneven = [
        wish("c0", &["t0"]),
        wish("c1", &["t0", "t1"]),
        wish("c2", &["t0", "t1", "t2"]),
    ];
    let expected = [
        ("c0", "t0-0"),
        ("c1", "t1-0"),
        ("c2", "t1-1 t2-0 t2-1 t2-2"),
    ];
    let topics = [("t0", 1), ("t1", 2), ("t2", 3)];
    given(Assignor::RoundRobin, &uneven, &topics, &expected);
}

#[test]
fn sticky_keeps_what_there_is_when_a_member_leaves() {
    let topics = [("t0", 2), ("t1", 2), ("t2", 2), ("t3", 2)];
    let all = ["t0", "t1", "t2", "t3"];
    let three = [wish("c0", &all), wish("c1", &all), wish("c2", &all)];
    let first = assign(Assignor::Sticky, &three, &counts(&topics));
    assert_eq!(sizes(&first), [3, 3, 2]);
    let two = after(&three, &first, 1);
    let two = [two[0].clone(), two[2].clone()];
    let second = assign(Assignor::Sticky, &two, &counts(&topics));
    assert_eq!(sizes(&second), [4, 4]);
    for member in ["c0", "c2"] {
        let kept = first[member]
            .iter()
            .all(|place| second[member].contains(place));
        assert!(
            kept,
            "{member} had {:?} and has {:?}",
            first[member], second[member]
        );
    }
}

#[test]
fn sticky_is_more_even_than_round_robin() {
    let uneven = [
        wish("c0", &["t0"]),
        wish("c1", &["t0", "t1"]),
        wish("c2", &["t0", "t1", "t2"]),
    ];
    let topics = [("t0", 1), ("t1", 2), ("t2", 3)];
    let expected = [
        ("c0", "t0-0"),
        ("c1", "t1-0 t1-1"),
        ("c2", "t2-0 t2-1 t2-2"),
    ];
    given(Assignor::Sticky, &uneven, &topics, &expected);
}

#[test]
fn a_partition_travels_through_a_member_in_between() {
    // c0 and c2 share no topic: c1 must pass one on.
    let mut wishes = [
        wish("c0", &["a"]),
        wish("c1", &["a", "b"]),
        wish("c2", &["b"]),
    ];
    let own = |topic: &str, list: &[i32]| -> Vec<Place> {
        list.iter().map(|one| (topic.to_owned(), *one)).collect()
    };
    wishes[0].owned = own("a", &[0, 1, 2]);
    wishes[1].owned = own("b", &[0, 1]);
    wishes[2].owned = own("b", &[2]);
    let shares = assign(Assignor::Sticky, &wishes, &counts(&[("a", 3), ("b", 3)]));
    assert_eq!(sizes(&shares), [2, 2, 2]);
}

#[test]
fn a_cooperative_group_moves_in_two_rounds() {
    let topics = [("t", 4)];
    let one = [wish("c0", &["t"])];
    let alone = assign(Assignor::CooperativeSticky, &one, &counts(&topics));
    assert_eq!(shown(&alone), [("c0", "t-0 t-1 t-2 t-3".to_owned())]);
    let mut two = after(&one, &alone, 1);
    two.push(wish("c1", &["t"]));
    let first = assign(Assignor::CooperativeSticky, &two, &counts(&topics));
    let expected = [("c0", "t-0 t-1".to_owned()), ("c1", String::new())];
    assert_eq!(
        shown(&first),
        expected,
        "what moves is nobody's for a round"
    );
    let second = assign(
        Assignor::CooperativeSticky,
        &after(&two, &first, 2),
        &counts(&topics),
    );
    let expected = [("c0", "t-0 t-1".to_owned()), ("c1", "t-2 t-3".to_owned())];
    assert_eq!(shown(&second), expected);
}

#[test]
fn an_old_claim_does_not_count() {
    let topics = [("t", 2)];
    let mut wishes = [wish("c0", &["t"]), wish("c1", &["t"])];
    let all: Vec<Place> = vec![("t".to_owned(), 0), ("t".to_owned(), 1)];
    // c1 slept through a generation in which c0 got both.
    wishes[0].owned = all.clone();
    wishes[0].generation = 5;
    wishes[1].owned = all.clone();
    wishes[1].generation = 4;
    let shares = assign(Assignor::Sticky, &wishes, &counts(&topics));
    assert_eq!(
        shown(&shares),
        [("c0", "t-0".to_owned()), ("c1", "t-1".to_owned())]
    );
    // Both say so of one generation: neither is believed, and each gets one.
    wishes[1].generation = 5;
    let shares = assign(Assignor::Sticky, &wishes, &counts(&topics));
    assert_eq!(sizes(&shares), [1, 1]);
}

#[test]
fn static_members_come_first_by_their_own_names() {
    let mut wishes = [wish("c0", &["t"]), wish("c1", &["t"]), wish("c2", &["t"])];
    wishes[1].instance = Some("z".to_owned());
    wishes[2].instance = Some("a".to_owned());
    let expected = [("c0", "t-3"), ("c1", "t-2"), ("c2", "t-0 t-1")];
    given(Assignor::Range, &wishes, &[("t", 4)], &expected);
}

#[test]
fn a_topic_that_is_not_there_is_nobodys() {
    for assignor in [Assignor::Range, Assignor::RoundRobin, Assignor::Sticky] {
        given(assignor, &[wish("c0", &["gone"])], &[], &[("c0", "")]);
        given(assignor, &[], &[("t", 3)], &[]);
    }
}

fn sizes(shares: &Shares) -> Vec<usize> {
    shares.values().map(Vec::len).collect()
}

fn groups() -> impl Strategy<Value = (Vec<Wish>, BTreeMap<String, i32>)> {
    let names = ["a", "b", "c", "d"];
    let one = (
        prop::collection::btree_set(prop::sample::select(names.to_vec()), 0..4),
        prop::collection::vec((prop::sample::select(names.to_vec()), 0i32..8), 0..9),
        -1i32..3,
    );
    let counts = prop::collection::btree_map(
        prop::sample::select(names.to_vec()).prop_map(str::to_owned),
        0i32..8,
        0..4,
    );
    (prop::collection::vec(one, 1..7), counts).prop_map(|(members, counts)| {
        let wish = |(number, (topics, owned, generation))| {
            let (topics, owned): (BTreeSet<&str>, Vec<(&str, i32)>) = (topics, owned);
            Wish {
                member: format!("m{number}"),
                instance: None,
                topics: topics.into_iter().map(str::to_owned).collect(),
                owned: owned
                    .into_iter()
                    .map(|(topic, one)| (topic.to_owned(), one))
                    .collect(),
                generation,
            }
        };
        (members.into_iter().enumerate().map(wish).collect(), counts)
    })
}

const ALL: [Assignor; 4] = [
    Assignor::Range,
    Assignor::RoundRobin,
    Assignor::Sticky,
    Assignor::CooperativeSticky,
];

proptest! {
    #[test]
    fn every_wanted_partition_has_one_owner_that_wants_it((wishes, counts) in groups()) {
        for assignor in ALL {
            let shares = assign(assignor, &wishes, &counts);
            let mut all: Vec<&Place> = shares.values().flatten().collect();
            let given = all.len();
            all.sort();
            all.dedup();
            prop_assert_eq!(all.len(), given, "one owner each: {:?}", assignor);
            for wish in &wishes {
                for (topic, _) in &shares[&wish.member] {
                    prop_assert!(wish.topics.contains(topic), "{:?}", assignor);
                }
            }
            let refs: Vec<&Wish> = wishes.iter().collect();
            let wanted = wanted(&refs, &counts);
            match assignor.is_cooperative() {
                false => prop_assert_eq!(all.len(), wanted.len(), "{:?}", assignor),
                true => prop_assert!(all.len() <= wanted.len()),
            }
        }
    }

    #[test]
    fn the_order_of_members_does_not_matter((wishes, counts) in groups()) {
        let reversed: Vec<Wish> = wishes.iter().rev().cloned().collect();
        for assignor in ALL {
            let shares = assign(assignor, &wishes, &counts);
            prop_assert_eq!(assign(assignor, &reversed, &counts), shares);
        }
    }

    #[test]
    fn a_sticky_assignment_is_even_and_stays((wishes, counts) in groups()) {
        let shares = assign(Assignor::Sticky, &wishes, &counts);
        for giver in &wishes {
            for taker in &wishes {
                let (has, takes) = (&shares[&giver.member], &shares[&taker.member]);
                let could = has.iter().any(|(topic, _)| taker.topics.contains(topic));
                prop_assert!(!could || has.len() <= takes.len() + 1, "{:?}", shares);
            }
        }
        let again = assign(Assignor::Sticky, &after(&wishes, &shares, 9), &counts);
        prop_assert_eq!(again, shares, "nothing changed, so nothing moves");
    }

    #[test]
    fn a_cooperative_group_comes_to_rest_and_never_takes_from_a_holder(
        (wishes, counts) in groups(),
    ) {
        let mut wishes = wishes;
        for round in 3..20 {
            let shares = assign(Assignor::CooperativeSticky, &wishes, &counts);
            for (member, places) in &shares {
                let others = wishes.iter().filter(|wish| wish.member != *member);
                let held: BTreeSet<&Place> = others.flat_map(|wish| &wish.owned).collect();
                prop_assert!(places.iter().all(|place| !held.contains(place)));
            }
            let next = after(&wishes, &shares, round);
            if next.iter().zip(&wishes).all(|(left, right)| left.owned == right.owned) {
                let refs: Vec<&Wish> = wishes.iter().collect();
                let total: usize = shares.values().map(Vec::len).sum();
                prop_assert_eq!(total, wanted(&refs, &counts).len());
                return Ok(());
            }
            wishes = next;
        }
        prop_assert!(false, "it does not come to rest");
    }
}
