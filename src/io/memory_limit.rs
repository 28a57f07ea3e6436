// SPDX-License-Identifier: Apache-2.0
//! How much memory this process may have: what the machine has, or less if a control group says so.
//!
//! Owns: [`MemoryLimit`]. Invariants: the least of what `cgroup` and the machine say counts; what
//! cannot be read limits nothing.
//! Runs on: boot. Bounded by: one small file of the kernel.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use super::cgroup::Limits;

/// What is taken for the machine's memory if even that cannot be read.
const PHYSICAL_BYTES_UNKNOWN: u64 = 1 << 30;

/// Where a limit comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemorySource {
    /// The memory of the machine.
    Physical,
    /// This file of a control group.
    Cgroup(PathBuf),
}

/// The memory that this process may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryLimit {
    /// In bytes.
    pub bytes: u64,
    /// Who says so.
    pub source: MemorySource,
}

impl fmt::Display for MemorySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MemorySource::Physical => f.write_str("the memory of the machine"),
            MemorySource::Cgroup(path) => write!(f, "the limit in {}", path.display()),
        }
    }
}

impl MemoryLimit {
    /// The limit of this process, whose groups have these limits.
    #[must_use]
    pub fn of_process(limits: &Limits) -> MemoryLimit {
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        MemoryLimit::find(&meminfo, limits)
    }

    fn find(meminfo: &str, limits: &Limits) -> MemoryLimit {
        let physical = physical_bytes(meminfo).unwrap_or(PHYSICAL_BYTES_UNKNOWN);
        match &limits.memory {
            Some((bytes, file)) if *bytes < physical => MemoryLimit {
                bytes: *bytes,
                source: MemorySource::Cgroup(file.clone()),
            },
            _ => MemoryLimit {
                bytes: physical,
                source: MemorySource::Physical,
            },
        }
    }
}

/// The memory of the machine, from `/proc/meminfo`.
fn physical_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib = line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal:       16384 kB\nMemFree:         1 kB\n";
    const MIB: u64 = 1024 * 1024;

    fn limited(bytes: u64) -> Limits {
        Limits {
            memory: Some((bytes, "/cg/memory.max".into())),
            ..Limits::default()
        }
    }

    #[test]
    fn the_least_counts_and_is_named() {
        let found = MemoryLimit::find(MEMINFO, &Limits::default());
        assert_eq!(
            (found.bytes, found.source),
            (16 * MIB, MemorySource::Physical)
        );
        let found = MemoryLimit::find(MEMINFO, &limited(8 * MIB));
        assert_eq!(found.bytes, 8 * MIB);
        assert_eq!(found.source.to_string(), "the limit in /cg/memory.max");
        let found = MemoryLimit::find(MEMINFO, &limited(99 * MIB));
        assert_eq!(found.source, MemorySource::Physical, "more than there is");
    }

    #[test]
    fn a_machine_that_says_nothing_is_taken_for_a_small_one() {
        for text in ["", "MemTotal: many kB\n", "MemFree: 1 kB"] {
            let found = MemoryLimit::find(text, &Limits::default());
            assert_eq!(found.bytes, PHYSICAL_BYTES_UNKNOWN, "{text}");
        }
    }

    #[test]
    fn this_machine_has_memory() {
        let found = MemoryLimit::of_process(&Limits::of_process());
        assert!(found.bytes > 64 * MIB, "{found:?}");
    }
}
