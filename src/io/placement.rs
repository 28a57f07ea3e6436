// SPDX-License-Identifier: Apache-2.0
//! Which cores this process may use.
//!
//! Owns: the mask that the process was started with. Invariants: never a core outside that mask.
//! Runs on: boot.
//! Bounded by: the size of `cpu_set_t`.

use std::io;

use crate::model::cores::{CoreChoice, ranges};

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
    /// Why these.
    pub reason: String,
}

impl Placement {
    /// One data shard for each core of the choice. The control shard gets the last core for itself
    /// where there are more than four, else it shares the first. `quota` is the time that the
    /// control group gives, in cores: of more executors than that some always stand still.
    ///
    /// # Errors
    /// The cores of a list that this process may not use.
    pub fn choose(
        cpus: &[usize],
        quota: Option<f64>,
        choice: &CoreChoice,
    ) -> Result<Placement, Vec<usize>> {
        assert!(!cpus.is_empty(), "a running process has a core");
        let all = ranges(cpus);
        let (cpus, wanted, reason) = match choice {
            CoreChoice::These(list) => {
                let foreign = list.iter().filter(|cpu| !cpus.contains(cpu));
                let foreign: Vec<usize> = foreign.copied().collect();
                if !foreign.is_empty() {
                    return Err(foreign);
                }
                (&list[..], None, "as --cores lists them".to_owned())
            }
            CoreChoice::Count(count) => {
                let reason = format!("{count} by --cores, of {all} that this process may use");
                (cpus, Some(usize::from(*count)), reason)
            }
            CoreChoice::All => match paid_for(cpus, quota) {
                Some(paid) => {
                    let quota = quota.unwrap_or_default();
                    let reason = format!(
                        "the control group gives the time of {quota:.1} of the CPUs {all} that \
                         this process may use"
                    );
                    (paid, None, reason)
                }
                None => (cpus, None, "all that this process may use".to_owned()),
            },
        };
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
        Ok(Placement {
            data,
            control,
            reason,
        })
    }

    /// The placement as a sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let mut cpus = self.data.clone();
        cpus.sort_unstable();
        cpus.dedup();
        format!(
            "{} data shards on the CPUs {}, the control shard on CPU {}: {}",
            self.data.len(),
            ranges(&cpus),
            self.control,
            self.reason
        )
    }
}

/// The first cores, as many as the quota gives time for; `None` if it gives time for all.
fn paid_for(cpus: &[usize], quota: Option<f64>) -> Option<&[usize]> {
    let quota = quota?;
    // Counting up needs no conversion of a number with a fraction.
    let count = (1u16..)
        .zip(cpus)
        .take_while(|(count, _)| *count == 1 || f64::from(*count) < quota + 1.0)
        .count();
    (count < cpus.len()).then(|| &cpus[..count])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(cpus: &[usize], quota: Option<f64>, choice: &str) -> Placement {
        let choice = CoreChoice::parse(choice).expect("a choice");
        Placement::choose(cpus, quota, &choice).expect("cores of this process")
    }

    fn cores(placement: Placement) -> (Vec<usize>, usize) {
        (placement.data, placement.control)
    }

    #[test]
    fn control_shares_the_first_core_of_a_small_machine() {
        assert_eq!(cores(chosen(&[2, 3], None, "0")), (vec![2, 3], 2));
    }

    #[test]
    fn control_has_its_own_core_on_a_large_machine() {
        let placement = chosen(&[0, 1, 2, 3, 4, 5], None, "0");
        assert_eq!(
            placement.sentence(),
            "5 data shards on the CPUs 0-4, the control shard on CPU 5: all that this process may \
             use"
        );
        assert_eq!(cores(placement), (vec![0, 1, 2, 3, 4], 5));
    }

    #[test]
    fn the_number_of_data_shards_can_be_chosen() {
        assert_eq!(chosen(&[0, 1], None, "1").data, vec![0]);
        assert_eq!(chosen(&[0, 1], Some(0.5), "3").data, vec![0, 1, 0]);
        assert_eq!(chosen(&[0, 1, 2, 3, 4], None, "5").control, 0);
    }

    #[test]
    fn the_cores_can_be_listed_if_the_process_may_use_them() {
        let all: Vec<usize> = (0..16).collect();
        assert_eq!(cores(chosen(&all, Some(1.0), "3,8-9")), (vec![3, 8, 9], 3));
        assert_eq!(cores(chosen(&all, None, "1-5")), (vec![1, 2, 3, 4], 5));
        let list = CoreChoice::parse("0-2,4").expect("a list");
        assert_eq!(Placement::choose(&[2, 3], None, &list), Err(vec![0, 1, 4]));
    }

    #[test]
    fn no_more_shards_than_the_control_group_gives_time_for() {
        let all: Vec<usize> = (0..16).collect();
        for (quota, expected) in [(0.2, 1), (1.0, 1), (1.5, 2), (2.0, 2), (4.0, 4)] {
            let placement = chosen(&all, Some(quota), "0");
            assert_eq!(placement.data.len(), expected, "{quota}");
            assert!(placement.reason.contains("control group"), "{placement:?}");
        }
        assert_eq!(cores(chosen(&all, Some(6.0), "0")), ((0..5).collect(), 5));
        assert_eq!(
            chosen(&[0, 1], Some(2.0), "0").reason,
            "all that this process may use"
        );
        assert_eq!(chosen(&[0, 1], Some(64.0), "0").data.len(), 2);
    }

    #[test]
    fn the_process_has_a_core() {
        assert!(!CpuMask::of_process().expect("affinity").cpus().is_empty());
    }
}
