// SPDX-License-Identifier: Apache-2.0
//! Groups as administrators see them: described, listed, deleted.

use super::*;
use crate::wire::protocol::describe_groups::DescribedGroup;

fn describe(bench: &mut Bench) -> DescribedGroup {
    let group = GROUP.into();
    match bench.ask(GroupCall::Describe { group }) {
        GroupAnswer::Described(group) => group,
        other => panic!("{other:?}"),
    }
}

fn list(bench: &mut Bench, states: &[&str]) -> Vec<(String, String)> {
    let states = states
        .iter()
        .map(|state| ByteString::from(*state))
        .collect();
    match bench.ask(GroupCall::List {
        states,
        types: Vec::new(),
    }) {
        GroupAnswer::Listed(Ok(groups)) => groups
            .iter()
            .map(|group| (group.group_id.to_string(), group.group_state.to_string()))
            .collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_group_is_described_in_each_of_its_states() {
    let mut bench = Bench::new();
    assert_eq!(describe(&mut bench).group_state, "Dead", "there is none");
    let (_, ids) = bench.stable(2);
    let group = describe(&mut bench);
    assert_eq!(
        (&*group.group_state, &*group.protocol_type),
        ("Stable", "consumer")
    );
    assert_eq!((&*group.protocol_data, group.members.len()), ("range", 2));
    for member in &group.members {
        assert_eq!(member.member_assignment, member.member_id.as_bytes());
        assert_eq!(member.member_metadata, "r");
        assert_eq!(
            (&*member.client_id, &*member.client_host),
            ("client", "/127.0.0.1")
        );
    }
    bench.join(join_with(&ids[0], &[("range", "new")]));
    let group = describe(&mut bench);
    assert_eq!(
        (&*group.group_state, &*group.protocol_data),
        ("PreparingRebalance", "")
    );
    assert!(
        group
            .members
            .iter()
            .all(|member| member.member_assignment.is_empty())
    );
    bench.join(join_request(&ids[1]));
    assert_eq!(describe(&mut bench).group_state, "CompletingRebalance");
    bench.leave(&[(&ids[0], None), (&ids[1], None)]);
    let group = describe(&mut bench);
    assert_eq!((&*group.group_state, group.members.len()), ("Empty", 0));
    assert_eq!(group.protocol_type, "consumer");
}

#[test]
fn groups_are_listed_by_state() {
    let mut bench = Bench::new();
    bench.stable(1);
    let request = OffsetCommitRequest {
        group_id: "a".into(),
        ..commit_request("", -1, ("t", 0), 1)
    };
    bench.call(GroupCall::Commit(request, 9));
    let both = [("a", "Empty"), ("g", "Stable")];
    let both = both.map(|(id, state)| (id.to_owned(), state.to_owned()));
    assert_eq!(list(&mut bench, &[]), both);
    assert_eq!(list(&mut bench, &["stable"]), both[1..]);
    assert_eq!(list(&mut bench, &["empty", "stable"]), both);
    assert_eq!(list(&mut bench, &["dead"]), []);
}

#[test]
fn a_group_without_members_is_deleted_with_its_offsets() {
    let mut bench = Bench::new();
    assert_eq!(bench.delete(), ErrorCode::GroupIdNotFound);
    let (generation, ids) = bench.stable(1);
    bench.commit(&ids[0], generation, ("t", 0), 4);
    assert_eq!(bench.delete(), ErrorCode::NonEmptyGroup);
    bench.leave(&[(&ids[0], None)]);
    assert_eq!(bench.delete(), ErrorCode::None);
    assert_eq!(bench.coordinator.group_count(), 0);
    assert_eq!(bench.offset("t", 0), -1);
    bench.restart();
    assert_eq!(bench.coordinator.group_count(), 0);
    assert_eq!(bench.offset("t", 0), -1);
}

#[test]
fn a_group_that_is_being_deleted_takes_nothing() {
    let mut bench = Bench::new();
    bench.commit("", -1, ("t", 0), 4);
    bench.holds = true;
    let group = ByteString::from(GROUP);
    let call = bench.call(GroupCall::Delete {
        group: group.clone(),
    });
    assert_eq!(bench.state(), Some(State::Dead));
    let later = ErrorCode::CoordinatorNotAvailable;
    assert_eq!(bench.ask_join(join_request("")).error_code, later.code());
    assert_eq!(bench.commit("", -1, ("t", 0), 5), later);
    assert_eq!(bench.delete(), ErrorCode::GroupIdNotFound);
    assert_eq!(bench.heartbeat("m", 1), later);
    assert_eq!(bench.offset("t", 0), -1);
    bench.commit_log();
    assert_eq!(
        bench.answer(call),
        Some(GroupAnswer::Deleted(ErrorCode::None))
    );
    assert_eq!(bench.state(), None);
}

#[test]
fn a_deletion_that_was_lost_changes_nothing() {
    let mut bench = Bench::new();
    bench.commit("", -1, ("t", 0), 4);
    bench.holds = true;
    let group = GROUP.into();
    let call = bench.call(GroupCall::Delete { group });
    bench.lose(WriteError::Unavailable);
    let lost = GroupAnswer::Deleted(ErrorCode::CoordinatorNotAvailable);
    assert_eq!(bench.answer(call), Some(lost));
    assert_eq!(
        (bench.state(), bench.offset("t", 0)),
        (Some(State::Empty), 4)
    );
}

#[test]
fn a_deletion_takes_an_offset_with_it_whose_record_is_under_way() {
    let mut bench = Bench::new();
    bench.commit("", -1, ("t", 0), 4);
    bench.holds = true;
    let commit = bench.call(GroupCall::Commit(commit_request("", -1, ("t", 1), 5), 9));
    let group = GROUP.into();
    let delete = bench.call(GroupCall::Delete { group });
    bench.commit_log();
    assert_eq!(bench.committed(commit), Some(vec![ErrorCode::None]));
    assert_eq!(
        bench.answer(delete),
        Some(GroupAnswer::Deleted(ErrorCode::None))
    );
    bench.holds = false;
    bench.restart();
    assert_eq!(bench.coordinator.group_count(), 0);
    assert_eq!(bench.offset("t", 1), -1);
}

#[test]
fn a_group_with_more_offsets_than_one_batch_holds_is_deleted() {
    let mut bench = Bench::new();
    for first in [0, 10_000, 20_000] {
        let mut request = commit_request("", -1, ("t", 0), 1);
        let one = request.topics[0].partitions[0].clone();
        let many = (first..first + 10_000).map(|partition_index| OffsetCommitRequestPartition {
            partition_index,
            ..one.clone()
        });
        request.topics[0].partitions = many.collect();
        let call = bench.call(GroupCall::Commit(request, 9));
        assert_eq!(
            bench.committed(call).expect("committed")[0],
            ErrorCode::None
        );
    }
    assert_eq!(bench.delete(), ErrorCode::None);
    bench.restart();
    assert_eq!(bench.coordinator.group_count(), 0);
}
