// SPDX-License-Identifier: Apache-2.0
//! What a person is told while the partitions are opened, and once when they are.
//!
//! Owns: [`StartWatch`]. Invariants: clean and unclean starts are told apart in one sentence.
//! Runs on: the main thread. Bounded by: one line every `START_PROGRESS_MS`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::findings::bytes;
use crate::limits::START_PROGRESS_MS;
use crate::model::ids::ShardId;
use crate::shard::RecoveryProgress;

/// Gathers what the shards say of their start.
pub struct StartWatch {
    shards: BTreeMap<ShardId, RecoveryProgress>,
    address: String,
    began: Instant,
    told: Option<Instant>,
}

impl StartWatch {
    /// A watch that begins now; clients reach the broker at `address`.
    #[must_use]
    pub fn new(address: &str) -> StartWatch {
        StartWatch {
            shards: BTreeMap::new(),
            address: address.to_owned(),
            began: Instant::now(),
            told: None,
        }
    }

    /// A shard says how far it is; a line, if it is time for one.
    pub fn take(&mut self, shard: ShardId, progress: RecoveryProgress) -> Option<String> {
        self.shards.insert(shard, progress);
        let now = Instant::now();
        let since = self.told.unwrap_or(self.began);
        let sum = self.sum();
        let is_done = sum.opened + sum.delayed >= sum.partitions;
        if is_done || now.duration_since(since) < Duration::from_millis(START_PROGRESS_MS) {
            return None;
        }
        let is_first = self.told.replace(now).is_none();
        let mut line = progress_line(&sum);
        if is_first {
            line.push_str(&format!(
                "; clients are answered on {} meanwhile, and partitions that are not open yet ask \
                 them to try again",
                self.address
            ));
        }
        Some(line)
    }

    /// All partitions are open: what the start found.
    #[must_use]
    pub fn summary(&self) -> String {
        summary(&self.sum(), self.began.elapsed())
    }

    fn sum(&self) -> RecoveryProgress {
        let mut sum = RecoveryProgress::default();
        self.shards.values().for_each(|progress| sum.add(progress));
        sum
    }
}

/// A number with its thousands set apart.
fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn partitions(number: u64) -> String {
    match number {
        1 => "1 partition".to_owned(),
        more => format!("{} partitions", count(more)),
    }
}

fn progress_line(sum: &RecoveryProgress) -> String {
    let to_scan = sum.bytes_to_scan.max(sum.bytes_scanned);
    format!(
        "recovering: {} of {}, {} of {} read",
        count(sum.opened),
        partitions(sum.partitions),
        bytes(sum.bytes_scanned),
        bytes(to_scan)
    )
}

fn summary(sum: &RecoveryProgress, took: Duration) -> String {
    let took = format!("{:.1} s", took.as_secs_f64());
    if sum.opened + sum.delayed == 0 {
        return "start without partitions".to_owned();
    }
    let mut parts = Vec::new();
    if sum.clean > 0 {
        parts.push(format!("{} had been stopped in order", count(sum.clean)));
    }
    if sum.created > 0 {
        parts.push(format!("{} were new", count(sum.created)));
    }
    if sum.scanned > 0 {
        parts.push(format!(
            "{} had not: {} of their ends were read and checked, {} behind recovery points were \
             not, {} of torn writes were cut",
            count(sum.scanned),
            bytes(sum.bytes_scanned),
            bytes(sum.bytes_skipped),
            bytes(sum.torn_bytes_cut)
        ));
    }
    if sum.delayed > 0 {
        parts.push(format!("{} wait for space on the disk", count(sum.delayed)));
    }
    if sum.files_rebuilt > 0 {
        parts.push(format!(
            "{} small files were rebuilt",
            count(sum.files_rebuilt)
        ));
    }
    if sum.damaged_places > 0 {
        parts.push(format!(
            "{} damaged places, named above",
            count(sum.damaged_places)
        ));
    }
    let how = if sum.scanned > 0 { "unclean" } else { "clean" };
    let what = partitions(sum.partitions);
    format!("{how} start: {what} in {took}: {}", parts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress() -> RecoveryProgress {
        RecoveryProgress {
            partitions: 1000,
            opened: 120,
            bytes_to_scan: 9 << 30,
            bytes_scanned: 3 << 30,
            ..RecoveryProgress::default()
        }
    }

    #[test]
    fn a_line_says_how_far_it_is_and_comes_at_a_bounded_rate() {
        let mut watch = StartWatch::new("127.0.0.1:9092");
        assert_eq!(
            watch.take(ShardId(0), progress()),
            None,
            "it has just begun"
        );
        watch.began -= Duration::from_secs(5);
        let line = watch.take(ShardId(1), progress()).expect("it is time");
        assert!(
            line.starts_with("recovering: 240 of 2,000 partitions, "),
            "{line}"
        );
        assert!(line.contains("127.0.0.1:9092"), "{line}");
        assert_eq!(
            watch.take(ShardId(1), progress()),
            None,
            "one was just told"
        );
        watch.told = watch.told.map(|told| told - Duration::from_secs(2));
        let line = watch.take(ShardId(1), progress()).expect("it is time");
        assert!(!line.contains("127.0.0.1"), "once is enough: {line}");
    }

    #[test]
    fn clean_and_unclean_starts_are_told_apart() {
        let took = Duration::from_millis(1234);
        let mut sum = RecoveryProgress {
            partitions: 1,
            opened: 1,
            clean: 1,
            ..RecoveryProgress::default()
        };
        assert_eq!(
            summary(&sum, took),
            "clean start: 1 partition in 1.2 s: 1 had been stopped in order"
        );
        sum.partitions = 1012;
        sum.opened = 1011;
        sum.clean = 1000;
        sum.scanned = 11;
        sum.delayed = 1;
        sum.bytes_scanned = 5 << 20;
        sum.bytes_skipped = 7 << 30;
        sum.torn_bytes_cut = 512;
        sum.files_rebuilt = 3;
        sum.damaged_places = 2;
        let sentence = summary(&sum, took);
        for word in [
            "unclean start: 1,012 partitions",
            "1,000 had been stopped in order",
            "11 had not",
            "1 wait",
            "3 small files",
            "2 damaged places",
        ] {
            assert!(sentence.contains(word), "{word}: {sentence}");
        }
        let none = summary(&RecoveryProgress::default(), took);
        assert_eq!(none, "start without partitions");
    }

    #[test]
    fn thousands_are_set_apart() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1234567, "1,234,567"),
        ] {
            assert_eq!(count(number), text);
        }
    }
}
