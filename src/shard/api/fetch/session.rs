// SPDX-License-Identifier: Apache-2.0
//! Where a fetch meets its session (KIP-227): what it reads, and what of the answer is told.
//!
//! Owns: [`FetchSession`]. Invariants: a name that a session keeps holds no frame in memory; a
//! fetch without a session asks the allocator for nothing here. Of a partition that is named twice
//! for a session the last wish counts.
//! Runs on: the shard that accepted the connection. Bounded by: those of the sessions.

use bytestring::ByteString;

use super::{FetchPending, IDS_FROM};
use crate::model::error_code::ErrorCode;
use crate::model::ids::TopicId;
use crate::model::time::MonotonicUs;
use crate::shard::fetch_sessions::{
    FINAL_EPOCH, PartitionKey, SessionContext, SessionIds, SessionRequest, TopicKey, Wanted,
};
use crate::shard::machine::Shard;
use crate::wire::protocol::fetch::{FetchRequest, FetchTopic, FetchableTopicResponse};

/// How a fetch stands to its session.
#[derive(Debug)]
pub(super) struct FetchSession {
    context: SessionContext,
    /// When the request came.
    came_us: MonotonicUs,
    /// What a new session is to hold, in the order of the answer.
    wanted: Vec<Wanted>,
}

impl FetchSession {
    /// Bytes that it holds for an answer of so many partitions as long as it waits.
    pub(super) fn held_bytes(&self, partitions: usize) -> usize {
        match self.context {
            SessionContext::Sessionless => 0,
            _ => partitions * size_of::<Wanted>(),
        }
    }
}

/// Finds the session of a request and makes the request name all that is to be read; or says why
/// the session does not go on.
pub(super) fn open(
    shard: &mut Shard,
    came_us: MonotonicUs,
    version: i16,
    request: &mut FetchRequest,
) -> Result<FetchSession, ErrorCode> {
    let session = SessionRequest {
        id: request.session_id,
        epoch: request.session_epoch,
        uses_ids: version >= IDS_FROM,
    };
    if session.epoch == FINAL_EPOCH {
        let sessions = &mut shard.fetch_sessions;
        let (context, wanted) = sessions.handle_request(came_us, session, Vec::new(), &[])?;
        return Ok(FetchSession {
            context,
            came_us,
            wanted,
        });
    }
    let (named, forgotten) = name_partitions(shard, version, request);
    let sessions = &mut shard.fetch_sessions;
    let (context, wanted) = sessions.handle_request(came_us, session, named, &forgotten)?;
    request.topics = by_topic(&wanted);
    let is_new = context == SessionContext::New;
    Ok(FetchSession {
        context,
        came_us,
        wanted: if is_new { wanted } else { Vec::new() },
    })
}

/// The partitions that the request names, and those that its session is to forget.
fn name_partitions(
    shard: &Shard,
    version: i16,
    request: &FetchRequest,
) -> (Vec<Wanted>, Vec<PartitionKey>) {
    let key = |name: &ByteString, id: TopicId| {
        if version >= IDS_FROM {
            return TopicKey::Id(id);
        }
        match shard.image().topics.get_key_value(name) {
            Some((name, _)) => TopicKey::Name(name.clone()),
            None => TopicKey::Name(ByteString::from(name.to_string())),
        }
    };
    let mut named = Vec::new();
    for topic in &request.topics {
        let topic_key = key(&topic.topic, topic.topic_id);
        named.extend(topic.partitions.iter().map(|params| Wanted {
            topic: topic_key.clone(),
            params: params.clone(),
        }));
    }
    let mut forgotten = Vec::new();
    for topic in &request.forgotten_topics_data {
        let topic_key = key(&topic.topic, topic.topic_id);
        let partitions = topic.partitions.iter();
        forgotten.extend(partitions.map(|partition| (topic_key.clone(), *partition)));
    }
    (named, forgotten)
}

/// Neighbours of one topic share an entry.
fn by_topic(wanted: &[Wanted]) -> Vec<FetchTopic> {
    let mut topics: Vec<FetchTopic> = Vec::new();
    for run in wanted.chunk_by(|left, right| left.topic == right.topic) {
        let (topic, topic_id) = match &run[0].topic {
            TopicKey::Name(name) => (name.clone(), TopicId::ZERO),
            TopicKey::Id(id) => (ByteString::new(), *id),
        };
        topics.push(FetchTopic {
            topic,
            topic_id,
            partitions: run.iter().map(|one| one.params.clone()).collect(),
        });
    }
    topics
}

fn key_of(version: i16, topic: &FetchableTopicResponse) -> TopicKey {
    match version >= IDS_FROM {
        true => TopicKey::Id(topic.topic_id),
        false => TopicKey::Name(topic.topic.clone()),
    }
}

/// Takes note of the answer in the session, and leaves in it what has news; or says why there is no
/// answer: the code and the session.
pub(super) fn settle(
    shard: &mut Shard,
    version: i16,
    pending: &mut FetchPending,
) -> Result<(), (ErrorCode, i32)> {
    let FetchPending {
        answer, session, ..
    } = pending;
    match session.context {
        SessionContext::Sessionless => {}
        SessionContext::New => {
            let (ids, came_us) = (session_ids(shard), session.came_us);
            let wanted = std::mem::take(&mut session.wanted);
            let answers = answer.responses.iter().flat_map(|topic| &topic.partitions);
            let sessions = &mut shard.fetch_sessions;
            let uses_ids = version >= IDS_FROM;
            answer.session_id = sessions.handle_new(came_us, ids, uses_ids, wanted, answers);
        }
        SessionContext::Incremental { id, epoch } => {
            let answers = answer.responses.iter().flat_map(|topic| {
                let key = key_of(version, topic);
                let partitions = topic.partitions.iter();
                partitions.map(move |one| ((key.clone(), one.partition_index), one))
            });
            let told = shard.fetch_sessions.handle_answers(id, epoch, answers);
            let mut has_news = told.map_err(|code| (code, id))?.into_iter();
            for topic in &mut answer.responses {
                topic
                    .partitions
                    .retain(|_| has_news.next().expect("one for each"));
            }
            answer
                .responses
                .retain(|topic| !topic.partitions.is_empty());
            answer.session_id = id;
        }
    }
    Ok(())
}

fn session_ids(shard: &Shard) -> SessionIds {
    let broker = shard.image().brokers.get(&shard.config.node_id);
    SessionIds {
        incarnation: broker
            .map(|broker| broker.incarnation_id)
            .unwrap_or_default(),
        shard: shard.config.shard,
    }
}
