// SPDX-License-Identifier: Apache-2.0
//! Groups are read from their log, and given up.

use super::*;
use crate::wire::record::{BatchBuilder, Compression};

#[test]
fn a_group_is_as_it_was_after_a_restart() {
    let mut bench = Bench::new();
    let (generation, ids) = bench.stable(3);
    bench.commit(&ids[0], generation, ("t", 0), 7);
    bench.commit(&ids[1], generation, ("t", 0), 9);
    bench.restart();
    assert_eq!(bench.state(), Some(State::Stable));
    assert_eq!(bench.offset("t", 0), 9);
    for id in &ids {
        assert_eq!(bench.heartbeat(id, generation), ErrorCode::None);
        let call = bench.sync(id, generation, &[]);
        let synced = bench.synced(call).expect("stable");
        assert_eq!(synced.assignment, id.as_bytes());
    }
    // The same leader, which may assign anew.
    let call = bench.join(join_request(&ids[0]));
    assert_eq!(bench.state(), Some(State::PreparingRebalance));
    bench.join(join_request(&ids[1]));
    bench.join(join_request(&ids[2]));
    let joined = bench.joined(call).expect("all");
    assert_eq!(
        (joined.leader.clone(), joined.generation_id),
        (ids[0].clone(), generation + 1)
    );
}

#[test]
fn a_compacted_log_with_gaps_tells_the_same_of_groups() {
    let mut bench = Bench::new();
    let (generation, ids) = bench.stable(3);
    for offset in 0..9 {
        bench.commit(&ids[0], generation, ("t", 0), offset);
        bench.commit(&ids[1], generation, ("u", 1), 10 * offset);
    }
    let before = bench.log.len();
    for _ in 0..3 {
        bench.compact();
        bench.restart();
        assert_eq!((bench.offset("t", 0), bench.offset("u", 1)), (8, 80));
        for id in &ids {
            assert_eq!(bench.heartbeat(id, generation), ErrorCode::None);
            let call = bench.sync(id, generation, &[]);
            let synced = bench.synced(call).expect("stable");
            assert_eq!(synced.assignment, id.as_bytes());
        }
    }
    assert!(bench.log.len() < before, "there are gaps");
    let emptied = bench.log.iter();
    let emptied = emptied.filter(|batch| {
        let opened = records(batch, DECOMPRESSED_BYTES_MAX).expect("ours");
        opened.iter().count() == 0
    });
    assert!(emptied.count() > 0, "and batches without records");
    // What ends offsets and groups stays as a tombstone, and says so when all before it is gone.
    bench.delete_topics(&["u"]);
    bench.compact();
    bench.restart();
    assert_eq!((bench.offset("t", 0), bench.offset("u", 1)), (8, -1));
}

#[test]
fn sessions_begin_anew_after_a_restart() {
    let mut bench = Bench::new();
    let (generation, ids) = bench.stable(1);
    bench.advance_ms(9_000);
    bench.restart();
    bench.advance_ms(9_999);
    assert_eq!(bench.heartbeat(&ids[0], generation), ErrorCode::None);
    bench.advance_ms(10_000);
    assert_eq!(bench.state(), Some(State::Empty));
}

#[test]
fn what_was_not_committed_is_not_there_after_a_restart() {
    let mut bench = Bench::new();
    bench.commit("", -1, ("t", 0), 7);
    bench.holds = true;
    bench.call(GroupCall::Commit(commit_request("", -1, ("t", 0), 9), 9));
    bench.holds = false;
    bench.restart();
    assert_eq!(bench.offset("t", 0), 7);
}

#[test]
fn member_ids_of_two_lives_differ() {
    let mut bench = Bench::new();
    let before = bench.new_id();
    bench.restart();
    assert_ne!(bench.new_id(), before);
}

#[test]
fn nothing_is_answered_before_the_log_is_read() {
    let mut bench = Bench::new();
    bench.coordinator = coordinator(&settings(&[]), 3);
    let call = bench.join(join_request(""));
    let refused = bench.joined(call).expect("at once");
    assert_eq!(
        refused.error_code,
        ErrorCode::CoordinatorLoadInProgress.code()
    );
    let loading = ErrorCode::CoordinatorLoadInProgress;
    assert_eq!(bench.commit("", -1, ("t", 0), 1), loading);
    let fetch = GroupCall::Fetch {
        group: GROUP.into(),
        topics: None,
        member: (None, -1),
        only_stable: false,
    };
    assert_eq!(bench.ask(fetch), GroupAnswer::Fetched(Err(loading)));
    let list = GroupCall::List {
        states: Vec::new(),
        types: Vec::new(),
    };
    assert_eq!(bench.ask(list), GroupAnswer::Listed(Err(loading)));
    assert_eq!(bench.delete(), loading);
    // A member must not think that it was thrown out.
    assert_eq!(bench.heartbeat("m", 4), ErrorCode::None);
}

#[test]
fn a_coordinator_that_is_given_up_answers_all_who_wait() {
    let mut bench = Bench::new();
    let (_, ids) = bench.stable(2);
    let join = bench.join(join_with(&ids[0], &[("range", "new")]));
    bench.holds = true;
    let request = commit_request(&ids[1], 1, ("t", 0), 1);
    let commit = bench.call(GroupCall::Commit(request, 9));
    bench.unload();
    let moved = ErrorCode::NotCoordinator;
    assert_eq!(bench.joined(join).expect("told").error_code, moved.code());
    assert_eq!(bench.committed(commit), Some(vec![moved]));
    assert!(bench.coordinator.is_loading());
    assert_eq!(bench.coordinator.next_deadline(), None);
}

#[test]
fn a_sync_that_waits_is_answered_when_the_coordinator_is_given_up() {
    let mut bench = Bench::new();
    let ids: Vec<ByteString> = (0..2).map(|_| bench.new_id()).collect();
    let calls: Vec<u64> = ids.iter().map(|id| bench.join(join_request(id))).collect();
    bench.advance_ms(0);
    let leader = bench.joined(calls[0]).expect("joined").leader;
    bench.holds = true;
    let syncs: Vec<u64> = ids.iter().map(|id| bench.sync(id, 1, &[])).collect();
    assert_eq!(bench.held.len(), 1, "{leader} has assigned");
    bench.unload();
    for sync in syncs {
        let synced = bench.synced(sync).expect("told");
        assert_eq!(synced.error_code, ErrorCode::NotCoordinator.code());
    }
}

#[test]
fn records_that_nobody_knows_are_passed_over_and_told() {
    let mut bench = Bench::new();
    bench.commit("", -1, ("t", 0), 7);
    let mut batch = BatchBuilder::new(Compression::Zstd);
    // A kind of record that is not known, one that is cut short, one without a key.
    batch.append(1, Some(&[0, 11, 0, 1, 103]), Some(&[0, 0]), &[]);
    batch.append(1, Some(&[0, 1, 0, 1]), Some(&[0, 3]), &[]);
    batch.append(1, None, Some(&[0, 3]), &[]);
    let mut coordinator = coordinator(&settings(&[]), 3);
    coordinator.handle_loaded(&batch.build());
    for batch in &bench.log {
        coordinator.handle_loaded(batch);
    }
    let mut effects = GroupEffects::default();
    assert_eq!(coordinator.handle_load_done(bench.now, &mut effects), 2);
    assert_eq!(coordinator.group_count(), 1);
}
