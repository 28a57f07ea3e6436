// SPDX-License-Identifier: Apache-2.0
//! Offsets of transactions: when they count, who may commit them, and what else may end them.

use proptest::prelude::*;

use super::beats::Member;
use super::*;
use crate::wire::record::{BatchHeader, EndMarker, RecordView, records};

const UNSTABLE: i16 = ErrorCode::UnstableOffsetCommit as i16;

fn in_transaction(id: i64, request: OffsetCommitRequest) -> GroupCall {
    GroupCall::CommitInTransaction(Box::new(TransactionalCommit {
        transactional_id: "x".into(),
        producer: TxnProducer { id, epoch: 3 },
        adds: false,
        request,
    }))
}

impl Bench {
    /// Commits an offset in a transaction, and expects the answer at once.
    fn propose(&mut self, id: i64, at: (&str, i32), offset: i64) -> ErrorCode {
        self.propose_as("", -1, id, at, offset)
    }

    fn propose_as(
        &mut self,
        member: &str,
        generation: i32,
        id: i64,
        at: (&str, i32),
        offset: i64,
    ) -> ErrorCode {
        let request = commit_request(member, generation, at, offset);
        let call = self.call(in_transaction(id, request));
        self.committed(call).expect("answered at once")[0]
    }

    /// Ends a transaction: its marker is committed behind all that came before.
    fn end(&mut self, id: i64, is_commit: bool) {
        self.commit_log();
        let marker = EndMarker {
            is_commit,
            coordinator_epoch: 1,
        };
        self.log.push(marker.batch(id, 3, self.now.wall_ms));
        self.coordinator.handle_transaction_end(id, is_commit);
    }

    /// Offset and code of one partition for somebody who wants it stable.
    fn stable_offset(&mut self, topic: &str, partition: i32) -> (i64, i16) {
        let topics = vec![OffsetFetchRequestTopics {
            name: topic.into(),
            partition_indexes: vec![partition],
            ..OffsetFetchRequestTopics::default()
        }];
        let call = GroupCall::Fetch {
            group: GROUP.into(),
            topics: Some(topics),
            member: (None, -1),
            only_stable: true,
        };
        match self.ask(call) {
            GroupAnswer::Fetched(Ok(topics)) => {
                let told = &topics[0].partitions[0];
                (told.committed_offset, told.error_code)
            }
            other => panic!("a fetch of offsets was answered with {other:?}"),
        }
    }

    fn forget(&mut self, topic: &str, partition: i32) {
        let call = GroupCall::Forget {
            group: GROUP.into(),
            topics: vec![(topic.into(), vec![partition])],
        };
        let answer = self.ask(call);
        assert!(matches!(answer, GroupAnswer::Forgotten(_)), "{answer:?}");
    }
}

#[test]
fn an_offset_counts_with_the_marker_that_commits_its_transaction() {
    let mut bench = Bench::new();
    assert_eq!(bench.commit("", -1, ("t", 0), 3), ErrorCode::None);
    assert_eq!(bench.propose(7, ("t", 0), 9), ErrorCode::None);
    assert_eq!(bench.offset("t", 0), 3);
    assert_eq!(bench.stable_offset("t", 0), (-1, UNSTABLE));
    assert_eq!(bench.stable_offset("t", 1), (-1, 0), "nobody touches it");
    bench.end(8, true);
    assert_eq!(bench.offset("t", 0), 3, "that was somebody else's");
    bench.end(7, true);
    assert_eq!(bench.stable_offset("t", 0), (9, 0));
    assert_eq!(bench.coordinator.transaction_count(), 0);
}

#[test]
fn an_offset_of_an_aborted_transaction_never_counts() {
    let mut bench = Bench::new();
    bench.propose(7, ("t", 0), 9);
    bench.end(7, false);
    assert_eq!(bench.stable_offset("t", 0), (-1, 0));
    assert_eq!(bench.state(), None, "nothing is left of the group");
    bench.restart();
    assert_eq!(bench.state(), None);
}

#[test]
fn its_batch_is_the_producers_and_has_no_sequence() {
    let mut bench = Bench::new();
    bench.propose(7, ("t", 0), 9);
    let batch = bench.log.last().expect("written");
    let header = BatchHeader::parse(batch).expect("a batch");
    assert!(header.attributes.is_transactional());
    assert_eq!((header.producer_id, header.producer_epoch), (7, 3));
    assert_eq!(header.base_sequence, -1);
    let opened = records(batch, 1000).expect("not compressed");
    let all: Vec<RecordView<'_>> = opened.iter().map(|one| one.expect("whole")).collect();
    assert_eq!(all.len(), 1);
}

#[test]
fn whoever_was_rebalanced_out_proposes_nothing() {
    let mut bench = Bench::new();
    let at = ("t", 0);
    assert_eq!(
        bench.propose_as("x", 0, 7, at, 1),
        ErrorCode::IllegalGeneration,
        "there is no such group"
    );
    let (generation, ids) = bench.stable(2);
    assert_eq!(
        bench.propose_as(&ids[0], generation, 7, at, 1),
        ErrorCode::None
    );
    let old = bench.propose_as(&ids[0], generation - 1, 7, at, 2);
    assert_eq!(old, ErrorCode::IllegalGeneration);
    let stranger = bench.propose_as("stranger", generation, 7, at, 2);
    assert_eq!(stranger, ErrorCode::UnknownMemberId);
    assert_eq!(
        bench.propose(7, at, 4),
        ErrorCode::None,
        "older clients do not say who they are"
    );
    // Unlike a plain commit it may come before the new parts are known.
    bench.join(join_with(&ids[0], &[("range", "new")]));
    bench.join(join_request(&ids[1]));
    let early = bench.propose_as(&ids[1], generation + 1, 7, at, 5);
    assert_eq!(early, ErrorCode::None);
    bench.end(7, true);
    assert_eq!(bench.offset("t", 0), 5);
}

#[test]
fn a_static_member_that_was_replaced_is_fenced() {
    let mut bench = Bench::new();
    let call = bench.join(join_static("", "one"));
    bench.advance_ms(0);
    let joined = bench.joined(call).expect("alone");
    let mut request = commit_request("another", joined.generation_id, ("t", 0), 1);
    request.group_instance_id = Some("one".into());
    let call = bench.call(in_transaction(7, request));
    assert_eq!(
        bench.committed(call),
        Some(vec![ErrorCode::FencedInstanceId])
    );
}

#[test]
fn members_of_the_new_protocol_propose_in_their_epoch_only() {
    let mut bench = Bench::new();
    bench.set_topics(&[("t", 2)]);
    let member = Member::join(&mut bench, "m", &["t"]);
    let at = ("t", 0);
    let epoch = member.epoch;
    assert_eq!(bench.propose_as("m", epoch, 7, at, 1), ErrorCode::None);
    let stale = bench.propose_as("m", epoch + 1, 7, at, 2);
    assert_eq!(
        stale,
        ErrorCode::IllegalGeneration,
        "producers do not know the other code"
    );
    let stranger = bench.propose_as("x", epoch, 7, at, 2);
    assert_eq!(stranger, ErrorCode::UnknownMemberId);
    assert_eq!(bench.propose(7, at, 4), ErrorCode::None, "an older client");
    bench.end(7, true);
    assert_eq!(bench.offset("t", 0), 4);
}

#[test]
fn what_the_log_did_not_take_is_not_proposed() {
    for (error, expected) in [
        (WriteError::Unavailable, ErrorCode::CoordinatorNotAvailable),
        (WriteError::NotLeader, ErrorCode::NotCoordinator),
        (WriteError::Fenced, ErrorCode::InvalidProducerEpoch),
        (WriteError::TooLarge, ErrorCode::InvalidCommitOffsetSize),
    ] {
        let mut bench = Bench::new();
        bench.propose(7, ("t", 0), 3);
        bench.holds = true;
        let request = commit_request("", -1, ("t", 0), 9);
        let call = bench.call(in_transaction(7, request));
        assert_eq!(bench.committed(call), None);
        assert_eq!(bench.stable_offset("t", 0), (-1, UNSTABLE));
        bench.lose(error);
        assert_eq!(bench.committed(call), Some(vec![expected]));
        bench.holds = false;
        bench.end(7, true);
        assert_eq!(bench.offset("t", 0), 3, "what it had proposed before");
    }
}

#[test]
fn a_group_with_an_open_transaction_does_not_expire() {
    let minute = [("offsets.retention.minutes", "1")];
    let mut bench = Bench::with(&minute);
    bench.commit("", -1, ("t", 0), 3);
    bench.propose(7, ("t", 0), 9);
    bench.propose(7, ("t", 1), 9);
    bench.advance_ms(3_600_000);
    assert_eq!(bench.offset("t", 0), 3);
    bench.end(7, false);
    bench.advance_ms(3_600_000);
    assert_eq!((bench.offset("t", 0), bench.state()), (-1, None));
}

#[test]
fn deletions_take_what_is_proposed_along() {
    let at = ("t", 0);
    let ends: [&dyn Fn(&mut Bench); 3] = [
        &|bench| bench.forget("t", 0),
        &|bench| bench.delete_topics(&["t"]),
        &|bench| assert_eq!(bench.delete(), ErrorCode::None),
    ];
    for end in ends {
        let mut bench = Bench::new();
        bench.propose(7, at, 9);
        end(&mut bench);
        assert_eq!(bench.state(), None, "nothing else was known of the group");
        bench.end(7, true);
        assert_eq!(bench.offset("t", 0), -1);
        bench.restart();
        assert_eq!(bench.offset("t", 0), -1);
    }
}

#[test]
fn a_coordinator_that_is_given_up_answers_who_waits() {
    let mut bench = Bench::new();
    bench.holds = true;
    let request = commit_request("", -1, ("t", 0), 9);
    let call = bench.call(in_transaction(7, request));
    bench.unload();
    assert_eq!(bench.committed(call), Some(vec![ErrorCode::NotCoordinator]));
}

/// What may happen, by the place in the log.
#[derive(Clone, Copy, Debug)]
enum Step {
    Commit(i32),
    Propose(i64, i32),
    Forget(i32),
    End(i64, bool),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..3).prop_map(Step::Commit),
        5 => (1i64..4, 0..3).prop_map(|(id, at)| Step::Propose(id, at)),
        1 => (0..3).prop_map(Step::Forget),
        3 => (1i64..4, any::<bool>()).prop_map(|(id, ok)| Step::End(id, ok)),
        1 => Just(Step::Restart),
    ]
}

/// What counts for a partition, from all that ever happened: the last offset behind the last
/// deletion whose transaction, if it has one, was committed by the first end that follows.
fn expected(history: &[Step], partition: i32) -> (i64, bool) {
    let (mut offset, mut is_open) = (-1, false);
    for (place, step) in history.iter().enumerate() {
        let value = i64::try_from(place).expect("short");
        match step {
            Step::Commit(at) if *at == partition => offset = value,
            Step::Forget(at) if *at == partition => (offset, is_open) = (-1, false),
            Step::Propose(id, at) if *at == partition => {
                let mut later = history[place..].iter();
                let end = later.find_map(|step| match step {
                    Step::End(ended, is_commit) if ended == id => Some(*is_commit),
                    _ => None,
                });
                match end {
                    Some(true) => offset = value,
                    Some(false) => {}
                    None => is_open = true,
                }
            }
            _ => {}
        }
    }
    (offset, is_open)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_order_the_log_decides(
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        let mut bench = Bench::new();
        for (place, step) in steps.iter().enumerate() {
            let offset = i64::try_from(place).expect("short");
            match *step {
                Step::Commit(at) => {
                    prop_assert_eq!(bench.commit("", -1, ("t", at), offset), ErrorCode::None);
                }
                Step::Propose(id, at) => {
                    prop_assert_eq!(bench.propose(id, ("t", at), offset), ErrorCode::None);
                }
                Step::Forget(at) => bench.forget("t", at),
                Step::End(id, is_commit) => bench.end(id, is_commit),
                Step::Restart => bench.restart(),
            }
            for partition in 0..3 {
                let (offset, is_open) = expected(&steps[..=place], partition);
                let told = if is_open { (-1, UNSTABLE) } else { (offset, 0) };
                prop_assert_eq!(bench.stable_offset("t", partition), told);
                prop_assert_eq!(bench.offset("t", partition), offset);
            }
        }
    }
}
