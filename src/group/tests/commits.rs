// SPDX-License-Identifier: Apache-2.0
//! Offsets: who may commit them, when they count, and when they go.

use super::*;

#[test]
fn an_offset_counts_once_it_is_committed_in_the_log() {
    let mut bench = Bench::new();
    let (generation, ids) = bench.stable(1);
    assert_eq!(bench.offset("t", 0), -1);
    bench.holds = true;
    let request = commit_request(&ids[0], generation, ("t", 0), 7);
    let call = bench.call(GroupCall::Commit(request, 9));
    assert_eq!(bench.committed(call), None);
    assert_eq!(bench.offset("t", 0), -1, "it may yet be lost");
    bench.commit_log();
    assert_eq!(bench.committed(call), Some(vec![ErrorCode::None]));
    assert_eq!(bench.offset("t", 0), 7);
    assert_eq!(bench.offset("t", 1), -1);
}

#[test]
fn an_offset_that_was_lost_is_not_there_and_its_client_knows() {
    for (error, expected) in [
        (WriteError::Unavailable, ErrorCode::CoordinatorNotAvailable),
        (WriteError::NotLeader, ErrorCode::NotCoordinator),
        (WriteError::TooLarge, ErrorCode::InvalidCommitOffsetSize),
    ] {
        let mut bench = Bench::new();
        assert_eq!(bench.commit("", -1, ("t", 0), 3), ErrorCode::None);
        bench.holds = true;
        let request = commit_request("", -1, ("t", 0), 7);
        let call = bench.call(GroupCall::Commit(request, 9));
        bench.lose(error);
        assert_eq!(bench.committed(call), Some(vec![expected]));
        assert_eq!(bench.offset("t", 0), 3, "as before");
    }
}

#[test]
fn members_commit_in_their_generation_only() {
    let mut bench = Bench::new();
    let (generation, ids) = bench.stable(2);
    let at = ("t", 0);
    assert_eq!(bench.commit(&ids[0], generation, at, 1), ErrorCode::None);
    let old = bench.commit(&ids[0], generation - 1, at, 2);
    assert_eq!(old, ErrorCode::IllegalGeneration);
    let stranger = bench.commit("stranger", generation, at, 2);
    assert_eq!(stranger, ErrorCode::UnknownMemberId);
    let outsider = bench.commit("", -1, at, 2);
    assert_eq!(
        outsider,
        ErrorCode::UnknownMemberId,
        "the group has members"
    );
    let nameless = bench.commit(&ids[0], -1, at, 2);
    assert_eq!(nameless, ErrorCode::IllegalGeneration);
    assert_eq!(bench.offset("t", 0), 1);
    // While the others join, what was read before may still be committed.
    let call = bench.join(join_with(&ids[0], &[("range", "new")]));
    assert_eq!(bench.commit(&ids[1], generation, at, 3), ErrorCode::None);
    bench.join(join_request(&ids[1]));
    assert!(bench.joined(call).is_some());
    let early = bench.commit(&ids[1], generation + 1, at, 4);
    assert_eq!(
        early,
        ErrorCode::RebalanceInProgress,
        "nobody knows its part yet"
    );
    let late = bench.commit(&ids[1], generation, at, 4);
    assert_eq!(late, ErrorCode::IllegalGeneration);
    assert_eq!(bench.offset("t", 0), 3);
}

#[test]
fn a_member_that_was_thrown_out_commits_nothing() {
    let mut bench = Bench::new();
    let (generation, ids) = bench.stable(2);
    bench.advance_ms(9_999);
    bench.heartbeat(&ids[0], generation);
    bench.advance_ms(1);
    let code = bench.commit(&ids[1], generation, ("t", 0), 1);
    assert_eq!(code, ErrorCode::UnknownMemberId);
    assert_eq!(bench.offset("t", 0), -1);
}

#[test]
fn a_commit_is_a_sign_of_life() {
    let mut bench = Bench::new();
    let (generation, ids) = bench.stable(1);
    for offset in 0..3 {
        bench.advance_ms(9_999);
        let code = bench.commit(&ids[0], generation, ("t", 0), offset);
        assert_eq!(code, ErrorCode::None);
    }
}

#[test]
fn a_group_without_members_takes_offsets_from_anybody() {
    let mut bench = Bench::new();
    assert_eq!(bench.commit("", -1, ("t", 0), 5), ErrorCode::None);
    assert_eq!(bench.state(), Some(State::Empty));
    assert_eq!(
        bench.commit("", -1, ("t", 0), 2),
        ErrorCode::None,
        "back, if asked"
    );
    assert_eq!(bench.offset("t", 0), 2);
}

#[test]
fn a_generation_of_a_group_that_is_not_there() {
    let mut bench = Bench::new();
    for (version, expected) in [
        (8, ErrorCode::IllegalGeneration),
        (9, ErrorCode::GroupIdNotFound),
    ] {
        let request = commit_request("m", 3, ("t", 0), 1);
        let call = bench.call(GroupCall::Commit(request, version));
        assert_eq!(bench.committed(call), Some(vec![expected]));
    }
    assert_eq!(bench.coordinator.group_count(), 0);
}

#[test]
fn what_is_kept_with_an_offset_is_bounded_for_each_partition() {
    let mut bench = Bench::with(&[("offset.metadata.max.bytes", "3")]);
    let mut request = commit_request("", -1, ("t", 0), 1);
    let mut long = request.topics[0].partitions[0].clone();
    long.partition_index = 1;
    long.committed_metadata = Some("long".into());
    request.topics[0].partitions.push(long);
    let call = bench.call(GroupCall::Commit(request, 9));
    let codes = bench.committed(call).expect("committed");
    assert_eq!(codes, [ErrorCode::None, ErrorCode::OffsetMetadataTooLarge]);
    assert_eq!((bench.offset("t", 0), bench.offset("t", 1)), (1, -1));
}

#[test]
fn offsets_that_no_batch_can_hold_are_refused() {
    let mut bench = Bench::new();
    let mut request = commit_request("", -1, ("t", 0), 1);
    let one = request.topics[0].partitions[0].clone();
    let many = (0..30_000).map(|partition_index| OffsetCommitRequestPartition {
        partition_index,
        ..one.clone()
    });
    request.topics[0].partitions = many.collect();
    let call = bench.call(GroupCall::Commit(request, 9));
    let codes = bench.committed(call).expect("refused");
    assert_eq!(codes.len(), 30_000);
    assert!(
        codes
            .iter()
            .all(|code| *code == ErrorCode::InvalidCommitOffsetSize)
    );
    assert!(bench.log.is_empty());
    assert_eq!(bench.coordinator.group_count(), 0);
}

fn forget(bench: &mut Bench, topics: &[(&str, &[i32])]) -> Result<Vec<ErrorCode>, ErrorCode> {
    let topics = topics.iter();
    let topics = topics.map(|(topic, indexes)| (ByteString::from(*topic), indexes.to_vec()));
    let call = GroupCall::Forget {
        group: GROUP.into(),
        topics: topics.collect(),
    };
    match bench.ask(call) {
        GroupAnswer::Forgotten(outcome) => outcome,
        other => panic!("{other:?}"),
    }
}

#[test]
fn offsets_are_forgotten_where_nobody_consumes() {
    let mut bench = Bench::new();
    let missing = forget(&mut bench, &[("t", &[0])]);
    assert_eq!(missing, Err(ErrorCode::GroupIdNotFound));
    let metadata = subscription(&["used"]);
    let id = bench.new_id();
    let call = bench.join(join_with(&id, &[("range", &metadata)]));
    bench.advance_ms(0);
    let joined = bench.joined(call).expect("alone");
    let generation = joined.generation_id;
    bench.assign(&[joined]);
    for topic in ["used", "idle"] {
        assert_eq!(
            bench.commit(&id, generation, (topic, 0), 4),
            ErrorCode::None
        );
    }
    let outcome = forget(&mut bench, &[("used", &[0]), ("idle", &[0, 1])]);
    let expected = [
        ErrorCode::GroupSubscribedToTopic,
        ErrorCode::None,
        ErrorCode::None,
    ];
    assert_eq!(outcome.as_deref(), Ok(&expected[..]));
    assert_eq!((bench.offset("used", 0), bench.offset("idle", 0)), (4, -1));
    bench.restart();
    assert_eq!((bench.offset("used", 0), bench.offset("idle", 0)), (4, -1));
}

#[test]
fn nothing_is_forgotten_before_the_members_have_said_what_they_want() {
    let mut bench = Bench::new();
    bench.commit("", -1, ("idle", 0), 4);
    let metadata = subscription(&["used"]);
    let id = bench.new_id();
    let call = bench.join(join_with(&id, &[("range", &metadata)]));
    assert_eq!(bench.joined(call), None, "its first rebalance has begun");
    let outcome = forget(&mut bench, &[("idle", &[0])]);
    assert_eq!(outcome, Ok(vec![ErrorCode::GroupSubscribedToTopic]));
    assert_eq!(bench.offset("idle", 0), 4);
}

#[test]
fn an_offset_that_is_forgotten_twice_at_once_is_forgotten_and_both_are_told() {
    let mut bench = Bench::new();
    bench.commit("", -1, ("t", 0), 4);
    bench.holds = true;
    let forget = || GroupCall::Forget {
        group: GROUP.into(),
        topics: vec![("t".into(), vec![0])],
    };
    let calls = [bench.call(forget()), bench.call(forget())];
    let again = bench.call(GroupCall::Commit(commit_request("", -1, ("t", 0), 9), 9));
    bench.commit_log();
    for call in calls {
        let told = GroupAnswer::Forgotten(Ok(vec![ErrorCode::None]));
        assert_eq!(bench.answer(call), Some(told));
    }
    assert_eq!(bench.committed(again), Some(vec![ErrorCode::None]));
    assert_eq!(bench.offset("t", 0), 9, "what came last counts");
    bench.holds = false;
    bench.restart();
    assert_eq!(bench.offset("t", 0), 9);
}

#[test]
fn a_group_that_goes_with_its_last_offset_answers_whoever_ends_it_again() {
    let mut bench = Bench::new();
    bench.commit("", -1, ("t", 0), 4);
    bench.holds = true;
    let forget = || GroupCall::Forget {
        group: GROUP.into(),
        topics: vec![("t".into(), vec![0])],
    };
    let calls = [bench.call(forget()), bench.call(forget())];
    bench.commit_log();
    assert_eq!(bench.coordinator.group_count(), 0);
    for call in calls {
        let told = GroupAnswer::Forgotten(Ok(vec![ErrorCode::None]));
        assert_eq!(bench.answer(call), Some(told));
    }
}

#[test]
fn other_kinds_of_groups_forget_nothing_while_they_have_members() {
    let mut bench = Bench::new();
    let connect = |id: &str| JoinGroupRequest {
        protocol_type: "connect".into(),
        ..join_request(id)
    };
    let id = bench.ask_join(connect("")).member_id;
    bench.join(connect(&id));
    bench.advance_ms(0);
    let outcome = forget(&mut bench, &[("t", &[0])]);
    assert_eq!(outcome, Err(ErrorCode::NonEmptyGroup));
}

#[test]
fn a_topic_that_is_deleted_takes_its_offsets_with_it() {
    let mut bench = Bench::new();
    for topic in ["gone", "kept"] {
        bench.commit("", -1, (topic, 0), 4);
    }
    bench.delete_topics(&["gone"]);
    assert_eq!((bench.offset("gone", 0), bench.offset("kept", 0)), (-1, 4));
    bench.restart();
    assert_eq!((bench.offset("gone", 0), bench.offset("kept", 0)), (-1, 4));
}

/// A day and a bit more than the time between two looks.
const SETTINGS: &[(&str, &str)] = &[("offsets.retention.minutes", "1440")];
const DAY_MS: u64 = 24 * 3_600_000;
const CHECK_MS: u64 = 600_000;

#[test]
fn offsets_of_a_group_that_never_had_members_expire_each_by_its_age() {
    let mut bench = Bench::with(SETTINGS);
    bench.commit("", -1, ("t", 0), 4);
    bench.advance_ms(DAY_MS / 2);
    bench.commit("", -1, ("t", 1), 5);
    bench.advance_ms(DAY_MS / 2 - 1);
    assert_eq!(bench.offset("t", 0), 4);
    bench.advance_ms(CHECK_MS);
    assert_eq!((bench.offset("t", 0), bench.offset("t", 1)), (-1, 5));
    bench.advance_ms(DAY_MS / 2 + CHECK_MS);
    assert_eq!(
        bench.coordinator.group_count(),
        0,
        "the group goes with its last offset"
    );
    bench.restart();
    assert_eq!(bench.coordinator.group_count(), 0);
}

#[test]
fn offsets_of_a_group_expire_by_the_time_that_it_has_been_empty() {
    let mut bench = Bench::with(SETTINGS);
    let (generation, ids) = bench.stable(1);
    bench.commit(&ids[0], generation, ("t", 0), 4);
    for _ in 0..2 * DAY_MS / 9_000 {
        bench.advance_ms(9_000);
        bench.heartbeat(&ids[0], generation);
    }
    assert_eq!(bench.offset("t", 0), 4, "its members are there");
    bench.leave(&[(&ids[0], None)]);
    bench.advance_ms(DAY_MS - 1);
    assert_eq!(bench.offset("t", 0), 4);
    bench.advance_ms(CHECK_MS);
    assert_eq!(bench.offset("t", 0), -1);
    assert_eq!(bench.coordinator.group_count(), 0);
}

#[test]
fn offsets_of_topics_that_a_live_group_has_left_expire() {
    let mut bench = Bench::with(SETTINGS);
    let metadata = subscription(&["used"]);
    let id = bench.new_id();
    let call = bench.join(join_with(&id, &[("range", &metadata)]));
    bench.advance_ms(0);
    let joined = bench.joined(call).expect("alone");
    bench.assign(&[joined]);
    for topic in ["used", "left"] {
        assert_eq!(bench.commit(&id, 1, (topic, 0), 4), ErrorCode::None);
    }
    for _ in 0..(DAY_MS + CHECK_MS) / 9_000 + 1 {
        bench.advance_ms(9_000);
        bench.heartbeat(&id, 1);
    }
    assert_eq!((bench.offset("used", 0), bench.offset("left", 0)), (4, -1));
    assert_eq!(bench.state(), Some(State::Stable));
}

#[test]
fn an_offset_may_have_a_time_of_its_own() {
    let mut bench = Bench::with(SETTINGS);
    let mut request = commit_request("", -1, ("t", 0), 4);
    request.retention_time_ms = 1_000;
    let call = bench.call(GroupCall::Commit(request, 4));
    assert_eq!(bench.committed(call), Some(vec![ErrorCode::None]));
    bench.restart();
    assert_eq!(bench.offset("t", 0), 4);
    bench.advance_ms(CHECK_MS);
    assert_eq!(bench.offset("t", 0), -1, "it was kept for a second");
}

#[test]
fn many_groups_are_looked_at_a_part_in_each_turn_and_none_is_forgotten() {
    let mut bench = Bench::with(SETTINGS);
    for number in 0..1_000 {
        let request = OffsetCommitRequest {
            group_id: format!("g{number}").into(),
            ..commit_request("", -1, ("t", 0), 4)
        };
        bench.call(GroupCall::Commit(request, 9));
    }
    assert_eq!(bench.coordinator.group_count(), 1_000);
    bench.advance_ms(DAY_MS + CHECK_MS);
    assert_eq!(bench.coordinator.group_count(), 0);
}
