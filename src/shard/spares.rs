// SPDX-License-Identifier: Apache-2.0
//! Emptied lists of requests and answers, kept for the next ones: a warm shard answers without
//! asking the allocator.
//!
//! Owns: [`Spares`]. Invariants: what is kept shares nothing with any frame; a list that is larger
//! than most is not kept. A list of parts that went to another shard comes back with its results,
//! to the shard that made it. Runs on: its shard. Bounded by: `LISTS_KEPT_MAX` of each kind,
//! `LIST_ENTRIES_KEPT_MAX` entries each, `ANSWER_PIECES_MAX`.

use bytes::Bytes;

use super::api::fetch::FetchLists;
use super::api::{Answer, ApiError};
use super::contract::Effects;
use super::parts::fetch::{FetchRead, FetchResult, ReadState};
use super::parts::produce::ProduceBatch;
use crate::limits::{ANSWER_PIECE_BYTES, ANSWER_PIECES_MAX, LIST_ENTRIES_KEPT_MAX, LISTS_KEPT_MAX};
use crate::model::piece_memory::PieceMemory;
use crate::wire::codec::Writer;
use crate::wire::protocol::fetch::{FetchRequest, FetchResponse, FetchableTopicResponse};
use crate::wire::protocol::produce::{ProduceRequest, ProduceResponse};
use crate::wire::protocol::{Message, encode_response_into};

/// A value with lists that can be emptied and filled again.
pub trait Refillable: Default {
    /// Empties it.
    fn empty(&mut self);
    /// Entries that it has room for.
    fn room(&self) -> usize;
}

impl<T> Refillable for Vec<T> {
    fn empty(&mut self) {
        self.clear();
    }

    fn room(&self) -> usize {
        self.capacity()
    }
}

impl Refillable for ProduceRequest {
    fn empty(&mut self) {
        self.release();
    }

    fn room(&self) -> usize {
        let topics = self.topic_data.iter();
        let partitions: usize = topics.map(|topic| topic.partition_data.capacity()).sum();
        self.topic_data.capacity() + partitions
    }
}

impl Refillable for FetchRequest {
    fn empty(&mut self) {
        self.release();
    }

    fn room(&self) -> usize {
        let topics = self.topics.iter();
        let partitions: usize = topics.map(|topic| topic.partitions.capacity()).sum();
        let forgotten = self.forgotten_topics_data.iter();
        let forgotten: usize = forgotten.map(|topic| topic.partitions.capacity()).sum();
        let topics = self.topics.capacity() + self.forgotten_topics_data.capacity();
        topics + partitions + forgotten
    }
}

impl Refillable for ProduceResponse {
    fn empty(&mut self) {
        for topic in &mut self.responses {
            topic.name = Default::default();
            topic.partition_responses.clear();
        }
    }

    fn room(&self) -> usize {
        let topics = self.responses.iter();
        let partitions: usize = topics
            .map(|topic| topic.partition_responses.capacity())
            .sum();
        self.responses.capacity() + partitions
    }
}

impl Refillable for FetchResponse {
    fn empty(&mut self) {
        for topic in &mut self.responses {
            topic.empty();
        }
        self.session_id = 0;
    }

    fn room(&self) -> usize {
        let topics = self.responses.iter();
        let partitions: usize = topics.map(Refillable::room).sum();
        self.responses.capacity() + partitions
    }
}

impl Refillable for FetchableTopicResponse {
    fn empty(&mut self) {
        self.topic = Default::default();
        self.partitions.clear();
    }

    fn room(&self) -> usize {
        self.partitions.capacity()
    }
}

/// Emptied values of one kind.
#[derive(Debug, Default)]
pub struct Kept<T> {
    values: Vec<T>,
}

impl<T: Refillable> Kept<T> {
    /// An empty one. Its lists may have entries that stand for memory only, where they are lists of
    /// lists.
    pub fn take(&mut self) -> T {
        self.values.pop().unwrap_or_default()
    }

    /// Takes one that is not needed any more.
    pub fn give(&mut self, mut value: T) {
        if self.values.len() < LISTS_KEPT_MAX && value.room() <= LIST_ENTRIES_KEPT_MAX {
            value.empty();
            self.values.push(value);
        }
    }
}

/// What a shard keeps for the next requests.
#[derive(Debug)]
pub struct Spares {
    /// Decoded requests.
    pub produce_requests: Kept<ProduceRequest>,
    /// Likewise.
    pub fetch_requests: Kept<FetchRequest>,
    /// Answers that are being put together.
    pub produce_answers: Kept<ProduceResponse>,
    /// Likewise.
    pub fetch_answers: Kept<FetchResponse>,
    /// Entries that such an answer has no use for.
    pub fetch_topics: Kept<FetchableTopicResponse>,
    /// What fetches know of their partitions.
    pub fetch_lists: Kept<FetchLists>,
    /// Parts of a request by the shard that they go to.
    pub batches_by_shard: Vec<Vec<ProduceBatch>>,
    /// Likewise.
    pub reads_by_shard: Vec<Vec<FetchRead>>,
    /// Lists of parts.
    pub batches: Kept<Vec<ProduceBatch>>,
    /// Likewise.
    pub reads: Kept<Vec<FetchRead>>,
    /// Where the reads of a part are.
    pub read_states: Kept<Vec<ReadState>>,
    /// Results of parts.
    pub results: Kept<Vec<FetchResult>>,
    /// What answers are written into.
    answers: PieceMemory,
}

impl Default for Spares {
    fn default() -> Spares {
        Spares {
            produce_requests: Kept::default(),
            fetch_requests: Kept::default(),
            produce_answers: Kept::default(),
            fetch_answers: Kept::default(),
            fetch_topics: Kept::default(),
            fetch_lists: Kept::default(),
            batches_by_shard: Vec::new(),
            reads_by_shard: Vec::new(),
            batches: Kept::default(),
            reads: Kept::default(),
            read_states: Kept::default(),
            results: Kept::default(),
            answers: PieceMemory::new(ANSWER_PIECES_MAX, ANSWER_PIECE_BYTES),
        }
    }
}

impl Spares {
    /// Encodes an answer into memory that was used before.
    pub fn encode<M: Message>(
        &mut self,
        correlation_id: i32,
        version: i16,
        body: &M,
        effects: &mut Effects,
    ) -> Result<Answer, ApiError> {
        let parts = effects.spare_parts.pop().unwrap_or_default();
        let writer = Writer::reuse(self.answers.take(), parts);
        let encoded = encode_response_into(correlation_id, version, body, writer)?;
        let parts = encoded.parts;
        self.answers
            .put_back(encoded.rest, parts.first().map_or(0, Bytes::len));
        Ok(Answer {
            parts,
            error_codes: encoded.error_codes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::protocol::produce::{PartitionProduceData, TopicProduceData};

    #[test]
    fn what_is_kept_shares_nothing_and_is_bounded() {
        let frame = Bytes::from(vec![7; 100]);
        let mut kept: Kept<ProduceRequest> = Kept::default();
        for _ in 0..2 * LISTS_KEPT_MAX {
            kept.give(ProduceRequest {
                topic_data: vec![TopicProduceData {
                    partition_data: vec![PartitionProduceData {
                        index: 3,
                        records: Some(frame.clone()),
                    }],
                    ..TopicProduceData::default()
                }],
                ..ProduceRequest::default()
            });
        }
        assert!(frame.is_unique(), "nobody holds the frame");
        assert_eq!(kept.values.len(), LISTS_KEPT_MAX);
        assert!(kept.take().topic_data[0].partition_data.capacity() > 0);
        let mut lists: Kept<Vec<u8>> = Kept::default();
        lists.give(Vec::with_capacity(2 * LIST_ENTRIES_KEPT_MAX));
        assert_eq!(lists.take().capacity(), 0, "too large to be kept");
    }

    #[test]
    fn an_answer_is_the_same_in_used_memory() {
        let (mut spares, mut effects) = (Spares::default(), Effects::default());
        for correlation_id in 0..500 {
            let body = ProduceResponse::default();
            let parts = spares.encode(correlation_id, 9, &body, &mut effects);
            let parts = parts.expect("small").parts;
            let expected = crate::wire::protocol::encode_response(correlation_id, 9, &body);
            assert_eq!(parts.concat(), expected.expect("small").concat());
            effects.keep_parts(parts);
        }
    }
}
