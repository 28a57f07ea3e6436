// SPDX-License-Identifier: Apache-2.0
//! DeleteTopics (20): deletes topics.
//!
//! Owns: the layout of its request and response. Invariants: those of [`super::describe`].
//! Runs on: every core. Bounded by: the `max` of each array.

use bytestring::ByteString;

use super::describe::{api, messages, since};
use crate::limits::TOPICS_MAX;
use crate::model::ids::Uuid;

api! { 20, versions 1..=6, flexible 4:
DeleteTopicsRequest => DeleteTopicsResponse }

messages! {
    /// Deletes topics.
    pub struct DeleteTopicsRequest {
        /// Topics by name or id.
        topics: Vec<DeleteTopicState> = Vec::new(), since(6).max(TOPICS_MAX);
        /// Topics by name.
        topic_names: Vec<ByteString> = Vec::new(), since(0).until(5).max(TOPICS_MAX).ignorable();
        /// How long it may take, in milliseconds.
        timeout_ms: i32 = 0, since(0);
    }

    /// One topic to delete, by name or by id.
    pub struct DeleteTopicState {
        /// Name of the topic, null if given by id.
        name: Option<ByteString> = None, since(6).nullable(6);
        /// Id of the topic.
        topic_id: Uuid = Uuid::ZERO, since(6);
    }

    /// What became of each topic.
    pub struct DeleteTopicsResponse {
        /// How long a quota held the client back, in milliseconds.
        throttle_time_ms: i32 = 0, since(1).ignorable();
        /// One entry per topic.
        responses: Vec<DeletableTopicResult> = Vec::new(), since(0).max(TOPICS_MAX);
    }

    /// What became of one topic.
    pub struct DeletableTopicResult {
        /// Name of the topic; null if an id was given that nobody knows.
        name: Option<ByteString> = Some(ByteString::new()), since(0).nullable(6);
        /// Id of the topic.
        topic_id: Uuid = Uuid::ZERO, since(6).ignorable();
        /// Error code, 0 for none.
        error_code: i16 = 0, since(0);
        /// What went wrong, if anything.
        error_message: Option<ByteString> = None, since(5).nullable(5).ignorable();
    }
}
