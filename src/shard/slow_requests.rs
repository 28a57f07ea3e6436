// SPDX-License-Identifier: Apache-2.0
//! Requests whose answer has left: their stages go to the figures, and those that took long are
//! told to a person.
//!
//! Owns: [`SlowRequest`], `SlowRequests`. Invariants: the time for which a fetch waited for
//! records, or a member of a group for other members, does not count; what is not told is counted,
//! and that is told.
//! Runs on: the shard that accepted the connection. Bounded by: `SLOW_REQUESTS_TOLD_MAX` in each
//! `SLOW_REQUESTS_WINDOW_MS`.

use super::api::APIS;
use super::connection::Left;
use super::contract::{Effects, ProcessEffect};
use super::machine::Shard;
use super::stage::{RequestTimes, Stage, Subject};
use super::timers::Timer;
use crate::limits::{SLOW_REQUESTS_TOLD_MAX, SLOW_REQUESTS_WINDOW_MS};
use crate::model::ids::ConnectionId;
use crate::model::time::MonotonicUs;
use crate::wire::protocol::ApiKey;

/// The setting that says what is slow.
const SETTING: &str = "slow.request.ms";

/// A request that took long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlowRequest {
    /// What was asked.
    pub api: ApiKey,
    /// On which connection.
    pub connection: ConnectionId,
    /// What the client calls itself, shortened if it is long; nothing if it did not say or has
    /// gone.
    pub client: Option<Box<str>>,
    /// False if the client had gone before the answer could leave.
    pub is_answered: bool,
    /// Topic and partition, the first if there are several.
    pub partition: Option<Box<str>>,
    /// How many partitions more.
    pub more_partitions: usize,
    /// From the arrival of its frame to its answer, without waiting for records or for members.
    pub total_us: u64,
    /// Its stages, in the order in which a request goes through them.
    pub stages: Vec<(Stage, u64)>,
}

/// What was told, and what was not.
#[derive(Debug, Default)]
pub(super) struct SlowRequests {
    /// What takes longer is slow; nothing if none is.
    bound_us: Option<u64>,
    /// Up to when what is told is counted together.
    window_until_us: MonotonicUs,
    told: usize,
    untold: u64,
}

impl SlowRequest {
    /// How long it was in a stage, if it is told of it.
    #[must_use]
    pub fn took_us(&self, stage: Stage) -> Option<u64> {
        let mut stages = self.stages.iter();
        stages.find_map(|(known, took_us)| (*known == stage).then_some(*took_us))
    }
}

impl SlowRequests {
    /// True if one more may be told now; if not, it is counted. The moment at which that is to be
    /// told, if a timer has to be set for it.
    fn admit(&mut self, now_us: MonotonicUs) -> (bool, Option<MonotonicUs>) {
        if now_us >= self.window_until_us && self.untold == 0 {
            self.window_until_us = now_us.saturating_add(SLOW_REQUESTS_WINDOW_MS * 1000);
            self.told = 0;
        }
        if self.told < SLOW_REQUESTS_TOLD_MAX {
            self.told += 1;
            return (true, None);
        }
        self.untold += 1;
        (false, (self.untold == 1).then_some(self.window_until_us))
    }
}

impl Shard {
    /// Looks up what counts as slow.
    pub(super) fn settle_slow_bound(&mut self) {
        let value = self.broker_layers().value(SETTING);
        let ms: i64 = value.and_then(|text| text.parse().ok()).unwrap_or(-1);
        self.slow.bound_us = u64::try_from(ms).ok().map(|ms| ms.saturating_mul(1000));
    }

    /// Takes note of the requests that have ended and whose turn to leave has come.
    pub(super) fn note_left(&mut self, effects: &mut Effects) {
        let mut left = self.connections.take_left();
        for one in left.drain(..) {
            let times = one.times;
            if one.is_answered {
                note_stages(self.now_us, &times, effects);
            }
            let passed_us = self.now_us.saturating_sub(times.arrived_us);
            let total_us = passed_us.saturating_sub(times.way.wait_us);
            if self.slow.bound_us.is_some_and(|bound| total_us >= bound) {
                self.tell_slow(&one, total_us, effects);
            }
        }
        self.connections.keep_left(left);
    }

    fn tell_slow(&mut self, left: &Left, total_us: u64, effects: &mut Effects) {
        let (may_tell, untold_at) = self.slow.admit(self.now_us);
        if let Some(at) = untold_at {
            self.timers.insert(at, Timer::SlowRequests);
        }
        if !may_tell {
            return;
        }
        let times = &left.times;
        let client = self.connections.client_of(left.connection);
        let slow = SlowRequest {
            api: APIS[times.api].key,
            connection: left.connection,
            client: client.filter(|name| !name.is_empty()).map(Box::from),
            is_answered: left.is_answered,
            partition: self.name_of(times.subject),
            more_partitions: times.subject.more,
            total_us,
            stages: stages_of(self.now_us, times),
        };
        effects.process.push(ProcessEffect::Slow(Box::new(slow)));
    }

    fn name_of(&self, subject: Subject) -> Option<Box<str>> {
        let at = subject.first?;
        let name = self.image().topic_names.get(&at.topic_id);
        let name = match name {
            Some(name) => name.to_string(),
            None => format!("deleted topic {}", at.topic_id),
        };
        Some(format!("{name}-{}", at.partition).into())
    }

    /// The time is over for which what was told was counted together.
    pub(super) fn handle_slow_window(&mut self, effects: &mut Effects) {
        let count = std::mem::take(&mut self.slow.untold);
        if count > 0 {
            effects.process.push(ProcessEffect::SlowUntold { count });
        }
    }
}

/// The stages of one request, in order: those that every request of its kind goes through, and of
/// the others those that it was in. That in which it waited as it was asked to is none of them.
fn stages_of(now_us: MonotonicUs, times: &RequestTimes) -> Vec<(Stage, u64)> {
    let way = &times.way;
    let key = APIS[times.api].key;
    let is_produce = key == ApiKey::Produce;
    let all = [
        (true, Stage::Queue, times.handled_us - times.arrived_us),
        (false, Stage::Hop, way.hop_us),
        (false, Stage::Room, way.room_us),
        (key == ApiKey::Fetch, Stage::Read, way.read_us),
        (is_produce, Stage::Gather, way.gather_us),
        (is_produce, Stage::Write, way.write_us),
        (is_produce, Stage::Flush, way.flush_us),
        (true, Stage::Answer, now_us.saturating_sub(times.ended_us)),
    ];
    let there = all.into_iter();
    there
        .filter(|(always, _, took_us)| *always || *took_us > 0)
        .map(|(_, stage, took_us)| (stage, took_us))
        .collect()
}

/// The stages that end with an answer.
fn note_stages(now_us: MonotonicUs, times: &RequestTimes, effects: &mut Effects) {
    effects.note_stage(Stage::Answer, now_us.saturating_sub(times.ended_us));
    let took_us = now_us.saturating_sub(times.handled_us);
    match APIS[times.api].key {
        ApiKey::Produce => effects.note_stage(Stage::Produce, took_us),
        ApiKey::Fetch => {
            effects.note_stage(Stage::Fetch, took_us);
            if times.way.wait_us > 0 {
                effects.note_stage(Stage::Wait, times.way.wait_us);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_told_in_a_window_and_the_others_counted() {
        const WINDOW_US: u64 = SLOW_REQUESTS_WINDOW_MS * 1000;
        let mut slow = SlowRequests::default();
        let start = 5_000_000;
        for number in 0..SLOW_REQUESTS_TOLD_MAX {
            let after = u64::try_from(number).expect("few");
            assert_eq!(slow.admit(start + after), (true, None));
        }
        // The first that is not told sets the timer, and only it.
        assert_eq!(slow.admit(start + 100), (false, Some(start + WINDOW_US)));
        assert_eq!(slow.admit(start + 200), (false, None));
        // Until the number was told nothing is, or lines would stand before it.
        assert_eq!(slow.admit(start + WINDOW_US), (false, None));
        assert_eq!(std::mem::take(&mut slow.untold), 3);
        assert_eq!(slow.admit(start + WINDOW_US + 1), (true, None));
        assert_eq!(slow.told, 1);
    }
}
