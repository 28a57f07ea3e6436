// SPDX-License-Identifier: Apache-2.0
//! Transactional producers: they write to several partitions, send offsets of a group along, commit
//! or abort; they die in the middle, two of them have one transactional id and fence each other,
//! and their transactions run out of time.
//!
//! Invariants: one request under way at a time; what is not answered is asked again as it was;
//! whoever meets an error that is not about the moment begins anew with InitProducerId. With the
//! older flow (before KIP-890) no request is sent late: a late EndTxn would end the next
//! transaction, in Kafka as here.

mod answers;

use std::collections::BTreeMap;

use bytes::Bytes;
use furlong::wire::protocol::add_offsets_to_txn::AddOffsetsToTxnRequest;
use furlong::wire::protocol::add_partitions_to_txn::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnTopic,
};
use furlong::wire::protocol::end_txn::EndTxnRequest;
use furlong::wire::protocol::find_coordinator::FindCoordinatorRequest;
use furlong::wire::protocol::init_producer_id::InitProducerIdRequest;
use furlong::wire::protocol::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use furlong::wire::protocol::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use furlong::wire::record::{BatchBuilder, Compression};

use super::link::{Answer, Link};
use super::{Client, ClientEffect, Context, KnownTopic, Phase};
use crate::history::Place;
use crate::history::groups::{Change, GROUPS, TXN_GROUP};
use crate::history::transactions::{Transaction, TxnBatch};

/// How a producer behaves.
#[derive(Clone, Debug)]
pub struct TxnPlan {
    /// Which transactional id it has.
    pub id: u64,
    /// It expects a new epoch after each transaction (KIP-890).
    pub is_new: bool,
    /// How long its transactions may last, in milliseconds.
    pub timeout_ms: i32,
    /// Longest pause while it is busy, in microseconds.
    pub pause_us_max: u64,
}

/// What a request was for.
#[derive(Clone, Copy)]
enum Tag {
    Find,
    FindGroup,
    Init,
    AddPartitions,
    Produce,
    AddOffsets,
    Offsets,
    End,
    /// It was sent once more, late.
    Copy,
}

/// A transaction that is under way.
struct Current {
    number: usize,
    begun_us: u64,
    commits: bool,
    /// Batches that are to be written, the next one last.
    left: Vec<(Place, usize, Bytes)>,
    /// The older flow has told the coordinator of its partitions.
    is_added: bool,
    /// Offset that goes along, and its mark.
    offset: Option<(Place, i64, u64)>,
    /// The coordinator knows of the group.
    group_is_added: bool,
    offsets_are_sent: bool,
    change: Option<usize>,
    is_ending: bool,
}

/// A producer.
pub struct TxnProducer {
    plan: TxnPlan,
    link: Link<Tag>,
    is_found: bool,
    /// It knows who coordinates the group.
    group_is_found: bool,
    producer: Option<(i64, i16)>,
    sequences: BTreeMap<Place, i32>,
    current: Option<Current>,
    /// A change of offsets whose commit has no known end.
    open_change: Option<usize>,
    held: Option<(i16, EndTxnRequest)>,
    away_until_us: u64,
    has_failed: bool,
    is_counted: bool,
}

impl TxnProducer {
    /// A producer that has not connected yet.
    pub fn new(plan: TxnPlan) -> TxnProducer {
        TxnProducer {
            plan,
            link: Link::new(),
            is_found: false,
            group_is_found: false,
            producer: None,
            sequences: BTreeMap::new(),
            current: None,
            open_change: None,
            held: None,
            away_until_us: 0,
            has_failed: false,
            is_counted: false,
        }
    }

    fn name(&self) -> String {
        format!("transactional-{}", self.plan.id)
    }

    /// Counts itself among those that are not through.
    fn count(&mut self, context: &mut Context<'_>) {
        let is_busy = context.board.phase == Phase::Faulty || self.current.is_some();
        if is_busy && !self.is_counted {
            context.board.busy_clients += 1;
        } else if !is_busy && self.is_counted {
            context.board.busy_clients -= 1;
        }
        self.is_counted = is_busy;
    }

    /// A new process, or one that must begin anew.
    fn forget(&mut self) {
        self.producer = None;
        self.sequences.clear();
        if let Some(current) = self.current.take() {
            self.open_change = current.change.or(self.open_change);
        }
    }

    fn work(&mut self, context: &mut Context<'_>) {
        if self.link.is_overdue(context.now_us) {
            context.stats.timeouts += 1;
            if context.board.phase != Phase::Faulty {
                context.violation("a transactional producer got no answer for a minute");
            }
            context.effects.push(ClientEffect::Close);
            self.closed(context);
            return;
        }
        let faulty = context.board.phase == Phase::Faulty;
        if (faulty && context.now_us < self.away_until_us) || (!faulty && self.current.is_none()) {
            return;
        }
        if faulty && self.meets_misfortune(context) {
            return;
        }
        if !self.link.connect(context) || self.link.in_flight() > 0 {
            return;
        }
        if let Some((version, body)) = self.held.take_if(|_| faulty && context.prng.chance(100)) {
            context.stats.txn_copies += 1;
            self.link.request(context, version, &body, Tag::Copy);
            return;
        }
        if !self.is_found {
            self.find(context, Tag::Find);
        } else if self.producer.is_none() {
            self.init(context);
        } else if self.current.is_none() {
            self.begin(context);
        } else {
            self.go_on(context);
        }
    }

    fn timeout_us(&self) -> u64 {
        u64::try_from(self.plan.timeout_ms).expect("positive") * 1_000
    }

    fn meets_misfortune(&mut self, context: &mut Context<'_>) -> bool {
        let timeout_us = self.timeout_us();
        match context.prng.below(1_000) {
            0..=4 => {
                context.stats.txn_deaths += 1;
                context.effects.push(ClientEffect::Close);
                self.closed(context);
                self.forget();
                self.away_until_us = context.now_us + context.prng.skewed(1_000, 2 * timeout_us);
            }
            // So long that its transaction may run out of time.
            5..=8 => {
                let pause = context.prng.between(timeout_us / 2, 2 * timeout_us);
                self.away_until_us = context.now_us + pause;
            }
            9..=14 => {
                context.effects.push(ClientEffect::Close);
                self.closed(context);
            }
            _ => return false,
        }
        true
    }

    /// Looks for its own coordinator, or for that of the group.
    fn find(&mut self, context: &mut Context<'_>, tag: Tag) {
        let (key_type, key) = match tag {
            Tag::FindGroup => (0, GROUPS[TXN_GROUP].to_owned()),
            _ => (1, self.name()),
        };
        let link = &self.link;
        let version = link.version_between::<FindCoordinatorRequest>(context, 4, i16::MAX);
        let body = FindCoordinatorRequest {
            key_type,
            coordinator_keys: vec![key.into()],
            ..FindCoordinatorRequest::default()
        };
        self.link.request(context, version, &body, tag);
    }

    fn init(&mut self, context: &mut Context<'_>) {
        let version = self.link.version::<InitProducerIdRequest>(context, 5);
        let body = InitProducerIdRequest {
            transactional_id: Some(self.name().into()),
            transaction_timeout_ms: self.plan.timeout_ms,
            producer_id: -1,
            producer_epoch: -1,
        };
        self.link.request(context, version, &body, Tag::Init);
    }

    fn begin(&mut self, context: &mut Context<'_>) {
        let mut topics = context.board.topics.iter();
        let Some(topic) = topics.find(|it| it.is_transactional()).cloned() else {
            return;
        };
        let Some((id, epoch)) = self.producer else {
            return;
        };
        let number = context.history.transactions.len();
        let mut transaction = Transaction::default();
        let mut left = Vec::new();
        for place in topic.places() {
            if !context.prng.chance(600) {
                continue;
            }
            let count = usize::try_from(context.prng.skewed(1, 4)).expect("few");
            let sequence = self.sequences.entry(place).or_default();
            let mut builder = BatchBuilder::new(Compression::None);
            builder.producer(id, epoch, *sequence);
            builder.transactional();
            for record in 0..count {
                let value = [number as u64, record as u64]
                    .map(u64::to_be_bytes)
                    .concat();
                builder.append(context.wall_ms, None, Some(&value), &[]);
            }
            *sequence += i32::try_from(count).expect("few");
            left.push((place, transaction.batches.len(), builder.build()));
            transaction.batches.push(TxnBatch {
                place,
                count,
                offset: None,
            });
        }
        if left.is_empty() {
            return;
        }
        let offset = context.prng.chance(500).then(|| {
            context.board.last_mark += 1;
            let partition = i32::try_from(self.plan.id).expect("few");
            let partition = partition.min(topic.partitions - 1);
            let place = Place {
                topic: topic.topic,
                partition,
            };
            let offset = i64::try_from(context.prng.below(1_000)).expect("small");
            (place, offset, context.board.last_mark)
        });
        context.history.transactions.push(transaction);
        context.stats.txns_begun += 1;
        self.current = Some(Current {
            number,
            begun_us: context.now_us,
            commits: context.prng.chance(750),
            left,
            is_added: self.plan.is_new,
            offset,
            group_is_added: self.plan.is_new,
            offsets_are_sent: false,
            change: None,
            is_ending: false,
        });
    }

    fn go_on(&mut self, context: &mut Context<'_>) {
        let Some(current) = &self.current else {
            return;
        };
        if !current.is_added {
            self.add_partitions(context);
        } else if let Some((place, _, bytes)) = current.left.last().cloned() {
            self.produce(context, place, bytes);
        } else if current.offset.is_some() && !current.group_is_added {
            self.add_offsets(context);
        } else if current.offset.is_some() && !self.group_is_found {
            self.find(context, Tag::FindGroup);
        } else if current.offset.is_some() && !current.offsets_are_sent {
            self.send_offsets(context);
        } else {
            self.end(context);
        }
    }

    fn topic(context: &Context<'_>) -> Option<KnownTopic> {
        let mut topics = context.board.topics.iter();
        topics.find(|it| it.is_transactional()).cloned()
    }

    fn add_partitions(&mut self, context: &mut Context<'_>) {
        let (Some((id, epoch)), Some(current)) = (self.producer, &self.current) else {
            return;
        };
        let Some(topic) = TxnProducer::topic(context) else {
            return;
        };
        let partitions = current.left.iter().map(|(place, ..)| place.partition);
        let body = AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: self.name().into(),
            v3_and_below_producer_id: id,
            v3_and_below_producer_epoch: epoch,
            v3_and_below_topics: vec![AddPartitionsToTxnTopic {
                name: topic.name.into(),
                partitions: partitions.collect(),
            }],
            ..AddPartitionsToTxnRequest::default()
        };
        let version = self.link.version::<AddPartitionsToTxnRequest>(context, 3);
        self.link
            .request(context, version, &body, Tag::AddPartitions);
    }

    fn produce(&mut self, context: &mut Context<'_>, place: Place, bytes: Bytes) {
        let Some(topic) = TxnProducer::topic(context) else {
            return;
        };
        let (low, high) = match (self.plan.is_new, topic.id.is_zero()) {
            (true, true) => (12, 12),
            (true, false) => (12, i16::MAX),
            (false, _) => (3, 11),
        };
        let link = &self.link;
        let version = link.version_between::<ProduceRequest>(context, low, high);
        let data = PartitionProduceData {
            index: place.partition,
            records: Some(bytes),
        };
        let body = ProduceRequest {
            transactional_id: Some(self.name().into()),
            acks: -1,
            timeout_ms: 30_000,
            topic_data: vec![TopicProduceData {
                name: topic.name.into(),
                topic_id: topic.id,
                partition_data: vec![data],
            }],
        };
        self.link.request(context, version, &body, Tag::Produce);
    }

    fn add_offsets(&mut self, context: &mut Context<'_>) {
        let Some((producer_id, producer_epoch)) = self.producer else {
            return;
        };
        let body = AddOffsetsToTxnRequest {
            transactional_id: self.name().into(),
            producer_id,
            producer_epoch,
            group_id: GROUPS[TXN_GROUP].into(),
        };
        let link = &self.link;
        let version = link.version::<AddOffsetsToTxnRequest>(context, i16::MAX);
        self.link.request(context, version, &body, Tag::AddOffsets);
    }

    fn send_offsets(&mut self, context: &mut Context<'_>) {
        let offset = self.current.as_ref().and_then(|current| current.offset);
        let (Some((producer_id, producer_epoch)), Some((place, offset, mark))) =
            (self.producer, offset)
        else {
            return;
        };
        let one = TxnOffsetCommitRequestPartition {
            partition_index: place.partition,
            committed_offset: offset,
            committed_metadata: Some(mark.to_string().into()),
            ..TxnOffsetCommitRequestPartition::default()
        };
        let body = TxnOffsetCommitRequest {
            transactional_id: self.name().into(),
            group_id: GROUPS[TXN_GROUP].into(),
            producer_id,
            producer_epoch,
            topics: vec![TxnOffsetCommitRequestTopic {
                name: context.history.topics[place.topic].clone().into(),
                partitions: vec![one],
            }],
            ..TxnOffsetCommitRequest::default()
        };
        let (low, high) = if self.plan.is_new { (5, 5) } else { (0, 4) };
        let link = &self.link;
        let version = link.version_between::<TxnOffsetCommitRequest>(context, low, high);
        self.link.request(context, version, &body, Tag::Offsets);
    }

    fn end(&mut self, context: &mut Context<'_>) {
        let (Some((producer_id, producer_epoch)), Some(current)) =
            (self.producer, &mut self.current)
        else {
            return;
        };
        if current.commits && !current.is_ending {
            context.history.ask_commit(current.number);
            if let Some((place, _, mark)) = current.offset {
                let incarnation = u32::MAX;
                current.change = Some(context.history.ask_change(Change {
                    group: TXN_GROUP,
                    place: Some(place),
                    mark: Some(mark),
                    member: String::new(),
                    generation: -1,
                    // The coordinator of transactions goes on with it in a later life.
                    incarnation,
                    asked: 0,
                    ended: None,
                }));
            }
        }
        current.is_ending = true;
        let body = EndTxnRequest {
            transactional_id: format!("transactional-{}", self.plan.id).into(),
            producer_id,
            producer_epoch,
            committed: current.commits,
        };
        let (low, high) = if self.plan.is_new { (5, 5) } else { (0, 4) };
        let link = &self.link;
        let version = link.version_between::<EndTxnRequest>(context, low, high);
        if self.plan.is_new && context.prng.chance(100) {
            self.held = Some((version, body.clone()));
        }
        self.link.request(context, version, &body, Tag::End);
    }

    fn sleep(&mut self, context: &mut Context<'_>) {
        self.count(context);
        let faulty = context.board.phase == Phase::Faulty;
        let pause = if !faulty && self.current.is_none() {
            10_000_000
        } else if faulty && context.now_us < self.away_until_us {
            self.away_until_us - context.now_us
        } else if let Some(pause) = self.link.idle_us(context, 1) {
            pause
        } else if std::mem::take(&mut self.has_failed) {
            context.prng.between(1_000, 100_000)
        } else {
            context.prng.skewed(10, self.plan.pause_us_max)
        };
        context.effects.push(ClientEffect::WakeAfter(pause));
    }
}

impl Client for TxnProducer {
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
        self.link.closed();
        self.sleep(context);
    }
}
