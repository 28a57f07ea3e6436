// SPDX-License-Identifier: Apache-2.0
//! What waits for coordinators: in order, and never past a marker.

use proptest::prelude::*;

use super::*;
use crate::model::ids::Uuid;
use crate::wire::record::EndMarker;

fn at(partition: i32) -> TopicPartition {
    TopicPartition {
        topic_id: Uuid([7; 16]),
        partition,
    }
}

fn claim(id: i64, epoch: i16) -> Claim {
    Claim {
        transactional_id: "x".into(),
        producer: Producer { id, epoch },
        adds: false,
    }
}

fn append(part: u64) -> Held {
    Held::Append {
        sub: SubId { part, place: 0 },
        acks: Acks::All,
    }
}

fn marker(producer_id: i64, producer_epoch: i16, transaction_version: i16) -> TxnMarker {
    TxnMarker {
        producer_id,
        producer_epoch,
        marker: EndMarker {
            is_commit: true,
            coordinator_epoch: 0,
        },
        transaction_version,
    }
}

/// The numbers of what left.
fn parts(held: &[Held]) -> Vec<u64> {
    let parts = held.iter().map(|held| match held {
        Held::Append { sub, .. } => sub.part,
        Held::Group { request, .. } => *request,
    });
    parts.collect()
}

#[test]
fn what_is_sent_behind_the_first_batch_waits_for_the_same_answer() {
    let mut table = Verifications::default();
    assert!(table.lets_pass(at(0), 1));
    let question = table.hold(at(0), claim(1, 0), append(1));
    let question = question.expect("the first one asks");
    assert!(!table.lets_pass(at(0), 1));
    assert_eq!(table.hold(at(0), claim(1, 0), append(2)), None);
    assert!(
        table.hold(at(1), claim(1, 0), append(3)).is_some(),
        "another partition"
    );
    assert!(
        table.hold(at(0), claim(2, 0), append(4)).is_some(),
        "another producer"
    );
    let (ended, next) = table.take(&question);
    assert_eq!((parts(&ended), next), (vec![1, 2], None));
    assert!(table.lets_pass(at(0), 1));
    assert_eq!(
        parts(&table.take(&question).0),
        [] as [u64; 0],
        "answered once"
    );
}

#[test]
fn another_epoch_or_transaction_asks_for_itself_in_its_turn() {
    let mut table = Verifications::default();
    let first = table.hold(at(0), claim(1, 0), append(1)).expect("asks");
    table.hold(at(0), claim(1, 1), append(2));
    let foreign = Claim {
        transactional_id: "y".into(),
        ..claim(1, 1)
    };
    table.hold(at(0), foreign.clone(), append(3));
    let (ended, second) = table.take(&first);
    assert_eq!(parts(&ended), [1]);
    let second = second.expect("the next epoch");
    assert_eq!(second.claim, claim(1, 1));
    let (ended, third) = table.take(&second);
    assert_eq!(
        parts(&ended),
        [2],
        "who names another transaction is not let in with it"
    );
    assert_eq!(third.map(|third| third.claim), Some(foreign));
}

#[test]
fn an_answer_that_a_marker_has_overtaken_counts_for_nothing() {
    let mut table = Verifications::default();
    let old = table.hold(at(0), claim(1, 4), append(1)).expect("asks");
    table.hold(at(0), claim(1, 4), append(2));
    assert_eq!(
        parts(&table.take_late(at(1), &marker(1, 4, 0)).0),
        [] as [u64; 0]
    );
    assert_eq!(
        parts(&table.take_late(at(0), &marker(2, 4, 0)).0),
        [] as [u64; 0]
    );
    let (late, next) = table.take_late(at(0), &marker(1, 4, 0));
    assert_eq!((parts(&late), next), (vec![1, 2], None));
    // The next transaction has the same epoch; the old answer is not for it.
    let new = table.hold(at(0), claim(1, 4), append(3)).expect("asks");
    assert_eq!(parts(&table.take(&old).0), [] as [u64; 0]);
    assert_eq!(parts(&table.take(&new).0), [3]);
}

#[test]
fn from_version_2_on_the_markers_epoch_is_that_of_the_next_transaction() {
    let mut table = Verifications::default();
    let old = table.hold(at(0), claim(1, 4), append(1)).expect("asks");
    table.hold(at(0), claim(1, 5), append(2));
    let (late, next) = table.take_late(at(0), &marker(1, 5, 2));
    assert_eq!(parts(&late), [1]);
    let next = next.expect("what is not late asks now");
    assert_eq!(next.claim.producer.epoch, 5);
    assert_eq!(parts(&table.take(&old).0), [] as [u64; 0]);
    assert!(
        table.take_late(at(0), &marker(1, 5, 2)).1.is_none(),
        "its question stays"
    );
    assert_eq!(parts(&table.take(&next).0), [2]);
}

#[test]
fn who_gives_up_and_partitions_that_end_leave_nothing_behind() {
    let mut table = Verifications::default();
    let question = table.hold(at(0), claim(1, 0), append(1)).expect("asks");
    let sub = SubId { part: 1, place: 0 };
    assert!(!table.give_up(at(0), 2, sub));
    assert!(table.give_up(at(0), 1, sub));
    assert!(!table.give_up(at(0), 1, sub));
    assert_eq!(
        table.hold(at(0), claim(1, 0), append(2)),
        None,
        "one question is under way"
    );
    table.hold(at(1), claim(1, 0), append(3));
    let ended = table.take_all(Some(at(0)));
    assert_eq!(ended.len(), 1);
    assert_eq!(parts(&table.take(&question).0), [] as [u64; 0]);
    assert_eq!(table.len(), 1);
    assert_eq!(table.take_all(None).len(), 1);
    assert!(table.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is answered, given up and overtaken: each leaves once, those of one producer in
    /// the order in which they came, and at the end nothing is left.
    #[test]
    fn each_leaves_once_and_in_order(
        steps in proptest::collection::vec((0u8..6, 0i64..2, 0i16..3, 0usize..8), 1..80),
    ) {
        let mut table = Verifications::default();
        let mut questions: Vec<Question> = Vec::new();
        let (mut came, mut left): (Vec<(u64, i64)>, Vec<u64>) = (Vec::new(), Vec::new());
        for (number, (what, id, epoch, which)) in (1u64..).zip(steps) {
            match what {
                0..=2 => {
                    came.push((number, id));
                    questions.extend(table.hold(at(0), claim(id, epoch), append(number)));
                }
                3 | 4 if !questions.is_empty() => {
                    let question = questions.remove(which % questions.len());
                    let (ended, next) = table.take(&question);
                    // One that leaves behind another one of its producer came behind it.
                    let ended = parts(&ended);
                    prop_assert!(ended.windows(2).all(|pair| pair[0] < pair[1]));
                    let waiting = came.iter().filter(|(one, of)| {
                        *of == question.claim.producer.id
                            && !left.contains(one)
                            && !ended.contains(one)
                    });
                    let last = ended.last().copied().unwrap_or(0);
                    prop_assert!(waiting.clone().all(|(one, _)| *one > last));
                    left.extend(ended);
                    questions.extend(next);
                }
                5 => {
                    let (late, next) = table.take_late(at(0), &marker(id, epoch, 0));
                    left.extend(parts(&late));
                    questions.extend(next);
                }
                _ => {}
            }
        }
        while let Some(question) = questions.pop() {
            let (ended, next) = table.take(&question);
            left.extend(parts(&ended));
            questions.extend(next);
        }
        prop_assert!(table.is_empty());
        left.sort_unstable();
        let all: Vec<u64> = came.into_iter().map(|(one, _)| one).collect();
        prop_assert_eq!(left, all);
    }
}
