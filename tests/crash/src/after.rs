// SPDX-License-Identifier: Apache-2.0
//! What clients do once the broker is back: idempotent producers send again what they do not know
//! the outcome of (and some of what they know, as a client does that lost the answer), and
//! everybody writes something new.

use crate::client::{Connection, PRODUCE, code};
use crate::history::{History, NEVER, Outcome, SentBatch};
use crate::plan::{self, Place, REBORN, places};
use crate::producer::{outcomes, produce_request};
use crate::read::PartitionRead;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Batches of a producer that a broker remembers (Kafka's number).
const REMEMBERED: usize = 5;
/// How long a partition may refuse for a reason that passes.
const PATIENCE: Duration = Duration::from_secs(20);
/// The producer that writes what is new.
const NEWCOMER: usize = 100;

fn send(
    connection: &mut Connection,
    history: &History,
    batch: &SentBatch,
) -> Result<(i16, i64), String> {
    let begun = Instant::now();
    loop {
        let bytes = plan::encode(history.seed, &batch.plan);
        let request = produce_request(-1, vec![(batch.place, bytes)]);
        let response = connection.call(PRODUCE, &request)?;
        let outcomes = outcomes(&response);
        let (error, offset) = *outcomes.first().ok_or("an answer names no partition")?;
        let passes = code::PASSING.contains(&error) || error == code::UNKNOWN_TOPIC_OR_PARTITION;
        if !passes || begun.elapsed() > PATIENCE {
            return Ok((error, offset));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Sends the newest batches of every idempotent producer again, in order.
pub fn resend(address: &str, history: &History) -> Result<(), String> {
    let mut connection = Connection::open(address)?;
    let mut of_producer: BTreeMap<(usize, Place), Vec<SentBatch>> = BTreeMap::new();
    for batch in history.batches() {
        let is_mine = batch.plan.stamp.is_some() && batch.sent != NEVER;
        if is_mine && batch.place.topic != REBORN && batch.outcome != Outcome::Refused {
            let batches = of_producer
                .entry((batch.producer, batch.place))
                .or_default();
            batches.push(batch);
        }
    }
    for ((_, place), batches) in of_producer {
        let first = batches.len().saturating_sub(REMEMBERED);
        for batch in &batches[first..] {
            let (error, offset) = send(&mut connection, history, batch)?;
            let number = batch.plan.number;
            match (error, batch.outcome) {
                (code::NONE, Outcome::At(known, _)) if known != offset => {
                    history.violation(format!(
                        "{place}: batch {number}, sent again, is said to be at offset {offset}; \
                         it was acknowledged at {known}"
                    ));
                }
                (code::NONE, Outcome::Unknown) => {
                    history.resolve(number, Outcome::At(offset, history.now()));
                }
                (code::DUPLICATE_SEQUENCE, Outcome::Unknown) => {
                    history.resolve(number, Outcome::Stored(history.now()));
                }
                (code::NONE | code::DUPLICATE_SEQUENCE, _) => {}
                (error, outcome) => history.violation(format!(
                    "{place}: batch {number} ({outcome:?}), sent again, was refused with error \
                     {error}"
                )),
            }
        }
    }
    Ok(())
}

/// Writes one new batch to every partition that stays.
pub fn write_new(
    address: &str,
    history: &History,
    reads: &BTreeMap<Place, PartitionRead>,
) -> Result<(), String> {
    let mut connection = Connection::open(address)?;
    for place in places().into_iter().filter(|place| place.topic != REBORN) {
        let (number, _) = history.send(NEWCOMER, place, 0, |_| None);
        let batch = history.batch(number).expect("it was just sent");
        let (error, offset) = send(&mut connection, history, &batch)?;
        let end = reads[&place].end;
        if error != code::NONE || offset < end {
            history.violation(format!(
                "{place}: a new batch after the crash got error {error}, offset {offset}; the log \
                 ended at {end}"
            ));
        }
        if error == code::NONE {
            history.resolve(number, Outcome::At(offset, history.now()));
        }
    }
    Ok(())
}
