// SPDX-License-Identifier: Apache-2.0
//! How much memory this process may have: what the machine has, or less if a control group says so.
//!
//! Owns: [`MemoryLimit`]. Invariants: every group from the process's own up to the root is asked,
//! in both versions of control groups, and the least answer counts; what cannot be read limits
//! nothing.
//! Runs on: boot. Bounded by: a few small files of the kernel.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// Limits at or above this mean that there is none (the kernel rounds its "unlimited" to pages).
const UNLIMITED_BYTES: u64 = 1 << 62;

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
    /// The limit of this process.
    #[must_use]
    pub fn of_process() -> MemoryLimit {
        MemoryLimit::find(|path| fs::read_to_string(path).ok())
    }

    /// Likewise, with the kernel's files read by `read`.
    fn find(read: impl Fn(&Path) -> Option<String>) -> MemoryLimit {
        let text = |path: &str| read(Path::new(path)).unwrap_or_default();
        let mut least = MemoryLimit {
            bytes: physical_bytes(&text("/proc/meminfo")).unwrap_or(PHYSICAL_BYTES_UNKNOWN),
            source: MemorySource::Physical,
        };
        let mounts = text("/proc/self/mountinfo");
        for group in groups(&text("/proc/self/cgroup"), &mounts) {
            for file in group.files() {
                let bytes = read(&file).as_deref().and_then(limit_bytes);
                if let Some(bytes) = bytes.filter(|bytes| *bytes < least.bytes) {
                    let source = MemorySource::Cgroup(file);
                    least = MemoryLimit { bytes, source };
                }
            }
        }
        least
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

/// The number in a limit file; nothing for "max" and for a number that limits nothing.
fn limit_bytes(text: &str) -> Option<u64> {
    let bytes = text.trim().parse::<u64>().ok()?;
    (bytes < UNLIMITED_BYTES).then_some(bytes)
}

/// A control group as it is mounted here.
#[derive(Debug, PartialEq, Eq)]
struct Group {
    mount_point: PathBuf,
    directory: PathBuf,
    file: &'static str,
}

impl Group {
    /// Its limit file and those of the groups above it.
    fn files(&self) -> impl Iterator<Item = PathBuf> {
        let above = self.directory.ancestors();
        above
            .take_while(|directory| directory.starts_with(&self.mount_point))
            .map(|directory| directory.join(self.file))
    }
}

/// The groups of a process that may limit its memory, from `/proc/self/cgroup` and
/// `/proc/self/mountinfo`.
fn groups(membership: &str, mounts: &str) -> Vec<Group> {
    let mut groups = Vec::new();
    for line in membership.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let (kind, file) = if controllers.is_empty() {
            ("cgroup2", "memory.max")
        } else if controllers.split(',').any(|one| one == "memory") {
            ("cgroup", "memory.limit_in_bytes")
        } else {
            continue;
        };
        let mounted = mounts.lines().filter_map(|line| Mount::parse(line, kind));
        groups.extend(mounted.map(|mount| Group {
            directory: mount.directory_of(path),
            mount_point: mount.point,
            file,
        }));
    }
    groups
}

/// Where a hierarchy of control groups is mounted.
struct Mount {
    /// The group that the mount point shows.
    root: PathBuf,
    point: PathBuf,
}

impl Mount {
    /// Reads one line of `mountinfo` (`proc(5)`); nothing if it is no mount of this kind.
    fn parse(line: &str, kind: &str) -> Option<Mount> {
        let (before, after) = line.split_once(" - ")?;
        let mut after = after.split(' ');
        if after.next()? != kind {
            return None;
        }
        let options = after.nth(1).unwrap_or("");
        if kind == "cgroup" && !options.split(',').any(|option| option == "memory") {
            return None;
        }
        let mut before = before.split(' ').skip(3);
        Some(Mount {
            root: unescape(before.next()?).into(),
            point: unescape(before.next()?).into(),
        })
    }

    /// Where the group at `path` shows. One that lies outside of what is mounted (a container that
    /// sees the host's paths) is that of the mount point.
    fn directory_of(&self, path: &str) -> PathBuf {
        match Path::new(path).strip_prefix(&self.root) {
            Ok(below) => self.point.join(below),
            Err(_) => self.point.clone(),
        }
    }
}

/// The kernel writes blanks in paths as octal numbers.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ")
        .replace("\\011", "\t")
        .replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const MEMINFO: &str = "MemTotal:       16384 kB\nMemFree:         1 kB\n";
    const MIB: u64 = 1024 * 1024;

    /// The limit in a world of these files.
    fn limit(files: &[(&str, &str)]) -> MemoryLimit {
        let files: BTreeMap<&str, &str> = files.iter().copied().collect();
        MemoryLimit::find(|path| Some((*files.get(path.to_str()?)?).to_owned()))
    }

    fn is_from(limit: &MemoryLimit, path: &str) -> bool {
        limit.source == MemorySource::Cgroup(path.into())
    }

    #[test]
    fn a_machine_without_groups_has_its_physical_memory() {
        let found = limit(&[("/proc/meminfo", MEMINFO)]);
        assert_eq!(
            (found.bytes, found.source),
            (16 * MIB, MemorySource::Physical)
        );
        assert_eq!(limit(&[]).bytes, PHYSICAL_BYTES_UNKNOWN);
    }

    #[test]
    fn version_2_is_walked_up_to_the_root() {
        let world = |own: &'static str, slice: &'static str| {
            limit(&[
                ("/proc/meminfo", MEMINFO),
                ("/proc/self/cgroup", "0::/system.slice/furlong.service\n"),
                (
                    "/proc/self/mountinfo",
                    "30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
                ),
                (
                    "/sys/fs/cgroup/system.slice/furlong.service/memory.max",
                    own,
                ),
                ("/sys/fs/cgroup/system.slice/memory.max", slice),
            ])
        };
        let found = world("8388608\n", "max\n");
        assert_eq!(found.bytes, 8 * MIB);
        assert!(is_from(
            &found,
            "/sys/fs/cgroup/system.slice/furlong.service/memory.max"
        ));
        let found = world("max\n", "4194304\n");
        assert_eq!(found.bytes, 4 * MIB);
        assert!(is_from(&found, "/sys/fs/cgroup/system.slice/memory.max"));
        assert_eq!(world("max\n", "max\n").source, MemorySource::Physical);
        assert_eq!(
            world("999999999999\n", "max\n").bytes,
            16 * MIB,
            "more than there is"
        );
    }

    #[test]
    fn version_1_is_found_by_its_controller() {
        let found = limit(&[
            ("/proc/meminfo", MEMINFO),
            (
                "/proc/self/cgroup",
                "5:cpu,cpuacct:/other\n4:hugetlb,memory:/a/b\n0::/\n",
            ),
            (
                "/proc/self/mountinfo",
                "34 31 0:31 / /cg/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct\n\
                 35 31 0:32 / /cg/memory rw,relatime - cgroup cgroup rw,hugetlb,memory\n",
            ),
            (
                "/cg/memory/a/b/memory.limit_in_bytes",
                "9223372036854771712\n",
            ),
            ("/cg/memory/a/memory.limit_in_bytes", "2097152\n"),
            ("/cg/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("/cg/cpu/other/memory.limit_in_bytes", "4096\n"),
        ]);
        assert_eq!(found.bytes, 2 * MIB);
        assert!(is_from(&found, "/cg/memory/a/memory.limit_in_bytes"));
    }

    #[test]
    fn a_container_that_sees_the_paths_of_its_host_finds_its_own_group() {
        // The mount shows the container's group only; the path names it from the host's root.
        let mount = "35 31 0:32 /docker/7f /cg rw - cgroup2 cgroup rw\n";
        let files = |path: &'static str| {
            [
                ("/proc/meminfo", MEMINFO),
                ("/proc/self/cgroup", path),
                ("/proc/self/mountinfo", mount),
                ("/cg/memory.max", "1048576"),
                ("/cg/deep/memory.max", "524288"),
            ]
        };
        assert_eq!(limit(&files("0::/docker/7f\n")).bytes, MIB);
        assert_eq!(limit(&files("0::/docker/7f/deep\n")).bytes, MIB / 2);
        assert_eq!(
            limit(&files("0::/elsewhere\n")).bytes,
            MIB,
            "outside of the mount"
        );
    }

    #[test]
    fn broken_files_limit_nothing() {
        for text in [
            "",
            "max",
            "-1",
            "many",
            "9223372036854771712",
            "99999999999999999999999",
        ] {
            assert_eq!(limit_bytes(text), None, "{text}");
        }
        assert_eq!(limit_bytes(" 4096\n"), Some(4096));
        assert_eq!(physical_bytes("MemTotal: many kB\n"), None);
        assert!(groups("nonsense\n::\n0:\n", "nonsense - cgroup2\n").is_empty());
    }

    #[test]
    fn a_blank_in_a_path_is_understood() {
        let line = "30 23 0:26 / /my\\040groups rw - cgroup2 cgroup2 rw";
        let mount = Mount::parse(line, "cgroup2").expect("a mount");
        assert_eq!(mount.directory_of("/a b"), Path::new("/my groups/a b"));
    }

    #[test]
    fn this_machine_has_memory() {
        let found = MemoryLimit::of_process();
        assert!(found.bytes > 64 * MIB, "{found:?}");
        assert!(!found.source.to_string().is_empty());
    }
}
