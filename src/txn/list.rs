// SPDX-License-Identifier: Apache-2.0
//! What is told of transactional ids to those who look after them.
//!
//! Owns: descriptions, filters, [`IdPattern`]. Invariants: what is told is committed. Runs on: the
//! shard that coordinates. Bounded by: the transactional ids; `ID_PATTERN_BYTES_MAX`.

use bytestring::ByteString;
use regex::{Regex, RegexBuilder};

use super::facts::Facts;
use super::request::ListFilter;
use super::state::State;
use crate::limits::{ID_PATTERN_BYTES_MAX, ID_PATTERN_PROGRAM_BYTES_MAX};
use crate::wire::protocol::describe_transactions::{TopicData, TransactionState as Described};
use crate::wire::protocol::list_transactions::TransactionState as Listed;

/// A regular expression that a transactional id matches as a whole. It takes time that grows with
/// the text alone, as RE2 does, whose syntax this is.
#[derive(Clone, Debug)]
pub struct IdPattern(Regex);

impl IdPattern {
    /// Reads one; nothing if it cannot be read, or is too large.
    #[must_use]
    pub fn new(text: &str) -> Option<IdPattern> {
        if text.len() > ID_PATTERN_BYTES_MAX {
            return None;
        }
        // By itself first: inside the parentheses an unbalanced one would be balanced.
        Regex::new(text).ok()?;
        let whole = format!("^(?:{text})$");
        let mut builder = RegexBuilder::new(&whole);
        let built = builder.size_limit(ID_PATTERN_PROGRAM_BYTES_MAX).build();
        built.ok().map(IdPattern)
    }
}

impl PartialEq for IdPattern {
    fn eq(&self, other: &IdPattern) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl ListFilter {
    /// Whether a transactional id is wanted.
    pub(super) fn wants(&self, id: &str, facts: &Facts, now_ms: i64) -> bool {
        let is_one_of = self.producer_ids.is_empty();
        let is_one_of = is_one_of || self.producer_ids.contains(&facts.producer.id);
        let names = &self.states;
        let name = facts.state.name();
        let is_in = names.is_empty() || names.iter().any(|wanted| **wanted == *name);
        let lasted_ms = now_ms.saturating_sub(facts.started_ms);
        let is_long = self.duration_ms < 0 || lasted_ms > self.duration_ms;
        let pattern = self.pattern.as_ref();
        is_one_of && is_in && is_long && pattern.is_none_or(|pattern| pattern.0.is_match(id))
    }
}

/// Those of these names that are none of a state.
#[must_use]
pub fn unknown_states(names: &[ByteString]) -> Vec<ByteString> {
    let unknown = names.iter().filter(|name| State::from_name(name).is_none());
    unknown.cloned().collect()
}

pub(super) fn listed(id: &ByteString, facts: &Facts) -> Listed {
    Listed {
        transactional_id: id.clone(),
        producer_id: facts.producer.id,
        transaction_state: ByteString::from_static(facts.state.name()),
    }
}

pub(super) fn described(id: &ByteString, facts: &Facts) -> Described {
    let topics = facts.partitions.by_topic();
    let topics = topics.map(|(topic, partitions)| TopicData {
        topic: topic.clone(),
        partitions: partitions.iter().copied().collect(),
    });
    Described {
        error_code: 0,
        transactional_id: id.clone(),
        transaction_state: ByteString::from_static(facts.state.name()),
        transaction_timeout_ms: facts.timeout_ms,
        transaction_start_time_ms: facts.started_ms,
        producer_id: facts.producer.id,
        producer_epoch: facts.producer.epoch,
        topics: topics.collect(),
    }
}
