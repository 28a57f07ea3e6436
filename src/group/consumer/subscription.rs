// SPDX-License-Identifier: Apache-2.0
//! The topics that the members of a group want: by name, by pattern, and as they are now.
//!
//! Owns: the subscription side of [`ConsumerGroup`]. Invariants: the digest of the topics changes
//! when one that somebody wants comes, goes, grows or is made anew, and only then the epoch rises
//! for it; a pattern that nobody uses is gone. Runs on: the shard that coordinates. Bounded by: the
//! topics that are wanted; patterns are looked up in all topics every `PATTERN_REFRESH_MS_MIN` at
//! most.

use std::collections::BTreeSet;

use bytestring::ByteString;

use super::change::Change;
use super::pattern::Pattern;
use super::state::ConsumerGroup;
use super::steps::Steps;
use crate::group::turn::Turn;
use crate::limits::PATTERN_REFRESH_MS_MIN;
use crate::model::image::MetadataImage;
use crate::wire::consumer_groups::{GroupEpoch, MemberProfile, PatternTopics};

impl ConsumerGroup {
    /// All topics that somebody wants.
    pub(in crate::group) fn wanted_topics(&self) -> BTreeSet<&ByteString> {
        let members = self.members.values();
        let named = members.flat_map(|member| &member.profile.subscribed_topic_names);
        let found = self.patterns.values().flat_map(|one| &one.topics);
        named.chain(found).collect()
    }

    /// True if somebody wants this topic.
    pub(in crate::group) fn wants(&self, topic: &ByteString) -> bool {
        let mut patterns = self.patterns.values();
        let mut members = self.members.values();
        patterns.any(|one| one.topics.contains(topic))
            || members.any(|member| {
                let names = &member.profile.subscribed_topic_names;
                names.binary_search(topic).is_ok()
            })
    }

    /// A digest of the topics that are wanted and exist; 0 if there are none.
    fn digest(&self, image: &MetadataImage) -> i64 {
        let mut digest = Digest::default();
        let mut is_empty = true;
        for name in self.wanted_topics() {
            let Some(topic) = image.topics.get(name) else {
                continue;
            };
            is_empty = false;
            digest.take(name.as_bytes());
            digest.take(&topic.id.0);
            digest.take(&topic.partitions.len().to_be_bytes());
        }
        if is_empty { 0 } else { digest.finish() }
    }

    /// Looks up a pattern that was not used before, or says what is wrong with it.
    pub(super) fn look_up_pattern(
        &mut self,
        text: &ByteString,
        steps: &mut Steps,
        turn: &Turn<'_>,
    ) -> Result<(), String> {
        if self.patterns.contains_key(text) {
            return Ok(());
        }
        let pattern = Pattern::new(text)?;
        let value = found(&pattern, turn);
        steps.make(self, Change::Pattern(text.clone(), Some(value)));
        if let Some(resolved) = self.patterns.get_mut(text) {
            resolved.pattern = Some(pattern);
        }
        self.patterns_us.get_or_insert(turn.now.monotonic_us);
        Ok(())
    }

    /// Ends a pattern that nobody uses any more.
    pub(super) fn drop_pattern(&mut self, before: &MemberProfile, steps: &mut Steps) {
        let Some(text) = &before.subscribed_topic_regex else {
            return;
        };
        let mut members = self.members.values();
        let is_used =
            members.any(|member| member.profile.subscribed_topic_regex.as_ref() == Some(text));
        if !is_used && self.patterns.contains_key(text) {
            steps.make(self, Change::Pattern(text.clone(), None));
        }
    }

    /// Looks up the topics where the metadata has changed, and raises the epoch if that, or the
    /// caller, says so.
    pub(super) fn refresh(&mut self, has_changed: bool, steps: &mut Steps, turn: &Turn<'_>) {
        let is_new = self.looked_up != Some(turn.image.version);
        if !is_new && !has_changed {
            return;
        }
        let is_whole = !is_new || self.refresh_patterns(steps, turn);
        let metadata_hash = self.digest(turn.image);
        if is_whole {
            self.looked_up = Some(turn.image.version);
        }
        if has_changed || metadata_hash != self.metadata_hash {
            let epoch = self.epoch.saturating_add(1);
            let value = GroupEpoch {
                epoch,
                metadata_hash,
            };
            steps.make(self, Change::Group(Some(value)));
        }
    }

    /// Looks up all patterns, unless that was done just now; then it is done later.
    fn refresh_patterns(&mut self, steps: &mut Steps, turn: &Turn<'_>) -> bool {
        if self.patterns.is_empty() {
            return true;
        }
        let now_us = turn.now.monotonic_us;
        let is_early = self
            .patterns_us
            .is_some_and(|at| now_us < at + PATTERN_REFRESH_MS_MIN * 1000);
        if is_early {
            return false;
        }
        self.patterns_us = Some(now_us);
        let texts: Vec<ByteString> = self.patterns.keys().cloned().collect();
        for text in texts {
            let Some(resolved) = self.patterns.get_mut(&text) else {
                continue;
            };
            let pattern = match &resolved.pattern {
                Some(pattern) => pattern.clone(),
                // It was read when it was taken.
                None => match Pattern::new(&text) {
                    Ok(pattern) => pattern,
                    Err(_) => continue,
                },
            };
            resolved.pattern = Some(pattern.clone());
            let value = found(&pattern, turn);
            if !value.topics.iter().eq(&resolved.topics) {
                steps.make(self, Change::Pattern(text, Some(value)));
            }
        }
        true
    }
}

fn found(pattern: &Pattern, turn: &Turn<'_>) -> PatternTopics {
    PatternTopics {
        topics: pattern.topics(turn.image),
        version: turn.image.version,
        timestamp: turn.now.wall_ms,
    }
}

/// FNV-1a of 64 bits over pieces, each with its length.
struct Digest(u64);

impl Default for Digest {
    fn default() -> Digest {
        Digest(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    fn take(&mut self, piece: &[u8]) {
        let length = piece.len().to_be_bytes();
        for byte in length.iter().chain(piece) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// Never 0, which stands for nothing.
    fn finish(self) -> i64 {
        i64::from_be_bytes(self.0.to_be_bytes()) | 1
    }
}
