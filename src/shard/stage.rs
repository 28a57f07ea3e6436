// SPDX-License-Identifier: Apache-2.0
//! The stages of a request, and how long they took.
//!
//! Owns: the vocabulary. Invariants: a stage is measured where it ends, from the times that events
//! came with: the machines read no clock.
//! Runs on: every core (values). Bounded by: its size.

/// A stage of the way of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// From the arrival of the whole frame to its handling.
    Queue,
    /// From one core to another.
    Hop,
    /// From the append to the start of its round: it waits for the round before.
    Gather,
    /// From the start of a round to the end of its writes.
    Write,
    /// From the end of its writes to the end of its flush.
    Flush,
    /// From the end of the work of a produce request to its answer, which waits for those before
    /// it.
    Answer,
    /// A produce request from its handling to its answer.
    Produce,
    /// A fetch request from its handling to its answer, waiting for records included.
    Fetch,
    /// A read from disk.
    Read,
}

impl Stage {
    /// All of them, in order.
    pub const ALL: [Stage; 9] = [
        Stage::Queue,
        Stage::Hop,
        Stage::Gather,
        Stage::Write,
        Stage::Flush,
        Stage::Answer,
        Stage::Produce,
        Stage::Fetch,
        Stage::Read,
    ];

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
