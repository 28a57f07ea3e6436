// SPDX-License-Identifier: Apache-2.0
//! What was found of the machine and of the storage, in plain words: one line each, and where it
//! matters what to do.
//!
//! Owns: [`Finding`]. Invariants: a warning says what follows and what to do about it; a sentence
//! claims nothing that was not found out.
//! Runs on: boot, and the command that checks a machine. Bounded by: some twenty lines.

use std::fmt;

use crate::io::machine::Machine;
use crate::io::priority::Nice;
use crate::io::ring::Registered;
use crate::limits::{DESCRIPTORS_PER_PARTITION, DESCRIPTORS_RESERVED};

/// Descriptors below which a person is warned.
const DESCRIPTORS_FEW: u64 = 4096;

/// Locked memory below which a person is warned, in bytes: the buffers of a few shards.
const LOCKED_MEMORY_LITTLE_BYTES: u64 = 64 << 20;

/// The first of January 2025 in milliseconds. A clock before it was never set.
const WALL_MS_PLAUSIBLE_MIN: i64 = 1_735_689_600_000;

/// Clocks that are read without a call into the kernel.
const FAST_CLOCKS: [&str; 4] = [
    "tsc",
    "kvm-clock",
    "arch_sys_counter",
    "hyperv_clocksource_tsc_page",
];

/// How much a finding matters, from the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Good to know.
    Fact,
    /// Something is worse than it could be.
    Warning,
    /// The broker cannot serve.
    Obstacle,
}

/// One line for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub weight: Weight,
    /// The sentence.
    pub sentence: String,
}

impl Finding {
    /// Good to know.
    pub fn fact(sentence: impl Into<String>) -> Finding {
        Finding {
            weight: Weight::Fact,
            sentence: sentence.into(),
        }
    }

    /// Something is worse than it could be.
    pub fn warning(sentence: impl Into<String>) -> Finding {
        Finding {
            weight: Weight::Warning,
            sentence: sentence.into(),
        }
    }

    /// The broker cannot serve.
    pub fn obstacle(sentence: impl Into<String>) -> Finding {
        Finding {
            weight: Weight::Obstacle,
            sentence: sentence.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.weight {
            Weight::Fact => "",
            Weight::Warning => "warning: ",
            Weight::Obstacle => "cannot serve: ",
        })?;
        f.write_str(&self.sentence)
    }
}

/// What was found of the machine, facts first. `shards` is how many data shards would run.
#[must_use]
pub fn of_machine(machine: &Machine, shards: usize) -> Vec<Finding> {
    let clock = machine.clock_source.as_deref();
    let mut found = vec![
        Finding::fact(format!(
            "Linux {}; io_uring {}; clock {}",
            machine.kernel,
            if machine.ring_refusal.is_none() {
                "works"
            } else {
                "is refused"
            },
            clock.unwrap_or("unknown"),
        )),
        Finding::fact(processors(machine)),
        Finding::fact(locked_memory_and_descriptors(machine)),
    ];
    found.extend(machine.ring_refusal.as_deref().map(Finding::obstacle));
    found.extend(processor_warning(machine, shards));
    found.extend(descriptor_warning(machine));
    found.extend(locked_memory_warning(machine));
    found.extend(clock_warnings(machine));
    found
}

fn processors(machine: &Machine) -> String {
    let of = machine
        .cpus_online
        .map_or(String::new(), |online| format!(" of {online}"));
    let quota = machine.limits.cpus.map_or("no quota".to_owned(), |cpus| {
        format!("a quota of {cpus:.1} by the control group")
    });
    format!(
        "CPUs: {}{of} may be used, with {quota}",
        machine.cpus_allowed
    )
}

fn processor_warning(machine: &Machine, shards: usize) -> Option<Finding> {
    let quota = machine.limits.cpus?;
    let wanted = u32::try_from(shards).map_or(f64::INFINITY, f64::from);
    (quota < wanted).then(|| {
        Finding::warning(format!(
            "the control group allows the time of {quota:.1} CPUs to {shards} shards; when it is \
             used up everything stands still until its next period. Raise the quota (cpu.max, \
             CPUQuota=), or serve on fewer cores with --cores"
        ))
    })
}

fn locked_memory_and_descriptors(machine: &Machine) -> String {
    let locked = machine
        .locked_memory_bytes
        .map_or("unlimited".to_owned(), bytes);
    let descriptors = machine.descriptors.map_or("unknown".to_owned(), |limit| {
        format!(
            "{} (enough for about {} partitions)",
            limit.soft,
            partitions_for(limit.soft)
        )
    });
    format!("locked memory: {locked}; descriptors: {descriptors}")
}

fn partitions_for(descriptors: u64) -> u64 {
    descriptors.saturating_sub(DESCRIPTORS_RESERVED) / DESCRIPTORS_PER_PARTITION
}

fn descriptor_warning(machine: &Machine) -> Option<Finding> {
    let limit = machine
        .descriptors
        .filter(|limit| limit.soft < DESCRIPTORS_FEW)?;
    Some(Finding::warning(format!(
        "only {} files and connections may be open at once, and the broker cannot raise that \
         further; raise the hard limit (`ulimit -Hn`, or LimitNOFILE= in a systemd unit)",
        limit.soft
    )))
}

fn locked_memory_warning(machine: &Machine) -> Option<Finding> {
    let limit = machine.locked_memory_bytes;
    let little = limit.filter(|limit| *limit < LOCKED_MEMORY_LITTLE_BYTES)?;
    Some(Finding::warning(format!(
        "all processes of this user together may lock {} of memory; buffers that do not fit are \
         used all the same, unregistered and at more CPU. Raise it (`ulimit -l`, or \
         LimitMEMLOCK=infinity in a systemd unit)",
        bytes(little)
    )))
}

/// What the rings of the data shards know of the memory for buffers, of which each shard wanted so
/// much.
#[must_use]
pub fn of_buffers(shards: &[Registered], wanted_bytes: usize) -> Finding {
    let wide = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
    let registered: usize = shards.iter().map(Registered::len_bytes).sum();
    let wanted = wanted_bytes * shards.len();
    if registered == wanted {
        return Finding::fact(format!(
            "the I/O buffers of the shards ({} each) are registered with io_uring",
            bytes(wide(wanted_bytes))
        ));
    }
    let refused = shards.iter().find_map(|shard| shard.refused);
    let reason = match refused {
        Some(errno) => std::io::Error::from_raw_os_error(errno).to_string(),
        None => "the memory could not be mapped".into(),
    };
    let part = match registered {
        0 => "none".into(),
        some => bytes(wide(some)),
    };
    Finding::warning(format!(
        "of the I/O buffers of the shards ({} together) {part} could be registered with io_uring: \
         {reason}. The rest is used unregistered, at a little more CPU; `ulimit -l`, or \
         LimitMEMLOCK=infinity in a systemd unit, raises what may be locked",
        bytes(wide(wanted))
    ))
}

fn clock_warnings(machine: &Machine) -> Vec<Finding> {
    let mut found = Vec::new();
    match machine.clock_source.as_deref() {
        Some(clock) if !FAST_CLOCKS.contains(&clock) => found.push(Finding::warning(format!(
            "the kernel's clock is {clock}, and each look at it is slow; `dmesg | grep -i \
             clocksource` says why it is not tsc"
        ))),
        _ => {}
    }
    if machine.wall_ms < WALL_MS_PLAUSIBLE_MIN {
        found.push(Finding::warning(
            "the wall clock is before 2025; timestamps of records and retention by time follow \
             it. Set it before anything is produced",
        ));
    }
    found
}

/// What became of the priorities.
#[must_use]
pub fn of_priority(nice: Nice, autogrouped: bool) -> Vec<Finding> {
    let mut found = vec![Finding::fact(format!(
        "priority: nice {}; I/O priority the highest of the ordinary ones",
        nice.now
    ))];
    if nice.is_short() {
        found.push(Finding::warning(format!(
            "nice {} is not permitted, so beside other work a commit waits for a CPU, not for the \
             disk. Start with CAP_SYS_NICE, or Nice={} in a systemd unit; process.nice=0 asks for \
             nothing (tuning.md, Priority)",
            nice.wanted, nice.wanted
        )));
    } else if autogrouped && nice.now < 0 {
        found.push(Finding::warning(
            "nice counts only within this login session, because autogroup is on; run the broker \
             as a service with CPUWeight=, or switch it off (`sysctl \
             kernel.sched_autogroup_enabled=0`)",
        ));
    }
    found
}

/// A number of bytes as people write it.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [(u64, &str); 4] = [
        (1 << 40, "TiB"),
        (1 << 30, "GiB"),
        (1 << 20, "MiB"),
        (1 << 10, "KiB"),
    ];
    for (unit, name) in UNITS {
        if count >= unit {
            let (whole, tenth) = (count / unit, count % unit * 10 / unit);
            return if tenth == 0 {
                format!("{whole} {name}")
            } else {
                format!("{whole}.{tenth} {name}")
            };
        }
    }
    format!("{count} bytes")
}

#[cfg(test)]
mod tests;
