// SPDX-License-Identifier: Apache-2.0
//! The memory of one shard: who holds how much, and who has to give some up or to wait.
//!
//! Owns: [`ShardMemory`], the totals of all logs, connections and answers. Invariants: every total
//! is the sum of what was last told; what is cached of all logs stays below its part, the log that
//! was appended to least recently gives up first; a request waits only while something is under way
//! whose end makes room, so one that is larger than the whole part still passes, alone.
//! Runs on: its shard. Bounded by: `MemoryBudget`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::contract::Effects;
use super::machine::Shard;
use super::timers::Timer;
use crate::limits::{BUFFERS_IDLE_MS, FETCH_BYTES_UNDER_PRESSURE, READ_ROOM_BYTES_MIN};
use crate::log::LogMemory;
use crate::model::disk::DiskQueue;
use crate::model::memory_budget::MemoryBudget;
use crate::model::time::Now;

/// What a shard holds in memory, in bytes, by the parts of its budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUse {
    /// Cached tails.
    pub tail_cache_bytes: usize,
    /// What a pass of compaction holds, which is taken from the cache.
    pub compaction_bytes: usize,
    /// Frames of requests that are not answered, and what is appended and not flushed.
    pub append_bytes: usize,
    /// Reads under way, and what was read ahead.
    pub read_bytes: usize,
    /// Answers that have not left.
    pub outbound_bytes: usize,
}

/// Entries of the list by age that are left over, beside as many as there are logs, before it is
/// cleaned.
const AGES_LEFT_OVER_MAX: usize = 64;

/// A log that holds memory.
#[derive(Debug, Default)]
struct Holder {
    memory: LogMemory,
    /// When it was last appended to, counted in appends; 0 if nothing of it is cached.
    age: u64,
}

/// How much a fetch may read now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadRoom {
    /// So many bytes.
    Bytes(usize),
    /// Nothing until other reads have ended.
    Wait,
}

/// Who holds the memory of a shard.
#[derive(Debug)]
pub(super) struct ShardMemory {
    budget: MemoryBudget,
    /// The logs that have held anything, by slot.
    holders: BTreeMap<u32, Holder>,
    /// Those of them with cached bytes, the one that was appended to least recently first, and what
    /// they left behind here when they were appended to again.
    by_age: VecDeque<(u64, u32)>,
    /// Those of them that have read ahead.
    ahead: BTreeSet<u32>,
    appends: u64,
    total: LogMemory,
    /// Frames of waiting fetches.
    parked_bytes: usize,
    /// A timer stands for a look at the aligned buffers.
    watches_buffers: bool,
    /// Fetches that wait for room to read, by part.
    waiting_reads: VecDeque<u64>,
}

impl ShardMemory {
    pub(super) fn new(budget: MemoryBudget) -> ShardMemory {
        ShardMemory {
            budget,
            holders: BTreeMap::new(),
            by_age: VecDeque::new(),
            ahead: BTreeSet::new(),
            appends: 0,
            total: LogMemory::default(),
            parked_bytes: 0,
            watches_buffers: false,
            waiting_reads: VecDeque::new(),
        }
    }

    /// What all logs hold.
    pub(super) fn total(&self) -> LogMemory {
        self.total
    }

    /// A log told what it holds.
    pub(super) fn handle_log(&mut self, slot: u32, memory: LogMemory) {
        let before = self
            .holders
            .get(&slot)
            .map_or(LogMemory::default(), |holder| holder.memory);
        if before == memory {
            return;
        }
        let total = &mut self.total;
        total.cached_bytes = total.cached_bytes - before.cached_bytes + memory.cached_bytes;
        total.unflushed_bytes =
            total.unflushed_bytes - before.unflushed_bytes + memory.unflushed_bytes;
        total.reading_bytes = total.reading_bytes - before.reading_bytes + memory.reading_bytes;
        total.ahead_bytes = total.ahead_bytes - before.ahead_bytes + memory.ahead_bytes;
        total.compacting_bytes =
            total.compacting_bytes - before.compacting_bytes + memory.compacting_bytes;
        let holder = self.holders.entry(slot).or_default();
        holder.memory = memory;
        // The newest one stays where it is.
        let is_newest = holder.age > 0 && holder.age == self.appends;
        let is_renewed = memory.cached_bytes > before.cached_bytes && !is_newest;
        if memory.cached_bytes == 0 {
            holder.age = 0;
        } else if is_renewed {
            self.appends += 1;
            holder.age = self.appends;
            self.by_age.push_back((self.appends, slot));
        }
        if memory.ahead_bytes > 0 {
            self.ahead.insert(slot);
        } else {
            self.ahead.remove(&slot);
        }
        self.clean_ages();
    }

    /// A log is gone.
    pub(super) fn handle_gone(&mut self, slot: u32) {
        self.handle_log(slot, LogMemory::default());
        self.holders.remove(&slot);
    }

    /// Drops what is left over in front, and all of it once it is most of the list.
    fn clean_ages(&mut self) {
        let holders = &self.holders;
        let counts = |(age, slot): &(u64, u32)| {
            let holder = holders.get(slot);
            holder.is_some_and(|holder| holder.age == *age)
        };
        while self.by_age.front().is_some_and(|oldest| !counts(oldest)) {
            self.by_age.pop_front();
        }
        if self.by_age.len() > 2 * holders.len() + AGES_LEFT_OVER_MAX {
            self.by_age.retain(counts);
        }
    }

    /// Which log has to give up how many cached bytes next.
    fn next_to_shed(&self) -> Option<(u32, usize)> {
        // What compaction holds is the cache's for the time.
        let held = self.total.cached_bytes + self.total.compacting_bytes;
        let excess = held
            .checked_sub(self.budget.tail_cache_bytes)
            .filter(|excess| *excess > 0)?;
        let (_, slot) = self.by_age.front()?;
        let held = self.holders[slot].memory.cached_bytes;
        Some((*slot, excess.min(held)))
    }

    /// True if connections have to wait for their next frame. The frames of waiting fetches do not
    /// count: nobody knows when they end, and they are bounded by themselves.
    fn is_append_full(&self, frame_bytes: usize) -> bool {
        let frames = frame_bytes.saturating_sub(self.parked_bytes);
        frames + self.total.unflushed_bytes > self.budget.append_bytes
    }

    /// Takes the frame of a fetch that is to wait for records. False if there is no room for it:
    /// then it is answered at once.
    pub(super) fn park(&mut self, bytes: usize) -> bool {
        let fits = self.parked_bytes + bytes <= self.budget.append_bytes / 2;
        if fits {
            self.parked_bytes += bytes;
        }
        fits
    }

    /// A fetch waits no longer.
    pub(super) fn unpark(&mut self, bytes: usize) {
        assert!(self.parked_bytes >= bytes, "a fetch is parked once");
        self.parked_bytes -= bytes;
    }

    /// How many record bytes an answer may have while so many bytes have not left.
    fn answer_bytes_max(&self, outbound_bytes: usize) -> usize {
        let room = self.budget.outbound_bytes.saturating_sub(outbound_bytes);
        room.max(FETCH_BYTES_UNDER_PRESSURE)
    }

    fn reading_bytes(&self) -> usize {
        self.total.reading_bytes + self.total.ahead_bytes
    }

    /// True if a read would have to take less than it may want.
    pub(super) fn is_read_short(&self) -> bool {
        self.reading_bytes() > self.budget.read_bytes / 2
    }

    /// How much a fetch may read now.
    pub(super) fn read_room(&self) -> ReadRoom {
        let room = self.budget.read_bytes.saturating_sub(self.reading_bytes());
        if room < READ_ROOM_BYTES_MIN && self.total.reading_bytes > 0 {
            return ReadRoom::Wait;
        }
        ReadRoom::Bytes(room)
    }

    /// True if reading ahead leaves enough room for reads that somebody waits for.
    pub(super) fn may_read_ahead(&self) -> bool {
        self.waiting_reads.is_empty() && self.reading_bytes() < self.budget.read_bytes / 2
    }

    /// A fetch waits for room.
    pub(super) fn wait_to_read(&mut self, part: u64) {
        self.waiting_reads.push_back(part);
    }

    fn has_next_read(&self) -> bool {
        !self.waiting_reads.is_empty() && self.read_room() != ReadRoom::Wait
    }

    /// The fetch that may read next, if there is room.
    fn next_to_read(&mut self) -> Option<u64> {
        if !self.has_next_read() {
            return None;
        }
        self.waiting_reads.pop_front()
    }
}

impl Shard {
    /// Notes what a log holds; if all hold too much, the coldest give up.
    pub(super) fn settle_memory(&mut self, slot: u32, memory: LogMemory, disk: &mut DiskQueue) {
        self.memory.handle_log(slot, memory);
        while let Some((slot, bytes)) = self.memory.next_to_shed() {
            let Some(memory) = self.partitions.handle_shed(slot, bytes, disk) else {
                unreachable!("a partition that is gone holds nothing");
            };
            self.memory.handle_log(slot, memory);
        }
    }

    /// Has aligned buffers that wait for their next use freed once nobody uses any.
    pub(super) fn watch_buffers(&mut self, now: Now, effects: &mut Effects) {
        if !self.memory.watches_buffers && effects.disk.buffers().holds_any() {
            self.memory.watches_buffers = true;
            let at = now.after_ms(BUFFERS_IDLE_MS);
            self.timers.insert(at, Timer::Buffers);
        }
    }

    /// Aligned buffers have waited since the last look, or somebody used some.
    pub(super) fn handle_idle_buffers(&mut self, now: Now, effects: &mut Effects) {
        self.memory.watches_buffers = false;
        let buffers = effects.disk.buffers();
        if !buffers.take_used() {
            buffers.clear();
        }
        self.watch_buffers(now, effects);
    }

    /// Drops what was read ahead: somebody waits for the room.
    pub(super) fn drop_read_ahead(&mut self, disk: &mut DiskQueue) {
        while let Some(slot) = self.memory.ahead.pop_first() {
            self.on_slot(slot, disk, |partition, _, _| {
                partition.handle_read_ahead_shed()
            });
        }
    }

    /// Most record bytes that an answer may have now.
    pub(super) fn answer_bytes_max(&self) -> usize {
        self.memory
            .answer_bytes_max(self.connections.outbound_bytes())
    }

    /// Holds the connections back, or not.
    pub(super) fn settle_pressure(&mut self) {
        let is_full = self.memory.is_append_full(self.connections.frame_bytes());
        self.connections.handle_hold(is_full);
    }

    /// Lets those go on who waited for memory, until the turn has emitted enough.
    pub(super) fn finish_turn(&mut self, effects: &mut Effects) {
        while !effects.is_full()
            && let Some(part) = self.memory.next_to_read()
        {
            self.resume_read(part, effects);
        }
        self.settle_pressure();
        while !effects.is_full() && self.connections.has_next_grant() {
            self.connections.handle_next_grant(&mut effects.network);
        }
    }

    /// True if somebody could go on who waited for memory.
    pub(super) fn has_turn_waiting(&self) -> bool {
        self.connections.has_next_grant() || self.memory.has_next_read()
    }
}

#[cfg(test)]
#[path = "memory/tests.rs"]
mod tests;
