// SPDX-License-Identifier: Apache-2.0
//! Readers of committed records: partition by partition from the beginning to the last stable
//! offset, passing over what was aborted as Kafka's clients do. After the last heal one reads until
//! nothing is open any more, which shows that no transaction hangs for ever.
//!
//! Invariants: one request under way at a time; a reading goes on where its last answer ended.

use std::collections::BTreeSet;

use bytes::Bytes;
use furlong::limits::DECOMPRESSED_BYTES_MAX;
use furlong::model::error_code::ErrorCode;
use furlong::wire::protocol::fetch::PartitionData;
use furlong::wire::record::{records, split_batches};

use super::group_words::{offset_fetch, take_fetched};
use super::link::{Answer, Link, PATIENCE_US};
use super::{Client, ClientEffect, Context, KnownTopic, Phase, scan};
use crate::history::groups::TXN_GROUP;
use crate::history::transactions::{TxnEntry, TxnRead};
use crate::history::{Entry, Place};

/// First version of OffsetFetch that asks for settled offsets.
const STABLE_FROM: i16 = 7;

/// So often are the offsets asked for at the end.
const LAST_ASKED_MAX: u32 = 500;

/// What a request was for.
enum Tag {
    Fetch,
    /// Length of the history when it was sent.
    Offsets(usize),
}

/// Partitions whose offsets go along with transactions: one for each transactional id.
const OFFSETS: i32 = 2;

/// A reading.
#[derive(Clone, Copy)]
struct Scan {
    number: usize,
    place: Place,
    position: i64,
}

/// A reader.
pub struct TxnReader {
    link: Link<Tag>,
    scan: Option<Scan>,
    scans: usize,
    number: usize,
    /// Partitions that are to be read at the end; `None` before that.
    last: Option<Vec<Place>>,
    is_counted: bool,
    is_through: bool,
    /// How often it asked for the offsets at the end.
    last_asked: u32,
    pause_us_max: u64,
}

impl TxnReader {
    /// A reader that has not connected yet; no two have one number.
    pub fn new(number: usize, pause_us_max: u64) -> TxnReader {
        TxnReader {
            link: Link::new(),
            scan: None,
            scans: 0,
            number,
            last: None,
            is_counted: false,
            is_through: false,
            last_asked: 0,
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
        let is_last = context.board.phase == Phase::LastReads;
        let may_work = context.board.phase == Phase::Faulty || (is_last && !self.is_through);
        let is_up = may_work && self.link.connect(context);
        if !is_up || self.link.in_flight() > 0 {
            return;
        }
        let topics = context
            .board
            .topics
            .iter()
            .filter(|it| it.is_transactional());
        let places: Vec<Place> = topics.flat_map(KnownTopic::places).collect();
        if is_last && self.last.is_none() {
            self.last = Some(places.clone());
            self.scan = None;
        }
        if self.scan.is_none() {
            let place = match &self.last {
                Some(left) => left.last().copied(),
                None if places.is_empty() => None,
                None => Some(*context.prng.pick(&places)),
            };
            self.scans += 1;
            let number = self.number * 1_000_000 + self.scans;
            self.scan = place.map(|place| Scan {
                number,
                place,
                position: 0,
            });
        }
        match self.scan {
            Some(_) if context.prng.chance(100) => self.fetch_offsets(context),
            Some(scan) => self.fetch(context, scan),
            None if self.last.is_some() => self.fetch_offsets(context),
            None => {}
        }
    }

    /// Offsets that are settled: an open transaction is an error (KIP-447).
    fn fetch_offsets(&mut self, context: &mut Context<'_>) {
        let mut topics = context.board.topics.iter();
        let Some(topic) = topics.find(|it| it.is_transactional()) else {
            return self.end(context);
        };
        let places = topic.places().filter(|place| place.partition < OFFSETS);
        let places: Vec<Place> = places.collect();
        let (version, mut body) = offset_fetch(&self.link, context, TXN_GROUP, &places);
        body.require_stable = version >= STABLE_FROM;
        if !body.require_stable {
            return;
        }
        let tag = Tag::Offsets(context.history.entries.len());
        self.link.request(context, version, &body, tag);
    }

    /// All is read.
    fn end(&mut self, context: &mut Context<'_>) {
        if !self.is_through {
            self.is_through = true;
            context.board.last_readers -= 1;
        }
    }

    fn take_offsets(
        &mut self,
        context: &mut Context<'_>,
        version: i16,
        frame: Bytes,
        called: usize,
    ) {
        let told = take_fetched(context, version, frame, TXN_GROUP, called);
        let is_end = self.last.as_ref().is_some_and(Vec::is_empty);
        if is_end {
            // Where nobody ever sent offsets along there is no topic for them.
            self.last_asked += 1;
            if told.is_some() || self.last_asked > LAST_ASKED_MAX {
                self.end(context);
            }
        }
    }

    fn fetch(&mut self, context: &mut Context<'_>, scan: Scan) {
        let from = (scan.place, scan.position);
        if let Some((version, body)) = scan::fetch(&self.link, context, from, true) {
            self.link.request(context, version, &body, Tag::Fetch);
        }
    }

    fn take_fetched(&mut self, context: &mut Context<'_>, version: i16, frame: Bytes) {
        let answer = scan::fetched(context, version, frame);
        let (Some(answer), Some(mut scan)) = (answer, self.scan) else {
            return;
        };
        let name = context.name(scan.place);
        match ErrorCode::from_code(answer.error_code) {
            Some(ErrorCode::None) => {}
            Some(ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError) => return,
            _ => {
                let code = answer.error_code;
                context.violation(&format!(
                    "{name}: a reader of transactions got error {code}"
                ));
                return;
            }
        }
        let (position, records) = match committed(&answer, scan.position) {
            Ok(read) => read,
            Err(sentence) => {
                let at = scan.position;
                context.violation(&format!("{name} from {at}: {sentence}"));
                self.scan = None;
                return;
            }
        };
        let stable = answer.last_stable_offset;
        if position > stable {
            context.violation(&format!(
                "{name} was read to {position}, and {stable} is stable"
            ));
        }
        scan.position = position;
        context.stats.txn_records_read += records.len() as u64;
        let is_over = position >= stable;
        let has_open = stable < answer.high_watermark;
        context.stats.txn_open_seen += u64::from(has_open);
        let is_last = self.last.is_some() && is_over && !has_open;
        context.history.push(Entry::Txn(TxnEntry::Read(TxnRead {
            scan: scan.number,
            place: scan.place,
            position,
            records,
            is_last,
        })));
        let goes_on = match &mut self.last {
            Some(left) if is_last => {
                left.pop();
                false
            }
            Some(_) => true,
            None => !is_over || context.prng.chance(700),
        };
        self.scan = Some(scan).filter(|_| goes_on);
    }
}

/// What is committed of an answer from a position on, and the next position.
fn committed(answer: &PartitionData, from: i64) -> Result<(i64, Vec<(i64, usize)>), String> {
    let mut aborted = answer.aborted_transactions.clone().unwrap_or_default();
    if !aborted.is_sorted_by_key(|one| one.first_offset) {
        return Err(format!("the aborted ones are not sorted: {aborted:?}"));
    }
    aborted.reverse();
    let (mut position, mut read) = (from, Vec::new());
    let mut skipped: BTreeSet<i64> = BTreeSet::new();
    for batch in split_batches(&answer.records.clone().unwrap_or_default()) {
        let batch = batch.map_err(|error| error.to_string())?;
        let opened = records(&batch, DECOMPRESSED_BYTES_MAX).map_err(|error| error.to_string())?;
        let header = *opened.header();
        if header.last_offset() < position {
            return Err(format!(
                "offset {} where {position} was due",
                header.base_offset
            ));
        }
        while let Some(one) = aborted.pop_if(|one| one.first_offset <= header.last_offset()) {
            skipped.insert(one.producer_id);
        }
        position = header.last_offset() + 1;
        if header.attributes.is_control() {
            // Whatever it ends, what the producer writes behind it is another transaction.
            skipped.remove(&header.producer_id);
            continue;
        }
        if skipped.contains(&header.producer_id) {
            continue;
        }
        for record in opened.iter() {
            let record = record.map_err(|error| format!("{error:?}"))?;
            let number = record.value.and_then(|value| value.first_chunk());
            let number = number.ok_or("a short value")?;
            let number = usize::try_from(u64::from_be_bytes(*number)).map_err(|_| "a number")?;
            if record.offset >= from {
                read.push((record.offset, number));
            }
        }
    }
    Ok((position, read))
}

impl Client for TxnReader {
    fn wake(&mut self, context: &mut Context<'_>) {
        self.work(context);
        let pause = match context.board.phase {
            Phase::Faulty => {
                let idle = self.link.idle_us(context, 1);
                idle.unwrap_or_else(|| context.prng.skewed(10, self.pause_us_max))
            }
            Phase::LastReads if !self.is_through => self.link.idle_us(context, 1).unwrap_or(20_000),
            Phase::Healed => 200_000,
            _ => PATIENCE_US,
        };
        context.effects.push(ClientEffect::WakeAfter(pause));
    }

    fn connected(&mut self, context: &mut Context<'_>) {
        self.link.connected(context);
        context.effects.push(ClientEffect::WakeAfter(100));
    }

    fn frame(&mut self, context: &mut Context<'_>, frame: Bytes) {
        match self.link.frame(context, frame) {
            Answer::To(Tag::Fetch, version, frame) => self.take_fetched(context, version, frame),
            Answer::To(Tag::Offsets(called), version, frame) => {
                self.take_offsets(context, version, frame, called);
            }
            Answer::Ready | Answer::Nonsense => {}
        }
        let pause = context.prng.skewed(10, self.pause_us_max);
        context.effects.push(ClientEffect::WakeAfter(pause));
    }

    fn closed(&mut self, context: &mut Context<'_>) {
        self.link.closed();
        let pause = context.prng.skewed(500, 100_000);
        context.effects.push(ClientEffect::WakeAfter(pause));
    }
}
