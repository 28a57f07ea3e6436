// SPDX-License-Identifier: Apache-2.0
//! A live group goes from the classic protocol to the new one and back, and members of both share
//! it meanwhile.

use super::beats::{Member, beat, beat_of, leaves};
use super::*;
use crate::wire::consumer_protocol::{
    ConsumerAssignment, ConsumerSubscription, NamedPartitions, decode, encode,
};
use crate::wire::protocol::consumer_group_describe::DescribedConsumerGroup;

/// A member of the classic protocol that wants the topic `t`; it keeps what it owns while it joins,
/// and gives up what it is not given again (cooperative).
#[derive(Clone, Debug, Default)]
pub struct Classic {
    pub id: ByteString,
    pub instance: Option<ByteString>,
    pub generation: i32,
    pub owned: Vec<i32>,
}

fn named(partitions: &[i32]) -> Vec<NamedPartitions> {
    vec![NamedPartitions {
        topic: "t".into(),
        partitions: partitions.to_vec(),
    }]
}

impl Classic {
    pub fn join_request(&self) -> JoinGroupRequest {
        let subscription = ConsumerSubscription {
            topics: vec!["t".into()],
            owned_partitions: named(&self.owned),
            generation_id: self.generation,
            ..ConsumerSubscription::default()
        };
        JoinGroupRequest {
            group_instance_id: self.instance.clone(),
            protocols: vec![JoinGroupRequestProtocol {
                name: "cooperative-sticky".into(),
                metadata: encode(&subscription, 3).expect("short"),
            }],
            ..join_request(&self.id)
        }
    }

    /// Joins; the answer, if it comes at once.
    pub fn join(&mut self, bench: &mut Bench) -> Option<JoinGroupResponse> {
        if self.id.is_empty() && self.instance.is_none() {
            let given = bench.ask_join(self.join_request());
            assert_eq!(given.error_code, ErrorCode::MemberIdRequired.code());
            self.id = given.member_id;
        }
        let call = bench.join(self.join_request());
        bench.advance_ms(0);
        let joined = bench.joined(call)?;
        if joined.error_code == 0 {
            self.id = joined.member_id.clone();
            self.generation = joined.generation_id;
        }
        Some(joined)
    }

    /// Asks for its assignment, and brings that of all if it leads.
    pub fn sync(&mut self, bench: &mut Bench, parts: &[(&ByteString, &[i32])]) -> ErrorCode {
        let parts = parts.iter().map(|(id, partitions)| {
            let assignment = ConsumerAssignment {
                assigned_partitions: named(partitions),
                user_data: None,
            };
            SyncGroupRequestAssignment {
                member_id: (*id).clone(),
                assignment: encode(&assignment, 3).expect("short"),
            }
        });
        let call = bench.call(GroupCall::Sync(SyncGroupRequest {
            protocol_name: Some("cooperative-sticky".into()),
            assignments: parts.collect(),
            ..sync_request(&self.id, self.generation, &[])
        }));
        let synced = bench.synced(call).expect("answered at once");
        if synced.error_code == 0 {
            let (_, told): (i16, ConsumerAssignment) =
                decode(&synced.assignment).expect("an assignment");
            let topics = told.assigned_partitions.into_iter();
            self.owned = topics.flat_map(|topic| topic.partitions).collect();
        }
        ErrorCode::from_code(synced.error_code).expect("a code")
    }

    pub fn beat(&self, bench: &mut Bench) -> ErrorCode {
        bench.heartbeat(&self.id, self.generation)
    }
}

/// A classic group of one member that owns all of a topic of four partitions.
fn classic_group(changes: &[(&'static str, &str)]) -> (Bench, Classic) {
    let mut bench = Bench::with(changes);
    bench.set_topics(&[("t", 4)]);
    let mut classic = Classic::default();
    let joined = classic.join(&mut bench).expect("it is alone");
    assert_eq!(joined.leader, classic.id);
    let id = classic.id.clone();
    let synced = classic.sync(&mut bench, &[(&id, &[0, 1, 2, 3])]);
    assert_eq!((synced, classic.owned.len()), (ErrorCode::None, 4));
    (bench, classic)
}

fn describe(bench: &mut Bench) -> DescribedConsumerGroup {
    let group = GROUP.into();
    match bench.ask(GroupCall::DescribeConsumer { group }) {
        GroupAnswer::DescribedConsumer(group) => group,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_classic_group_goes_over_with_the_first_new_member() {
    let (mut bench, mut classic) = classic_group(&[]);
    bench.commit(&classic.id.clone(), classic.generation, ("t", 0), 7);
    let mut new = Member::join(&mut bench, "new", &["t"]);
    assert_eq!((new.epoch, new.owned.len()), (2, 0), "all is owned");
    assert_eq!(bench.offset("t", 0), 7, "offsets stay");
    // The old one joins again, is told what it may keep, and gives up the rest by another join.
    assert_eq!(classic.beat(&mut bench), ErrorCode::RebalanceInProgress);
    let joined = classic.join(&mut bench).expect("at once");
    assert_eq!((joined.error_code, joined.generation_id), (0, 1));
    assert_eq!(
        (&*joined.leader, joined.members.len()),
        ("", 0),
        "it leads nobody"
    );
    assert_eq!(classic.sync(&mut bench, &[]), ErrorCode::None);
    assert_eq!(classic.owned.len(), 2);
    new.hear(&mut bench);
    assert_eq!(new.owned.len(), 0, "it has not said yet that it gave up");
    assert_eq!(classic.beat(&mut bench), ErrorCode::RebalanceInProgress);
    assert_eq!(
        classic.join(&mut bench).map(|one| one.generation_id),
        Some(2)
    );
    assert_eq!(classic.sync(&mut bench, &[]), ErrorCode::None);
    assert_eq!(classic.beat(&mut bench), ErrorCode::None);
    new.hear(&mut bench);
    let mut all = [&new.owned[..], &classic.owned[..]].concat();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3]);
    let group = describe(&mut bench);
    let kinds: Vec<i8> = group.members.iter().map(|one| one.member_type).collect();
    assert_eq!((&*group.group_state, kinds.len()), ("Stable", 2));
    assert_eq!(kinds.iter().sum::<i8>(), 1, "one of each");
    let id = classic.id.clone();
    assert_eq!(bench.commit(&id, 2, ("t", 0), 8), ErrorCode::None);
    assert_eq!(
        bench.commit(&id, 1, ("t", 0), 9),
        ErrorCode::IllegalGeneration
    );
    bench.restart();
    assert_eq!(describe(&mut bench), group);
    assert_eq!(classic.beat(&mut bench), ErrorCode::None);
}

/// A group in which a classic and a new member own two partitions each.
fn shared_group() -> (Bench, Classic, Member) {
    let (mut bench, mut classic) = classic_group(&[]);
    let mut new = Member::join(&mut bench, "new", &["t"]);
    for _ in 0..2 {
        classic.join(&mut bench);
        classic.sync(&mut bench, &[]);
    }
    new.hear(&mut bench);
    assert_eq!((new.owned.len(), classic.owned.len()), (2, 2));
    (bench, classic, new)
}

#[test]
fn a_group_goes_back_with_its_last_new_member() {
    let (mut bench, mut classic, _) = shared_group();
    bench.ask_beat(leaves("new", -1));
    assert_eq!(bench.state(), Some(State::PreparingRebalance));
    let found = bench.coordinator.list(&[], &["classic".into()]);
    assert_eq!(found.len(), 1);
    let joined = classic.join(&mut bench).expect("it is alone");
    assert_eq!((joined.error_code, &joined.leader), (0, &classic.id));
    assert!(joined.generation_id > 2);
    let id = classic.id.clone();
    classic.sync(&mut bench, &[(&id, &[0, 1, 2, 3])]);
    bench.restart();
    assert_eq!(bench.state(), Some(State::Stable));
    assert_eq!(classic.beat(&mut bench), ErrorCode::None);
    assert_eq!(
        describe(&mut bench).error_code,
        ErrorCode::GroupIdNotFound.code()
    );
}

#[test]
fn a_restart_right_behind_the_way_back_finds_a_classic_group() {
    let (mut bench, mut classic, _) = shared_group();
    bench.ask_beat(leaves("new", -1));
    bench.restart();
    assert_eq!(bench.state(), Some(State::Stable), "as its record says");
    assert_eq!(classic.beat(&mut bench), ErrorCode::IllegalGeneration);
    assert_eq!(classic.join(&mut bench).map(|one| one.error_code), Some(0));
}

#[test]
fn a_lost_record_leaves_a_group_with_its_protocol() {
    let (mut bench, classic) = classic_group(&[]);
    bench.holds = true;
    let join = bench.beat_as(beat("new", 0, &["t"]), 1);
    bench.lose(WriteError::Unavailable);
    let lost = ErrorCode::CoordinatorNotAvailable.code();
    assert_eq!(bench.beaten(join).map(|one| one.error_code), Some(lost));
    bench.holds = false;
    assert_eq!(bench.state(), Some(State::Stable));
    assert_eq!(classic.beat(&mut bench), ErrorCode::None);
}

#[test]
fn the_policy_may_forbid_either_way() {
    for policy in ["disabled", "downgrade"] {
        let (mut bench, classic) = classic_group(&[("group.consumer.migration.policy", policy)]);
        let refused = bench.ask_beat(beat("new", 0, &["t"]));
        assert_eq!(refused.error_code, ErrorCode::GroupIdNotFound.code());
        assert_eq!(
            classic.beat(&mut bench),
            ErrorCode::None,
            "nothing has changed"
        );
    }
    let (mut bench, classic) = classic_group(&[("group.consumer.migration.policy", "upgrade")]);
    Member::join(&mut bench, "new", &["t"]);
    bench.ask_beat(leaves("new", -1));
    assert_eq!(
        describe(&mut bench).members.len(),
        1,
        "it stays one of the new protocol"
    );
    assert_eq!(classic.beat(&mut bench), ErrorCode::RebalanceInProgress);
}

#[test]
fn a_group_that_cannot_be_read_or_is_about_to_be_told_stays_classic() {
    // Its members say something else than what consumers say.
    let mut bench = Bench::new();
    bench.set_topics(&[("t", 4)]);
    let (generation, ids) = bench.stable(2);
    let refused = bench.ask_beat(beat("new", 0, &["t"]));
    assert_eq!(refused.error_code, ErrorCode::GroupIdNotFound.code());
    assert_eq!(bench.heartbeat(&ids[0], generation), ErrorCode::None);
    // Between join and sync nobody knows who owns what.
    let (mut bench, mut classic) = classic_group(&[]);
    classic.join(&mut bench);
    assert_eq!(bench.state(), Some(State::CompletingRebalance));
    let later = bench.ask_beat(beat("new", 0, &["t"]));
    let loading = ErrorCode::CoordinatorLoadInProgress.code();
    assert_eq!(later.error_code, loading, "clients try that again");
}

#[test]
fn who_waits_for_a_generation_is_told_to_join_again() {
    let (mut bench, mut classic) = classic_group(&[]);
    let mut other = Classic::default();
    assert_eq!(other.join(&mut bench), None, "it waits for the first one");
    let before = bench.log.len();
    Member::join(&mut bench, "new", &["t"]);
    assert!(bench.log.len() > before);
    assert_eq!(classic.beat(&mut bench), ErrorCode::RebalanceInProgress);
    assert_eq!(other.join(&mut bench).map(|one| one.error_code), Some(0));
    classic.join(&mut bench);
    classic.sync(&mut bench, &[]);
    classic.join(&mut bench);
    assert_eq!(classic.sync(&mut bench, &[]), ErrorCode::None);
    assert!(classic.owned.len() <= 2);
}

#[test]
fn classic_members_are_fenced_and_timed_out_inside() {
    let (mut bench, mut classic, mut new) = shared_group();
    let mut stranger = Classic {
        id: "stranger".into(),
        generation: 2,
        ..Classic::default()
    };
    assert_eq!(stranger.beat(&mut bench), ErrorCode::UnknownMemberId);
    assert_eq!(stranger.sync(&mut bench, &[]), ErrorCode::UnknownMemberId);
    stranger.id = "new".into();
    assert_eq!(
        stranger.beat(&mut bench),
        ErrorCode::UnknownMemberId,
        "not a classic one"
    );
    classic.generation = 1;
    assert_eq!(classic.beat(&mut bench), ErrorCode::IllegalGeneration);
    assert_eq!(classic.sync(&mut bench, &[]), ErrorCode::IllegalGeneration);
    classic.generation = 2;
    // Who is told to join again and does not is taken out after its rebalance timeout, however
    // often it is heard of.
    bench.set_topics(&[("t", 6)]);
    new.hear(&mut bench);
    for _ in 0..4 {
        assert_eq!(classic.beat(&mut bench), ErrorCode::RebalanceInProgress);
        bench.advance_ms(7_500);
    }
    bench.advance_ms(1);
    assert_eq!(classic.beat(&mut bench), ErrorCode::UnknownMemberId);
    // Who speaks another protocol has no place here.
    let odd = bench.ask_join(JoinGroupRequest {
        protocol_type: "connect".into(),
        ..classic.join_request()
    });
    assert_eq!(odd.error_code, ErrorCode::InconsistentGroupProtocol.code());
    let odd = bench.ask_join(join_with("x", &[("range", "r")]));
    assert_eq!(odd.error_code, ErrorCode::InconsistentGroupProtocol.code());
}

#[test]
fn classic_members_leave_and_lose_their_session() {
    let (mut bench, classic, mut new) = shared_group();
    let left = bench.leave(&[(&classic.id, None), ("stranger", None), ("new", None)]);
    let codes: Vec<i16> = left.members.iter().map(|one| one.error_code).collect();
    let unknown = ErrorCode::UnknownMemberId.code();
    assert_eq!(
        codes,
        [0, unknown, unknown],
        "one of the new protocol leaves otherwise"
    );
    new.hear(&mut bench);
    assert_eq!(new.owned.len(), 4);
    let (mut bench, _, mut new) = shared_group();
    bench.advance_ms(u64::try_from(SESSION_MS).expect("positive"));
    new.hear(&mut bench);
    assert_eq!(new.owned.len(), 4, "its own session timeout counts");
}

#[test]
fn a_static_member_goes_over_and_back_under_its_name() {
    let mut bench = Bench::new();
    bench.set_topics(&[("t", 4)]);
    let mut old = Classic {
        instance: Some("i".into()),
        ..Classic::default()
    };
    old.join(&mut bench);
    let id = old.id.clone();
    old.sync(&mut bench, &[(&id, &[0, 1, 2, 3])]);
    // Its process ends without a word, and a new one of the new protocol takes its place only once
    // it may.
    let mut request = beat("new", 0, &["t"]);
    request.instance_id = Some("i".into());
    let refused = bench.ask_beat(request.clone());
    assert_eq!(refused.error_code, ErrorCode::UnreleasedInstanceId.code());
    bench.leave(&[("", Some("i"))]);
    assert_eq!(bench.ask_beat(request).error_code, 0);
    // Back: a classic one without a member id takes its place at once, as in a classic group.
    let mut again = Classic {
        instance: Some("i".into()),
        ..Classic::default()
    };
    let joined = again.join(&mut bench).expect("at once");
    assert_eq!(joined.error_code, 0);
    let fenced = bench.ask_beat(beat_of("new", 1));
    assert_ne!(fenced.error_code, 0);
    assert_eq!(
        bench.state(),
        Some(State::PreparingRebalance),
        "only it is left"
    );
}

#[test]
fn an_empty_group_takes_the_protocol_of_whoever_comes() {
    let mut bench = Bench::new();
    bench.set_topics(&[("t", 4)]);
    Member::join(&mut bench, "a", &["t"]);
    bench.commit("a", 1, ("t", 0), 5);
    bench.ask_beat(leaves("a", -1));
    let mut classic = Classic::default();
    let joined = classic.join(&mut bench).expect("it is alone");
    assert_eq!((joined.error_code, joined.generation_id), (0, 1));
    let id = classic.id.clone();
    classic.sync(&mut bench, &[(&id, &[0])]);
    bench.restart();
    assert_eq!(
        (bench.state(), bench.offset("t", 0)),
        (Some(State::Stable), 5)
    );
    bench.leave(&[(&id, None)]);
    let back = bench.ask_beat(beat("a", 0, &["t"]));
    assert_eq!((back.error_code, back.member_epoch), (0, 1));
    bench.restart();
    assert_eq!(describe(&mut bench).members.len(), 1);
    assert_eq!(bench.offset("t", 0), 5);
}
