// SPDX-License-Identifier: Apache-2.0
//! Which cores this process may use.
//!
//! Owns: the mask that the process was started with. Invariants: never a core outside that mask.
//! Runs on: boot.
//! Bounded by: the size of `cpu_set_t`.

use std::io;

/// A set of cores, in the form the kernel takes.
#[derive(Clone)]
pub struct CpuMask {
    raw: libc::cpu_set_t,
    cpus: Vec<usize>,
}

impl CpuMask {
    /// The cores this process may run on.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn of_process() -> io::Result<CpuMask> {
        // SAFETY: a cpu_set_t is an array of integers, for which zero is a value.
        let mut raw: libc::cpu_set_t = unsafe { std::mem::zeroed() };
        let size = std::mem::size_of::<libc::cpu_set_t>();
        // SAFETY: the kernel writes at most `size` bytes to `raw`, which is that large.
        if unsafe { libc::sched_getaffinity(0, size, &raw mut raw) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let places = usize::try_from(libc::CPU_SETSIZE).expect("a small positive constant");
        let cpus = (0..places)
            // SAFETY: the index is below CPU_SETSIZE, the number of bits in `raw`.
            .filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &raw) })
            .collect();
        Ok(CpuMask { raw, cpus })
    }

    /// The cores, ascending, never empty.
    #[must_use]
    pub fn cpus(&self) -> &[usize] {
        &self.cpus
    }

    /// The kernel's form.
    pub(super) fn as_raw(&self) -> &libc::cpu_set_t {
        &self.raw
    }
}

/// Which core each executor is pinned to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// One core for each data shard.
    pub data: Vec<usize>,
    /// The core of the control shard.
    pub control: usize,
}

impl Placement {
    /// One data shard for each core, or for the first `wanted` of them. The control shard gets the
    /// last core for itself where there are more than four, else it shares the first.
    #[must_use]
    pub fn choose(cpus: &[usize], wanted: Option<usize>) -> Placement {
        assert!(!cpus.is_empty(), "a running process has a core");
        let own_control = cpus.len() > 4 && wanted.is_none_or(|count| count < cpus.len());
        let control = if own_control {
            cpus[cpus.len() - 1]
        } else {
            cpus[0]
        };
        let available = cpus.len() - usize::from(own_control);
        let count = wanted.unwrap_or(available).max(1);
        // More shards than cores is allowed when asked for: cores are then shared in turn.
        let data = (0..count).map(|shard| cpus[shard % available]).collect();
        Placement { data, control }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_shares_the_first_core_of_a_small_machine() {
        let placement = Placement::choose(&[2, 3], None);
        assert_eq!((placement.data, placement.control), (vec![2, 3], 2));
    }

    #[test]
    fn control_has_its_own_core_on_a_large_machine() {
        let placement = Placement::choose(&[0, 1, 2, 3, 4, 5], None);
        assert_eq!(
            (placement.data, placement.control),
            (vec![0, 1, 2, 3, 4], 5)
        );
    }

    #[test]
    fn the_number_of_data_shards_can_be_chosen() {
        assert_eq!(Placement::choose(&[0, 1], Some(1)).data, vec![0]);
        assert_eq!(Placement::choose(&[0, 1], Some(3)).data, vec![0, 1, 0]);
        assert_eq!(Placement::choose(&[0, 1, 2, 3, 4], Some(5)).control, 0);
    }

    #[test]
    fn the_process_has_a_core() {
        assert!(!CpuMask::of_process().expect("affinity").cpus().is_empty());
    }
}
