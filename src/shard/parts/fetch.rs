// SPDX-License-Identifier: Apache-2.0
//! Reads from partitions of this shard, and fetches that wait for more.
//!
//! Owns: the fetch parts. Invariants: the watch of a waiting fetch is set before its first read, so
//! no progress is missed; a part keeps no record bytes while it waits; the first partition with
//! data gives at least one batch.
//! States: reading -> (enough, or not waiting) answered and gone; reading -> waiting -> reading ->
//! answered and gone; reading -> queued for memory -> reading.
//! Runs on: the shard that owns the partitions.
//! Bounded by: the requests in flight, `PARKED_FETCHES_PER_PARTITION_MAX`, the bytes that the fetch
//! allows.

use bytes::Bytes;

use super::{Part, SubId};
use crate::model::ids::{ConnectionId, ShardId, TopicPartition};
use crate::model::time::MonotonicUs;
use crate::partition::{FetchAt, FetchError, FetchStart, Fetched};
use crate::replication::purgatory::Woken;
use crate::shard::contract::Effects;
use crate::shard::machine::Shard;
use crate::shard::memory::ReadRoom;
use crate::shard::mesh_message::{MeshMessage, Origin};
use crate::shard::stage::{Stage, Way};

/// Reads that one shard asks of another.
#[derive(Debug)]
pub struct FetchParts {
    /// Whose request it is.
    pub connection: ConnectionId,
    /// Most bytes of all reads together.
    pub max_bytes: usize,
    /// Bytes that end the wait.
    pub min_bytes: u64,
    /// Wait for `min_bytes`; the asker ends the wait when its time is over.
    pub wait: bool,
    /// Other shards read for the same fetch: tell them apart from the whole by telling progress.
    pub shared: bool,
    /// The reads, in the order in which the bytes are handed out.
    pub reads: Vec<FetchRead>,
}

/// A read of one partition.
#[derive(Clone, Copy, Debug)]
pub struct FetchRead {
    /// Whose answer it is; comes back with the result.
    pub place: usize,
    /// Where.
    pub at: TopicPartition,
    /// From which offset, by whom.
    pub from: FetchAt,
    /// Most bytes of this partition.
    pub max_bytes: usize,
}

/// What one shard read.
#[derive(Debug)]
pub struct FetchedParts {
    /// True if the part is over; false if it waits for more, and this is what there is so far.
    pub is_final: bool,
    /// What it waited for so far.
    pub way: Way,
    /// One for each read.
    pub results: Vec<FetchResult>,
}

/// How one read ended.
#[derive(Debug)]
pub struct FetchResult {
    /// Of the read.
    pub place: usize,
    /// The outcome.
    pub result: Result<Fetched, FetchError>,
}

/// Where one read is.
#[derive(Debug)]
pub enum ReadState {
    /// Not started.
    Queued,
    /// Under way, with this many bytes set aside for it, since that moment.
    Reading(usize, MonotonicUs),
    /// Ended.
    Ended(Result<Fetched, FetchError>),
}

/// Reads under way, or waiting, for one request.
#[derive(Debug)]
pub struct FetchPart {
    pub(super) asker: ShardId,
    pub(super) request: u64,
    body: FetchParts,
    states: Vec<ReadState>,
    /// First read that has not been started.
    next: usize,
    /// Reads under way.
    reading: usize,
    /// Bytes that were read.
    used_bytes: usize,
    /// Bytes that are set aside for reads under way.
    reserved_bytes: usize,
    /// A read was started that finds records: the others may come back empty.
    has_first: bool,
    /// Bytes that came while it waits.
    counted_bytes: u64,
    /// It waits, and nothing is under way.
    is_parked: bool,
    /// It waits for memory to read into, and nothing is under way.
    is_queued: bool,
    /// Its asker wants what there is: it does not wait for memory either.
    is_hurried: bool,
    way: Way,
    /// Up to here its time is in `way`.
    noted_us: MonotonicUs,
}

/// What the memory of the shard lets the next read of a part do.
enum Admission {
    /// Read so much.
    Read(usize),
    /// Come back empty: the answer has something already, or must leave now.
    Starve,
    /// Wait for the reads of its own part.
    AwaitOwn,
    /// Wait for those of others.
    Queue,
}

impl FetchPart {
    /// A part whose `states` are an empty list.
    fn new(
        now_us: MonotonicUs,
        origin: Origin,
        request: u64,
        body: FetchParts,
        mut states: Vec<ReadState>,
    ) -> FetchPart {
        states.resize_with(body.reads.len(), || ReadState::Queued);
        FetchPart {
            asker: origin.shard,
            request,
            states,
            body,
            next: 0,
            reading: 0,
            used_bytes: 0,
            reserved_bytes: 0,
            has_first: false,
            counted_bytes: 0,
            is_parked: false,
            is_queued: false,
            is_hurried: false,
            way: Way {
                hop_us: origin.hop_us,
                ..Way::default()
            },
            noted_us: now_us,
        }
    }

    /// Puts the time since the last call to what it was waiting for. Called before that changes.
    fn note_time(&mut self, now_us: MonotonicUs) {
        let passed_us = now_us.saturating_sub(self.noted_us);
        self.noted_us = now_us;
        if self.is_parked {
            self.way.wait_us += passed_us;
        } else if self.is_queued {
            self.way.room_us += passed_us;
        } else if self.reading > 0 {
            self.way.read_us += passed_us;
        }
    }

    /// Begins again from the first read, to answer with whatever there is.
    fn restart(&mut self) {
        assert_eq!(self.reading, 0);
        self.states.fill_with(|| ReadState::Queued);
        self.next = 0;
        self.used_bytes = 0;
        self.has_first = false;
        self.body.wait = false;
        self.is_parked = false;
    }

    /// How many bytes the next read may take; nothing if it has to wait for reads under way.
    fn allowance(&self) -> Option<usize> {
        let wanted = self.body.reads[self.next].max_bytes;
        let taken = self.used_bytes.saturating_add(self.reserved_bytes);
        let left = self.body.max_bytes.saturating_sub(taken);
        if self.reading > 0 && left < wanted {
            return None;
        }
        Some(wanted.min(left))
    }

    fn available_bytes(&self) -> u64 {
        u64::try_from(self.used_bytes)
            .unwrap_or(u64::MAX)
            .saturating_add(self.counted_bytes)
    }

    /// True if something other than bytes has to be told at once.
    fn has_news(&self) -> bool {
        self.states.iter().any(|state| match state {
            ReadState::Ended(Ok(fetched)) => fetched.diverging.is_some(),
            ReadState::Ended(Err(_)) => true,
            ReadState::Queued | ReadState::Reading(..) => false,
        })
    }

    fn take_result(&mut self, place: usize, result: Result<Fetched, FetchError>) {
        if let Ok(fetched) = &result {
            self.used_bytes = self.used_bytes.saturating_add(fetched.records.len());
            self.has_first |= !fetched.records.is_empty();
        }
        self.states[place] = ReadState::Ended(result);
    }

    /// Puts the results into an empty list; the part has none then.
    fn take_results(&mut self, results: &mut Vec<FetchResult>) {
        let reads = self.body.reads.iter();
        let ended = reads
            .zip(self.states.drain(..))
            .filter_map(|(read, state)| match state {
                ReadState::Ended(result) => Some(FetchResult {
                    place: read.place,
                    result,
                }),
                ReadState::Queued | ReadState::Reading(..) => None,
            });
        results.extend(ended);
        assert_eq!(results.len(), self.body.reads.len());
    }
}

impl Shard {
    /// Reads for a request of another shard, or of this one.
    pub(in crate::shard) fn handle_fetch(
        &mut self,
        origin: Origin,
        request: u64,
        mut body: FetchParts,
        effects: &mut Effects,
    ) {
        self.quotas.charge(origin.shard, body.connection);
        let number = self.parts.next_number();
        if body.wait {
            body.wait = self.park(number, &body.reads, effects);
        }
        let states = self.spares.read_states.take();
        let part = FetchPart::new(self.now_us, origin, request, body, states);
        self.pump_fetch(number, part, effects);
    }

    /// Sets a watch in every partition. False if one of them cannot be watched.
    fn park(&mut self, number: u64, reads: &[FetchRead], effects: &mut Effects) -> bool {
        for read in reads {
            let room = u64::try_from(read.max_bytes).unwrap_or(u64::MAX);
            let is_parked = self.on_partition(read.at, &mut effects.disk, |partition, _, _| {
                partition.handle_park(number, room, read.from.isolation)
            });
            if is_parked != Some(true) {
                self.unpark(number, reads, effects);
                return false;
            }
        }
        true
    }

    fn unpark(&mut self, number: u64, reads: &[FetchRead], effects: &mut Effects) {
        for read in reads {
            self.on_partition(read.at, &mut effects.disk, |partition, _, _| {
                partition.handle_unpark(number)
            });
        }
    }

    /// Starts what may be started; keeps, parks or answers the part.
    fn pump_fetch(&mut self, number: u64, mut part: FetchPart, effects: &mut Effects) {
        loop {
            while part.next < part.body.reads.len() {
                let Some(limit) = part.allowance() else {
                    break;
                };
                match self.admit_read(&part, limit, effects) {
                    Admission::Read(limit) => self.start_read(number, &mut part, limit, effects),
                    Admission::Starve => self.starve_read(number, &mut part, effects),
                    Admission::AwaitOwn => break,
                    Admission::Queue => {
                        part.is_queued = true;
                        self.memory.wait_to_read(number);
                        self.parts.insert(number, Part::Fetch(part));
                        return;
                    }
                }
            }
            if part.reading > 0 {
                self.parts.insert(number, Part::Fetch(part));
                return;
            }
            let read_bytes = u64::try_from(part.used_bytes).unwrap_or(u64::MAX);
            let is_final = !part.body.wait || part.has_news() || read_bytes >= part.body.min_bytes;
            if is_final {
                self.unpark(number, &part.body.reads, effects);
            } else if part.available_bytes() >= part.body.min_bytes {
                self.unpark(number, &part.body.reads, effects);
                part.restart();
                continue;
            }
            let mut results = self.spares.results.take();
            part.take_results(&mut results);
            let body = FetchedParts {
                is_final,
                way: part.way,
                results,
            };
            let request = part.request;
            let answer = MeshMessage::Fetched { request, body };
            self.send(part.asker, answer, effects);
            if is_final {
                self.spares.read_states.give(part.states);
                self.spares.reads.give(part.body.reads);
            } else {
                let count = part.body.reads.len();
                part.states.resize_with(count, || ReadState::Queued);
                part.is_parked = true;
                self.parts.insert(number, Part::Fetch(part));
            }
            return;
        }
    }

    /// Decides whether there is memory for the next read of a part. What is in memory anyway needs
    /// none.
    fn admit_read(&mut self, part: &FetchPart, limit: usize, effects: &mut Effects) -> Admission {
        let read = part.body.reads[part.next];
        let slot = self.partitions.slot(read.at);
        let partition = slot.and_then(|slot| self.partitions.get(slot));
        let FetchAt {
            offset, isolation, ..
        } = read.from;
        if partition.is_none_or(|partition| partition.is_in_memory(offset, isolation)) {
            return Admission::Read(limit);
        }
        if self.memory.is_read_short() {
            self.drop_read_ahead(&mut effects.disk);
        }
        match self.memory.read_room() {
            ReadRoom::Bytes(room) => Admission::Read(limit.min(room)),
            ReadRoom::Wait if part.reading > 0 => Admission::AwaitOwn,
            ReadRoom::Wait if part.used_bytes > 0 || part.is_hurried => Admission::Starve,
            ReadRoom::Wait => Admission::Queue,
        }
    }

    /// Ends the next read of a part without records, for want of memory.
    fn starve_read(&mut self, number: u64, part: &mut FetchPart, effects: &mut Effects) {
        let has_first = std::mem::replace(&mut part.has_first, true);
        self.start_read(number, part, 0, effects);
        part.has_first = has_first;
    }

    /// There may be memory for a part that waited for it.
    pub(in crate::shard) fn resume_read(&mut self, number: u64, effects: &mut Effects) {
        let now_us = self.now_us;
        match self.parts.get_mut(number) {
            Some(Part::Fetch(part)) if part.is_queued => {
                effects.note_stage(Stage::Room, now_us.saturating_sub(part.noted_us));
                part.note_time(now_us);
                part.is_queued = false;
            }
            _ => return, // It was cancelled or hurried meanwhile.
        }
        if let Some(Part::Fetch(part)) = self.parts.remove(number) {
            self.pump_fetch(number, part, effects);
        }
    }

    /// Starts the next read of a part.
    fn start_read(
        &mut self,
        number: u64,
        part: &mut FetchPart,
        limit: usize,
        effects: &mut Effects,
    ) {
        let place = part.next;
        part.next += 1;
        let read = part.body.reads[place];
        let sub = SubId {
            part: number,
            place,
        };
        let has_first = part.has_first;
        let may_read_ahead = self.memory.may_read_ahead();
        let started = self.on_partition(read.at, &mut effects.disk, |partition, disk, _| {
            partition.handle_read_ahead(may_read_ahead);
            let FetchAt {
                offset, isolation, ..
            } = read.from;
            let is_first = !has_first && partition.has_records_at(offset, isolation);
            partition.handle_fetch(sub.pack(), read.from, limit, is_first, disk)
        });
        match started.unwrap_or(Err(FetchError::NotLeader)) {
            Ok(FetchStart::Started) => {
                part.states[place] = ReadState::Reading(limit, self.now_us);
                part.reading += 1;
                part.reserved_bytes = part.reserved_bytes.saturating_add(limit);
                part.has_first = true;
            }
            Ok(FetchStart::Done(fetched)) => part.take_result(place, Ok(fetched)),
            Err(error) => part.take_result(place, Err(error)),
        }
    }

    /// A read ended.
    pub(in crate::shard) fn handle_fetched(
        &mut self,
        sub: SubId,
        result: Result<Fetched, FetchError>,
        effects: &mut Effects,
    ) {
        let Some(Part::Fetch(mut part)) = self.parts.remove(sub.part) else {
            return;
        };
        part.note_time(self.now_us);
        if let ReadState::Reading(reserved, since_us) = part.states[sub.place] {
            effects.note_stage(Stage::Read, self.now_us.saturating_sub(since_us));
            part.reading -= 1;
            part.reserved_bytes = part.reserved_bytes.saturating_sub(reserved);
            part.take_result(sub.place, result);
        }
        self.pump_fetch(sub.part, part, effects);
    }

    /// Bytes came for a parked fetch, or (with 0 bytes) a partition wants it to look again.
    pub(in crate::shard) fn handle_woken(&mut self, woken: Woken, effects: &mut Effects) {
        let Some(Part::Fetch(mut part)) = self.parts.remove(woken.fetch) else {
            return;
        };
        part.note_time(self.now_us);
        part.counted_bytes = part.counted_bytes.saturating_add(woken.bytes);
        let must_look = woken.bytes == 0;
        if !part.is_parked {
            part.body.wait &= !must_look;
        } else if must_look || part.available_bytes() >= part.body.min_bytes {
            self.look_again(woken.fetch, part, effects);
            return;
        } else if part.body.shared {
            let progress = MeshMessage::FetchProgress {
                request: part.request,
                bytes: part.available_bytes(),
            };
            self.send(part.asker, progress, effects);
        }
        self.parts.insert(woken.fetch, Part::Fetch(part));
    }

    /// The asker wants what there is, now.
    pub(in crate::shard) fn handle_fetch_finish(
        &mut self,
        asker: ShardId,
        request: u64,
        effects: &mut Effects,
    ) {
        let Some(number) = self.parts.fetch_number(asker, request) else {
            return; // Its answer is on the way.
        };
        let Some(Part::Fetch(mut part)) = self.parts.remove(number) else {
            return;
        };
        part.note_time(self.now_us);
        part.is_hurried = true;
        if part.is_parked || part.is_queued {
            if part.is_queued {
                effects.note_stage(Stage::Room, part.way.room_us);
            }
            part.is_queued = false;
            self.look_again(number, part, effects);
        } else {
            part.body.wait = false;
            self.parts.insert(number, Part::Fetch(part));
        }
    }

    /// The asker wants nothing any more.
    pub(in crate::shard) fn handle_fetch_cancel(
        &mut self,
        asker: ShardId,
        request: u64,
        effects: &mut Effects,
    ) {
        let number = self.parts.fetch_number(asker, request);
        let part = number.and_then(|number| Some((number, self.parts.remove(number)?)));
        if let Some((number, Part::Fetch(part))) = part {
            self.unpark(number, &part.body.reads, effects);
        }
    }

    fn look_again(&mut self, number: u64, mut part: FetchPart, effects: &mut Effects) {
        self.unpark(number, &part.body.reads, effects);
        part.restart();
        self.pump_fetch(number, part, effects);
    }
}

impl FetchedParts {
    /// Bytes of all records.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let lengths = self.results.iter().map(|one| match &one.result {
            Ok(fetched) => fetched.records.len(),
            Err(_) => 0,
        });
        u64::try_from(lengths.sum::<usize>()).unwrap_or(u64::MAX)
    }
}

impl FetchResult {
    /// Drops the records and keeps what is said of the partition.
    pub fn strip(&mut self) {
        if let Ok(fetched) = &mut self.result {
            fetched.records = Bytes::new();
            fetched.aborted = Vec::new();
        }
    }
}
