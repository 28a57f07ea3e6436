// SPDX-License-Identifier: Apache-2.0
//! Whoever looks after groups: reads committed offsets, commits for a group without members, takes
//! offsets and whole groups away, and lets the topic of groups roll its segments often.
//!
//! Invariants: one request under way at a time, but for commits of the group without members, of
//! which several may be; only the group that is called so is deleted; at the end it reads the
//! offsets of all groups.

use bytes::Bytes;
use furlong::model::error_code::ErrorCode;
use furlong::wire::protocol::delete_groups::DeleteGroupsRequest;
use furlong::wire::protocol::find_coordinator::FindCoordinatorRequest;
use furlong::wire::protocol::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use furlong::wire::protocol::offset_commit::OffsetCommitRequest;
use furlong::wire::protocol::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};

use super::group_words::{
    Mark, commit_topics, consumed, end_change, newest, note_commit, offset_fetch, outcome,
    take_committed, take_fetched,
};
use super::link::{Answer, Link, PATIENCE_US, decode};
use super::{Client, ClientEffect, Context, Phase};
use crate::history::Place;
use crate::history::groups::{ALONE_GROUP, CHURN_GROUP, Change, GROUPS, GroupIndex, Outcome};

/// What a request was for.
enum Tag {
    Find,
    Settings,
    Fetch {
        group: GroupIndex,
        called: usize,
        is_last: bool,
    },
    Commit(Vec<(Place, usize)>),
    Forget {
        place: Place,
        change: usize,
    },
    Delete {
        change: usize,
    },
}

/// The one who looks after groups.
pub struct GroupAdmin {
    link: Link<Tag>,
    /// The topic of groups is there.
    has_topic: bool,
    /// Its segments are small.
    has_settings: bool,
    /// Groups that it looks after.
    groups: Vec<GroupIndex>,
    /// Groups whose offsets are still to be read at the end.
    last: Vec<GroupIndex>,
    is_counted: bool,
    pause_us_max: u64,
}

impl GroupAdmin {
    /// An administrator who has not begun.
    pub fn new(groups: Vec<GroupIndex>, pause_us_max: u64) -> GroupAdmin {
        GroupAdmin {
            link: Link::new(),
            has_topic: false,
            has_settings: false,
            last: groups.clone(),
            groups,
            is_counted: false,
            pause_us_max,
        }
    }

    fn work(&mut self, context: &mut Context<'_>) {
        if !self.is_counted {
            self.is_counted = true;
            context.board.last_readers += 1;
        }
        if self.link.is_overdue(context.now_us) {
            context.stats.timeouts += 1;
            context.effects.push(ClientEffect::Close);
            self.link.closed();
            return;
        }
        let may_work = matches!(context.board.phase, Phase::Faulty | Phase::LastReads);
        let may_send = may_work && self.link.connect(context);
        if !may_send || self.link.in_flight() > 0 {
            return;
        }
        if !self.has_topic {
            return self.find(context);
        }
        if context.board.phase == Phase::LastReads {
            if let Some(group) = self.last.last() {
                self.fetch(context, *group, true);
            }
            return;
        }
        if !self.has_settings {
            return self.set(context);
        }
        match context.prng.below(20) {
            0..=4 => {
                let group = *context.prng.pick(&self.groups);
                self.fetch(context, group, false);
            }
            5..=10 => {
                self.commit(context);
                if context.prng.chance(300) {
                    self.commit(context);
                }
            }
            11..=12 => self.forget(context),
            13 => self.delete(context),
            _ => {}
        }
    }

    fn find(&mut self, context: &mut Context<'_>) {
        let link = &self.link;
        let version = link.version_between::<FindCoordinatorRequest>(context, 4, i16::MAX);
        let body = FindCoordinatorRequest {
            coordinator_keys: GROUPS.map(Into::into).into(),
            ..FindCoordinatorRequest::default()
        };
        self.link.request(context, version, &body, Tag::Find);
    }

    fn set(&mut self, context: &mut Context<'_>) {
        let lag = context.prng.skewed(1, 2_000).to_string();
        let settings = [
            ("internal.segment.bytes", "2000"),
            ("min.cleanable.dirty.ratio", "0.1"),
            ("delete.retention.ms", &lag),
        ];
        let configs = settings.map(|(name, value)| AlterableConfig {
            name: name.into(),
            config_operation: 0,
            value: Some(value.into()),
        });
        let body = IncrementalAlterConfigsRequest {
            resources: vec![AlterConfigsResource {
                resource_type: 2,
                resource_name: "__consumer_offsets".into(),
                configs: configs.into(),
            }],
            validate_only: false,
        };
        let link = &self.link;
        let version = link.version::<IncrementalAlterConfigsRequest>(context, i16::MAX);
        self.link.request(context, version, &body, Tag::Settings);
    }

    fn fetch(&mut self, context: &mut Context<'_>, group: GroupIndex, is_last: bool) {
        let places = consumed(context.board);
        let (version, body) = offset_fetch(&self.link, context, group, &places);
        let called = context.history.entries.len();
        let tag = Tag::Fetch {
            group,
            called,
            is_last,
        };
        self.link.request(context, version, &body, tag);
    }

    fn commit(&mut self, context: &mut Context<'_>) {
        let mut marks: Vec<Mark> = Vec::new();
        for place in consumed(context.board) {
            if context.prng.chance(300) {
                context.board.last_mark += 1;
                let mark = context.board.last_mark;
                let offset = i64::try_from(context.prng.below(1_000)).expect("small");
                marks.push((place, offset, mark));
            }
        }
        if marks.is_empty() {
            return;
        }
        let at_most = newest(context.board, marks.iter().map(|mark| mark.0));
        let version = self.link.version::<OffsetCommitRequest>(context, at_most);
        let body = OffsetCommitRequest {
            group_id: GROUPS[ALONE_GROUP].into(),
            topics: commit_topics(context, &marks),
            ..OffsetCommitRequest::default()
        };
        let changes = note_commit(context, ALONE_GROUP, ("", -1), &marks);
        self.link
            .request(context, version, &body, Tag::Commit(changes));
    }

    fn pick(context: &mut Context<'_>) -> Option<Place> {
        let places = consumed(context.board);
        (!places.is_empty()).then(|| *context.prng.pick(&places))
    }

    fn removal(context: &mut Context<'_>, group: GroupIndex, place: Option<Place>) -> usize {
        let incarnation = context.incarnation;
        context.history.ask_change(Change {
            group,
            place,
            mark: None,
            member: String::new(),
            generation: -1,
            incarnation,
            asked: 0,
            ended: None,
        })
    }

    fn forget(&mut self, context: &mut Context<'_>) {
        let group = *context.prng.pick(&self.groups);
        let Some(place) = GroupAdmin::pick(context) else {
            return;
        };
        let partition = OffsetDeleteRequestPartition {
            partition_index: place.partition,
        };
        let body = OffsetDeleteRequest {
            group_id: GROUPS[group].into(),
            topics: vec![OffsetDeleteRequestTopic {
                name: context.history.topics[place.topic].clone().into(),
                partitions: vec![partition],
            }],
        };
        let change = GroupAdmin::removal(context, group, Some(place));
        let version = self.link.version::<OffsetDeleteRequest>(context, i16::MAX);
        let tag = Tag::Forget { place, change };
        self.link.request(context, version, &body, tag);
    }

    fn delete(&mut self, context: &mut Context<'_>) {
        let body = DeleteGroupsRequest {
            groups_names: vec![GROUPS[CHURN_GROUP].into()],
        };
        let change = GroupAdmin::removal(context, CHURN_GROUP, None);
        let version = self.link.version::<DeleteGroupsRequest>(context, i16::MAX);
        self.link
            .request(context, version, &body, Tag::Delete { change });
    }

    fn answered(&mut self, context: &mut Context<'_>, tag: Tag, version: i16, frame: Bytes) {
        match tag {
            Tag::Find => {
                if let Some(body) = decode::<FindCoordinatorRequest>(context, version, frame) {
                    let mut all = body.coordinators.iter();
                    self.has_topic = all.all(|one| one.error_code == 0);
                }
            }
            Tag::Settings => {
                let body = decode::<IncrementalAlterConfigsRequest>(context, version, frame);
                let code = body.and_then(|body| body.responses.first().map(|it| it.error_code));
                self.has_settings = code == Some(0);
                let code = code.and_then(ErrorCode::from_code);
                if code == Some(ErrorCode::InvalidConfig) {
                    context.violation("the topic of groups takes no settings");
                }
            }
            Tag::Fetch {
                group,
                called,
                is_last,
            } => {
                let told = take_fetched(context, version, frame, group, called);
                if told.is_some() && is_last {
                    self.last.retain(|left| *left != group);
                    if self.last.is_empty() {
                        context.board.last_readers -= 1;
                    }
                }
            }
            Tag::Commit(changes) => {
                take_committed(context, version, frame, changes);
            }
            Tag::Forget { place, change } => {
                forget_answered(context, place, change, version, frame);
            }
            Tag::Delete { change } => delete_answered(context, change, version, frame),
        }
    }
}

fn forget_answered(
    context: &mut Context<'_>,
    place: Place,
    change: usize,
    version: i16,
    frame: Bytes,
) {
    let Some(body) = decode::<OffsetDeleteRequest>(context, version, frame) else {
        return;
    };
    let one = body.topics.first().and_then(|it| it.partitions.first());
    let code = match body.error_code {
        0 => one.map_or(-1, |one| one.error_code),
        code => code,
    };
    end_change(context, place, change, code);
}

fn delete_answered(context: &mut Context<'_>, change: usize, version: i16, frame: Bytes) {
    let Some(body) = decode::<DeleteGroupsRequest>(context, version, frame) else {
        return;
    };
    let code = body.results.first().map_or(-1, |one| one.error_code);
    match outcome(code) {
        Some(outcome) => {
            context.stats.groups_deleted += u64::from(outcome == Outcome::Done);
            context.history.end_change(change, outcome);
        }
        None => context.violation(&format!("DeleteGroups is refused with error {code}")),
    }
}

impl Client for GroupAdmin {
    fn wake(&mut self, context: &mut Context<'_>) {
        self.work(context);
        let pause = match context.board.phase {
            Phase::Faulty | Phase::LastReads => self
                .link
                .idle_us(context, 1)
                .unwrap_or_else(|| context.prng.skewed(100, 2 * self.pause_us_max)),
            Phase::Healed => 200_000,
            Phase::Done => PATIENCE_US,
        };
        context.effects.push(ClientEffect::WakeAfter(pause));
    }

    fn connected(&mut self, context: &mut Context<'_>) {
        self.link.connected(context);
        context.effects.push(ClientEffect::WakeAfter(100));
    }

    fn frame(&mut self, context: &mut Context<'_>, frame: Bytes) {
        if let Answer::To(tag, version, frame) = self.link.frame(context, frame) {
            self.answered(context, tag, version, frame);
        }
        let pause = context.prng.skewed(100, 2 * self.pause_us_max);
        context.effects.push(ClientEffect::WakeAfter(pause));
    }

    fn closed(&mut self, context: &mut Context<'_>) {
        self.link.closed();
        let pause = context.prng.skewed(500, 100_000);
        context.effects.push(ClientEffect::WakeAfter(pause));
    }
}
