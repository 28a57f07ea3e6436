// SPDX-License-Identifier: Apache-2.0
//! Static members (KIP-345): they come back under their own name, and whoever has it is fenced.

use super::*;

/// A stable group of a static member `i1`, which leads, and a dynamic one.
fn stable(bench: &mut Bench) -> (ByteString, ByteString) {
    let fixed = bench.join(join_static("", "i1"));
    let dynamic = bench.new_id();
    let other = bench.join(join_request(&dynamic));
    bench.advance_ms(0);
    let mut joined: Vec<JoinGroupResponse> = [fixed, other]
        .map(|call| bench.joined(call).expect("both have joined"))
        .into();
    assert_eq!(joined[0].leader, joined[0].member_id);
    assert_eq!(joined[0].members.len(), 2);
    let named = joined[0].members.iter();
    let named: Vec<Option<&str>> = named.map(|one| one.group_instance_id.as_deref()).collect();
    assert!(named.contains(&Some("i1")) && named.contains(&None));
    bench.assign(&joined);
    let other = joined.pop().expect("two");
    let fixed = joined.pop().expect("two");
    (fixed.member_id, other.member_id)
}

fn heartbeat_as(bench: &mut Bench, member: &str, instance: &str) -> ErrorCode {
    let request = HeartbeatRequest {
        group_id: GROUP.into(),
        generation_id: 1,
        member_id: member.into(),
        group_instance_id: Some(instance.into()),
    };
    match bench.ask(GroupCall::Heartbeat(request)) {
        GroupAnswer::Heartbeat(code) => code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_static_member_needs_no_id_and_is_called_by_its_name() {
    let mut bench = Bench::new();
    let (id, _) = stable(&mut bench);
    assert!(id.starts_with("i1-"), "{id}");
}

#[test]
fn a_static_member_comes_back_without_a_rebalance() {
    let mut bench = Bench::new();
    let (old, _) = stable(&mut bench);
    let written = bench.log.len();
    let back = bench.ask_join(join_static("", "i1"));
    assert_eq!((back.error_code, back.generation_id), (0, 1));
    assert_ne!(back.member_id, old);
    assert_eq!(bench.state(), Some(State::Stable));
    assert_eq!(bench.log.len(), written + 1, "its new id is in the log");
    // Since version 9 the leader hears of the members, and leaves the assignment as it is.
    assert!(back.skip_assignment);
    assert_eq!((&back.leader, back.members.len()), (&back.member_id, 2));
    let synced = bench.sync(&back.member_id, 1, &[]);
    let synced = bench.synced(synced).expect("stable");
    assert_eq!(synced.assignment, old.as_bytes(), "what it had before");
    assert_eq!(
        heartbeat_as(&mut bench, &old, "i1"),
        ErrorCode::FencedInstanceId
    );
    assert_eq!(
        heartbeat_as(&mut bench, &back.member_id, "i1"),
        ErrorCode::None
    );
    assert_eq!(bench.heartbeat(&old, 1), ErrorCode::UnknownMemberId);
}

#[test]
fn before_version_9_a_leader_that_comes_back_is_told_that_another_leads() {
    let mut bench = Bench::new();
    let (old, _) = stable(&mut bench);
    let call = bench.join_as(join_static("", "i1"), 8);
    let back = bench.joined(call).expect("no rebalance");
    assert!(!back.skip_assignment && back.members.is_empty());
    assert_eq!(back.leader, old, "so it does not assign");
}

#[test]
fn a_replacement_that_the_log_does_not_take_is_undone() {
    let mut bench = Bench::new();
    let (old, _) = stable(&mut bench);
    bench.holds = true;
    let call = bench.join(join_static("", "i1"));
    assert!(bench.joined(call).is_none(), "not committed");
    bench.lose(WriteError::Unavailable);
    let refused = bench.joined(call).expect("lost");
    let code = ErrorCode::CoordinatorNotAvailable.code();
    assert_eq!((refused.error_code, &*refused.member_id), (code, ""));
    assert_eq!(heartbeat_as(&mut bench, &old, "i1"), ErrorCode::None);
    assert_eq!(bench.state(), Some(State::Stable));
}

#[test]
fn a_rebalance_answers_a_replacement_that_is_under_way() {
    let mut bench = Bench::new();
    let (_, other) = stable(&mut bench);
    bench.holds = true;
    let back = bench.join(join_static("", "i1"));
    let again = bench.join(join_with(&other, &[("range", "new")]));
    let joined = bench.joined(again).expect("both have joined");
    let back = bench.joined(back).expect("both have joined");
    assert_eq!((joined.generation_id, back.generation_id), (2, 2));
    bench.commit_log();
    assert_eq!(bench.state(), Some(State::CompletingRebalance));
}

#[test]
fn a_static_member_that_comes_back_with_another_protocol_starts_a_rebalance() {
    let mut bench = Bench::new();
    let (_, other) = stable(&mut bench);
    let changed = JoinGroupRequest {
        protocols: join_with("", &[("roundrobin", "rr")]).protocols,
        ..join_static("", "i1")
    };
    let back = bench.join(changed);
    assert_eq!(bench.state(), Some(State::PreparingRebalance));
    bench.join(join_request(&other));
    let joined = bench.joined(back).expect("both have joined");
    assert_eq!(joined.protocol_name.as_deref(), Some("roundrobin"));
}

#[test]
fn a_static_member_that_comes_back_before_the_assignment_starts_a_rebalance() {
    let mut bench = Bench::new();
    let fixed = bench.join(join_static("", "i1"));
    bench.advance_ms(0);
    let old = bench.joined(fixed).expect("alone").member_id;
    let sync = bench.call(GroupCall::Sync(SyncGroupRequest {
        group_instance_id: Some("i1".into()),
        ..sync_request(&old, 0, &[])
    }));
    let refused = bench.synced(sync).expect("at once");
    assert_eq!(refused.error_code, ErrorCode::IllegalGeneration.code());
    let back = bench.join(join_static("", "i1"));
    let joined = bench.joined(back).expect("alone");
    assert_eq!(joined.generation_id, 2);
}

#[test]
fn whoever_joins_twice_under_one_name_is_fenced() {
    let mut bench = Bench::new();
    let (old, other) = stable(&mut bench);
    // Its join waits in a rebalance when the second one comes.
    let waiting = bench.join(JoinGroupRequest {
        protocols: join_with("", &[("range", "new")]).protocols,
        ..join_static(&old, "i1")
    });
    assert!(bench.joined(waiting).is_none());
    let second = bench.join(join_static("", "i1"));
    let fenced = bench.joined(waiting).expect("fenced");
    assert_eq!(fenced.error_code, ErrorCode::FencedInstanceId.code());
    let late = bench.ask_join(join_static(&old, "i1"));
    assert_eq!(late.error_code, ErrorCode::FencedInstanceId.code());
    bench.join(join_request(&other));
    assert_eq!(bench.joined(second).expect("both").error_code, 0);
}

#[test]
fn names_that_nobody_has_are_unknown() {
    let mut bench = Bench::new();
    let (id, other) = stable(&mut bench);
    assert_eq!(
        heartbeat_as(&mut bench, &id, "i2"),
        ErrorCode::UnknownMemberId
    );
    assert_eq!(
        heartbeat_as(&mut bench, &other, "i1"),
        ErrorCode::FencedInstanceId
    );
    let refused = bench.ask_join(join_static(&id, "i2"));
    assert_eq!(refused.error_code, ErrorCode::UnknownMemberId.code());
}

#[test]
fn a_static_member_keeps_its_place_until_its_session_ends() {
    let mut bench = Bench::new();
    let (id, other) = stable(&mut bench);
    // It does not join again, but its session lives: it is part of the next generation.
    let call = bench.join(join_with(&other, &[("range", "new")]));
    for _ in 0..3 {
        bench.advance_ms(9_999);
        let code = heartbeat_as(&mut bench, &id, "i1");
        assert_eq!(code, ErrorCode::RebalanceInProgress);
    }
    bench.advance_ms(3);
    let joined = bench.joined(call).expect("30 s are over");
    assert_eq!(joined.leader, other, "one that has joined leads");
    assert_eq!(joined.members.len(), 2);
}

#[test]
fn a_generation_waits_on_while_only_absent_static_members_are_left() {
    let mut bench = Bench::new();
    let fixed = JoinGroupRequest {
        session_timeout_ms: 100_000,
        ..join_static("", "i1")
    };
    let call = bench.join(fixed);
    bench.advance_ms(0);
    let joined = bench.joined(call).expect("alone");
    let id = joined.member_id.clone();
    bench.assign(&[joined]);
    let dynamic = bench.new_id();
    bench.join(join_request(&dynamic));
    bench.leave(&[(&dynamic, None)]);
    assert_eq!(bench.state(), Some(State::PreparingRebalance));
    bench.advance_ms(60_000);
    assert_eq!(bench.state(), Some(State::PreparingRebalance));
    let back = bench.join(join_static(&id, "i1"));
    assert_eq!(bench.joined(back).expect("alone").generation_id, 2);
}

#[test]
fn an_operator_takes_static_members_out_by_name() {
    let mut bench = Bench::new();
    let (id, _) = stable(&mut bench);
    let left = bench.leave(&[("", Some("i2")), ("", None), ("wrong", Some("i1"))]);
    let codes: Vec<i16> = left.members.iter().map(|one| one.error_code).collect();
    let unknown = ErrorCode::UnknownMemberId.code();
    assert_eq!(
        codes,
        [unknown, unknown, ErrorCode::FencedInstanceId.code()]
    );
    assert_eq!(bench.state(), Some(State::Stable), "nobody has left");
    let left = bench.leave(&[("", Some("i1"))]);
    assert_eq!(left.members[0].error_code, 0);
    assert_eq!(left.members[0].group_instance_id.as_deref(), Some("i1"));
    assert_eq!(bench.state(), Some(State::PreparingRebalance));
    assert_eq!(
        heartbeat_as(&mut bench, &id, "i1"),
        ErrorCode::UnknownMemberId
    );
}
