// SPDX-License-Identifier: Apache-2.0
//! Readers of compacted topics: from the beginning, or from somewhere, to the end and some way on;
//! then again. After the last heal one reads every partition from the beginning once more.
//!
//! Invariants: one request under way at a time; a reading goes on where its last answer ended.

use bytes::Bytes;
use furlong::limits::DECOMPRESSED_BYTES_MAX;
use furlong::model::error_code::ErrorCode;
use furlong::wire::protocol::fetch::PartitionData;
use furlong::wire::record::{records, split_batches};

use super::link::{Answer, Link, PATIENCE_US};
use super::{Client, ClientEffect, Context, KnownTopic, Phase, scan};
use crate::history::keys::{KeyEntry, KeyRead, Scanned};
use crate::history::{Entry, Place};

/// A reading.
#[derive(Clone, Copy)]
struct Scan {
    number: usize,
    place: Place,
    from: i64,
    began_ms: i64,
    position: i64,
    /// Answers that it goes on for when it has come to the end.
    more: u64,
}

/// A reader.
pub struct KeyReader {
    link: Link<()>,
    scan: Option<Scan>,
    scans: usize,
    /// Stands before the numbers of its readings.
    number: usize,
    /// Partitions that are to be read at the end; `None` before that.
    last: Option<Vec<Place>>,
    is_counted: bool,
    is_through: bool,
    pause_us_max: u64,
}

impl KeyReader {
    /// A reader that has not connected yet; no two have one number.
    pub fn new(number: usize, pause_us_max: u64) -> KeyReader {
        KeyReader {
            link: Link::new(),
            scan: None,
            scans: 0,
            number,
            last: None,
            is_counted: false,
            is_through: false,
            pause_us_max,
        }
    }

    fn places(context: &Context<'_>) -> Vec<Place> {
        let compacted = context.board.topics.iter().filter(|it| it.is_compacted());
        compacted.flat_map(KnownTopic::places).collect()
    }

    fn work(&mut self, context: &mut Context<'_>) {
        if !self.is_counted {
            self.is_counted = true;
            context.board.last_readers += 1;
        }
        if self.link.is_overdue(context.now_us) {
            context.stats.timeouts += 1;
            if context.board.phase != Phase::Faulty {
                context.violation("a reader of keys got no answer for a minute");
            }
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
        if is_last && self.last.is_none() {
            self.last = Some(KeyReader::places(context));
            self.scan = None;
        }
        if self.scan.is_none() {
            self.begin(context);
        }
        if let Some(scan) = self.scan {
            self.fetch(context, scan);
        }
    }

    fn begin(&mut self, context: &mut Context<'_>) {
        let place = match &self.last {
            Some(left) => left.last().copied(),
            None => {
                let places = KeyReader::places(context);
                (!places.is_empty()).then(|| *context.prng.pick(&places))
            }
        };
        let Some(place) = place else {
            if self.last.is_some() {
                self.is_through = true;
                context.board.last_readers -= 1;
            }
            return;
        };
        let skips = self.last.is_none() && context.prng.chance(200);
        let from = if skips { context.prng.below(200) } else { 0 };
        let from = i64::try_from(from).expect("small");
        self.scans += 1;
        self.scan = Some(Scan {
            number: self.number * 1_000_000 + self.scans,
            place,
            from,
            began_ms: context.wall_ms,
            position: from,
            more: if self.last.is_some() {
                0
            } else {
                context.prng.below(8)
            },
        });
    }

    fn fetch(&mut self, context: &mut Context<'_>, scan: Scan) {
        let from = (scan.place, scan.position);
        if let Some((version, body)) = scan::fetch(&self.link, context, from, false) {
            self.link.request(context, version, &body, ());
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
            // It began somewhere where nothing is yet.
            Some(ErrorCode::OffsetOutOfRange) if scan.position == scan.from && scan.from > 0 => {
                self.scan = None;
                return;
            }
            _ => {
                let (code, at) = (answer.error_code, scan.position);
                context.violation(&format!(
                    "{name} at {at}: a reader of keys got error {code}"
                ));
                self.scan = None;
                return;
            }
        }
        match read(&answer, scan.position) {
            Ok((position, records)) => {
                context.stats.keys_read += records.len() as u64;
                let span = u64::try_from(position - scan.position).expect("it goes forward");
                context.stats.keys_compacted += span - records.len() as u64;
                scan.position = position;
                self.note(context, scan, answer.high_watermark, records);
            }
            Err(sentence) => {
                let at = scan.position;
                context.violation(&format!("{name} from {at}: {sentence}"));
                self.scan = None;
            }
        }
    }

    fn note(
        &mut self,
        context: &mut Context<'_>,
        mut scan: Scan,
        high_watermark: i64,
        records: Vec<KeyRead>,
    ) {
        let entry = Scanned {
            scan: scan.number,
            place: scan.place,
            from: scan.from,
            began_ms: scan.began_ms,
            position: scan.position,
            high_watermark,
            at_ms: context.wall_ms,
            records,
        };
        context.history.push(Entry::Key(KeyEntry::Scanned(entry)));
        let is_over = scan.position >= high_watermark && scan.more == 0;
        if scan.position >= high_watermark {
            context.stats.key_scans += 1;
            scan.more = scan.more.saturating_sub(1);
        }
        self.scan = Some(scan).filter(|_| !is_over);
        if let Some(left) = self.last.as_mut().filter(|_| is_over) {
            left.pop();
        }
    }
}

/// The records of an answer from a position on, and the next position.
fn read(answer: &PartitionData, from: i64) -> Result<(i64, Vec<KeyRead>), String> {
    let (mut position, mut read) = (from, Vec::new());
    for batch in split_batches(&answer.records.clone().unwrap_or_default()) {
        let batch = batch.map_err(|error| error.to_string())?;
        let opened = records(&batch, DECOMPRESSED_BYTES_MAX).map_err(|error| error.to_string())?;
        let header = *opened.header();
        if furlong::wire::checksum::crc32c(&batch[21..]) != header.crc {
            return Err(format!("a bad checksum at offset {}", header.base_offset));
        }
        let (first, last) = (header.base_offset, header.last_offset());
        if last < position {
            return Err(format!(
                "the batch {first}..={last} where {position} was due"
            ));
        }
        for record in opened.iter() {
            let record = record.map_err(|error| format!("{error:?}"))?;
            if !(first..=last).contains(&record.offset) {
                return Err(format!("offset {} in {first}..={last}", record.offset));
            }
            if record.offset < from {
                continue;
            }
            if record.offset < position {
                return Err(format!("offset {} came again", record.offset));
            }
            position = record.offset + 1;
            let key = record.key.and_then(|key| key.try_into().ok());
            let value = record.value.map(|value| value.first_chunk().copied());
            read.push(KeyRead {
                offset: record.offset,
                key: u64::from_be_bytes(key.ok_or("a key that nobody wrote")?),
                value: match value {
                    Some(value) => Some(u64::from_be_bytes(value.ok_or("a short value")?)),
                    None => None,
                },
                made_ms: record.timestamp,
            });
        }
        position = last + 1;
    }
    Ok((position, read))
}

impl Client for KeyReader {
    fn wake(&mut self, context: &mut Context<'_>) {
        self.work(context);
        let pause = match context.board.phase {
            Phase::Faulty => {
                let idle = self.link.idle_us(context, 1);
                idle.unwrap_or_else(|| context.prng.skewed(10, self.pause_us_max))
            }
            Phase::LastReads if !self.is_through => self.link.idle_us(context, 1).unwrap_or(1_000),
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
        if let Answer::To((), version, frame) = self.link.frame(context, frame) {
            self.take_fetched(context, version, frame);
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
