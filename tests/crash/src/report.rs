// SPDX-License-Identifier: Apache-2.0
//! What a run found, as one JSON object.

use crate::device::volume::run;
use crate::read::PartitionRead;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// The package that is tested, seen from this one.
const TREE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Whether anything differs from the commit, earlier results aside.
const CHANGES: [&str; 5] = ["status", "--porcelain", "--", ".", ":!tests/crash/runs"];

/// Counts and violations of a run.
pub struct Report {
    begun: Instant,
    /// The command that repeats it.
    pub command: String,
    /// What was asked for.
    pub asked: Value,
    /// Cuts or kills, those in the middle of a recovery included.
    pub crashes: u64,
    /// How many of them hit a broker that had just recovered from the one before.
    pub crashes_again: u64,
    /// Records that the broker acknowledged.
    pub acknowledged_records: u64,
    /// Batches at a crash whose place had been promised, over all crashes.
    pub promised_batches: u64,
    /// Batches read and compared, over all crashes.
    pub batches_read: u64,
    /// Bytes read and compared.
    pub bytes_read: u64,
    /// The furthest start of any log, moved there by retention.
    pub log_start_max: i64,
    /// How often a topic was created that is deleted and created again.
    pub topic_lives: u64,
    /// Partitions whose newest segment ended in something that is no whole batch.
    pub torn_tails: u64,
    /// Writes after the last flush that were there, there in part, and not there.
    pub writes: [u64; 3],
    /// Crashed disks that the file system refused, before anything of ours ran.
    pub refused_by_file_system: u64,
    /// The longest start after a crash.
    pub start_max: Duration,
    /// All that was wrong.
    pub violations: Vec<String>,
}

impl Report {
    /// Nothing yet.
    pub fn new(command: String, asked: Value) -> Report {
        Report {
            begun: Instant::now(),
            command,
            asked,
            crashes: 0,
            crashes_again: 0,
            acknowledged_records: 0,
            promised_batches: 0,
            batches_read: 0,
            bytes_read: 0,
            log_start_max: 0,
            topic_lives: 0,
            torn_tails: 0,
            writes: [0; 3],
            refused_by_file_system: 0,
            start_max: Duration::ZERO,
            violations: Vec::new(),
        }
    }

    /// Counts what was read.
    pub fn add_reads(&mut self, reads: &BTreeMap<crate::plan::Place, PartitionRead>) {
        for read in reads.values() {
            self.batches_read += count(read.batches.len());
            self.bytes_read += count(read.bytes);
            self.log_start_max = self.log_start_max.max(read.log_start);
        }
    }

    /// Takes violations in, and prints them.
    pub fn add_violations(&mut self, where_: &str, violations: Vec<String>) {
        for sentence in violations {
            let sentence = format!("{where_}: {sentence}");
            println!("VIOLATION {sentence}");
            self.violations.push(sentence);
        }
    }

    /// A run in which something never happened that it is there for has shown nothing.
    pub fn demand(&mut self, what: &str, happened: bool) {
        if !happened && self.violations.is_empty() {
            self.add_violations("the run shows nothing", vec![what.to_owned()]);
        }
    }

    /// As JSON.
    fn json(&self, broker: &Path, is_own_build: bool) -> Value {
        let git = |arguments: &[&str]| {
            run(Command::new("git").args(["-C", TREE]).args(arguments)).unwrap_or_default()
        };
        let broker = broker
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        json!({
            "asked": self.asked,
            "command": self.command,
            "commit": git(&["rev-parse", "HEAD"]).trim(),
            "dirty": !git(&CHANGES).trim().is_empty(),
            "broker": if is_own_build { "release build of this tree".to_owned() } else { broker },
            "kernel": run(Command::new("uname").arg("-r")).unwrap_or_default().trim(),
            "crashes": self.crashes,
            "crashes_again": self.crashes_again,
            "acknowledged_records": self.acknowledged_records,
            "promised_batches": self.promised_batches,
            "batches_read": self.batches_read,
            "bytes_read": self.bytes_read,
            "log_start_max": self.log_start_max,
            "topic_lives": self.topic_lives,
            "torn_tails": self.torn_tails,
            "unflushed_writes": {
                "kept": self.writes[0], "torn": self.writes[1], "dropped": self.writes[2],
            },
            "refused_by_file_system": self.refused_by_file_system,
            "start_ms_max": count_ms(self.start_max),
            "seconds": self.begun.elapsed().as_secs(),
            "violations": self.violations,
        })
    }

    /// Prints the result, writes it where `--record` says, and says whether all was well.
    pub fn finish(
        &self,
        name: &str,
        broker: &Path,
        own: bool,
        record: bool,
    ) -> Result<bool, String> {
        let value = self.json(broker, own);
        let text = serde_json::to_string_pretty(&value).expect("it is JSON");
        println!("{text}");
        if record {
            let date = run(Command::new("date").arg("+%F"))?;
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("runs");
            let path = path.join(format!("{}-{name}.json", date.trim()));
            fs::write(&path, text + "\n")
                .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
            println!("written to {}", path.display());
        }
        if !self.violations.is_empty() {
            println!(
                "{} violations; again: {}",
                self.violations.len(),
                self.command
            );
        }
        Ok(self.violations.is_empty())
    }
}

/// A count for a report.
pub fn count(number: usize) -> u64 {
    u64::try_from(number).expect("64 bits")
}

fn count_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).expect("64 bits")
}
