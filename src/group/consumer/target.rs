// SPDX-License-Identifier: Apache-2.0
//! The target assignment of a group, and the way of a member to it.
//!
//! Owns: the assignment side of [`ConsumerGroup`]. Invariants: the target is that of the group's
//! epoch before a member is led on; its epoch is written behind all of its parts, so a target that
//! was written in part is made anew. Runs on: the shard that coordinates. Bounded by: what the
//! assignor says of itself.

use std::collections::{BTreeMap, BTreeSet};

use bytestring::ByteString;

use super::assignment::Assignment;
use super::assignor::{Assignor, Candidate, Question};
use super::change::Change;
use super::member::Progress;
use super::reconcile::{Goal, next_part};
use super::state::{ConsumerGroup, target_record};
use super::steps::Steps;
use crate::config::groups::GroupSettings;
use crate::group::turn::Turn;
use crate::model::ids::TopicId;
use crate::model::image::MetadataImage;
use crate::wire::consumer_groups::TargetEpoch;

/// A set of names with a pattern.
type Wish<'a> = (&'a [ByteString], Option<&'a ByteString>);

/// What became of a member.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lead {
    /// Something of it has changed.
    pub(super) has_moved: bool,
    /// What it may own has changed.
    pub(super) has_other_part: bool,
}

impl ConsumerGroup {
    /// The assignor that most members would like, or the first one of the settings.
    pub(super) fn assignor(&self, settings: &GroupSettings) -> Assignor {
        let members = self.members.values();
        let liked = members.filter_map(|member| member.profile.server_assignor.as_deref());
        let mut votes: BTreeMap<Assignor, usize> = BTreeMap::new();
        for assignor in liked.filter_map(Assignor::by_name) {
            *votes.entry(assignor).or_default() += 1;
        }
        let most = votes.iter().max_by_key(|(_, count)| **count);
        let first = settings.assignors.first();
        let default = first.and_then(|name| Assignor::by_name(name));
        most.map(|(assignor, _)| *assignor)
            .or(default)
            .unwrap_or(Assignor::Uniform)
    }

    /// Makes the target anew if it is older than the group.
    pub(super) fn make_target(&mut self, steps: &mut Steps, turn: &Turn<'_>) {
        if self.target_epoch >= self.epoch {
            return;
        }
        let assignor = self.assignor(turn.settings);
        let answer = assignor.assign(&self.question(turn.image));
        for (id, target) in answer {
            let before = self.target.get(&id);
            let is_same = match before {
                Some(before) => *before == target,
                None => target.is_empty(),
            };
            if !is_same {
                let value = Some(target_record(&target));
                steps.make(self, Change::TargetMember(id, value));
            }
        }
        let value = TargetEpoch {
            assignment_epoch: self.epoch,
            assignment_timestamp: turn.now.wall_ms,
        };
        steps.make(self, Change::Target(Some(value)));
    }

    fn question<'a>(&'a self, image: &MetadataImage) -> Question<'a> {
        let mut question = Question::default();
        let mut places: BTreeMap<Wish<'a>, usize> = BTreeMap::new();
        for (id, member) in &self.members {
            let profile = &member.profile;
            let names = &profile.subscribed_topic_names[..];
            let pattern = profile.subscribed_topic_regex.as_ref();
            let wish = *places.entry((names, pattern)).or_insert_with(|| {
                question.wishes.push(self.topic_ids(names, pattern, image));
                question.wishes.len() - 1
            });
            let candidate = Candidate {
                instance: profile.instance_id.as_ref(),
                wish,
                before: self.target.get(id),
            };
            question.members.insert(id, candidate);
        }
        let wanted: BTreeSet<TopicId> = question.wishes.iter().flatten().copied().collect();
        let topics = wanted.into_iter().filter_map(|id| {
            let partitions = image.topic_by_id(id)?.partitions.len();
            Some((id, i32::try_from(partitions).ok()?))
        });
        question.topics = topics.collect();
        question
    }

    /// The topics of some names and a pattern that exist.
    fn topic_ids(
        &self,
        names: &[ByteString],
        pattern: Option<&ByteString>,
        image: &MetadataImage,
    ) -> BTreeSet<TopicId> {
        let found = pattern.and_then(|text| self.patterns.get(text));
        let found = found.into_iter().flat_map(|found| &found.topics);
        names
            .iter()
            .chain(found)
            .filter_map(|name| Some(image.topics.get(name)?.id))
            .collect()
    }

    /// Leads a member on towards its target.
    pub(super) fn lead_on(
        &mut self,
        id: &ByteString,
        owned: Option<&Assignment>,
        steps: &mut Steps,
    ) -> Lead {
        let Some(member) = self.members.get(id) else {
            return Lead::default();
        };
        let part = &member.part;
        if part.progress == Progress::Stable && part.epoch == self.target_epoch {
            return Lead::default(); // Most of the time.
        }
        let nothing = Assignment::default();
        let goal = Goal {
            epoch: self.target_epoch,
            target: self.target.get(id).unwrap_or(&nothing),
            owned,
        };
        let next = next_part(&member.part, &goal, |topic, one| {
            self.is_free_for(id, topic, one)
        });
        if next == member.part {
            return Lead::default();
        }
        let lead = Lead {
            has_moved: true,
            has_other_part: next.assigned != member.part.assigned,
        };
        let value = Some(next.record());
        steps.make(self, Change::Current(id.clone(), value));
        lead
    }
}
