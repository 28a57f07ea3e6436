// SPDX-License-Identifier: Apache-2.0
//! I6: the high watermark and the log start never move back, whoever looks; nobody reads at or
//! above the high watermark; what was acknowledged before a question was asked is below the answer.

use std::collections::BTreeMap;

use super::Evidence;
use crate::history::{Entry, Place};

/// A value that may only rise, with the moments at which it was known to have risen.
#[derive(Default)]
struct Rising {
    steps: Vec<(usize, i64)>,
}

impl Rising {
    fn at(&self, moment: usize) -> i64 {
        let step = self.steps.partition_point(|(when, _)| *when < moment);
        step.checked_sub(1).map_or(-1, |step| self.steps[step].1)
    }

    fn raise(&mut self, moment: usize, value: i64) {
        if self.steps.last().is_none_or(|(_, known)| *known < value) {
            self.steps.push((moment, value));
        }
    }
}

#[derive(Default)]
struct Known {
    high_watermark: BTreeMap<Place, Rising>,
    log_start: BTreeMap<Place, Rising>,
}

/// Adds what is wrong.
pub fn check(evidence: &Evidence<'_>, wrong: &mut Vec<String>) {
    let history = evidence.history;
    let mut known = Known::default();
    for (moment, entry) in history.entries.iter().enumerate() {
        match entry {
            Entry::Acked {
                batch, base_offset, ..
            } => {
                let fact = &history.batches[*batch];
                let len = i64::try_from(fact.records.len()).expect("a batch is small");
                let end = known.high_watermark.entry(fact.place).or_default();
                end.raise(moment, base_offset + len);
            }
            Entry::Fetched(fetch) => {
                let end = fetch.batches.last().map(|batch| batch.end_offset());
                if end.is_some_and(|end| end > fetch.high_watermark) {
                    wrong.push(format!(
                        "I6: {} a fetch read up to {} and the high watermark was {}",
                        history.name(fetch.place),
                        end.expect("checked"),
                        fetch.high_watermark
                    ));
                }
                let answer = Answer {
                    place: fetch.place,
                    called: fetch.called,
                    moment,
                };
                answer.check(evidence, &mut known, false, fetch.high_watermark, wrong);
                answer.check(evidence, &mut known, true, fetch.log_start_offset, wrong);
            }
            Entry::Bound {
                place,
                called,
                start,
                offset,
                ..
            } => {
                let answer = Answer {
                    place: *place,
                    called: *called,
                    moment,
                };
                answer.check(evidence, &mut known, *start, *offset, wrong);
            }
            _ => {}
        }
    }
}

struct Answer {
    place: Place,
    called: usize,
    moment: usize,
}

impl Answer {
    fn check(
        &self,
        evidence: &Evidence<'_>,
        known: &mut Known,
        start: bool,
        value: i64,
        wrong: &mut Vec<String>,
    ) {
        if value < 0 || evidence.deleted.contains(&self.place.topic) {
            return;
        }
        let (rising, what) = if start {
            (&mut known.log_start, "log start")
        } else {
            (&mut known.high_watermark, "high watermark")
        };
        let rising = rising.entry(self.place).or_default();
        let before = rising.at(self.called);
        if value < before {
            wrong.push(format!(
                "I6: {} {what} was {before} and later {value}",
                evidence.history.name(self.place)
            ));
        }
        rising.raise(self.moment, value);
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use crate::history::Entry;

    #[test]
    fn a_read_above_the_high_watermark_is_seen() {
        let mut history = sample::history();
        sample::last_read(&mut history).high_watermark = 5;
        sample::expect(&history, "I6: sample-0 a fetch read up to 6");
    }

    #[test]
    fn a_high_watermark_below_an_acknowledgement_is_seen() {
        let mut history = sample::history();
        let mut late = sample::fetch(4, 4, Vec::new());
        late.called = history.entries.len();
        late.last_read = false;
        history.push(Entry::Fetched(late));
        sample::expect(&history, "I6: sample-0 high watermark was 6 and later 4");
    }

    #[test]
    fn an_answer_to_an_old_question_may_be_old() {
        let mut history = sample::history();
        let mut late = sample::fetch(4, 4, Vec::new());
        late.called = 5;
        late.last_read = false;
        history.push(Entry::Fetched(late));
        assert_eq!(super::super::check(&history), Vec::<String>::new());
    }
}
