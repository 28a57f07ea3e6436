// SPDX-License-Identifier: Apache-2.0
//! Points in time at equal distances, and threads that keep to them.

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
    // SAFETY: changes a number that belongs to the calling thread.
    let done = unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
    assert_eq!(done, 0, "every kernel knows it");
}

/// Sets the niceness of the calling thread, and so of the kernel's workers for its rings.
pub fn set_nice(nice: i32) {
    // SAFETY: concerns the calling thread (0) alone.
    let done = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) };
    if done != 0 {
        eprintln!(
            "nice {nice} was refused: {}",
            std::io::Error::last_os_error()
        );
    }
}
