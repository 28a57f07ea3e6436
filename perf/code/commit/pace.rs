// SPDX-License-Identifier: Apache-2.0
//! Points in time at equal distances, and threads that keep to them.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// When the next thing is due.
pub struct Pace {
    next: Instant,
    pause: Duration,
}

impl Pace {
    /// The first at that time, the others behind it.
    pub fn new(first: Instant, pause: Duration) -> Pace {
        Pace { next: first, pause }
    }

    /// Sleeps until the next thing is due and says when that was. Late ones follow at once: what a
    /// delay holds up is counted.
    pub fn wait(&mut self) -> Instant {
        let due = self.next;
        let left = due.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            thread::sleep(left);
        }
        self.next += self.pause;
        due
    }
}

/// Has the kernel end this thread's sleeps when they are over, not up to 50 us later.
pub fn fine_sleep() {
    let this = fs::read_link("/proc/thread-self").expect("Linux names its threads");
    let number = this
        .file_name()
        .expect("the last part is the thread's number");
    let slack = Path::new("/proc").join(number).join("timerslack_ns");
    if let Err(error) = fs::write(&slack, "1") {
        eprintln!(
            "sleeps last up to 50 us too long: {}: {error}",
            slack.display()
        );
    }
}
