// SPDX-License-Identifier: Apache-2.0
//! Groups of the new protocol: members come, give up, take, stay away and leave; refusals each at
//! their place (KIP-848).

use super::beats::{Member, beat, beat_of, given, leaves, topic_id};
use super::*;
use crate::wire::protocol::consumer_group_describe::DescribedConsumerGroup;
use crate::wire::protocol::consumer_group_heartbeat::TopicPartitions;

fn describe(bench: &mut Bench) -> DescribedConsumerGroup {
    let group = GROUP.into();
    match bench.ask(GroupCall::DescribeConsumer { group }) {
        GroupAnswer::DescribedConsumer(group) => group,
        other => panic!("{other:?}"),
    }
}

fn with_topic(partitions: usize) -> Bench {
    let mut bench = Bench::new();
    bench.set_topics(&[("t", partitions)]);
    bench
}

#[test]
fn one_member_gets_everything_with_its_first_heartbeat() {
    let mut bench = with_topic(3);
    let response = bench.ask_beat(beat("a", 0, &["t"]));
    assert_eq!((response.error_code, response.member_epoch), (0, 1));
    assert_eq!(response.member_id.as_deref(), Some("a"));
    assert_eq!(response.heartbeat_interval_ms, 5_000);
    assert_eq!(given(&response), Some(vec![0, 1, 2]));
    let later = bench.ask_beat(beat_of("a", 1));
    assert_eq!(
        (later.member_epoch, later.assignment),
        (1, None),
        "nothing new"
    );
    // A request that says everything is told everything.
    let mut whole = beat("a", 1, &["t"]);
    whole.topic_partitions = Some(owned(&[0, 1, 2]));
    assert_eq!(given(&bench.ask_beat(whole)), Some(vec![0, 1, 2]));
    let group = describe(&mut bench);
    assert_eq!((&*group.group_state, group.group_epoch), ("Stable", 1));
    assert_eq!(
        (group.assignment_epoch, &*group.assignor_name),
        (1, "uniform")
    );
    let member = &group.members[0];
    assert_eq!((&*member.client_id, member.member_type), ("client", 1));
    assert_eq!(member.assignment.topic_partitions[0].topic_name, "t");
    assert_eq!(member.assignment, member.target_assignment);
}

fn owned(partitions: &[i32]) -> Vec<TopicPartitions> {
    vec![TopicPartitions {
        topic_id: topic_id("t"),
        partitions: partitions.to_vec(),
    }]
}

#[test]
fn a_newcomer_waits_until_others_have_given_up() {
    let mut bench = with_topic(4);
    let mut a = Member::join(&mut bench, "a", &["t"]);
    assert_eq!(a.owned, [0, 1, 2, 3]);
    let mut b = Member::join(&mut bench, "b", &["t"]);
    assert_eq!((b.epoch, b.owned.len()), (2, 0), "nothing is free");
    assert_eq!(&*describe(&mut bench).group_state, "Reconciling");
    // The first one hears what it may keep, and has not given up the rest yet.
    assert_eq!(a.hear(&mut bench).error_code, 0);
    assert_eq!((a.epoch, a.owned.len(), a.to_give_up.len()), (1, 2, 2));
    b.hear(&mut bench);
    assert_eq!(b.owned.len(), 0);
    a.give_up();
    a.hear(&mut bench);
    assert_eq!(a.epoch, 2);
    b.hear(&mut bench);
    let mut all = [a.owned, b.owned].concat();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3]);
    assert_eq!(&*describe(&mut bench).group_state, "Stable");
}

#[test]
fn who_does_not_give_up_in_time_is_taken_out() {
    let mut bench = with_topic(4);
    let mut a = Member::join(&mut bench, "a", &["t"]);
    let mut b = Member::join(&mut bench, "b", &["t"]);
    a.hear(&mut bench);
    assert_eq!(a.to_give_up.len(), 2);
    for _ in 0..5 {
        bench.advance_ms(7_000);
        let heard = bench.ask_beat(beat_of("a", 1));
        b.hear(&mut bench);
        if heard.error_code != 0 {
            assert_eq!(heard.error_code, ErrorCode::UnknownMemberId.code());
            b.hear(&mut bench);
            assert_eq!(b.owned, [0, 1, 2, 3]);
            return;
        }
    }
    panic!("its rebalance timeout of 30 s has passed");
}

#[test]
fn a_member_that_is_not_heard_of_is_taken_out() {
    let mut bench = with_topic(2);
    let mut a = Member::join(&mut bench, "a", &["t"]);
    let mut b = Member::join(&mut bench, "b", &["t"]);
    a.hear(&mut bench);
    a.give_up();
    a.hear(&mut bench);
    b.hear(&mut bench);
    assert_eq!((a.owned.len(), b.owned.len()), (1, 1));
    bench.advance_ms(40_000);
    b.hear(&mut bench);
    bench.advance_ms(5_001);
    b.hear(&mut bench);
    assert_eq!(b.owned, [0, 1], "45 seconds have passed");
    let response = bench.ask_beat(beat_of("a", a.epoch));
    assert_eq!(response.error_code, ErrorCode::UnknownMemberId.code());
    assert!(
        response
            .error_message
            .is_some_and(|said| said.contains('a'))
    );
}

#[test]
fn a_member_leaves_and_the_last_one_leaves_an_empty_group() {
    let mut bench = with_topic(2);
    let mut a = Member::join(&mut bench, "a", &["t"]);
    Member::join(&mut bench, "b", &["t"]);
    let response = bench.ask_beat(leaves("b", -1));
    assert_eq!((response.error_code, response.member_epoch), (0, -1));
    a.hear(&mut bench);
    assert_eq!(a.owned, [0, 1]);
    assert_eq!(bench.delete(), ErrorCode::NonEmptyGroup);
    bench.ask_beat(leaves("a", -1));
    assert_eq!(&*describe(&mut bench).group_state, "Empty");
    let again = bench.ask_beat(leaves("a", -1));
    assert_eq!(again.error_code, ErrorCode::UnknownMemberId.code());
    assert_eq!(bench.delete(), ErrorCode::None);
    assert_eq!(
        describe(&mut bench).error_code,
        ErrorCode::GroupIdNotFound.code()
    );
    bench.restart();
    assert_eq!(bench.coordinator.group_count(), 0, "its records have ended");
}

#[test]
fn epochs_fence_and_a_lost_answer_does_not() {
    let mut bench = with_topic(4);
    let a = Member::join(&mut bench, "a", &["t"]);
    let fenced = ErrorCode::FencedMemberEpoch.code();
    assert_eq!(bench.ask_beat(beat_of("a", 2)).error_code, fenced);
    // The answer to the join was lost: it comes again, and so does the answer.
    let again = bench.ask_beat(beat("a", 0, &["t"]));
    assert_eq!((again.error_code, again.member_epoch), (0, 1));
    assert_eq!(given(&again), Some(a.owned.clone()));
    Member::join(&mut bench, "b", &["t"]);
    let mut a = a;
    a.hear(&mut bench);
    a.give_up();
    a.hear(&mut bench);
    assert_eq!(a.epoch, 2);
    // It has not heard of its epoch 2, and owns no more than it may.
    let mut late = beat("a", 1, &["t"]);
    late.topic_partitions = Some(owned(&a.owned));
    assert_eq!(bench.ask_beat(late.clone()).member_epoch, 2);
    late.topic_partitions = Some(owned(&[0, 1, 2, 3]));
    assert_eq!(bench.ask_beat(late).error_code, fenced, "it owns too much");
    assert_eq!(
        bench.ask_beat(beat_of("a", 1)).error_code,
        fenced,
        "it does not say"
    );
}

#[test]
fn who_was_fenced_joins_again_under_its_own_id() {
    let mut bench = with_topic(4);
    let fenced = ErrorCode::FencedMemberEpoch.code();
    let mut a = Member::join(&mut bench, "a", &["t"]);
    let mut b = Member::join(&mut bench, "b", &["t"]);
    a.hear(&mut bench);
    assert_eq!(a.to_give_up.len(), 2);
    // It has to give up, and b waits: it joins again, which gives up nothing yet.
    assert_eq!(bench.ask_beat(beat_of("a", 7)).error_code, fenced);
    let mut a = Member::join(&mut bench, "a", &["t"]);
    assert_eq!((a.epoch, a.owned.len()), (1, 2));
    assert_eq!(given(&b.hear(&mut bench)), None);
    a.hear(&mut bench);
    b.hear(&mut bench);
    assert_eq!((a.epoch, b.owned.len()), (2, 2), "it said what it owns");
    // b waited, and both are where they are to be now.
    for member in [&a, &b] {
        assert_eq!(bench.ask_beat(beat_of(&member.id, 1)).error_code, fenced);
        let again = Member::join(&mut bench, &member.id, &["t"]);
        assert_eq!((again.epoch, &again.owned), (2, &member.owned));
    }
    assert_eq!(describe(&mut bench).group_epoch, 2, "nobody came");
}

#[test]
fn a_word_of_the_epoch_before_gives_nothing_up() {
    let mut bench = with_topic(4);
    let mut a = Member::join(&mut bench, "a", &["t"]);
    let mut b = Member::join(&mut bench, "b", &["t"]);
    a.hear(&mut bench);
    a.give_up();
    a.hear(&mut bench);
    b.hear(&mut bench);
    // What it says now comes again when it has all of it, and c is to get a part of that.
    let mut late = beat("a", a.epoch, &["t"]);
    late.topic_partitions = Some(owned(&a.owned));
    bench.ask_beat(late.clone());
    bench.ask_beat(leaves("b", -1));
    a.hear(&mut bench);
    assert_eq!((a.epoch, a.owned.len()), (3, 4));
    let mut c = Member::join(&mut bench, "c", &["t"]);
    assert_eq!(bench.ask_beat(late).error_code, 0);
    c.hear(&mut bench);
    assert_eq!(c.owned, Vec::<i32>::new(), "a has not given up anything");
    let mut whole = beat("a", a.epoch, &["t"]);
    whole.topic_partitions = Some(owned(&a.owned));
    a.take(&bench.ask_beat(whole));
    a.give_up();
    a.hear(&mut bench);
    c.hear(&mut bench);
    assert_eq!((a.owned.len(), c.owned.len()), (2, 2));
}

#[test]
fn a_join_that_comes_late_gives_nothing_up() {
    let mut bench = with_topic(4);
    Member::join(&mut bench, "a", &["t"]);
    Member::join(&mut bench, "b", &["t"]);
    // It says that it owns nothing, as it did when it was sent.
    let late = bench.ask_beat(beat("a", 0, &["t"]));
    assert_eq!((late.error_code, late.member_epoch), (0, 1));
    let b = bench.ask_beat(beat_of("b", 2));
    assert_eq!(given(&b).unwrap_or_default(), Vec::<i32>::new());
}

#[test]
fn static_members_come_back_to_what_they_had() {
    let mut bench = with_topic(4);
    let named = |id: &str, epoch: i32| {
        let mut request = beat(id, epoch, &["t"]);
        request.instance_id = Some("i".into());
        request
    };
    bench.ask_beat(named("a", 0));
    let other = bench.ask_beat(named("c", 0));
    assert_eq!(other.error_code, ErrorCode::UnreleasedInstanceId.code());
    let other = bench.ask_beat(named("c", 1));
    assert_eq!(other.error_code, ErrorCode::FencedInstanceId.code());
    let mut b = Member::join(&mut bench, "b", &["t"]);
    let mut request = named("a", 1);
    request.topic_partitions = Some(owned(&[0, 1]));
    bench.ask_beat(request.clone());
    let kept = given(&bench.ask_beat(request)).expect("it said everything");
    b.hear(&mut bench);
    assert_eq!((kept.len(), b.owned.len()), (2, 2));
    let mut gone = leaves("a", -2);
    gone.instance_id = Some("i".into());
    assert_eq!(bench.ask_beat(gone).member_epoch, -2);
    b.hear(&mut bench);
    assert_eq!(b.owned.len(), 2, "it may come back");
    let epoch = describe(&mut bench).group_epoch;
    let back = bench.ask_beat(named("new-a", 0));
    assert_eq!((back.error_code, given(&back)), (0, Some(kept)));
    assert_eq!(
        describe(&mut bench).group_epoch,
        epoch,
        "nobody else hears of it"
    );
    let old = bench.ask_beat(named("a", epoch));
    assert_eq!(old.error_code, ErrorCode::FencedInstanceId.code());
    // One that does not come back is taken out when its session ends.
    let mut gone = leaves("new-a", -2);
    gone.instance_id = Some("i".into());
    bench.ask_beat(gone);
    bench.advance_ms(30_000);
    b.hear(&mut bench);
    bench.advance_ms(15_001);
    b.hear(&mut bench);
    assert_eq!(b.owned, [0, 1, 2, 3]);
}

#[test]
fn what_a_request_may_not_say_is_refused_with_a_sentence() {
    let mut bench = with_topic(1);
    let invalid = ErrorCode::InvalidRequest;
    let mut wrong: Vec<(ConsumerGroupHeartbeatRequest, ErrorCode)> = Vec::new();
    let mut add = |code, change: &dyn Fn(&mut ConsumerGroupHeartbeatRequest)| {
        let mut request = beat("a", 0, &["t"]);
        change(&mut request);
        wrong.push((request, code));
    };
    add(invalid, &|one| one.member_id = "".into());
    add(invalid, &|one| one.group_id = "".into());
    add(invalid, &|one| one.instance_id = Some("".into()));
    add(invalid, &|one| one.rack_id = Some("".into()));
    add(invalid, &|one| one.rebalance_timeout_ms = -1);
    add(invalid, &|one| one.topic_partitions = None);
    add(invalid, &|one| one.topic_partitions = Some(owned(&[0])));
    add(invalid, &|one| one.subscribed_topic_names = None);
    add(invalid, &|one| one.member_epoch = -3);
    add(invalid, &|one| one.member_epoch = -2);
    add(ErrorCode::UnsupportedAssignor, &|one| {
        one.server_assignor = Some("mine".into());
    });
    add(ErrorCode::InvalidRegularExpression, &|one| {
        one.subscribed_topic_regex = Some("(".into());
    });
    add(ErrorCode::GroupIdNotFound, &|one| one.member_epoch = 1);
    for (request, code) in wrong {
        let response = bench.ask_beat(request.clone());
        assert_eq!(response.error_code, code.code(), "{request:?}");
        let said = response.error_message.expect("a sentence");
        assert!(said.ends_with('.'), "{said}");
    }
    assert_eq!(
        bench.coordinator.group_count(),
        0,
        "nothing is left of them"
    );
    assert_eq!(bench.log.len(), 0);
    // In version 0 the coordinator names the member.
    let call = bench.beat_as(beat("", 0, &["t"]), 0);
    let response = bench.beaten(call).expect("answered at once");
    assert!(response.member_id.is_some_and(|id| !id.is_empty()));
}

#[test]
fn a_full_group_takes_nobody() {
    let mut bench = Bench::with(&[("group.consumer.max.size", "1")]);
    bench.set_topics(&[("t", 2)]);
    Member::join(&mut bench, "a", &["t"]);
    let full = bench.ask_beat(beat("b", 0, &["t"]));
    assert_eq!(full.error_code, ErrorCode::GroupMaxSizeReached.code());
    assert_eq!(bench.ask_beat(beat_of("a", 1)).error_code, 0);
}

#[test]
fn topics_that_come_grow_and_go_change_the_target() {
    let mut bench = Bench::new();
    let mut a = Member::join(&mut bench, "a", &["t"]);
    assert_eq!((a.epoch, a.owned.len()), (1, 0), "there is no such topic");
    bench.set_topics(&[("t", 2), ("other", 5)]);
    a.hear(&mut bench);
    assert_eq!((a.epoch, &a.owned[..]), (2, &[0, 1][..]));
    bench.set_topics(&[("t", 3), ("other", 6)]);
    a.hear(&mut bench);
    assert_eq!((a.epoch, &a.owned[..]), (3, &[0, 1, 2][..]));
    bench.set_topics(&[("t", 3), ("other", 7)]);
    a.hear(&mut bench);
    assert_eq!(a.epoch, 3, "it does not want that one");
    bench.set_topics(&[("other", 7)]);
    a.hear(&mut bench);
    assert_eq!((a.owned.len(), a.to_give_up.len()), (0, 3));
    a.give_up();
    a.hear(&mut bench);
    assert_eq!(a.epoch, 4);
}

#[test]
fn a_pattern_follows_the_topics() {
    let mut bench = Bench::new();
    bench.set_topics(&[("t", 1), ("u", 1), (OFFSETS_TOPIC, 50)]);
    let mut request = beat("a", 0, &[]);
    request.subscribed_topic_regex = Some("t.*|__.*".into());
    let response = bench.ask_beat(request);
    let topics = |response: &ConsumerGroupHeartbeatResponse| {
        let assignment = response.assignment.clone().unwrap_or_default();
        assignment.topic_partitions.len()
    };
    assert_eq!((response.error_code, topics(&response)), (0, 1));
    bench.set_topics(&[("t", 1), ("t2", 1), ("u", 1), (OFFSETS_TOPIC, 50)]);
    bench.advance_ms(500);
    assert_eq!(
        bench.ask_beat(beat_of("a", 1)).member_epoch,
        1,
        "not twice a second"
    );
    bench.advance_ms(500);
    let found = bench.ask_beat(beat_of("a", 1));
    assert_eq!((found.member_epoch, topics(&found)), (2, 2));
    bench.restart();
    let same = bench.ask_beat(beat_of("a", 2));
    assert_eq!((same.member_epoch, same.assignment), (2, None));
    // It takes its pattern back, and its record ends.
    let mut request = beat("a", 2, &["u"]);
    request.subscribed_topic_regex = Some("".into());
    request.topic_partitions = Some(Vec::new());
    let response = bench.ask_beat(request);
    assert_eq!((response.member_epoch, topics(&response)), (3, 1));
    let member = &describe(&mut bench).members[0];
    assert_eq!(member.subscribed_topic_regex, None);
}

#[test]
fn most_members_choose_the_assignor() {
    let mut bench = with_topic(4);
    let mut request = beat("b", 0, &["t"]);
    request.server_assignor = Some("range".into());
    bench.ask_beat(request);
    assert_eq!(&*describe(&mut bench).assignor_name, "range");
    bench.ask_beat(beat("a", 0, &["t"]));
    let target = &describe(&mut bench).members[0].target_assignment;
    assert_eq!(
        target.topic_partitions[0].partitions,
        [0, 1],
        "`a` comes first"
    );
}

#[test]
fn offsets_belong_to_members_with_their_epoch() {
    let mut bench = with_topic(2);
    Member::join(&mut bench, "a", &["t"]);
    assert_eq!(bench.commit("a", 1, ("t", 0), 5), ErrorCode::None);
    assert_eq!(
        bench.commit("a", 2, ("t", 0), 6),
        ErrorCode::StaleMemberEpoch
    );
    assert_eq!(
        bench.commit("x", 1, ("t", 0), 6),
        ErrorCode::UnknownMemberId
    );
    assert_eq!(
        bench.commit("", -1, ("t", 0), 6),
        ErrorCode::UnknownMemberId
    );
    let old = GroupCall::Commit(commit_request("a", 1, ("t", 0), 6), 8);
    let call = bench.call(old);
    assert_eq!(
        bench.committed(call),
        Some(vec![ErrorCode::UnsupportedVersion])
    );
    assert_eq!(bench.offset("t", 0), 5);
    let mut fetch = |member: (Option<ByteString>, i32)| {
        let group = GROUP.into();
        let topics = None;
        match bench.ask(GroupCall::Fetch {
            group,
            topics,
            member,
            only_stable: false,
        }) {
            GroupAnswer::Fetched(told) => told.map(|told| told.len()),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(fetch((Some("a".into()), 1)), Ok(1));
    assert_eq!(
        fetch((Some("a".into()), 0)),
        Err(ErrorCode::StaleMemberEpoch)
    );
    assert_eq!(
        fetch((Some("x".into()), 1)),
        Err(ErrorCode::UnknownMemberId)
    );
    assert_eq!(fetch((None, -1)), Ok(1));
    let topics = vec![("t".into(), vec![0])];
    let forget = GroupCall::Forget {
        group: GROUP.into(),
        topics,
    };
    let told = GroupAnswer::Forgotten(Ok(vec![ErrorCode::GroupSubscribedToTopic]));
    assert_eq!(bench.ask(forget), told);
    bench.ask_beat(leaves("a", -1));
    assert_eq!(
        bench.commit("", -1, ("t", 0), 7),
        ErrorCode::None,
        "nobody is left"
    );
}

#[test]
fn offsets_of_topics_that_are_wanted_do_not_expire() {
    let mut bench = Bench::with(&[("offsets.retention.minutes", "1")]);
    bench.set_topics(&[("t", 1), ("u", 1)]);
    let mut a = Member::join(&mut bench, "a", &["t"]);
    bench.commit("a", 1, ("t", 0), 5);
    bench.commit("a", 1, ("u", 0), 5);
    for _ in 0..60 {
        bench.advance_ms(20_000);
        assert_eq!(a.hear(&mut bench).error_code, 0);
    }
    assert_eq!((bench.offset("t", 0), bench.offset("u", 0)), (5, -1));
    bench.ask_beat(leaves("a", -1));
    bench.advance_ms(1_200_000);
    assert_eq!(
        bench.coordinator.group_count(),
        0,
        "without members all of it goes"
    );
    bench.restart();
    assert_eq!(bench.coordinator.group_count(), 0);
}

#[test]
fn groups_are_listed_by_their_types() {
    let mut bench = with_topic(1);
    Member::join(&mut bench, "a", &["t"]);
    let list = |bench: &Bench, states: &[&str], types: &[&str]| {
        let words = |words: &[&str]| words.iter().map(|one| ByteString::from(*one)).collect();
        let (states, types): (Vec<ByteString>, Vec<ByteString>) = (words(states), words(types));
        bench.coordinator.list(&states, &types)
    };
    let found = list(&bench, &[], &["consumer"]);
    assert_eq!(found.len(), 1);
    assert_eq!(
        (&*found[0].group_type, &*found[0].group_state),
        ("consumer", "Stable")
    );
    assert_eq!(list(&bench, &["stable"], &[]).len(), 1);
    assert_eq!(list(&bench, &["empty"], &[]).len(), 0);
    assert_eq!(list(&bench, &[], &["classic"]).len(), 0);
    let group = GROUP.into();
    let GroupAnswer::Described(described) = bench.ask(GroupCall::Describe { group }) else {
        panic!("a description");
    };
    assert_eq!(described.group_state, "Dead", "there is no classic group");
}

#[test]
fn an_answer_waits_for_the_log_and_a_lost_record_is_no_answer() {
    let mut bench = with_topic(2);
    bench.holds = true;
    let join = bench.beat_as(beat("a", 0, &["t"]), 1);
    // Its state is speculation until then, so this one waits, too.
    let again = bench.beat_as(beat_of("a", 1), 1);
    assert_eq!((bench.beaten(join), bench.beaten(again)), (None, None));
    bench.commit_log();
    assert_eq!(bench.beaten(join).map(|one| one.member_epoch), Some(1));
    assert_eq!(bench.beaten(again).map(|one| one.member_epoch), Some(1));
    let leave = bench.beat_as(leaves("a", -1), 1);
    let other = bench.beat_as(beat("b", 0, &["t"]), 1);
    bench.lose(WriteError::Unavailable);
    let lost = ErrorCode::CoordinatorNotAvailable.code();
    assert_eq!(bench.beaten(leave).map(|one| one.error_code), Some(lost));
    assert_eq!(bench.beaten(other).map(|one| one.error_code), Some(lost));
    bench.holds = false;
    let still = bench.ask_beat(beat_of("a", 1));
    assert_eq!((still.error_code, still.member_epoch), (0, 1), "as before");
    assert_eq!(describe(&mut bench).members.len(), 1);
}

#[test]
fn a_group_is_what_it_was_after_a_restart_at_any_step() {
    let mut bench = with_topic(4);
    let mut a = Member::join(&mut bench, "a", &["t"]);
    bench.restart();
    let mut b = Member::join(&mut bench, "b", &["t"]);
    bench.restart();
    a.hear(&mut bench);
    bench.restart();
    a.give_up();
    a.hear(&mut bench);
    bench.restart();
    b.hear(&mut bench);
    let mut all = [a.owned, b.owned].concat();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3]);
    let before = describe(&mut bench);
    bench.restart();
    assert_eq!(describe(&mut bench), before);
    bench.advance_ms(45_000);
    assert_eq!(
        describe(&mut bench).members.len(),
        0,
        "sessions begin anew and end"
    );
}

#[test]
fn what_does_not_fit_the_log_changes_nothing() {
    let mut bench = with_topic(1);
    let long: Vec<String> = (0..300).map(|n| format!("{n:0>4000}")).collect();
    let names: Vec<&str> = long.iter().map(|name| &**name).collect();
    let response = bench.ask_beat(beat("a", 0, &names));
    assert_eq!(response.error_code, ErrorCode::UnknownServerError.code());
    assert_eq!((bench.coordinator.group_count(), bench.log.len()), (0, 0));
    assert_eq!(bench.ask_beat(beat("a", 0, &["t"])).member_epoch, 1);
}

#[test]
fn a_group_with_settings_of_its_own_has_its_own_pace() {
    let mut bench = with_topic(2);
    let own = [
        ("consumer.heartbeat.interval.ms", "7000"),
        ("consumer.session.timeout.ms", "60000"),
    ];
    let own = own.map(|(name, value)| (name.into(), value.into()));
    bench.set_group_configs(GROUP, own.into());
    let joined = bench.ask_beat(beat("a", 0, &["t"]));
    assert_eq!(joined.heartbeat_interval_ms, 7_000);
    bench.advance_ms(59_999);
    assert_eq!(bench.ask_beat(beat_of("a", 1)).error_code, 0);
    // A change counts from the next heartbeat on: what runs runs to its end.
    bench.set_group_configs(GROUP, BTreeMap::new());
    bench.advance_ms(59_999);
    let heard = bench.ask_beat(beat_of("a", 1));
    assert_eq!((heard.error_code, heard.heartbeat_interval_ms), (0, 5_000));
    bench.advance_ms(44_999);
    assert_eq!(describe(&mut bench).members.len(), 1);
    bench.advance_ms(1);
    assert_eq!(describe(&mut bench).members.len(), 0);
}
