// SPDX-License-Identifier: Apache-2.0
//! One line on a terminal that says how far the work is.
//!
//! Owns: [`Progress`]. Invariants: nothing is written where standard error is no terminal; the line
//! is gone when the work is over. Runs on: the caller's thread. Bounded by: one line, a few times a
//! second.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often the line changes.
const EVERY: Duration = Duration::from_millis(200);
/// Back to the first column, and clear to the end of the line.
const CLEAR: &str = "\r\x1b[K";

/// How far the work is.
#[derive(Debug)]
pub(super) struct Progress {
    is_shown: bool,
    /// Bytes of all inputs; 0 if nobody knows.
    total: u64,
    started: Instant,
    told: Option<Instant>,
    done: u64,
}

impl Progress {
    /// Nothing done yet of `total` bytes (0 if nobody knows how many there are).
    pub(super) fn new(is_wanted: bool, total: u64) -> Progress {
        Progress {
            is_shown: is_wanted && io::stderr().is_terminal(),
            total,
            started: Instant::now(),
            told: None,
            done: 0,
        }
    }

    /// So many more bytes are read; so many records were acknowledged in all.
    pub(super) fn add(&mut self, bytes: usize, acknowledged: u64) {
        self.done += u64::try_from(bytes).expect("a usize of 64 bits");
        let now = Instant::now();
        let is_due = self.told.is_none_or(|told| now - told >= EVERY);
        if self.is_shown && is_due {
            self.told = Some(now);
            let line = line(self.done, self.total, acknowledged, now - self.started);
            // A terminal that is gone needs no progress.
            let _ = write!(io::stderr(), "{CLEAR}{line}");
        }
    }

    /// Takes the line away.
    pub(super) fn clear(&mut self) {
        if self.told.take().is_some() {
            let _ = write!(io::stderr(), "{CLEAR}");
        }
    }
}

fn line(done: u64, total: u64, acknowledged: u64, took: Duration) -> String {
    let mb = |bytes: u64| f64::from(u32::try_from(bytes / 1000).unwrap_or(u32::MAX)) / 1000.0;
    let rate = mb(done) / took.as_secs_f64().max(1e-3);
    let part = match (done * 100).checked_div(total) {
        None => String::new(),
        Some(percent) => format!(" of {:.1} MB ({}%)", mb(total), percent.min(100)),
    };
    format!(
        "{:.1} MB{part} read, {acknowledged} records acknowledged, {rate:.1} MB/s",
        mb(done)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_knows_the_part_where_the_whole_is_known() {
        let second = Duration::from_secs(2);
        assert_eq!(
            line(30_000_000, 40_000_000, 7, second),
            "30.0 MB of 40.0 MB (75%) read, 7 records acknowledged, 15.0 MB/s"
        );
        let unknown = line(1_000_000, 0, 0, second);
        assert_eq!(unknown, "1.0 MB read, 0 records acknowledged, 0.5 MB/s");
        assert!(line(50, 40, 0, second).contains("100%"), "a file that grew");
    }

    #[test]
    fn a_test_has_no_terminal_and_no_line() {
        let mut progress = Progress::new(false, 0);
        progress.add(5, 1);
        assert_eq!((progress.done, progress.told), (5, None));
    }
}
