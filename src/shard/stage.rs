// SPDX-License-Identifier: Apache-2.0
//! The stages of a request, and how long they took.
//!
//! Owns: the vocabulary. Invariants: a stage is measured where it ends, from the times that events
//! came with: the machines read no clock. The stages of one request do not overlap, so together
//! they are never more than the whole.
//! Runs on: every core (values). Bounded by: its size.

use crate::log::RoundTimes;
use crate::model::ids::TopicPartition;
use crate::model::time::MonotonicUs;

/// A stage of the way of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// From the arrival of the whole frame to its handling: behind others of this turn, or because
    /// a bound held its connection back.
    Queue,
    /// A message from one core to another. A request takes two: there and back.
    Hop,
    /// From the coming of an append to its partition to the start of its round: it waits for the
    /// round before. Of appends whose end somebody waits for.
    Gather,
    /// From the start of a round to the end of its writes.
    Write,
    /// From the end of its writes to the moment from which it is durable.
    Flush,
    /// From the end of the work of a request to its answer, which waits for those before it.
    Answer,
    /// A produce request from its handling to its answer.
    Produce,
    /// A fetch request from its handling to its answer, waiting for records included.
    Fetch,
    /// A read of a partition that needed the disk, the opening of a cold segment included.
    Read,
    /// The part of a fetch that waited for records.
    Wait,
    /// A fetch that had to wait for memory to read into.
    Room,
}

impl Stage {
    /// All of them, in order.
    pub const ALL: [Stage; 11] = [
        Stage::Queue,
        Stage::Hop,
        Stage::Gather,
        Stage::Write,
        Stage::Flush,
        Stage::Answer,
        Stage::Produce,
        Stage::Fetch,
        Stage::Read,
        Stage::Wait,
        Stage::Room,
    ];

    /// Its place in [`Stage::ALL`].
    #[must_use]
    pub const fn place(self) -> usize {
        match self {
            Stage::Queue => 0,
            Stage::Hop => 1,
            Stage::Gather => 2,
            Stage::Write => 3,
            Stage::Flush => 4,
            Stage::Answer => 5,
            Stage::Produce => 6,
            Stage::Fetch => 7,
            Stage::Read => 8,
            Stage::Wait => 9,
            Stage::Room => 10,
        }
    }

    /// Its name in figures and in the log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Queue => "queue",
            Stage::Hop => "hop",
            Stage::Gather => "gather",
            Stage::Write => "write",
            Stage::Flush => "flush",
            Stage::Answer => "answer",
            Stage::Produce => "produce",
            Stage::Fetch => "fetch",
            Stage::Read => "read",
            Stage::Wait => "wait",
            Stage::Room => "room",
        }
    }
}

/// A stage that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StageSample {
    /// Which.
    pub stage: Stage,
    /// How long it took, in microseconds.
    pub took_us: u64,
}

/// How long a request was in which stage, in microseconds. Where a request has parts on several
/// partitions, it is the way of the part that ended last: the others ended in its shadow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// From core to core, there and back.
    pub hop_us: u64,
    /// See [`Stage::Gather`].
    pub gather_us: u64,
    /// See [`Stage::Write`].
    pub write_us: u64,
    /// See [`Stage::Flush`].
    pub flush_us: u64,
    /// See [`Stage::Read`]; of several reads at a time, the time in which any was under way.
    pub read_us: u64,
    /// See [`Stage::Room`].
    pub room_us: u64,
    /// See [`Stage::Wait`]; of a member that joins or syncs, its wait for the other members.
    pub wait_us: u64,
}

impl Way {
    /// The way of an append that came at that moment and was made durable by that round. A
    /// repetition may come after the round that holds it has begun.
    #[must_use]
    pub fn of_append(came_us: MonotonicUs, round: &RoundTimes) -> Way {
        let started_us = round.started_us.max(came_us);
        let written_us = round.written_us.max(started_us);
        Way {
            gather_us: started_us - came_us,
            write_us: written_us - started_us,
            flush_us: round.ended_us.saturating_sub(written_us),
            ..Way::default()
        }
    }

    /// All of it.
    #[must_use]
    pub fn total_us(&self) -> u64 {
        let disk = self.gather_us + self.write_us + self.flush_us + self.read_us;
        self.hop_us + disk + self.room_us + self.wait_us
    }
}

/// What a request is about, in short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// The first of its partitions, if it named one that there is.
    pub first: Option<TopicPartition>,
    /// How many more there are.
    pub more: usize,
}

impl Subject {
    /// A further partition.
    pub fn add(&mut self, at: TopicPartition) {
        match self.first {
            None => self.first = Some(at),
            Some(_) => self.more += 1,
        }
    }
}

/// The moments of a request whose work has ended, and its stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestTimes {
    /// The place of its API in `APIS`.
    pub api: usize,
    /// When its frame was there.
    pub arrived_us: MonotonicUs,
    /// When it was handled.
    pub handled_us: MonotonicUs,
    /// When its work ended.
    pub ended_us: MonotonicUs,
    /// What the work waited for.
    pub way: Way,
    /// What it was about.
    pub subject: Subject,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_has_its_place_and_a_name_of_its_own() {
        for (place, stage) in Stage::ALL.into_iter().enumerate() {
            assert_eq!(stage.place(), place);
            let others = Stage::ALL.iter().filter(|other| **other != stage);
            assert!(others.clone().all(|other| other.name() != stage.name()));
            assert_eq!(others.count(), Stage::ALL.len() - 1);
        }
    }

    #[test]
    fn the_way_of_an_append_is_what_passed_since_it_came() {
        let round = RoundTimes {
            started_us: 100,
            written_us: 130,
            ended_us: 200,
            is_flushed: true,
        };
        let way = |came_us| {
            let way = Way::of_append(came_us, &round);
            (way.gather_us, way.write_us, way.flush_us)
        };
        assert_eq!(way(60), (40, 30, 70));
        assert_eq!(way(100), (0, 30, 70));
        // A batch that is sent again while its round is under way waits for the rest of it.
        assert_eq!(way(110), (0, 20, 70));
        assert_eq!(way(150), (0, 0, 50));
        for came_us in 60..=200 {
            assert_eq!(Way::of_append(came_us, &round).total_us(), 200 - came_us);
        }
    }
}
