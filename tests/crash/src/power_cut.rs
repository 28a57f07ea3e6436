// SPDX-License-Identifier: Apache-2.0
//! Power cuts: one logged load, many cuts out of its log, and for each a broker on what the cut
//! left. Then the clients do what clients do after a crash: they send again what they do not know
//! the outcome of, and something new. Some recoveries are cut themselves.

use crate::after::{resend, write_new};
use crate::broker::Broker;
use crate::check::Knowledge;
use crate::device::files;
use crate::device::image::Image;
use crate::device::logged::{Cut, Fate, LoggedDisk};
use crate::device::volume::{FileSystem, Volume};
use crate::history::{History, Moments};
use crate::load::Load;
use crate::plan::REBORN;
use crate::prng::Prng;
use crate::read::read_all;
use crate::report::{Report, count};
use crate::tails::torn_tails;
use crate::topics::create_topics;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Cuts taken out of one load.
const CUTS_PER_LOAD: u64 = 25;
/// How long a load runs.
const LOAD: Duration = Duration::from_secs(5);
/// Bytes of log at which a load ends early; they are kept in memory.
const LOG_BYTES_MAX: u64 = 768 * 1024 * 1024;
/// Size of the disk. What is not written takes no memory.
const DISK_BYTES: usize = 2048 * 1024 * 1024;
/// The longest pause of a producer between two requests.
const PACE: Duration = Duration::from_millis(25);
/// How often every block of the data directory is shared with a copy, where the file system can:
/// a write over such a block goes elsewhere and changes the file's metadata.
const SHARE_EVERY: Duration = Duration::from_millis(100);
/// A disk tears a write between sectors; some file systems take 4 KiB for atomic in their own
/// blocks and refuse to mount what was torn there. Then the cut is made again in such pieces.
const TEARS: [usize; 2] = [512, 4096];

/// What to do.
pub struct Order {
    /// How many cuts.
    pub cuts: u64,
    /// On what.
    pub kind: FileSystem,
    /// Whether XFS may share extents.
    pub reflink: bool,
    /// What everything that is drawn follows from.
    pub seed: u64,
    /// The broker.
    pub broker: PathBuf,
    /// A directory that is ours.
    pub scratch: PathBuf,
}

/// How a broker fared on what a cut left.
enum Outcome {
    /// Nothing was wrong.
    Well,
    /// Something was.
    Violations(Vec<String>),
    /// The file system itself did not survive the cut.
    FileSystem(String),
}

/// The disks and where they are to be found.
struct Stage<'a> {
    order: &'a Order,
    live: Arc<LoggedDisk>,
    crashed: Arc<LoggedDisk>,
    report: &'a mut Report,
}

/// Makes all the cuts.
pub fn run(order: &Order, report: &mut Report) -> Result<(), String> {
    let disks = [0; 2].map(|_| Arc::new(LoggedDisk::new(DISK_BYTES)));
    let [live, crashed] = disks;
    let files = order.scratch.join("disks");
    std::fs::create_dir_all(&files)
        .map_err(|error| format!("cannot make {}: {error}", files.display()))?;
    let shown = vec![
        ("live", Arc::clone(&live)),
        ("crashed", Arc::clone(&crashed)),
    ];
    let session = files::show(shown, &files)?;
    let mut stage = Stage {
        order,
        live,
        crashed,
        report,
    };
    let loads = order.cuts.div_ceil(CUTS_PER_LOAD);
    for load in 0..loads {
        let cuts = CUTS_PER_LOAD.min(order.cuts - load * CUTS_PER_LOAD);
        stage.load_and_cut(order.seed + load, cuts)?;
    }
    let report = stage.report;
    report.demand(
        "no record was acknowledged",
        report.acknowledged_records > 0,
    );
    report.demand("no cut took a write away", report.writes[2] > 0);
    session
        .umount_and_join()
        .map_err(|error| format!("cannot unmount {}: {error}", files.display()))
}

impl Stage<'_> {
    /// One load and the cuts out of its log.
    fn load_and_cut(&mut self, seed: u64, cuts: u64) -> Result<(), String> {
        let history = Arc::new(History::new(seed, Moments::Of(Arc::clone(&self.live))));
        let first = self.run_load(&history)?;
        let acknowledged = history.acknowledged_records();
        self.report.acknowledged_records += acknowledged;
        self.report.topic_lives += count(history.lives(REBORN).len());
        let (last, flushes) = (self.live.position(), self.live.flushes());
        let log_mb = self.live.log_bytes() / 1_000_000;
        println!(
            "load {seed}: {acknowledged} records acknowledged; {} writes ({log_mb} MB), {} flushes",
            last - flushes.len(),
            flushes.len()
        );
        let violations = history.take_violations();
        self.report
            .add_violations(&format!("load {seed}"), violations);
        let mut prng = Prng::new(seed, 0xc07);
        let late: Vec<usize> = flushes
            .into_iter()
            .filter(|flush| *flush >= first)
            .collect();
        let exposed = self.live.exposed(first);
        for number in 0..cuts {
            let at = match prng.below(10) {
                // Just before the flush, or just after.
                0..4 if !late.is_empty() => late[prng.index(late.len())] + prng.index(2),
                4..7 => exposed[prng.index(exposed.len())],
                _ => first + prng.index(last - first + 1),
            };
            let again = u32::from(prng.percent(25)) + u32::from(prng.percent(10));
            let name = format!("load {seed}, cut {number} at {at} of {last}");
            let live = Arc::clone(&self.live);
            self.cut(&live, &history, at, &name, again, &mut prng)?;
        }
        Ok(())
    }

    /// Runs a broker under load, up to its clean stop; gives the position where the load began.
    fn run_load(&mut self, history: &Arc<History>) -> Result<usize, String> {
        let file = self.order.scratch.join("disks/live");
        let directory = self.order.scratch.join("live");
        self.live.load(&Image::zeroed(DISK_BYTES));
        let (kind, reflink) = (self.order.kind, self.order.reflink);
        let volume = Volume::create(&file, &directory, kind, reflink)?;
        self.live.begin_log();
        let data = volume.directory().join("data");
        let mut broker = Broker::start(&self.order.broker, &data)?;
        create_topics(&broker.address)?;
        let first = self.live.position();
        let load = Load::start(history, PACE);
        load.resume(&broker.address);
        let begun = Instant::now();
        let mut shared_at = Instant::now();
        while begun.elapsed() < LOAD && self.live.log_bytes() < LOG_BYTES_MAX {
            std::thread::sleep(Duration::from_millis(20));
            broker.check_alive()?;
            if reflink && shared_at.elapsed() >= SHARE_EVERY {
                volume.share_blocks_of(&data)?;
                shared_at = Instant::now();
            }
        }
        load.hold();
        load.wait_parked()?;
        drop(load);
        broker.stop()?;
        Ok(first)
    }

    /// One cut out of the log of a disk, and all that is done to what it leaves.
    fn cut(
        &mut self,
        disk: &LoggedDisk,
        history: &History,
        at: usize,
        name: &str,
        again: u32,
        prng: &mut Prng,
    ) -> Result<(), String> {
        // Taken before anything else: the disk may be the one that is about to get new contents.
        let past = disk.past(at);
        let fate = Fate::draw(prng);
        let name = format!("{name} ({fate:?})");
        let mut last_try = None;
        for tear_bytes in TEARS {
            let branch = history.branch(at, Moments::Of(Arc::clone(&self.crashed)));
            let cut = past.cut(fate, tear_bytes, prng);
            let outcome = self.try_cut(&cut, &branch)?;
            let is_sound = !matches!(outcome, Outcome::FileSystem(_));
            last_try = Some((cut, branch, outcome));
            if is_sound {
                break;
            }
            self.report.refused_by_file_system += 1;
        }
        let (cut, branch, outcome) = last_try.expect("it was tried");
        self.report.crashes += 1;
        let writes = [cut.kept, cut.torn, cut.dropped];
        for (sum, new) in self.report.writes.iter_mut().zip(writes) {
            *sum += count(new);
        }
        let violations = match outcome {
            Outcome::Well => Vec::new(),
            Outcome::Violations(violations) => violations,
            Outcome::FileSystem(sentence) => vec![sentence],
        };
        let was_well = violations.is_empty();
        self.report.add_violations(&name, violations);
        if again > 0 && was_well {
            self.report.crashes_again += 1;
            let crashed = Arc::clone(&self.crashed);
            let last = crashed.position();
            let at = prng.index(last + 1);
            let name = format!("{name}, again at {at} of {last}");
            self.cut(&crashed, &branch, at, &name, again - 1, prng)?;
        }
        Ok(())
    }

    /// Puts a broker on what a cut left.
    fn try_cut(&mut self, cut: &Cut, branch: &History) -> Result<Outcome, String> {
        let file = self.order.scratch.join("disks/crashed");
        let directory = self.order.scratch.join("crashed");
        self.crashed.load(&cut.image);
        let volume = match Volume::mount(&file, &directory, self.order.kind) {
            Ok(volume) => volume,
            Err(sentence) => return Ok(Outcome::FileSystem(sentence)),
        };
        let data = volume.directory().join("data");
        let torn = torn_tails(&data);
        let violations = match self.recover(&data, branch) {
            Ok(violations) => violations,
            Err(sentence) => vec![sentence],
        };
        drop(volume);
        if violations.is_empty() {
            self.report.torn_tails += torn;
            return Ok(Outcome::Well);
        }
        // Whatever the broker met, it did not damage the file system: that was the tear.
        Ok(match self.order.kind.verify(&file) {
            Ok(()) => Outcome::Violations(violations),
            Err(sentence) => Outcome::FileSystem(format!("{sentence}; {}", violations.join("; "))),
        })
    }

    /// Starts a broker on what a crash left, checks, goes on as clients would, checks again.
    fn recover(&mut self, data: &Path, history: &History) -> Result<Vec<String>, String> {
        let knowledge = Knowledge::of(history, 0);
        self.report.promised_batches += count(knowledge.promised());
        let mut broker = Broker::start(&self.order.broker, data)?;
        self.report.start_max = self.report.start_max.max(broker.start_took);
        let all = BTreeMap::new();
        let said = |broker: &mut Broker, error| format!("{error} (the broker: {})", broker.said());
        let reads =
            read_all(&broker.address, history, &all).map_err(|error| said(&mut broker, error))?;
        self.report.add_reads(&reads);
        let mut violations = knowledge.check(history, &reads);
        for (place, read) in &reads {
            for batch in &read.batches {
                history.observe(*place, *batch);
            }
        }
        if violations.is_empty() {
            resend(&broker.address, history)
                .and_then(|()| write_new(&broker.address, history, &reads))
                .map_err(|error| said(&mut broker, error))?;
            violations.extend(history.take_violations());
            let knowledge = Knowledge::of(history, history.now());
            let reads = read_all(&broker.address, history, &all)
                .map_err(|error| said(&mut broker, error))?;
            self.report.add_reads(&reads);
            violations.extend(knowledge.check(history, &reads));
        }
        broker.check_alive()?;
        broker.kill();
        Ok(violations)
    }
}
