// SPDX-License-Identifier: Apache-2.0
//! How the threads of this process rank against others: for the CPU (nice) and for the disk (I/O
//! priority).
//!
//! Owns: nothing. Invariants: a priority is raised or left, never lowered; whether a higher one is
//! permitted is found out by trying.
//! Runs on: boot, before any other thread is started: threads, and the kernel's workers for their
//! rings, inherit the CPU priority of the thread that starts them.
//! Bounded by: a few calls.

use std::fs;
use std::io;

/// The lowest and the highest nice value.
const NICE_RANGE: std::ops::RangeInclusive<i32> = -20..=19;

/// Where the class begins in the 16 bits of an I/O priority.
const CLASS_SHIFT: u32 = 13;

/// Best-effort class, the highest of its eight levels; everybody may have it.
const BEST_EFFORT_IO_PRIORITY: u16 = 2 << CLASS_SHIFT;

/// What became of the wish for a higher CPU priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nice {
    /// The value that was wished for; 0 for none.
    pub wanted: i32,
    /// The value in force.
    pub now: i32,
}

impl Nice {
    /// True if the wish was not granted in full.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.wanted != 0 && self.now > self.wanted
    }
}

/// Raises the priority of the calling thread, and of all that it will start, to a nice value (0
/// leaves it), or as near to it as is permitted.
///
/// # Errors
/// When the system does not say how it is.
pub fn raise_nice(wanted: i32) -> io::Result<Nice> {
    let before = nice()?;
    if wanted != 0 && wanted < before && !set_nice(wanted) {
        // Without the privilege the limit RLIMIT_NICE says how far one may go.
        let nearest = nice_limit().max(wanted);
        if nearest < before {
            set_nice(nearest);
        }
    }
    Ok(Nice {
        wanted,
        now: nice()?,
    })
}

/// The nice value of the calling thread.
///
/// # Errors
/// As the system says.
pub fn nice() -> io::Result<i32> {
    // SAFETY: the call reads no memory of ours.
    let told = unsafe { libc::syscall(libc::SYS_getpriority, 0, 0) };
    // The bare call answers 20 - nice, so that it is never negative.
    let told = i32::try_from(told).map_err(|_| io::Error::from_raw_os_error(libc::EOVERFLOW))?;
    if told < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(20 - told)
}

fn set_nice(value: i32) -> bool {
    // SAFETY: the call reads no memory of ours.
    unsafe { libc::syscall(libc::SYS_setpriority, 0, 0, value) == 0 }
}

/// The best nice value that the limit allows.
fn nice_limit() -> i32 {
    let limit = super::process::limit(libc::RLIMIT_NICE).map_or(0, |limit| limit.soft);
    let value = 20 - i32::try_from(limit.min(40)).expect("at most 40");
    value.clamp(*NICE_RANGE.start(), *NICE_RANGE.end())
}

/// Gives the calling thread, and all that it will start, the highest of the ordinary I/O
/// priorities: operations of a ring have that of the thread that submits them.
///
/// Not the real-time class, though it is often permitted. Under mq-deadline nothing of a lower
/// class is served while something of a higher one is under way, and the journal of a file system
/// is of the ordinary class: a flush of a file then waits for a commit of the journal that waits
/// for the writes of all other logs. On a journaled ext4 that cost three quarters of the throughput
/// (59 against 246 MB/s, 64 KB batches; ARCHITECTURE.md, Priorities). For the same reason commits,
/// reads and the zeros ahead of a log rank the same.
pub fn raise_io_priority() {
    // Everybody may have it; refused by a sandbox, the default priority is nearly the same.
    set_io_priority(BEST_EFFORT_IO_PRIORITY);
}

/// Sets it for the calling thread. False if it is not permitted.
fn set_io_priority(value: u16) -> bool {
    const WHO_PROCESS: libc::c_int = 1;
    let value = libc::c_int::from(value);
    // SAFETY: the call reads no memory of ours.
    unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, value) == 0 }
}

/// True if the kernel shares the CPU between sessions first and looks at nice values only within
/// one (sched(7), autogroup).
#[must_use]
pub fn is_autogrouped() -> bool {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let switched_on = read("/proc/sys/kernel/sched_autogroup_enabled");
    let group = read("/proc/self/autogroup");
    switched_on.trim() == "1" && group.starts_with("/autogroup-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_a_thread<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> T {
        std::thread::spawn(body).join().expect("no panic")
    }

    #[test]
    fn a_priority_is_raised_or_left_and_never_lowered() {
        let before = nice().expect("the system says");
        assert!(NICE_RANGE.contains(&before));
        let left = in_a_thread(|| raise_nice(0)).expect("left");
        assert_eq!((left.now, left.is_short()), (before, false));
        let lower = in_a_thread(|| raise_nice(19)).expect("not lowered");
        assert_eq!(lower.now, before);
        let raised = in_a_thread(|| raise_nice(-10)).expect("tried");
        assert!(raised.now <= before);
        assert_eq!(raised.is_short(), raised.now > -10);
        assert_eq!(nice().expect("the system says"), before, "only that thread");
    }

    #[test]
    fn a_thread_inherits_the_priority() {
        let (raised, inherited) = in_a_thread(|| {
            let raised = raise_nice(-10).expect("tried");
            (raised.now, in_a_thread(|| nice().expect("told")))
        });
        assert_eq!(raised, inherited);
    }

    #[test]
    fn the_io_priority_is_one_that_everybody_may_have() {
        assert!(in_a_thread(|| set_io_priority(BEST_EFFORT_IO_PRIORITY)));
        assert!(!in_a_thread(|| set_io_priority(7 << CLASS_SHIFT)));
    }
}
