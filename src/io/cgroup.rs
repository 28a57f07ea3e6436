// SPDX-License-Identifier: Apache-2.0
//! What the control groups of this process leave it: CPU time and memory, of either version.
//!
//! Owns: [`Limits`]. Invariants: the smallest limit on the way from the process's group up to the
//! root of what is mounted counts; what cannot be read limits nothing.
//! Runs on: boot. Bounded by: the depth of the groups, at most `DEPTH_MAX` of them.

use std::fs;
use std::path::{Path, PathBuf};

use super::mounts::{self, Mount};

/// Groups inside each other that are looked at.
const DEPTH_MAX: usize = 64;

/// Limits above this are none: version 1 writes the largest multiple of a page that fits 63 bits.
const MEMORY_BYTES_PLAUSIBLE_MAX: u64 = 1 << 60;

/// The limits of the process's groups.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    /// CPUs whose time may be used; with a fraction, since it is a quota of time.
    pub cpus: Option<f64>,
    /// Memory in bytes, and the file that says so.
    pub memory: Option<(u64, PathBuf)>,
}

impl Limits {
    /// Those of this process.
    #[must_use]
    pub fn of_process() -> Limits {
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mounts = mounts::read().unwrap_or_default();
        Limits::find(&groups, &mounts, &|path| fs::read_to_string(path).ok())
    }

    fn find(groups: &str, mounts: &[Mount], read: &dyn Fn(&Path) -> Option<String>) -> Limits {
        let groups: Vec<Group> = groups.lines().filter_map(Group::parse).collect();
        let mut limits = Limits::default();
        for group in &groups {
            for path in group.directories(mounts) {
                let file = |name: &str| read(&path.join(name));
                limits.take_cpus(if group.is_unified() {
                    file("cpu.max").and_then(|text| quota(&text))
                } else {
                    version_1_quota(file("cpu.cfs_quota_us"), file("cpu.cfs_period_us"))
                });
                for name in ["memory.max", "memory.high", "memory.limit_in_bytes"] {
                    limits
                        .take_memory(file(name).and_then(|text| bytes(&text)), || path.join(name));
                }
            }
        }
        limits
    }

    fn take_cpus(&mut self, cpus: Option<f64>) {
        self.cpus = match (self.cpus, cpus) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }

    fn take_memory(&mut self, bytes: Option<u64>, file: impl FnOnce() -> PathBuf) {
        let Some(bytes) = bytes else { return };
        if self.memory.as_ref().is_none_or(|(least, _)| bytes < *least) {
            self.memory = Some((bytes, file()));
        }
    }
}

/// One line of `/proc/self/cgroup`: in which group the process is, of one hierarchy.
struct Group<'a> {
    controllers: &'a str,
    path: &'a str,
}

impl<'a> Group<'a> {
    /// `4:memory:/path`, or `0::/path` for version 2.
    fn parse(line: &'a str) -> Option<Group<'a>> {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        Some(Group { controllers, path })
    }

    fn is_unified(&self) -> bool {
        self.controllers.is_empty()
    }

    fn is_of(&self, mount: &Mount) -> bool {
        if self.is_unified() {
            return mount.kind == "cgroup2";
        }
        let mut controllers = self.controllers.split(',');
        mount.kind == "cgroup" && controllers.all(|one| mount.has_option(one))
    }

    /// The directories of this group and those above it, as far as they are mounted here. In a
    /// container the group's path often says where it is on the host: then what is mounted is the
    /// group itself.
    fn directories(&self, mounts: &[Mount]) -> Vec<PathBuf> {
        let Some(mount) = mounts.iter().find(|mount| self.is_of(mount)) else {
            return Vec::new();
        };
        let below = Path::new(self.path)
            .strip_prefix(&mount.root)
            .unwrap_or(Path::new(""));
        let point = Path::new(&mount.point);
        let group = point.join(below);
        group
            .ancestors()
            .take_while(|path| path.starts_with(point))
            .take(DEPTH_MAX)
            .map(Path::to_path_buf)
            .collect()
    }
}

/// `max 100000` or `150000 100000`: microseconds in each period.
fn quota(text: &str) -> Option<f64> {
    let mut words = text.split_whitespace();
    let (quota, period) = (words.next()?, words.next()?);
    cpus(quota, period)
}

fn version_1_quota(quota: Option<String>, period: Option<String>) -> Option<f64> {
    cpus(quota?.trim(), period?.trim())
}

/// Version 1 writes -1 for no quota, version 2 a word.
fn cpus(quota: &str, period: &str) -> Option<f64> {
    let (quota, period): (f64, f64) = (quota.parse().ok()?, period.parse().ok()?);
    (quota > 0.0 && period > 0.0).then_some(quota / period)
}

fn bytes(text: &str) -> Option<u64> {
    let bytes: u64 = text.trim().parse().ok()?;
    (bytes < MEMORY_BYTES_PLAUSIBLE_MAX).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn find(groups: &str, mounts: &str, files: &[(&str, &str)]) -> Limits {
        let files: BTreeMap<&str, &str> = files.iter().copied().collect();
        let read = |path: &Path| {
            let path = path.to_str().expect("UTF-8");
            files.get(path).map(|text| (*text).to_owned())
        };
        Limits::find(groups, &mounts::parse(mounts), &read)
    }

    #[test]
    fn version_2_counts_the_tightest_limit_on_the_way_up() {
        let mounts = "30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        let files = [
            ("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n"),
            ("/sys/fs/cgroup/a/cpu.max", "150000 100000\n"),
            ("/sys/fs/cgroup/a/b/memory.max", "8589934592\n"),
            ("/sys/fs/cgroup/a/b/memory.high", "max\n"),
            ("/sys/fs/cgroup/a/memory.high", "4294967296\n"),
        ];
        let limits = find("0::/a/b\n", mounts, &files);
        assert_eq!(limits.cpus, Some(1.5));
        let file = PathBuf::from("/sys/fs/cgroup/a/memory.high");
        assert_eq!(limits.memory, Some((4 << 30, file)));
        let other = find("0::/c\n", mounts, &files);
        assert_eq!(other, Limits::default());
    }

    #[test]
    fn version_1_knows_its_hierarchies_apart() {
        let mounts = "31 1 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
                      32 1 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        let files = [
            ("/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us", "50000\n"),
            ("/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us", "100000\n"),
            ("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n"),
            ("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
            (
                "/sys/fs/cgroup/memory/y/memory.limit_in_bytes",
                "1073741824\n",
            ),
            (
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                "9223372036854771712\n",
            ),
        ];
        let groups = "9:name=systemd:/z\n5:cpu,cpuacct:/x\n4:memory:/y\n0::/\n";
        let limits = find(groups, mounts, &files);
        assert_eq!(limits.cpus, Some(0.5));
        let file = PathBuf::from("/sys/fs/cgroup/memory/y/memory.limit_in_bytes");
        assert_eq!(limits.memory, Some((1 << 30, file)));
    }

    #[test]
    fn inside_a_container_the_mount_is_the_group() {
        let mounts = "31 1 0:28 /docker/f00 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        let files = [("/sys/fs/cgroup/memory/memory.limit_in_bytes", "536870912\n")];
        for groups in ["4:memory:/docker/f00\n", "4:memory:/elsewhere\n"] {
            let limits = find(groups, mounts, &files);
            let bytes = limits.memory.map(|(bytes, _)| bytes);
            assert_eq!(bytes, Some(512 << 20), "{groups}");
        }
    }

    #[test]
    fn nonsense_limits_nothing() {
        let mounts = "30 1 0:26 / /c rw - cgroup2 cgroup2 rw\n";
        for text in ["", "max", "x 1", "-1 100000", "1 0", "\n"] {
            let limits = find("0::/\n", mounts, &[("/c/cpu.max", text)]);
            assert_eq!(limits.cpus, None, "{text}");
        }
        assert_eq!(find("x\n0:\n", mounts, &[]), Limits::default());
    }
}
