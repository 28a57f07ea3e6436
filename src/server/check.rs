// SPDX-License-Identifier: Apache-2.0
//! Looks at the machine and the data directory as a start does, without starting.
//!
//! Owns: nothing. Invariants: nothing is left behind, and a broker that runs on the directory is
//! not disturbed: no lock, nothing made but a temporary file.
//! Runs on: the main thread. Bounded by: one look.

use std::path::{Path, PathBuf};

use super::boot;
use super::disk_ahead;
use super::findings::{self, Finding};
use super::storage_findings;
use crate::config::server::ServerConfig;
use crate::io::machine::Machine;
use crate::io::storage_probe::Storage;
use crate::io::{priority, process};

/// All that a start would say, and what would keep it from serving.
///
/// # Errors
/// A sentence, when the settings ask for cores that cannot be.
pub fn check(config: &ServerConfig) -> Result<Vec<Finding>, String> {
    // As the start does; what is found afterwards counts.
    let _ = process::raise_descriptor_limit();
    let (cpus, placement) = boot::place(config)?;
    let machine = Machine::inspect(&cpus);
    let mut found = findings::of_machine(&machine, placement.data.len());
    let shards = u16::try_from(placement.data.len()).map_err(|_| "too many shards")?;
    found.push(Finding::fact(placement.sentence()));
    found.push(match boot::divide_memory(config, &machine.memory, shards) {
        Ok((_, notice)) => Finding::fact(notice),
        Err(sentence) => Finding::obstacle(sentence),
    });
    if let Ok(nice) = priority::raise_nice(config.nice) {
        found.extend(findings::of_priority(nice, machine.autogrouped));
    }
    let path = Path::new(&config.data_directory);
    found.extend(directory(path));
    found.sort_by_key(|finding| finding.weight);
    Ok(found)
}

/// The directory, or where it would be made.
fn directory(wanted: &Path) -> Vec<Finding> {
    let name = wanted.display();
    let Some(there) = nearest(wanted) else {
        return vec![Finding::obstacle(format!(
            "the data directory {name} cannot be made; name another with --data"
        ))];
    };
    let mut found = Vec::new();
    if there != wanted {
        found.push(Finding::fact(format!(
            "the data directory {name} is not there yet; {} was looked at",
            there.display()
        )));
    }
    found.extend(match Storage::probe(&there) {
        Ok(storage) => storage_findings::of_storage(&there, &storage),
        Err(error) => vec![Finding::obstacle(format!(
            "cannot write in {}: {error}; name another data directory with --data",
            there.display()
        ))],
    });
    found.extend(disk_ahead::of_directory(wanted));
    found
}

/// The directory itself or the nearest one above it that exists. None if a file is in the way.
fn nearest(wanted: &Path) -> Option<PathBuf> {
    let here = Path::new(".");
    let above = wanted.ancestors().map(|path| {
        if path.as_os_str().is_empty() {
            here
        } else {
            path
        }
    });
    let there = above.into_iter().find(|path| path.exists())?;
    there.is_dir().then(|| there.to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::findings::Weight;

    fn config(directory: &Path) -> ServerConfig {
        let flags = [format!("log.dirs={}", directory.display())];
        ServerConfig::parse("", &flags).expect("good settings")
    }

    #[test]
    fn a_directory_is_looked_at_and_not_changed() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let deep = root.path().join("not").join("yet");
        for directory in [root.path(), &deep] {
            let found = check(&config(directory)).expect("cores");
            assert!(
                found.iter().all(|one| one.weight != Weight::Obstacle),
                "{found:?}"
            );
            let said = found
                .iter()
                .any(|one| one.sentence.contains("flush latency"));
            assert!(said, "{found:?}");
            let memory = found
                .iter()
                .filter(|one| one.sentence.starts_with("memory: "));
            assert_eq!(memory.count(), 1, "{found:?}");
        }
        let left = std::fs::read_dir(root.path()).expect("list").count();
        assert_eq!(left, 0);
    }

    #[test]
    fn a_file_in_the_way_is_an_obstacle() {
        let found = check(&config(Path::new("/dev/null/data"))).expect("cores");
        let last = found.last().expect("something was found");
        assert_eq!(last.weight, Weight::Obstacle);
        assert!(last.sentence.contains("/dev/null/data"), "{last}");
    }
}
