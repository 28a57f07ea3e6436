// SPDX-License-Identifier: Apache-2.0
//! Joining: ids, protocols, and how long a generation waits for whom.

use super::*;

fn code(response: &JoinGroupResponse) -> ErrorCode {
    ErrorCode::from_code(response.error_code).expect("a known code")
}

#[test]
fn a_first_member_is_given_an_id_and_then_leads() {
    let mut bench = Bench::new();
    let id = bench.new_id();
    assert!(id.starts_with("client-") && id.len() == 7 + 36, "{id}");
    let call = bench.join(join_request(&id));
    assert_eq!(bench.state(), Some(State::PreparingRebalance));
    bench.advance_ms(0);
    let joined = bench.joined(call).expect("alone");
    assert_eq!((code(&joined), joined.generation_id), (ErrorCode::None, 1));
    assert_eq!((&joined.leader, &joined.member_id), (&id, &id));
    assert_eq!(joined.protocol_name.as_deref(), Some("range"));
    assert_eq!(joined.protocol_type.as_deref(), Some("consumer"));
    assert_eq!(joined.members.len(), 1);
    assert_eq!(joined.members[0].metadata, "r");
    assert_eq!(bench.state(), Some(State::CompletingRebalance));
    bench.assign(&[joined]);
    assert_eq!(bench.state(), Some(State::Stable));
}

#[test]
fn before_version_4_a_member_joins_without_an_id() {
    let mut bench = Bench::new();
    let call = bench.join_as(join_request(""), 3);
    bench.advance_ms(0);
    let joined = bench.joined(call).expect("alone");
    assert_eq!((code(&joined), joined.generation_id), (ErrorCode::None, 1));
    assert!(joined.member_id.starts_with("client-"));
}

#[test]
fn what_cannot_join_is_told_why() {
    let mut bench = Bench::new();
    let nameless = JoinGroupRequest {
        group_id: "".into(),
        ..join_request("")
    };
    let refused = bench.ask_join(nameless);
    assert_eq!(code(&refused), ErrorCode::InvalidGroupId);
    for (ms, is_allowed) in [
        (5_999, false),
        (6_000, true),
        (1_800_000, true),
        (1_800_001, false),
    ] {
        let asked = JoinGroupRequest {
            session_timeout_ms: ms,
            ..join_request("")
        };
        let expected = match is_allowed {
            true => ErrorCode::MemberIdRequired,
            false => ErrorCode::InvalidSessionTimeout,
        };
        assert_eq!(code(&bench.ask_join(asked)), expected, "{ms}");
    }
    let stranger = bench.ask_join(join_request("somebody"));
    assert_eq!(code(&stranger), ErrorCode::UnknownMemberId);
    assert_eq!(stranger.member_id, "somebody");
    let refused = bench.ask_join(join_with("", &[]));
    assert_eq!(code(&refused), ErrorCode::InconsistentGroupProtocol);
    let kindless = JoinGroupRequest {
        protocol_type: "".into(),
        ..join_request("")
    };
    let refused = bench.ask_join(kindless);
    assert_eq!(code(&refused), ErrorCode::InconsistentGroupProtocol);
}

#[test]
fn a_group_that_nobody_got_into_leaves_nothing_behind() {
    let mut bench = Bench::new();
    bench.ask_join(join_with("", &[]));
    assert_eq!(bench.coordinator.group_count(), 0);
    bench.new_id();
    assert_eq!(bench.coordinator.group_count(), 1);
    bench.advance_ms(u64::from(SESSION_MS.unsigned_abs()));
    assert_eq!(bench.coordinator.group_count(), 0, "the id was not used");
}

#[test]
fn an_id_that_was_given_expires_to_the_millisecond() {
    let mut bench = Bench::new();
    let id = bench.new_id();
    bench.advance_ms(9_999);
    let call = bench.join(join_request(&id));
    assert!(bench.joined(call).is_none(), "it waits for the generation");
    let mut bench = Bench::new();
    let id = bench.new_id();
    bench.advance_ms(10_000);
    let refused = bench.ask_join(join_request(&id));
    assert_eq!(code(&refused), ErrorCode::UnknownMemberId);
}

#[test]
fn a_new_group_waits_for_further_members_as_long_as_some_come() {
    let mut bench = Bench::with(&[("group.initial.rebalance.delay.ms", "3000")]);
    let ids: Vec<ByteString> = (0..3).map(|_| bench.new_id()).collect();
    let first = bench.join(join_request(&ids[0]));
    bench.advance_ms(2_999);
    assert!(bench.joined(first).is_none());
    // The second comes within the first delay, so there is another.
    let second = bench.join(join_request(&ids[1]));
    bench.advance_ms(3_000);
    assert!(bench.joined(first).is_none());
    let third = bench.join(join_request(&ids[2]));
    bench.advance_ms(5_999 - 2_999 - 1);
    assert!(bench.joined(first).is_none());
    bench.advance_ms(3_001 + 1);
    let joined = bench.joined(first).expect("nobody else came");
    assert_eq!(joined.generation_id, 1);
    assert!(bench.joined(second).is_some() && bench.joined(third).is_some());
}

#[test]
fn a_new_group_waits_no_longer_than_a_rebalance_may_take() {
    let mut bench = Bench::with(&[("group.initial.rebalance.delay.ms", "3000")]);
    // Before version 4 nobody needs an id, and none expires meanwhile.
    let join = |bench: &mut Bench| bench.join_as(join_request(""), 3);
    let mut calls = vec![join(&mut bench)];
    bench.advance_ms(2_900);
    for _ in 0..9 {
        calls.push(join(&mut bench));
        bench.advance_ms(3_000);
    }
    let last = join(&mut bench);
    bench.advance_ms(99);
    assert!(bench.joined(calls[0]).is_none());
    // 30 s after the first, although somebody has come again.
    bench.advance_ms(1);
    assert!(bench.joined(calls[0]).is_some() && bench.joined(last).is_some());
}

#[test]
fn the_members_vote_on_the_protocol() {
    let mut bench = Bench::new();
    let ids: Vec<ByteString> = (0..3).map(|_| bench.new_id()).collect();
    let tastes: [&[(&str, &str)]; 3] = [
        &[("a", ""), ("b", ""), ("c", "")],
        &[("b", ""), ("c", "")],
        &[("c", ""), ("b", ""), ("a", "")],
    ];
    let calls: Vec<u64> = ids
        .iter()
        .zip(tastes)
        .map(|(id, taste)| bench.join(join_with(id, taste)))
        .collect();
    bench.advance_ms(0);
    for call in calls {
        let joined = bench.joined(call).expect("all have joined");
        // Not all can do a; b is liked best by two of three.
        assert_eq!(joined.protocol_name.as_deref(), Some("b"));
    }
}

#[test]
fn a_new_group_whose_first_member_left_meanwhile_takes_others() {
    let mut bench = Bench::with(&[("group.initial.rebalance.delay.ms", "3000")]);
    let first = bench.new_id();
    let call = bench.join(join_request(&first));
    bench.leave(&[(&first, None)]);
    assert!(bench.joined(call).is_some() && bench.state() == Some(State::PreparingRebalance));
    let second = bench.new_id();
    let call = bench.join(join_request(&second));
    bench.advance_ms(6_000);
    assert_eq!(bench.joined(call).expect("alone").error_code, 0);
}

#[test]
fn a_member_that_can_do_nothing_that_all_can_is_refused() {
    let mut bench = Bench::new();
    bench.stable(2);
    let refused = bench.ask_join(join_with("", &[("sticky", "")]));
    assert_eq!(code(&refused), ErrorCode::InconsistentGroupProtocol);
    let other = JoinGroupRequest {
        protocol_type: "connect".into(),
        ..join_request("")
    };
    let refused = bench.ask_join(other);
    assert_eq!(code(&refused), ErrorCode::InconsistentGroupProtocol);
}

#[test]
fn a_newcomer_makes_all_join_again() {
    let mut bench = Bench::new();
    let (generation, ids) = bench.stable(2);
    let new = bench.new_id();
    assert_eq!(bench.heartbeat(&ids[0], generation), ErrorCode::None);
    let newcomer = bench.join(join_request(&new));
    assert_eq!(bench.state(), Some(State::PreparingRebalance));
    for id in &ids {
        let code = bench.heartbeat(id, generation);
        assert_eq!(code, ErrorCode::RebalanceInProgress);
    }
    let calls: Vec<u64> = ids.iter().map(|id| bench.join(join_request(id))).collect();
    let mut joined: Vec<JoinGroupResponse> = calls
        .iter()
        .map(|call| bench.joined(*call).expect("all have joined"))
        .collect();
    joined.push(bench.joined(newcomer).expect("all have joined"));
    assert!(joined.iter().all(|one| one.generation_id == generation + 1));
    assert!(
        joined.iter().all(|one| one.leader == ids[0]),
        "it still leads"
    );
    let lists: Vec<usize> = joined.iter().map(|one| one.members.len()).collect();
    assert_eq!(lists, [3, 0, 0], "only the leader is told of the members");
    bench.assign(&joined);
}

#[test]
fn who_does_not_join_again_in_time_is_out() {
    let mut bench = Bench::new();
    let (generation, ids) = bench.stable(3);
    let new = bench.new_id();
    let newcomer = bench.join(join_request(&new));
    let again = bench.join(join_request(&ids[1]));
    // Heartbeats keep a session alive, not a place in the generation.
    for _ in 0..5 {
        bench.advance_ms(5_000);
        let code = bench.heartbeat(&ids[0], generation);
        assert_eq!(code, ErrorCode::RebalanceInProgress);
        bench.heartbeat(&ids[2], generation);
    }
    bench.advance_ms(4_999);
    assert!(bench.joined(newcomer).is_none());
    bench.advance_ms(1);
    let joined = bench.joined(newcomer).expect("30 s are over");
    let other = bench.joined(again).expect("30 s are over");
    assert_eq!((joined.generation_id, other.generation_id), (2, 2));
    assert_eq!(bench.heartbeat(&ids[0], 2), ErrorCode::UnknownMemberId);
    assert_eq!(bench.heartbeat(&ids[2], 2), ErrorCode::UnknownMemberId);
    assert_eq!(bench.heartbeat(&ids[1], 2), ErrorCode::None);
}

#[test]
fn a_member_that_asks_again_gets_the_same_generation() {
    let mut bench = Bench::new();
    let (generation, ids) = bench.stable(2);
    let again = bench.ask_join(join_request(&ids[1]));
    assert_eq!(
        (code(&again), again.generation_id),
        (ErrorCode::None, generation)
    );
    assert_eq!(bench.state(), Some(State::Stable));
    // The leader wants to assign anew; so does a member that says something else.
    let leader = bench.join(join_request(&ids[0]));
    assert_eq!(bench.state(), Some(State::PreparingRebalance));
    bench.join(join_with(&ids[1], &[("range", "other")]));
    let joined = bench.joined(leader).expect("all have joined");
    assert_eq!(joined.generation_id, generation + 1);
    let said = joined.members.iter().map(|member| &member.metadata[..]);
    assert!(said.into_iter().any(|said| said == b"other"));
}

#[test]
fn a_member_that_lost_its_answer_gets_it_again_before_the_assignment() {
    let mut bench = Bench::new();
    let ids: Vec<ByteString> = (0..2).map(|_| bench.new_id()).collect();
    let calls: Vec<u64> = ids.iter().map(|id| bench.join(join_request(id))).collect();
    bench.advance_ms(0);
    let first = bench.joined(calls[0]).expect("joined");
    let leader = first.leader.clone();
    let again = bench.ask_join(join_request(&leader));
    assert_eq!(
        again.members.len(),
        2,
        "the leader is told of the members again"
    );
    assert_eq!(again.generation_id, first.generation_id);
    assert_eq!(bench.state(), Some(State::CompletingRebalance));
}

#[test]
fn a_second_join_of_a_member_ends_the_wait_of_the_first() {
    let mut bench = Bench::new();
    let (_, ids) = bench.stable(2);
    let first = bench.join(join_with(&ids[1], &[("range", "x")]));
    let second = bench.join(join_with(&ids[1], &[("range", "y")]));
    let refused = bench.joined(first).expect("its client has given it up");
    assert_eq!(code(&refused), ErrorCode::RebalanceInProgress);
    assert!(bench.joined(second).is_none());
    bench.join(join_request(&ids[0]));
    assert_eq!(bench.joined(second).expect("all have joined").error_code, 0);
}

#[test]
fn a_group_is_no_larger_than_it_may_be() {
    let mut bench = Bench::with(&[("group.max.size", "2")]);
    let (_, ids) = bench.stable(2);
    let refused = bench.ask_join(join_request(""));
    assert_eq!(code(&refused), ErrorCode::GroupMaxSizeReached);
    assert_eq!(refused.member_id, "");
    // In a rebalance those count who have joined.
    bench.join(join_request(&ids[0]));
    let third = bench.new_id();
    let call = bench.join(join_request(&third));
    assert!(
        bench.joined(call).is_none(),
        "one of the two may not come back"
    );
    let late = bench.ask_join(join_request(&ids[1]));
    assert_eq!(code(&late), ErrorCode::GroupMaxSizeReached);
    let joined = bench.joined(call).expect("the late one is out");
    assert_eq!(joined.generation_id, 2);
}

#[test]
fn what_a_member_says_is_bounded() {
    let mut bench = Bench::new();
    let long = "x".repeat(RECORD_BATCH_BYTES_DEFAULT_MAX + 1);
    let refused = bench.ask_join(join_with("", &[("range", &long)]));
    assert_eq!(code(&refused), ErrorCode::InvalidRequest);
    assert_eq!(bench.coordinator.group_count(), 0);
}
