// SPDX-License-Identifier: Apache-2.0
//! Members of groups (classic protocol): they join late, pause longer than their session, die,
//! leave and return, some of them as static members; what they sent may arrive twice and late.
//!
//! Invariants: a member acts on an answer only if it is still what it was when it asked, but notes
//! everything that it is told; a leader notes an assignment before it sends it. Two assignments of
//! one leader for one generation need not be alike.

mod answers;
mod copies;
mod mixed;

use std::collections::BTreeMap;

use bytes::Bytes;
use furlong::wire::protocol::Request;
use furlong::wire::protocol::find_coordinator::FindCoordinatorRequest;
use furlong::wire::protocol::heartbeat::HeartbeatRequest;
use furlong::wire::protocol::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use furlong::wire::protocol::leave_group::{LeaveGroupRequest, MemberIdentity};
use furlong::wire::protocol::offset_commit::OffsetCommitRequest;
use furlong::wire::protocol::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};

use super::group_words::{
    Mark, commit_topics, consumed, encode_share, find_coordinator, newest, note_commit,
    offset_fetch, subscription,
};
use super::link::{Answer, Link};
use super::{Client, ClientEffect, Context, Phase};
use crate::history::groups::{GROUPS, GroupEntry, GroupIndex, MIXED_GROUP, Share};
use crate::history::{Entry, Place};

/// Requests of one member under way at once.
const IN_FLIGHT_MAX: usize = 4;

/// How long a member of a group with both protocols waits that has closed its connection: what is
/// on its way there comes first.
const CALM_US: u64 = 200_000;

/// What operators call static members.
pub const STATIC_NAMES: [&str; 2] = ["static-0", "static-1"];

/// How a member behaves.
#[derive(Clone, Debug)]
pub struct MemberPlan {
    /// Its group.
    pub group: GroupIndex,
    /// What its operator calls it, if it is a static one.
    pub instance: Option<String>,
    /// Session timeout in milliseconds; rebalances may take twice as long.
    pub session_ms: i32,
    /// When it comes for the first time, in microseconds.
    pub comes_at_us: u64,
    /// Longest pause while it is busy, in microseconds.
    pub pause_us_max: u64,
}

/// A request that may be sent once more, much later.
enum Held {
    Join(i16, JoinGroupRequest),
    Sync(i16, SyncGroupRequest),
    Heartbeat(i16, HeartbeatRequest),
    Commit(i16, OffsetCommitRequest, Vec<Mark>),
    Leave(i16, LeaveGroupRequest),
}

/// What a request was for.
enum What {
    Find,
    Join,
    Sync,
    Heartbeat,
    Commit(Vec<(Place, usize)>),
    Fetch,
    Leave,
}

/// A request, and who its sender was then.
struct Tag {
    what: What,
    /// Changes with everything that makes an answer outdated.
    life: u64,
    called: usize,
    sent_us: u64,
    id: String,
    generation: i32,
    /// It was sent once more: its answer is noted and nothing else.
    is_copy: bool,
}

/// Where a member stands.
enum Stage {
    /// It does not know whether there is a coordinator.
    Lost,
    /// It has to join.
    Out,
    /// It knows its generation; a leader has to assign to these members, by id and instance.
    Joined(Vec<(String, Option<String>)>),
    /// It knows what it has.
    In,
}

/// A member.
pub struct Member {
    plan: MemberPlan,
    link: Link<Tag>,
    stage: Stage,
    life: u64,
    id: String,
    generation: i32,
    protocol: Option<String>,
    owned: Vec<Place>,
    /// What it was assigned, where it takes that only with its next heartbeat.
    told: Vec<Place>,
    /// When the last heartbeat left that was answered well.
    heard_us: u64,
    /// It has noted that it holds something, as this member.
    has_noted: bool,
    held_as: String,
    positions: BTreeMap<Place, i64>,
    /// A join, sync, search or leave is under way.
    is_waiting: bool,
    heartbeat_at_us: u64,
    away_until_us: u64,
    held: Option<Held>,
    has_failed: bool,
    is_counted: bool,
    /// It was served after the last heal, or is not to come back.
    is_settled: bool,
}

impl Member {
    /// A member that has not come yet.
    pub fn new(plan: MemberPlan) -> Member {
        Member {
            away_until_us: plan.comes_at_us,
            plan,
            link: Link::new(),
            stage: Stage::Lost,
            life: 0,
            id: String::new(),
            generation: -1,
            protocol: None,
            owned: Vec::new(),
            told: Vec::new(),
            heard_us: 0,
            has_noted: false,
            held_as: String::new(),
            positions: BTreeMap::new(),
            is_waiting: false,
            heartbeat_at_us: 0,
            held: None,
            has_failed: false,
            is_counted: false,
            is_settled: false,
        }
    }

    /// Counts itself among those that are not through.
    fn count(&mut self, context: &mut Context<'_>) {
        let is_busy = context.board.phase == Phase::Faulty || !self.is_settled;
        if is_busy && !self.is_counted {
            context.board.busy_clients += 1;
        } else if !is_busy && self.is_counted {
            context.board.busy_clients -= 1;
        }
        self.is_counted = is_busy;
    }

    fn session_us(&self) -> u64 {
        u64::try_from(self.plan.session_ms).expect("not negative") * 1_000
    }

    fn work(&mut self, context: &mut Context<'_>) {
        if self.link.is_overdue(context.now_us) {
            context.stats.timeouts += 1;
            if context.board.phase != Phase::Faulty {
                context.violation("a member got no answer for a minute");
            }
            context.effects.push(ClientEffect::Close);
            self.closed(context);
            return;
        }
        let faulty = context.board.phase == Phase::Faulty;
        let is_over = matches!(context.board.phase, Phase::LastReads | Phase::Done);
        if is_over || (faulty && context.now_us < self.away_until_us) {
            return;
        }
        if self.is_over(context.now_us) {
            self.rejoin();
            return;
        }
        if faulty && self.meets_misfortune(context) {
            return;
        }
        if !self.link.connect(context) || self.link.in_flight() >= IN_FLIGHT_MAX {
            return;
        }
        if faulty && self.is_time_to_send_again(context) {
            return self.send_again(context);
        }
        if self.is_waiting {
            return;
        }
        match &self.stage {
            Stage::Lost => self.find(context),
            Stage::Out => self.join(context),
            Stage::Joined(_) => self.sync(context),
            Stage::In => self.consume(context),
        }
    }

    /// True if something happens to it.
    fn meets_misfortune(&mut self, context: &mut Context<'_>) -> bool {
        // Who never gets in has nothing to lose.
        if !matches!(self.stage, Stage::In) && context.prng.chance(800) {
            return false;
        }
        let session_us = self.session_us();
        match context.prng.below(1_000) {
            0..=5 => {
                context.stats.members_paused += 1;
                let pause = context.prng.between(session_us / 2, 3 * session_us);
                self.away_until_us = context.now_us + pause;
            }
            6..=9 => {
                context.stats.members_died += 1;
                context.effects.push(ClientEffect::Close);
                self.closed(context);
                self.forget(context);
                let pause = context.prng.skewed(1_000, 3 * session_us);
                self.away_until_us = context.now_us + pause;
            }
            10..=12 if matches!(self.stage, Stage::In) && self.link.is_ready() => {
                context.stats.members_left += 1;
                self.leave(context);
                self.forget(context);
                let pause = context.prng.skewed(1_000, 3 * session_us);
                self.away_until_us = context.now_us + pause;
            }
            // It thinks that its connection is gone, which is news to the broker.
            13..=18 => {
                context.effects.push(ClientEffect::Close);
                self.closed(context);
                if self.is_mixed() {
                    self.away_until_us = context.now_us + CALM_US;
                }
            }
            _ => return false,
        }
        true
    }

    /// It is not what it was: answers to what it asked count no more.
    fn change(&mut self) {
        self.life += 1;
        self.is_waiting = false;
        self.owned.clear();
        self.told.clear();
        self.positions.clear();
    }

    /// A new process without memory.
    fn forget(&mut self, _: &mut Context<'_>) {
        self.change();
        self.id.clear();
        self.generation = -1;
        self.stage = Stage::Lost;
    }

    fn rejoin(&mut self) {
        self.change();
        self.stage = Stage::Out;
    }

    fn ask<R: Request>(&mut self, context: &mut Context<'_>, version: i16, body: &R, what: What) {
        self.ask_as(context, version, body, what, false);
    }

    fn ask_as<R: Request>(
        &mut self,
        context: &mut Context<'_>,
        version: i16,
        body: &R,
        what: What,
        is_copy: bool,
    ) {
        let waits = matches!(what, What::Find | What::Join | What::Sync);
        self.is_waiting |= waits && !is_copy;
        let tag = Tag {
            what,
            life: self.life,
            called: context.history.entries.len(),
            sent_us: context.now_us,
            id: self.id.clone(),
            generation: self.generation,
            is_copy,
        };
        self.link.request(context, version, body, tag);
    }

    /// Keeps a request to send it once more, now and then. A commit is kept until it is late.
    fn hold(&mut self, context: &mut Context<'_>, held: impl FnOnce() -> Held) {
        if context.prng.chance(200) && !matches!(self.held, Some(Held::Commit(..))) {
            self.held = Some(held());
        }
    }

    fn find(&mut self, context: &mut Context<'_>) {
        let (version, body) = find_coordinator(&self.link, context, self.plan.group);
        self.ask::<FindCoordinatorRequest>(context, version, &body, What::Find);
    }

    fn instance(&self) -> Option<bytestring::ByteString> {
        self.plan.instance.as_ref().map(|name| name.as_str().into())
    }

    fn join(&mut self, context: &mut Context<'_>) {
        let at_least = if self.plan.instance.is_some() { 5 } else { 0 };
        let link = &self.link;
        let version = link.version_between::<JoinGroupRequest>(context, at_least, i16::MAX);
        let lasting = consumed(context.board);
        let mut topics: Vec<usize> = lasting.iter().map(|place| place.topic).collect();
        topics.dedup();
        let names = topics.iter();
        let names: Vec<String> = names
            .map(|topic| context.history.topics[*topic].clone())
            .collect();
        let metadata = subscription(&names);
        let protocols = ["range", "roundrobin"].map(|name| JoinGroupRequestProtocol {
            name: name.into(),
            metadata: metadata.clone(),
        });
        let body = JoinGroupRequest {
            group_id: GROUPS[self.plan.group].into(),
            session_timeout_ms: self.plan.session_ms,
            rebalance_timeout_ms: 2 * self.plan.session_ms,
            member_id: self.id.as_str().into(),
            group_instance_id: self.instance(),
            protocol_type: "consumer".into(),
            protocols: protocols.into(),
            reason: None,
        };
        if !self.is_mixed() {
            self.hold(context, || Held::Join(version, body.clone()));
        }
        self.ask(context, version, &body, What::Join);
    }

    fn sync(&mut self, context: &mut Context<'_>) {
        let Stage::Joined(members) = &self.stage else {
            return;
        };
        let assignments = if members.is_empty() {
            Vec::new()
        } else {
            assign(context, self.plan.group, self.generation, members)
        };
        let at_least = if self.plan.instance.is_some() { 3 } else { 0 };
        let link = &self.link;
        let version = link.version_between::<SyncGroupRequest>(context, at_least, i16::MAX);
        let with_names = version >= 5;
        let body = SyncGroupRequest {
            group_id: GROUPS[self.plan.group].into(),
            generation_id: self.generation,
            member_id: self.id.as_str().into(),
            group_instance_id: self.instance(),
            protocol_type: with_names.then(|| "consumer".into()),
            protocol_name: self
                .protocol
                .as_ref()
                .filter(|_| with_names)
                .map(|name| name.as_str().into()),
            assignments,
        };
        self.hold(context, || Held::Sync(version, body.clone()));
        self.ask(context, version, &body, What::Sync);
    }

    fn consume(&mut self, context: &mut Context<'_>) {
        let needs_offsets = self.positions.is_empty() && !self.owned.is_empty();
        if context.now_us >= self.heartbeat_at_us {
            self.heartbeat(context);
        } else if context.board.phase == Phase::Healed && self.is_settled {
            // All that is left to do is to stay.
        } else if needs_offsets || context.prng.chance(50) {
            let (version, body) = offset_fetch(&self.link, context, self.plan.group, &self.owned);
            self.ask(context, version, &body, What::Fetch);
        } else if context.prng.chance(300) {
            self.commit(context);
        } else if context.board.phase == Phase::Faulty && context.prng.chance(10) {
            // Its subscription may have changed.
            self.rejoin();
        }
    }

    fn heartbeat(&mut self, context: &mut Context<'_>) {
        self.heartbeat_at_us = context.now_us + self.session_us() / 4;
        let at_least = if self.plan.instance.is_some() { 3 } else { 0 };
        let link = &self.link;
        let version = link.version_between::<HeartbeatRequest>(context, at_least, i16::MAX);
        let body = HeartbeatRequest {
            group_id: GROUPS[self.plan.group].into(),
            generation_id: self.generation,
            member_id: self.id.as_str().into(),
            group_instance_id: self.instance(),
        };
        self.hold(context, || Held::Heartbeat(version, body.clone()));
        self.ask(context, version, &body, What::Heartbeat);
    }

    fn commit(&mut self, context: &mut Context<'_>) {
        let mut marks = Vec::new();
        for (place, position) in &mut self.positions {
            if context.prng.chance(600) {
                *position += i64::try_from(context.prng.between(1, 10)).expect("small");
                context.board.last_mark += 1;
                marks.push((*place, *position, context.board.last_mark));
            }
        }
        if marks.is_empty() {
            return;
        }
        let at_least = if self.plan.instance.is_some() { 7 } else { 0 };
        let at_most = newest(context.board, marks.iter().map(|mark| mark.0));
        let link = &self.link;
        let version = link.version_between::<OffsetCommitRequest>(context, at_least, at_most);
        let body = OffsetCommitRequest {
            group_id: GROUPS[self.plan.group].into(),
            generation_id_or_member_epoch: self.generation,
            member_id: self.id.as_str().into(),
            group_instance_id: self.instance(),
            topics: commit_topics(context, &marks),
            ..OffsetCommitRequest::default()
        };
        let who = (&*self.id, self.generation);
        let changes = note_commit(context, self.plan.group, who, &marks);
        self.hold(context, || Held::Commit(version, body.clone(), marks));
        self.ask(context, version, &body, What::Commit(changes));
    }

    fn leave(&mut self, context: &mut Context<'_>) {
        let at_least = if self.plan.instance.is_some() { 3 } else { 0 };
        let link = &self.link;
        let version = link.version_between::<LeaveGroupRequest>(context, at_least, i16::MAX);
        let who = MemberIdentity {
            member_id: self.id.as_str().into(),
            group_instance_id: self.instance(),
            reason: None,
        };
        let is_list = version >= 3;
        let body = LeaveGroupRequest {
            group_id: GROUPS[self.plan.group].into(),
            member_id: if is_list {
                "".into()
            } else {
                self.id.as_str().into()
            },
            members: if is_list { vec![who] } else { Vec::new() },
        };
        self.hold(context, || Held::Leave(version, body.clone()));
        self.ask(context, version, &body, What::Leave);
    }

    fn sleep(&mut self, context: &mut Context<'_>) {
        self.note_end(context);
        self.count(context);
        let session_us = self.session_us();
        let pause = match context.board.phase {
            Phase::LastReads | Phase::Done => 10_000_000,
            Phase::Faulty if context.now_us < self.away_until_us => {
                self.away_until_us - context.now_us
            }
            _ if !self.link.is_ready() => context.prng.skewed(500, 100_000),
            _ if std::mem::take(&mut self.has_failed) => context.prng.between(1_000, 100_000),
            Phase::Healed if self.is_settled && matches!(self.stage, Stage::In) => {
                let heartbeat_in_us = self.heartbeat_at_us.saturating_sub(context.now_us);
                heartbeat_in_us.max(1_000)
            }
            _ => {
                let longest = self.plan.pause_us_max.min(session_us / 8);
                context.prng.skewed(10, longest.max(10))
            }
        };
        context.effects.push(ClientEffect::WakeAfter(pause));
    }
}

/// Who a member is for good. A leader of an old version is not told the names of static members,
/// but their ids begin with them.
pub fn owner(id: &str, instance: Option<&str>) -> String {
    let named = STATIC_NAMES.iter().find(|name| id.starts_with(*name));
    instance.or(named.copied()).unwrap_or(id).to_owned()
}

/// Deals the partitions to the members, notes it, and gives what is to be sent.
fn assign(
    context: &mut Context<'_>,
    group: GroupIndex,
    generation: i32,
    members: &[(String, Option<String>)],
) -> Vec<SyncGroupRequestAssignment> {
    context.board.last_mark += 1;
    let number = context.board.last_mark;
    let mut shares: Vec<Share> = members
        .iter()
        .map(|(id, instance)| Share {
            member: id.clone(),
            owner: owner(id, instance.as_deref()),
            places: Vec::new(),
        })
        .collect();
    let first = context.prng.index(members.len());
    for (index, place) in consumed(context.board).into_iter().enumerate() {
        shares[(index + first) % members.len()].places.push(place);
    }
    let is_mixed = group == MIXED_GROUP;
    let sent = shares.iter().map(|share| SyncGroupRequestAssignment {
        member_id: share.member.as_str().into(),
        assignment: if is_mixed {
            mixed::encode(context.history, &share.places)
        } else {
            encode_share(number, &share.places)
        },
    });
    let sent = sent.collect();
    if is_mixed {
        let was_new = std::mem::take(&mut context.board.mixed_is_new);
        context.stats.mixed_classic_rounds += 1;
        context.stats.mixed_gone_back += u64::from(was_new);
        return sent;
    }
    context.history.push(Entry::Group(GroupEntry::Assigned {
        group,
        generation,
        number,
        shares,
    }));
    sent
}

impl Client for Member {
    fn wake(&mut self, context: &mut Context<'_>) {
        self.work(context);
        self.sleep(context);
    }

    fn connected(&mut self, context: &mut Context<'_>) {
        self.link.connected(context);
        self.sleep(context);
    }

    fn frame(&mut self, context: &mut Context<'_>, frame: Bytes) {
        if let Answer::To(tag, version, frame) = self.link.frame(context, frame) {
            self.answered(context, tag, version, frame);
        }
        self.sleep(context);
    }

    fn closed(&mut self, context: &mut Context<'_>) {
        let lost = self.link.closed();
        // As real clients do: who was not heard speaks again as soon as there is a connection.
        if lost.iter().any(|tag| matches!(tag.what, What::Heartbeat)) {
            self.heartbeat_at_us = context.now_us;
        }
        self.is_waiting = false;
        self.sleep(context);
    }
}
