// SPDX-License-Identifier: Apache-2.0
//! How much disk the partitions of a data directory hold beyond their records: the zeros that are
//! written ahead of each log.
//!
//! Owns: nothing. Invariants: what cannot be read is left out; nothing is changed.
//! Runs on: the command that checks a machine. Bounded by: the segment files, one at a time.

use std::fs;
use std::path::{Path, PathBuf};

use super::findings::Finding;
use crate::io::zero_tail::zero_tail_bytes;
use crate::limits::{IDLE_PARTITION_DISK_BYTES_MAX, WRITE_AHEAD_BYTES_MAX};
use crate::log::segment::{FileKind, parse_file_name};

/// What the partitions of this directory hold, if there are any.
#[must_use]
pub fn of_directory(directory: &Path) -> Option<Finding> {
    let newest: Vec<PathBuf> = entries(directory)
        .into_iter()
        .filter_map(|path| newest_segment(&path))
        .collect();
    if newest.is_empty() {
        return None;
    }
    let held = newest.iter().filter_map(|path| zero_tail_bytes(path).ok());
    Some(Finding::fact(sentence(newest.len(), held.sum())))
}

fn sentence(partitions: usize, held_bytes: u64) -> String {
    format!(
        "written ahead of the records: {} KiB in {partitions} partitions (at most {} KiB in one \
         that is quiet and {} MiB in one that is busy; a clean stop gives all of it back)",
        held_bytes / 1024,
        IDLE_PARTITION_DISK_BYTES_MAX / 1024,
        WRITE_AHEAD_BYTES_MAX >> 20
    )
}

/// The segment of a partition's directory that takes the appends.
fn newest_segment(directory: &Path) -> Option<PathBuf> {
    let segments = entries(directory).into_iter().filter_map(|path| {
        let (base_offset, kind) = parse_file_name(path.file_name()?.to_str()?)?;
        (kind == FileKind::Log).then_some((base_offset, path))
    });
    segments.max().map(|(_, path)| path)
}

/// What is in a directory; nothing where it cannot be read or is none.
fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.flatten().map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_segment_of_each_partition_counts() {
        let root = tempfile::tempdir().expect("a temporary directory");
        assert_eq!(of_directory(root.path()), None);
        for partition in ["a-0", "a-1"] {
            let directory = root.path().join(partition);
            fs::create_dir(&directory).expect("make");
            for (base, len) in [(0, 1 << 20), (7, 65_536)] {
                let path = directory.join(format!("{base:020}.log"));
                fs::write(&path, vec![0; len]).expect("write");
                fs::File::open(&path)
                    .and_then(|file| file.sync_all())
                    .expect("blocks are given at the latest now");
            }
            fs::write(directory.join("leader-epoch-checkpoint"), "0").expect("write");
        }
        let found = of_directory(root.path()).expect("two partitions");
        assert_eq!(found.sentence, sentence(2, 2 * 65_536));
    }
}
