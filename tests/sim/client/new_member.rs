// SPDX-License-Identifier: Apache-2.0
//! Members of groups of the new protocol (KIP-848): they join late, pause longer than their
//! session, die, leave for good or for a while, return, give partitions up late, and want other
//! topics all the time; what they sent may arrive twice and late.
//!
//! Invariants: one heartbeat under way at a time, copies aside; a member acts on an answer only if
//! it is still what it was when it asked, but notes all that it is told. A copy that says what its
//! member owns is sent only as long as that is true: the protocol has nothing by which a
//! coordinator could tell an old word of one epoch from a new one. So no connection follows at once
//! on one that its member closed: what is on its way there comes first.

mod answers;
mod copies;
mod holding;
mod wish;

use std::collections::BTreeMap;

use bytes::Bytes;
use bytestring::ByteString;
use furlong::model::ids::Uuid;
use furlong::wire::protocol::Request;
use furlong::wire::protocol::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, TopicPartitions,
};
use furlong::wire::protocol::find_coordinator::FindCoordinatorRequest;
use furlong::wire::protocol::offset_commit::OffsetCommitRequest;

use self::holding::{Holding, Word};
use self::wish::Wish;
use super::group_words::{
    Mark, commit_topics, find_coordinator, newest, note_commit, offset_fetch,
};
use super::link::{Answer, Link};
use super::{Client, ClientEffect, Context, Phase};
use crate::history::groups::{GROUPS, GroupIndex};
use crate::history::owners::OwnerEntry;
use crate::history::{Entry, Place};
use crate::plan::{NEW_REBALANCE_US, NEW_SESSION_US};

/// Requests of one member under way at once.
const IN_FLIGHT_MAX: usize = 4;

/// How long a member waits that has closed its connection.
const CALM_US: u64 = 200_000;

/// How long nothing has changed where a group has come to rest: longer than any session, after
/// which those are gone who do not come back.
const REST_US: u64 = NEW_SESSION_US * 3;

/// First version of ConsumerGroupHeartbeat in which a member names itself, and may have a pattern.
const NAMES_ITSELF_FROM: i16 = 1;

/// First version of OffsetCommit and OffsetFetch that knows epochs of members.
const EPOCHS_FROM: i16 = 9;

/// How a member behaves.
#[derive(Clone, Debug)]
pub struct NewMemberPlan {
    /// Its group.
    pub group: GroupIndex,
    /// What its operator calls it, if it is a static one.
    pub instance: Option<String>,
    /// The assignor that it would like.
    pub assignor: Option<&'static str>,
    /// When it comes for the first time, in microseconds.
    pub comes_at_us: u64,
    /// Longest pause while it is busy, in microseconds.
    pub pause_us_max: u64,
}

/// A request that may be sent once more, much later.
enum Held {
    Beat(i16, ConsumerGroupHeartbeatRequest, u64),
    Commit(i16, OffsetCommitRequest, Vec<Mark>),
}

/// What a request was for.
enum What {
    Find,
    Beat(Word),
    Leave,
    Commit(Vec<(Place, usize)>),
    Fetch,
}

/// A request, and who its sender was then.
struct Tag {
    what: What,
    /// Changes with everything that makes an answer outdated.
    life: u64,
    called: usize,
    id: String,
    epoch: i32,
    /// It was sent once more: its answer is noted and nothing else.
    is_copy: bool,
}

/// Where a member stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It does not know whether there is a coordinator.
    Lost,
    /// It has to join.
    Out,
    /// It is a member.
    In,
}

/// A member.
pub struct NewMember {
    plan: NewMemberPlan,
    link: Link<Tag>,
    stage: Stage,
    life: u64,
    /// Processes that there were.
    processes: u64,
    id: String,
    epoch: i32,
    wish: Wish,
    /// The coordinator knows what it wants.
    wish_is_known: bool,
    holding: Holding,
    positions: BTreeMap<Place, i64>,
    /// A heartbeat or a search is under way.
    is_waiting: bool,
    beat_at_us: u64,
    give_up_at_us: u64,
    away_until_us: u64,
    held: Option<Held>,
    has_failed: bool,
    is_counted: bool,
    /// Nothing has changed since then, as far as it knows, and the world is healed.
    quiet_since_us: Option<u64>,
    /// Somebody else is this member, and stays.
    is_another: bool,
    /// A commit was taken since it came in, or there was nothing to commit.
    is_served: bool,
}

impl NewMember {
    /// A member that has not come yet.
    pub fn new(plan: NewMemberPlan) -> NewMember {
        NewMember {
            away_until_us: plan.comes_at_us,
            plan,
            link: Link::new(),
            stage: Stage::Lost,
            life: 0,
            processes: 0,
            id: String::new(),
            epoch: 0,
            wish: Wish::default(),
            wish_is_known: false,
            holding: Holding::new(NEW_SESSION_US, NEW_REBALANCE_US),
            positions: BTreeMap::new(),
            is_waiting: false,
            beat_at_us: 0,
            give_up_at_us: 0,
            held: None,
            has_failed: false,
            is_counted: false,
            quiet_since_us: None,
            is_another: false,
            is_served: false,
        }
    }

    fn is_settled(&self, context: &Context<'_>) -> bool {
        let now_us = context.now_us;
        let is_in = self.stage == Stage::In && !self.holding.is_asked();
        let is_served = self.is_served || self.places(context).is_empty();
        let is_quiet = self.quiet_since_us.is_some_and(|at| at + REST_US <= now_us);
        (self.is_another || (is_in && is_served)) && is_quiet
    }

    /// Counts itself among those that are not through.
    fn count(&mut self, context: &mut Context<'_>) {
        match context.board.phase {
            Phase::Faulty => {}
            Phase::Healed => {
                self.quiet_since_us.get_or_insert(context.now_us);
            }
            Phase::LastReads | Phase::Done => return,
        }
        let is_busy = context.board.phase == Phase::Faulty || !self.is_settled(context);
        if is_busy && !self.is_counted {
            context.board.busy_clients += 1;
        } else if !is_busy && self.is_counted {
            context.board.busy_clients -= 1;
            let spots = match self.is_another {
                true => Vec::new(),
                false => self.wish.spots(context.board),
            };
            context.history.push(Entry::Owner(OwnerEntry::Wants {
                group: self.plan.group,
                client: context.me,
                at_us: context.now_us,
                spots,
            }));
        }
        self.is_counted = is_busy;
    }

    /// Something of it has changed.
    fn stir(&mut self, now_us: u64) {
        if self.quiet_since_us.is_some() {
            self.quiet_since_us = Some(now_us);
        }
    }

    /// Notes what it holds from now on.
    fn note(&mut self, context: &mut Context<'_>) {
        if self.id.is_empty() {
            return;
        }
        context.history.push(Entry::Owner(OwnerEntry::Holds {
            group: self.plan.group,
            member: self.id.clone(),
            at_us: context.now_us,
            until_us: self.holding.until_us(),
            spots: self.holding.spots(),
        }));
    }

    fn work(&mut self, context: &mut Context<'_>) {
        if self.link.is_overdue(context.now_us) {
            return self.complain(context);
        }
        let faulty = context.board.phase == Phase::Faulty;
        let is_over = matches!(context.board.phase, Phase::LastReads | Phase::Done);
        if is_over || (context.now_us < self.away_until_us && (faulty || !self.link.is_ready())) {
            return;
        }
        if self.holding.is_over(context.now_us) {
            return self.run_out(context);
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
        match self.stage {
            Stage::Lost if self.is_waiting => {}
            Stage::Lost => {
                let (version, body) = find_coordinator(&self.link, context, self.plan.group);
                self.ask::<FindCoordinatorRequest>(context, version, &body, What::Find);
            }
            Stage::Out if self.is_waiting || context.now_us < self.beat_at_us => {}
            Stage::Out => self.beat(context),
            Stage::In => self.consume(context),
        }
    }

    fn complain(&mut self, context: &mut Context<'_>) {
        context.stats.timeouts += 1;
        if context.board.phase != Phase::Faulty {
            context.violation("a member of the new protocol got no answer for a minute");
        }
        self.hang_up(context);
    }

    /// It closes its connection, which is news to the broker, and is calm for a moment.
    fn hang_up(&mut self, context: &mut Context<'_>) {
        context.effects.push(ClientEffect::Close);
        self.lose_connection(context.now_us);
        self.away_until_us = self.away_until_us.max(context.now_us + CALM_US);
    }

    /// Whatever is not answered may have been dealt with, or will be.
    fn lose_connection(&mut self, now_us: u64) {
        let lost = self.link.closed();
        if lost.iter().any(|tag| matches!(tag.what, What::Beat(_))) {
            self.holding.doubt();
            self.stir(now_us);
        }
        self.is_waiting = false;
    }

    /// Its time is over: it gives up everything. Before it knows, it may commit once more.
    fn run_out(&mut self, context: &mut Context<'_>) {
        context.stats.new_members_over += 1;
        let is_rash = context.board.phase == Phase::Faulty && context.prng.chance(700);
        if is_rash && self.link.is_ready() && self.link.in_flight() < IN_FLIGHT_MAX {
            self.commit(context);
        }
        self.holding.doubt();
        self.come_out(context);
        if context.prng.chance(300) {
            self.start_anew(context);
        }
    }

    /// It is no member any more, as far as it knows, and holds nothing.
    fn come_out(&mut self, context: &mut Context<'_>) {
        self.life += 1;
        self.is_waiting = false;
        self.holding.drop_all();
        self.note(context);
        self.positions.clear();
        (self.epoch, self.stage) = (0, Stage::Out);
        self.wish_is_known = false;
        self.is_served = false;
        self.stir(context.now_us);
    }

    /// Another process, that nobody knows.
    fn start_anew(&mut self, context: &mut Context<'_>) {
        self.come_out(context);
        self.id.clear();
        self.stage = Stage::Lost;
    }

    /// True if something happens to it.
    fn meets_misfortune(&mut self, context: &mut Context<'_>) -> bool {
        // Who never gets in has nothing to lose.
        if self.stage != Stage::In && context.prng.chance(800) {
            return false;
        }
        let session_us = NEW_SESSION_US;
        match context.prng.below(1_000) {
            0..=4 => {
                context.stats.new_members_paused += 1;
                let pause = context.prng.between(session_us / 2, 3 * session_us);
                self.away_until_us = context.now_us + pause;
            }
            5..=7 => {
                context.stats.new_members_died += 1;
                self.hang_up(context);
                self.start_anew(context);
                let pause = context.prng.skewed(CALM_US, 3 * session_us);
                self.away_until_us = context.now_us + pause;
            }
            8..=10 if self.stage == Stage::In && self.link.is_ready() => {
                context.stats.new_members_left += 1;
                self.leave(context);
                self.start_anew(context);
                let pause = context.prng.skewed(1_000, 2 * session_us);
                self.away_until_us = context.now_us + pause;
            }
            11..=15 => self.hang_up(context),
            16..=20 if self.stage == Stage::In => {
                context.stats.wishes_changed += 1;
                self.wish = Wish::draw(context.prng, true);
                self.wish_is_known = false;
                return false;
            }
            _ => return false,
        }
        true
    }

    fn ask<R: Request>(&mut self, context: &mut Context<'_>, version: i16, body: &R, what: What) {
        self.is_waiting |= matches!(what, What::Find | What::Beat(_));
        let tag = Tag {
            what,
            life: self.life,
            called: context.history.entries.len(),
            id: self.id.clone(),
            epoch: self.epoch,
            is_copy: false,
        };
        self.link.request(context, version, body, tag);
    }

    fn instance(&self) -> Option<ByteString> {
        self.plan.instance.as_ref().map(|name| name.as_str().into())
    }

    /// A process names itself, or has the coordinator name it where it is of the first version.
    fn come_in(&mut self, context: &mut Context<'_>) {
        if self.id.is_empty() {
            self.processes += 1;
            let is_old = context.prng.chance(200);
            if !is_old {
                self.id = format!("member-{}-{}", context.me, self.processes);
            }
            self.wish = Wish::draw(context.prng, !is_old);
            self.holding.begin(context.now_us);
        }
    }

    fn beat(&mut self, context: &mut Context<'_>) {
        let joins = self.stage == Stage::Out;
        if joins {
            self.come_in(context);
        }
        self.beat_at_us = context.now_us + NEW_SESSION_US / 6;
        let is_whole = joins || self.holding.is_in_doubt() || context.prng.chance(100);
        let says_owned = is_whole || self.holding.has_news();
        let says_wish = is_whole || !self.wish_is_known;
        let mut body = ConsumerGroupHeartbeatRequest {
            group_id: GROUPS[self.plan.group].into(),
            member_id: self.id.as_str().into(),
            member_epoch: self.epoch,
            instance_id: self.instance(),
            ..ConsumerGroupHeartbeatRequest::default()
        };
        if is_whole {
            let ms = i32::try_from(NEW_REBALANCE_US / 1_000).expect("seconds");
            body.rebalance_timeout_ms = ms;
            body.server_assignor = self.plan.assignor.map(Into::into);
        }
        if says_owned {
            body.topic_partitions = Some(self.owned_topics());
        }
        // Who has had a pattern takes it back with an empty one, which only new versions can say.
        let mut at_least = 0;
        if says_wish {
            body.subscribed_topic_names = Some(self.wish.names());
            if !self.id.is_empty() {
                body.subscribed_topic_regex = Some(self.wish.pattern().unwrap_or_default());
                at_least = NAMES_ITSELF_FROM;
            }
        }
        let at_most = if self.id.is_empty() { 0 } else { i16::MAX };
        let link = &self.link;
        let version =
            link.version_between::<ConsumerGroupHeartbeatRequest>(context, at_least, at_most);
        if context.prng.chance(100) && !matches!(self.held, Some(Held::Commit(..))) {
            let changes = self.holding.changes();
            self.held = Some(Held::Beat(version, body.clone(), changes));
        }
        self.wish_is_known |= says_wish;
        let word = self.holding.word(context.now_us, is_whole, says_owned);
        self.ask(context, version, &body, What::Beat(word));
    }

    fn owned_topics(&self) -> Vec<TopicPartitions> {
        let mut topics: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
        for (topic, partition) in self.holding.spots() {
            topics.entry(topic).or_default().push(partition);
        }
        let topics = topics.into_iter();
        topics
            .map(|(topic_id, partitions)| TopicPartitions {
                topic_id,
                partitions,
            })
            .collect()
    }

    /// It has given up everything before it says so.
    fn leave(&mut self, context: &mut Context<'_>) {
        self.holding.drop_all();
        self.note(context);
        let is_static = self.plan.instance.is_some();
        let body = ConsumerGroupHeartbeatRequest {
            group_id: GROUPS[self.plan.group].into(),
            member_id: self.id.as_str().into(),
            member_epoch: if is_static && context.prng.chance(700) {
                -2
            } else {
                -1
            },
            instance_id: self.instance(),
            ..ConsumerGroupHeartbeatRequest::default()
        };
        let link = &self.link;
        let version = link.version::<ConsumerGroupHeartbeatRequest>(context, i16::MAX);
        self.ask(context, version, &body, What::Leave);
    }

    fn consume(&mut self, context: &mut Context<'_>) {
        if self.holding.is_asked() && context.now_us >= self.give_up_at_us {
            self.holding.give_up();
            self.note(context);
            self.stir(context.now_us);
            self.beat_at_us = context.now_us;
        }
        if context.now_us >= self.beat_at_us && !self.is_waiting {
            return self.beat(context);
        }
        let places = self.places(context);
        let lacks_one = places.iter().any(|it| !self.positions.contains_key(it));
        let is_calm = context.board.phase == Phase::Healed && self.link.in_flight() > 0;
        if is_calm {
            // Nothing hurries.
        } else if lacks_one || (context.prng.chance(50) && !places.is_empty()) {
            self.fetch_offsets(context, &places);
        } else if context.prng.chance(300) && !self.has_rest() {
            self.commit(context);
        }
    }

    /// True if the world is healed and its commits count.
    fn has_rest(&self) -> bool {
        self.quiet_since_us.is_some() && self.is_served
    }

    /// What it may use, where its names are known.
    fn places(&self, context: &Context<'_>) -> Vec<Place> {
        let spots = self.holding.owned().iter();
        let places = spots.filter_map(|(id, partition)| {
            let topic = context.board.find("", *id)?.topic;
            let partition = *partition;
            Some(Place { topic, partition })
        });
        places.collect()
    }

    fn fetch_offsets(&mut self, context: &mut Context<'_>, places: &[Place]) {
        let (version, mut body) = offset_fetch(&self.link, context, self.plan.group, places);
        if version >= EPOCHS_FROM && context.prng.chance(500) {
            for group in &mut body.groups {
                group.member_id = Some(self.id.as_str().into());
                group.member_epoch = self.epoch;
            }
        }
        self.ask(context, version, &body, What::Fetch);
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
        let at_most = newest(context.board, marks.iter().map(|mark| mark.0));
        let link = &self.link;
        let version = link.version_between::<OffsetCommitRequest>(context, EPOCHS_FROM, at_most);
        let body = OffsetCommitRequest {
            group_id: GROUPS[self.plan.group].into(),
            generation_id_or_member_epoch: self.epoch,
            member_id: self.id.as_str().into(),
            group_instance_id: self.instance(),
            topics: commit_topics(context, &marks),
            ..OffsetCommitRequest::default()
        };
        let who = (&*self.id, self.epoch);
        let changes = note_commit(context, self.plan.group, who, &marks);
        if context.prng.chance(200) {
            self.held = Some(Held::Commit(version, body.clone(), marks));
        }
        self.ask(context, version, &body, What::Commit(changes));
    }

    fn sleep(&mut self, context: &mut Context<'_>) {
        self.count(context);
        let pause = match context.board.phase {
            Phase::LastReads | Phase::Done => 10_000_000,
            _ if context.now_us < self.away_until_us => self.away_until_us - context.now_us,
            _ if !self.link.is_ready() => context.prng.skewed(500, 100_000),
            _ if std::mem::take(&mut self.has_failed) => context.prng.between(1_000, 100_000),
            Phase::Healed if self.has_rest() && !self.is_waiting => {
                let beat_in_us = self.beat_at_us.saturating_sub(context.now_us);
                beat_in_us.max(1_000)
            }
            Phase::Healed => context.prng.skewed(1_000, NEW_SESSION_US / 8),
            Phase::Faulty => {
                let longest = self.plan.pause_us_max.min(NEW_SESSION_US / 8);
                context.prng.skewed(10, longest.max(10))
            }
        };
        context.effects.push(ClientEffect::WakeAfter(pause));
    }
}

impl Client for NewMember {
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
        self.lose_connection(context.now_us);
        self.sleep(context);
    }
}
