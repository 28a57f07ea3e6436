// SPDX-License-Identifier: Apache-2.0
//! Coordinators read their partitions.
//!
//! Owns: the reads of coordinators. Invariants: a coordinator answers once it has read to the high
//! watermark; one that cannot read on answers nothing, and a person is told. Runs on: its shard.
//! Bounded by: `GROUP_LOADS_MAX` reads of `GROUP_LOAD_READ_BYTES`.

use bytes::Bytes;

use super::{Coordinates, sub};
use crate::limits::{GROUP_LOAD_READ_BYTES, GROUP_LOADS_MAX};
use crate::model::ids::Offset;
use crate::model::time::Now;
use crate::partition::{FetchAt, FetchError, FetchStart, Fetched, Isolation};
use crate::shard::contract::{Effects, ProcessEffect};
use crate::shard::machine::Shard;
use crate::shard::parts::SubId;
use crate::wire::record::{BatchHeader, split_batches};

impl Shard {
    /// Lets coordinators read, a bounded number at a time.
    pub(super) fn read_seats<K: Coordinates>(&mut self, now: Now, effects: &mut Effects) {
        loop {
            let seats = K::seats(self).seats.iter();
            let reading = seats
                .clone()
                .filter(|(_, seat)| seat.read.is_some())
                .count();
            let mut waiting = seats.filter(|(_, seat)| {
                seat.coordinator.is_loading() && seat.read.is_none() && !seat.is_stuck
            });
            let Some((partition, _)) = waiting.next() else {
                return;
            };
            if reading >= GROUP_LOADS_MAX {
                return;
            }
            let partition = *partition;
            self.start_seat_read::<K>(now, partition, effects);
        }
    }

    fn start_seat_read<K: Coordinates>(&mut self, now: Now, partition: i32, effects: &mut Effects) {
        let number = self.parts.next_number();
        let Some(seat) = K::seats_mut(self).seats.get_mut(&partition) else {
            return;
        };
        seat.read = Some(number);
        let (at, from) = (seat.at, fetch_at(seat.next));
        let read = sub::<K>(number).pack();
        let started = self.on_partition(at, &mut effects.disk, |log, disk, _| {
            log.handle_fetch(read, from, GROUP_LOAD_READ_BYTES, true, disk)
        });
        match started.unwrap_or(Err(FetchError::NotLeader)) {
            Ok(FetchStart::Started) => {}
            Ok(FetchStart::Done(fetched)) => {
                self.take_seat_batches::<K>(now, partition, Ok(fetched), effects);
            }
            Err(error) => self.take_seat_batches::<K>(now, partition, Err(error), effects),
        }
    }

    /// Takes what was read, if a coordinator asked for it; else gives it back.
    pub(in crate::shard) fn take_seat_read<K: Coordinates>(
        &mut self,
        now: Now,
        sub: SubId,
        result: Result<Fetched, FetchError>,
        effects: &mut Effects,
    ) -> Option<Result<Fetched, FetchError>> {
        if sub.place != K::PLACE {
            return Some(result);
        }
        let mut seats = K::seats(self).seats.iter();
        let reader = seats.find(|(_, seat)| seat.read == Some(sub.part));
        let Some((partition, _)) = reader else {
            return Some(result);
        };
        let partition = *partition;
        self.take_seat_batches::<K>(now, partition, result, effects);
        self.read_seats::<K>(now, effects);
        None
    }

    fn take_seat_batches<K: Coordinates>(
        &mut self,
        now: Now,
        partition: i32,
        result: Result<Fetched, FetchError>,
        effects: &mut Effects,
    ) {
        let Some((seat, out)) = K::seats_mut(self).with_out(partition) else {
            return;
        };
        seat.read = None;
        let fetched = match result {
            Ok(fetched) => fetched,
            // The leadership is about to end, and the coordinator with it.
            Err(FetchError::NotLeader) => {
                seat.is_stuck = true;
                return;
            }
            Err(error) => {
                seat.is_stuck = true;
                let sentence = format!(
                    "{}-{partition} cannot be read at offset {} ({error:?}): its {} are not \
                     served. Check the disk, and start the broker again.",
                    K::TOPIC,
                    seat.next,
                    K::KEPT
                );
                let sentence = sentence.into();
                effects.process.push(ProcessEffect::Notice { sentence });
                return;
            }
        };
        if let Some(next) = offset_behind(&fetched.records) {
            seat.coordinator.handle_loaded(&fetched.records);
            seat.next = next;
        }
        if seat.next < fetched.high_watermark && !fetched.records.is_empty() {
            return;
        }
        let unreadable = seat.coordinator.handle_load_done(now, out);
        if unreadable > 0 {
            let sentence = format!(
                "{}-{partition}: {unreadable} records could not be read and were passed over.",
                K::TOPIC
            );
            let sentence = sentence.into();
            effects.process.push(ProcessEffect::Notice { sentence });
        }
        self.settle_seat::<K>(now, partition, effects);
    }
}

fn fetch_at(offset: Offset) -> FetchAt {
    FetchAt {
        offset,
        current_leader_epoch: -1,
        last_fetched_epoch: -1,
        isolation: Isolation::ReadUncommitted,
    }
}

/// The offset behind the last of these batches.
fn offset_behind(batches: &Bytes) -> Option<Offset> {
    let last = split_batches(batches).filter_map(Result::ok).last()?;
    let header = BatchHeader::parse(&last).ok()?;
    Some(header.base_offset + i64::from(header.last_offset_delta) + 1)
}
