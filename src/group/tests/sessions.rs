// SPDX-License-Identifier: Apache-2.0
//! Assignments, heartbeats, sessions and their ends.

use super::*;

/// Two members that have joined, and their answers.
fn completing(bench: &mut Bench) -> Vec<JoinGroupResponse> {
    let ids: Vec<ByteString> = (0..2).map(|_| bench.new_id()).collect();
    let calls: Vec<u64> = ids.iter().map(|id| bench.join(join_request(id))).collect();
    bench.advance_ms(0);
    let mut joined: Vec<JoinGroupResponse> = calls
        .iter()
        .map(|call| bench.joined(*call).expect("all have joined"))
        .collect();
    joined.sort_by_key(|one| one.leader != one.member_id);
    joined
}

#[test]
fn an_assignment_is_told_once_it_is_committed() {
    let mut bench = Bench::new();
    let joined = completing(&mut bench);
    let (leader, other) = (&joined[0].member_id, &joined[1].member_id);
    let early = bench.sync(other, 1, &[]);
    assert!(bench.synced(early).is_none(), "there is none yet");
    bench.holds = true;
    let written = bench.log.len();
    let call = bench.sync(leader, 1, &[(leader, "a"), (other, "b"), ("stranger", "c")]);
    assert!(bench.synced(call).is_none() && bench.synced(early).is_none());
    assert_eq!((bench.log.len(), bench.held.len()), (written, 1));
    bench.commit_log();
    assert_eq!(bench.synced(call).expect("committed").assignment, "a");
    let synced = bench.synced(early).expect("committed");
    assert_eq!(synced.assignment, "b");
    assert_eq!(synced.protocol_type.as_deref(), Some("consumer"));
    assert_eq!(synced.protocol_name.as_deref(), Some("range"));
    assert_eq!(bench.state(), Some(State::Stable));
    let again = bench.sync(other, 1, &[]);
    assert_eq!(bench.synced(again).expect("known").assignment, "b");
}

#[test]
fn one_assignment_of_a_generation_reaches_the_log() {
    let mut bench = Bench::new();
    let joined = completing(&mut bench);
    let (leader, other) = (&joined[0].member_id, &joined[1].member_id);
    bench.holds = true;
    bench.sync(leader, 1, &[(leader, "a"), (other, "b")]);
    // Its connection broke; it joins again, is told the same generation, and assigns anew.
    let again = bench.ask_join(join_request(leader));
    assert_eq!((again.error_code, again.generation_id), (0, 1));
    let second = bench.sync(leader, 1, &[(leader, "b"), (other, "a")]);
    bench.commit_log();
    assert_eq!(bench.synced(second).expect("committed").assignment, "a");
    bench.restart();
    let call = bench.sync(other, 1, &[]);
    assert_eq!(
        bench.synced(call).expect("stable").assignment,
        "b",
        "a restart tells nothing else"
    );
}

#[test]
fn an_assignment_that_was_lost_makes_all_join_again() {
    for (error, expected) in [
        (WriteError::Unavailable, ErrorCode::CoordinatorNotAvailable),
        (WriteError::NotLeader, ErrorCode::NotCoordinator),
        (WriteError::TooLarge, ErrorCode::UnknownServerError),
    ] {
        let mut bench = Bench::new();
        let joined = completing(&mut bench);
        bench.holds = true;
        let call = bench.sync(&joined[0].member_id, 1, &[]);
        bench.lose(error);
        let synced = bench.synced(call).expect("lost");
        assert_eq!(synced.error_code, expected.code());
        assert_eq!(bench.state(), Some(State::PreparingRebalance));
    }
}

#[test]
fn an_assignment_that_no_record_can_hold_is_refused() {
    let mut bench = Bench::new();
    let joined = completing(&mut bench);
    let leader = &joined[0].member_id;
    let long = "x".repeat(RECORD_BATCH_BYTES_DEFAULT_MAX);
    let call = bench.sync(leader, 1, &[(leader, &long)]);
    let synced = bench.synced(call).expect("too large");
    assert_eq!(synced.error_code, ErrorCode::UnknownServerError.code());
    assert!(bench.log.is_empty() && bench.held.is_empty());
}

#[test]
fn an_assignment_for_a_generation_that_has_passed_is_not_told() {
    let mut bench = Bench::new();
    let joined = completing(&mut bench);
    let ids: Vec<ByteString> = joined.iter().map(|one| one.member_id.clone()).collect();
    bench.holds = true;
    let call = bench.sync(&ids[0], 1, &[(&ids[0], "old")]);
    // Before it is committed, the other member leaves, and a new generation is formed.
    bench.leave(&[(&ids[1], None)]);
    let synced = bench.synced(call).expect("the generation is over");
    assert_eq!(synced.error_code, ErrorCode::RebalanceInProgress.code());
    let again = bench.join(join_request(&ids[0]));
    assert_eq!(bench.joined(again).expect("alone").generation_id, 2);
    bench.commit_log();
    assert_eq!(
        bench.state(),
        Some(State::CompletingRebalance),
        "the old one changes nothing"
    );
}

#[test]
fn a_sync_is_checked_in_kafkas_order() {
    let mut bench = Bench::new();
    let joined = completing(&mut bench);
    let id = joined[1].member_id.clone();
    let ask = |bench: &mut Bench, request: SyncGroupRequest| {
        let call = bench.call(GroupCall::Sync(request));
        let synced = bench.synced(call).expect("refused at once");
        ErrorCode::from_code(synced.error_code).expect("known")
    };
    let nameless = SyncGroupRequest {
        group_id: "".into(),
        ..sync_request(&id, 1, &[])
    };
    assert_eq!(ask(&mut bench, nameless), ErrorCode::InvalidGroupId);
    let elsewhere = SyncGroupRequest {
        group_id: "other".into(),
        ..sync_request(&id, 1, &[])
    };
    assert_eq!(ask(&mut bench, elsewhere), ErrorCode::UnknownMemberId);
    let stranger = sync_request(&"stranger".into(), 1, &[]);
    assert_eq!(ask(&mut bench, stranger), ErrorCode::UnknownMemberId);
    let old = sync_request(&id, 0, &[]);
    assert_eq!(ask(&mut bench, old), ErrorCode::IllegalGeneration);
    let kind = SyncGroupRequest {
        protocol_type: Some("connect".into()),
        ..sync_request(&id, 1, &[])
    };
    assert_eq!(ask(&mut bench, kind), ErrorCode::InconsistentGroupProtocol);
    let protocol = SyncGroupRequest {
        protocol_name: Some("roundrobin".into()),
        ..sync_request(&id, 1, &[])
    };
    assert_eq!(
        ask(&mut bench, protocol),
        ErrorCode::InconsistentGroupProtocol
    );
    let leader = joined[0].member_id.clone();
    bench.join(join_with(&leader, &[("range", "new")]));
    let late = sync_request(&id, 1, &[]);
    assert_eq!(ask(&mut bench, late), ErrorCode::RebalanceInProgress);
}

#[test]
fn a_heartbeat_is_checked_in_kafkas_order() {
    let mut bench = Bench::new();
    assert_eq!(
        bench.heartbeat("m", 1),
        ErrorCode::UnknownMemberId,
        "no group"
    );
    let (generation, ids) = bench.stable(1);
    assert_eq!(bench.heartbeat("m", 1), ErrorCode::UnknownMemberId);
    let old = bench.heartbeat(&ids[0], generation - 1);
    assert_eq!(old, ErrorCode::IllegalGeneration);
    assert_eq!(bench.heartbeat(&ids[0], generation), ErrorCode::None);
    let nameless = GroupCall::Heartbeat(HeartbeatRequest::default());
    let answer = GroupAnswer::Heartbeat(ErrorCode::InvalidGroupId);
    assert_eq!(bench.ask(nameless), answer);
}

#[test]
fn a_session_ends_to_the_millisecond() {
    let mut bench = Bench::new();
    let (generation, ids) = bench.stable(2);
    bench.advance_ms(9_999);
    assert_eq!(bench.heartbeat(&ids[0], generation), ErrorCode::None);
    assert_eq!(bench.state(), Some(State::Stable));
    bench.advance_ms(1);
    assert_eq!(
        bench.state(),
        Some(State::PreparingRebalance),
        "the second is gone"
    );
    assert_eq!(
        bench.heartbeat(&ids[1], generation),
        ErrorCode::UnknownMemberId
    );
    bench.advance_ms(9_998);
    let code = bench.heartbeat(&ids[0], generation);
    assert_eq!(
        code,
        ErrorCode::RebalanceInProgress,
        "and keeps its session"
    );
    bench.advance_ms(9_999);
    assert_eq!(bench.state(), Some(State::PreparingRebalance));
    bench.advance_ms(1);
    assert_eq!(
        bench.state(),
        Some(State::Empty),
        "the last one is gone, too"
    );
}

#[test]
fn the_session_of_a_member_that_is_waited_for_does_not_end() {
    let mut bench = Bench::new();
    let (generation, ids) = bench.stable(2);
    let call = bench.join(join_with(&ids[0], &[("range", "new")]));
    for _ in 0..3 {
        bench.advance_ms(9_000);
        bench.heartbeat(&ids[1], generation);
    }
    assert!(bench.joined(call).is_none());
    // 27 s without a heartbeat of the first, which could not send one: it waits.
    bench.join(join_request(&ids[1]));
    assert_eq!(
        bench.joined(call).expect("both").generation_id,
        generation + 1
    );
}

#[test]
fn a_new_member_may_wait_for_five_minutes() {
    let mut bench = Bench::new();
    let (generation, ids) = bench.stable(1);
    let new = bench.new_id();
    let slow = JoinGroupRequest {
        rebalance_timeout_ms: 600_000,
        ..join_request(&new)
    };
    let call = bench.join(slow);
    for _ in 0..49 {
        bench.advance_ms(6_000);
        bench.heartbeat(&ids[0], generation);
    }
    bench.advance_ms(5_999);
    assert!(bench.joined(call).is_none());
    bench.advance_ms(1);
    let refused = bench.joined(call).expect("300 s are over");
    assert_eq!(refused.error_code, ErrorCode::UnknownMemberId.code());
}

#[test]
fn who_does_not_ask_for_its_assignment_is_out() {
    let mut bench = Bench::new();
    let joined = completing(&mut bench);
    let (leader, other) = (joined[0].member_id.clone(), joined[1].member_id.clone());
    let call = bench.sync(&leader, 1, &[(&leader, "a")]);
    assert_eq!(bench.synced(call).expect("committed").assignment, "a");
    for _ in 0..5 {
        bench.advance_ms(5_900);
        assert_eq!(bench.heartbeat(&leader, 1), ErrorCode::None);
        assert_eq!(bench.heartbeat(&other, 1), ErrorCode::None);
    }
    bench.advance_ms(499);
    assert_eq!(bench.state(), Some(State::Stable));
    bench.advance_ms(1);
    assert_eq!(bench.heartbeat(&other, 1), ErrorCode::UnknownMemberId);
    assert_eq!(bench.heartbeat(&leader, 1), ErrorCode::RebalanceInProgress);
}

#[test]
fn a_leader_that_never_assigns_is_out_with_all_who_did_not_ask() {
    let mut bench = Bench::new();
    let joined = completing(&mut bench);
    let other = joined[1].member_id.clone();
    let call = bench.sync(&other, 1, &[]);
    for _ in 0..3 {
        bench.advance_ms(9_999);
        bench.heartbeat(&joined[0].member_id, 1);
    }
    bench.advance_ms(3);
    let synced = bench.synced(call).expect("30 s are over");
    assert_eq!(synced.error_code, ErrorCode::RebalanceInProgress.code());
    let code = bench.heartbeat(&joined[0].member_id, 1);
    assert_eq!(code, ErrorCode::UnknownMemberId);
}

#[test]
fn members_leave_and_the_others_go_on() {
    let mut bench = Bench::new();
    let (generation, ids) = bench.stable(3);
    let left = bench.leave(&[(&ids[1], None), ("stranger", None)]);
    let codes: Vec<i16> = left.members.iter().map(|one| one.error_code).collect();
    assert_eq!(codes, [0, ErrorCode::UnknownMemberId.code()]);
    assert_eq!(
        (left.error_code, &*left.members[0].member_id),
        (0, &*ids[1])
    );
    let code = bench.heartbeat(&ids[0], generation);
    assert_eq!(code, ErrorCode::RebalanceInProgress);
    let first = bench.join(join_request(&ids[0]));
    let second = bench.join(join_request(&ids[2]));
    assert_eq!(bench.joined(first).expect("both").generation_id, 2);
    assert_eq!(bench.joined(second).expect("both").members.len(), 0);
}

#[test]
fn the_last_member_that_leaves_leaves_an_empty_group_in_the_log() {
    let mut bench = Bench::new();
    let (_, ids) = bench.stable(1);
    let written = bench.log.len();
    bench.leave(&[(&ids[0], None)]);
    assert_eq!(bench.state(), Some(State::Empty));
    assert_eq!(bench.log.len(), written + 1);
    bench.restart();
    assert_eq!(bench.state(), Some(State::Empty));
    let (generation, _) = bench.stable(1);
    assert_eq!(generation, 3, "generations are never used again");
}

#[test]
fn a_member_that_was_only_given_an_id_leaves() {
    let mut bench = Bench::new();
    let id = bench.new_id();
    let left = bench.leave(&[(&id, None)]);
    assert_eq!(left.members[0].error_code, 0);
    let refused = bench.ask_join(join_request(&id));
    assert_eq!(refused.error_code, ErrorCode::UnknownMemberId.code());
    let nobody = bench.leave(&[(&id, None)]);
    let code = nobody.members[0].error_code;
    assert_eq!(
        code,
        ErrorCode::UnknownMemberId.code(),
        "no group, no member"
    );
}

#[test]
fn a_leader_that_leaves_is_followed_by_another_who_joins() {
    let mut bench = Bench::new();
    let (_, ids) = bench.stable(2);
    bench.leave(&[(&ids[0], None)]);
    let call = bench.join(join_request(&ids[1]));
    let joined = bench.joined(call).expect("alone");
    assert_eq!((&joined.leader, joined.members.len()), (&ids[1], 1));
}
