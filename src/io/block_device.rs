// SPDX-License-Identifier: Apache-2.0
//! The disks under a file system, as `/sys` tells them.
//!
//! Owns: [`Disk`]. Invariants: what `/sys` does not tell stays unknown; a partition is answered for
//! by its disk, and a device made of others by those.
//! Runs on: boot. Bounded by: `LAYERS_MAX` and `DISKS_MAX`.

use std::fs;
use std::path::{Path, PathBuf};

/// Devices on top of each other (a volume on an array on a partition) that are looked through.
const LAYERS_MAX: usize = 5;

/// Disks that are listed.
const DISKS_MAX: usize = 16;

/// One disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The kernel's name for it: `sda`, `nvme0n1`.
    pub name: String,
    /// The scheduler in use.
    pub scheduler: Option<String>,
    /// True if it says that it turns. Many virtual disks do.
    pub rotational: Option<bool>,
    /// `write back` if it has a cache that a flush empties, else `write through`.
    pub write_cache: Option<String>,
}

/// The kernel's name of a block device.
#[must_use]
pub fn name(device: (u32, u32)) -> Option<String> {
    let path = resolve(device)?;
    Some(path.file_name()?.to_string_lossy().into_owned())
}

/// The disks below a block device. Empty where the file system is on none.
#[must_use]
pub fn disks(device: (u32, u32)) -> Vec<Disk> {
    let mut found = Vec::new();
    if let Some(path) = resolve(device) {
        gather(&path, LAYERS_MAX, &mut found);
    }
    found
}

fn resolve((major, minor): (u32, u32)) -> Option<PathBuf> {
    fs::canonicalize(format!("/sys/dev/block/{major}:{minor}")).ok()
}

fn gather(path: &Path, layers: usize, found: &mut Vec<Disk>) {
    // A partition is a directory in that of its disk.
    let path = match path.parent() {
        Some(parent) if path.join("partition").exists() => parent,
        _ => path,
    };
    let below = fs::read_dir(path.join("slaves")).into_iter().flatten();
    let below: Vec<PathBuf> = below
        .flatten()
        .filter_map(|entry| fs::canonicalize(entry.path()).ok())
        .collect();
    if layers > 0 && !below.is_empty() {
        return below
            .iter()
            .for_each(|path| gather(path, layers - 1, found));
    }
    let disk = read(path);
    if found.len() < DISKS_MAX && !found.contains(&disk) {
        found.push(disk);
    }
}

fn read(path: &Path) -> Disk {
    let queue = |name: &str| {
        let text = fs::read_to_string(path.join("queue").join(name)).ok()?;
        Some(text.trim().to_owned())
    };
    Disk {
        name: path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default(),
        scheduler: queue("scheduler").and_then(|text| chosen(&text)),
        rotational: queue("rotational").map(|text| text == "1"),
        write_cache: queue("write_cache"),
    }
}

/// The word in brackets, or the only word.
fn chosen(schedulers: &str) -> Option<String> {
    let mut words = schedulers.split_whitespace();
    let bracketed = words
        .clone()
        .find_map(|word| word.strip_prefix('[')?.strip_suffix(']'));
    bracketed.or(words.next()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheduler_in_use_stands_in_brackets() {
        assert_eq!(
            chosen("none [mq-deadline] kyber bfq").as_deref(),
            Some("mq-deadline")
        );
        assert_eq!(chosen("[none] mq-deadline").as_deref(), Some("none"));
        assert_eq!(chosen("none").as_deref(), Some("none"));
        assert_eq!(chosen(""), None);
    }

    #[test]
    fn partitions_and_layers_lead_to_their_disks() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let disk = root.path().join("sda");
        let part = disk.join("sda1");
        let volume = root.path().join("dm-0");
        for directory in [&disk.join("queue"), &part, &volume.join("slaves")] {
            fs::create_dir_all(directory).expect("directories");
        }
        fs::write(part.join("partition"), "1\n").expect("write");
        fs::write(disk.join("queue/scheduler"), "none [bfq]\n").expect("write");
        fs::write(disk.join("queue/write_cache"), "write back\n").expect("write");
        std::os::unix::fs::symlink(&part, volume.join("slaves/sda1")).expect("link");
        let mut found = Vec::new();
        gather(&volume, LAYERS_MAX, &mut found);
        gather(&part, LAYERS_MAX, &mut found);
        let expected = Disk {
            name: "sda".into(),
            scheduler: Some("bfq".into()),
            rotational: None,
            write_cache: Some("write back".into()),
        };
        assert_eq!(found, [expected]);
    }

    #[test]
    fn a_device_that_is_not_there_has_no_disk() {
        assert_eq!(disks((0, 21)), []);
        assert_eq!(name((4095, 1)), None);
    }
}
