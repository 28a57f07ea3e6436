// SPDX-License-Identifier: Apache-2.0
//! What is known of the machine and of what this process may have of it.
//!
//! Owns: [`Machine`]. Invariants: what cannot be found out is `None`, never assumed.
//! Runs on: boot. Bounded by: a few small files of `/proc` and `/sys`.

use std::fs;

use super::cgroup::Limits;
use super::clock;
use super::memory_limit::MemoryLimit;
use super::placement::CpuMask;
use super::priority;
use super::probe;
use super::process::{self, Limit};

/// `CAP_IPC_LOCK`: locked memory is not limited for who has it.
const CAP_IPC_LOCK: u32 = 14;

/// The machine, as far as it matters to the broker.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Release of the kernel.
    pub kernel: String,
    /// Why io_uring cannot be used, as a sentence.
    pub ring_refusal: Option<String>,
    /// Bytes of memory that this user may lock; `None` if there is no limit.
    pub locked_memory_bytes: Option<u64>,
    /// Descriptors that this process may have open.
    pub descriptors: Option<Limit>,
    /// CPUs that run.
    pub cpus_online: Option<usize>,
    /// CPUs that this process may use.
    pub cpus_allowed: usize,
    /// What its control groups leave it.
    pub limits: Limits,
    /// Memory that it may use.
    pub memory: MemoryLimit,
    /// The clock that the kernel reads time from.
    pub clock_source: Option<String>,
    /// The wall clock, in milliseconds since 1970.
    pub wall_ms: i64,
    /// True if nice values count only within a session.
    pub autogrouped: bool,
}

impl Machine {
    /// Looks at the machine.
    #[must_use]
    pub fn inspect(cpus: &CpuMask) -> Machine {
        let read = |path: &str| {
            let text = fs::read_to_string(path).ok()?;
            Some(text.trim().to_owned())
        };
        let status = read("/proc/self/status").unwrap_or_default();
        let memlock = process::limit(libc::RLIMIT_MEMLOCK).ok();
        let memlock = memlock
            .map(|limit| limit.soft)
            .filter(|bytes| *bytes != u64::MAX);
        let limits = Limits::of_process();
        Machine {
            kernel: read("/proc/sys/kernel/osrelease").unwrap_or_else(|| "unknown".into()),
            ring_refusal: probe::io_uring().err(),
            locked_memory_bytes: memlock.filter(|_| !has_capability(&status, CAP_IPC_LOCK)),
            descriptors: process::limit(libc::RLIMIT_NOFILE).ok(),
            cpus_online: read("/sys/devices/system/cpu/online").and_then(|text| count_cpus(&text)),
            cpus_allowed: cpus.cpus().len(),
            memory: MemoryLimit::of_process(&limits),
            limits,
            clock_source: read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
            wall_ms: clock::now().wall_ms,
            autogrouped: priority::is_autogrouped(),
        }
    }
}

/// True if the process has a capability, by the text of `/proc/self/status`. (In a user namespace
/// it counts for less than it says; then a registration is refused, which is handled.)
fn has_capability(status: &str, number: u32) -> bool {
    let mut lines = status.lines();
    let effective = lines.find_map(|line| line.strip_prefix("CapEff:"));
    let bits = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    bits.is_some_and(|bits| bits >> number & 1 == 1)
}

/// How many CPUs a list like `0-3,8` names.
fn count_cpus(list: &str) -> Option<usize> {
    let mut count = 0usize;
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        count = count.checked_add(last.checked_sub(first)?.checked_add(1)?)?;
    }
    Some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus_are_counted() {
        assert_eq!(count_cpus("0"), Some(1));
        assert_eq!(count_cpus("0-3,8,10-11"), Some(7));
        for nonsense in ["", "a", "3-1", "0-", "0-18446744073709551615"] {
            assert_eq!(count_cpus(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn capabilities_are_bits() {
        let status = "Name:\tx\nCapEff:\t0000000000004000\nSeccomp:\t0\n";
        assert!(has_capability(status, CAP_IPC_LOCK));
        assert!(!has_capability(status, 13));
        assert!(!has_capability("CapEff:\tx\n", 0) && !has_capability("", 0));
    }

    #[test]
    fn this_machine_is_known() {
        let cpus = CpuMask::of_process().expect("affinity");
        let machine = Machine::inspect(&cpus);
        assert!(machine.kernel.contains('.'), "{machine:?}");
        assert!(machine.cpus_online.is_none_or(|online| online >= 1));
        assert!(machine.memory.bytes > 0 && machine.wall_ms > 0);
    }
}
