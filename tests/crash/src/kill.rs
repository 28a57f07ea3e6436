// SPDX-License-Identifier: Apache-2.0
//! Kills: one data directory, one history, a load that goes on over all of them. Some brokers are
//! killed before they have finished to start; now and then one lives long enough for retention to
//! have worked whatever its interval.

use crate::broker::Broker;
use crate::check::Knowledge;
use crate::history::{History, Moments};
use crate::load::Load;
use crate::plan::{Place, REBORN, places};
use crate::prng::Prng;
use crate::read::read_all;
use crate::report::{Report, count};
use crate::tails::torn_tails;
use crate::topics::create_topics;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The longest pause of a producer between two requests.
const PACE: Duration = Duration::from_millis(40);
/// Every so many kills a broker lives for [`LONG_LIFE`], which is longer than the pause between two
/// looks of retention.
const LONG_LIFE_EVERY: u64 = 20;
const LONG_LIFE: Duration = Duration::from_secs(32);
/// The longest life of the others, in milliseconds.
const SHORT_LIFE_MS: u64 = 2_500;
/// Every so many kills all of the log is read, and not only its end.
const READ_ALL_EVERY: u64 = 10;
/// Offsets before the end of what was read that are read again.
const READ_AGAIN: i64 = 2_000;

/// What to do.
pub struct Order {
    /// How many kills.
    pub count: u64,
    /// What everything that is drawn follows from.
    pub seed: u64,
    /// The broker.
    pub broker: PathBuf,
    /// A directory that is ours.
    pub scratch: PathBuf,
}

/// Makes all the kills.
pub fn run(order: &Order, report: &mut Report) -> Result<(), String> {
    let data = order.scratch.join("data");
    let history = Arc::new(History::new(order.seed, Moments::Alike));
    let mut prng = Prng::new(order.seed, 0x911);
    let mut broker = Broker::start(&order.broker, &data)?;
    create_topics(&broker.address)?;
    let load = Load::start(&history, PACE);
    let mut read_up_to: BTreeMap<Place, i64> = BTreeMap::new();
    for number in 1..=order.count {
        load.resume(&broker.address);
        let life = match number % LONG_LIFE_EVERY {
            0 => LONG_LIFE,
            _ => Duration::from_millis(prng.mostly_small(20, SHORT_LIFE_MS)),
        };
        std::thread::sleep(life);
        broker.check_alive()?;
        broker.kill();
        load.hold();
        load.wait_parked()?;
        report.crashes += 1;
        let name = format!("kill {number}");
        report.torn_tails += torn_tails(&data);
        while prng.percent(25) {
            let after = Duration::from_millis(prng.mostly_small(1, 400));
            Broker::start_and_kill(&order.broker, &data, after)?;
            report.crashes_again += 1;
        }
        broker = Broker::start(&order.broker, &data)
            .map_err(|error| format!("{name}: the broker does not come back: {error}"))?;
        report.start_max = report.start_max.max(broker.start_took);
        let everything = number % READ_ALL_EVERY == 0 || number == order.count;
        let from = if everything {
            BTreeMap::new()
        } else {
            read_up_to.clone()
        };
        let violations = check(&broker.address, &history, &from, &mut read_up_to, report)?;
        report.add_violations(&name, violations);
        if report.violations.len() > 20 {
            println!("that is enough");
            break;
        }
    }
    report.acknowledged_records = history.acknowledged_records();
    report.topic_lives = count(history.lives(REBORN).len());
    drop(load);
    report.demand(
        "no record was acknowledged",
        report.acknowledged_records > 0,
    );
    if order.count >= LONG_LIFE_EVERY {
        report.demand(
            "no topic was deleted and created again",
            report.topic_lives > 1,
        );
        report.demand("retention removed nothing", report.log_start_max > 0);
    }
    broker.stop()
}

fn check(
    address: &str,
    history: &History,
    from: &BTreeMap<Place, i64>,
    read_up_to: &mut BTreeMap<Place, i64>,
    report: &mut Report,
) -> Result<Vec<String>, String> {
    let knowledge = Knowledge::of(history, 0);
    let reads = read_all(address, history, from)?;
    report.promised_batches += count(knowledge.promised());
    report.add_reads(&reads);
    let mut violations = history.take_violations();
    violations.extend(knowledge.check(history, &reads));
    for (place, read) in &reads {
        if place.topic == REBORN {
            continue;
        }
        let known = read_up_to.get(place).copied().unwrap_or(0);
        for batch in read.batches.iter().filter(|batch| batch.offset >= known) {
            history.observe(*place, *batch);
        }
        // The start of a batch, so that what is read again begins with a whole one.
        let again = read.end - READ_AGAIN;
        let start = read
            .batches
            .iter()
            .rev()
            .find(|batch| batch.offset <= again);
        if let Some(batch) = start {
            read_up_to.insert(*place, batch.offset);
        }
    }
    debug_assert_eq!(reads.len(), places().len());
    Ok(violations)
}

/// Removes what a run leaves.
pub fn clean(scratch: &Path) {
    if let Err(error) = std::fs::remove_dir_all(scratch) {
        eprintln!(
            "furlong-crash: cannot remove {}: {error}",
            scratch.display()
        );
    }
}
