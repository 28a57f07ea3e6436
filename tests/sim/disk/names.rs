// SPDX-License-Identifier: Apache-2.0
//! Which name leads to which file: what a reader of directories sees, and what would survive a
//! power cut.
//!
//! Invariants: a name made or removed is durable only after a sync of its directory that was asked
//! afterwards; a directory made or removed is durable when done; the data directory itself is
//! always there.

use std::collections::{BTreeMap, BTreeSet};

use crate::prng::Prng;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A directory.
    Directory,
    /// A file, by its inode number.
    File(u64),
}

struct NameChange {
    sequence: u64,
    path: String,
    to: Option<Entry>,
}

/// All names of the data directory, by relative path.
#[derive(Default)]
pub struct Names {
    current: BTreeMap<String, Entry>,
    durable: BTreeMap<String, Entry>,
    pending: Vec<NameChange>,
}

/// The directory part of a path; empty for the data directory.
pub fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(directory, _)| directory)
}

fn is_below(path: &str, directory: &str) -> bool {
    directory.is_empty()
        || path
            .strip_prefix(directory)
            .is_some_and(|rest| rest.starts_with('/'))
}

impl Names {
    /// What a path leads to.
    pub fn get(&self, path: &str) -> Option<Entry> {
        self.current.get(path).copied()
    }

    /// True if this is a directory now.
    pub fn is_directory(&self, path: &str) -> bool {
        path.is_empty() || self.get(path) == Some(Entry::Directory)
    }

    /// A file was made, replaced or removed; durable after the next sync of its directory.
    pub fn change(&mut self, sequence: u64, path: &str, to: Option<Entry>) {
        assign(&mut self.current, path, to);
        self.pending.push(NameChange {
            sequence,
            path: path.to_owned(),
            to,
        });
    }

    /// A file gets another name in its directory: after a power cut it has the old one, the new
    /// one, or (the two are no transaction here) both or none.
    pub fn rename_file(&mut self, sequence: u64, from: &str, to: &str, number: u64) {
        self.change(sequence, from, None);
        self.change(sequence, to, Some(Entry::File(number)));
    }

    /// A name that is durable at once.
    pub fn change_durably(&mut self, path: &str, to: Option<Entry>) {
        assign(&mut self.current, path, to);
        assign(&mut self.durable, path, to);
        self.pending.retain(|change| change.path != path);
    }

    /// A sync of a directory ended: changes that had completed before `asked` are durable.
    pub fn sync(&mut self, directory: &str, asked: u64) {
        let durable = &mut self.durable;
        self.pending.retain(|change| {
            let covered = parent(&change.path) == directory && change.sequence < asked;
            if covered {
                assign(durable, &change.path, change.to);
            }
            !covered
        });
    }

    /// The direct entries of a directory, sorted, with the last part of their path as name.
    pub fn list(&self, directory: &str) -> Vec<(String, Entry)> {
        let skip = if directory.is_empty() {
            0
        } else {
            directory.len() + 1
        };
        self.current
            .iter()
            .filter(|(path, _)| parent(path) == directory)
            .map(|(path, entry)| (path[skip..].to_owned(), *entry))
            .collect()
    }

    /// All paths below a directory, itself not included.
    pub fn below(&self, directory: &str) -> Vec<String> {
        let all = self.current.keys().chain(self.durable.keys());
        let below: BTreeSet<&String> = all.filter(|path| is_below(path, directory)).collect();
        below.into_iter().cloned().collect()
    }

    /// Renames a directory with all below it, durably.
    pub fn rename_directory(&mut self, from: &str, to: &str) {
        let renamed = |path: &str| format!("{to}{}", &path[from.len()..]);
        for names in [&mut self.current, &mut self.durable] {
            let moved: Vec<String> = names
                .keys()
                .filter(|path| *path == from || is_below(path, from))
                .cloned()
                .collect();
            for path in moved {
                let entry = names.remove(&path).expect("listed a moment ago");
                names.insert(renamed(&path), entry);
            }
        }
        for change in &mut self.pending {
            if is_below(&change.path, from) {
                change.path = renamed(&change.path);
            }
        }
    }

    /// The power failed: every change that was not synced is there or not.
    pub fn power_cut(&mut self, prng: &mut Prng) {
        for change in self.pending.drain(..) {
            let parent = parent(&change.path);
            let has_home = parent.is_empty() || self.durable.contains_key(parent);
            if has_home && prng.chance(500) {
                assign(&mut self.durable, &change.path, change.to);
            }
        }
        self.current.clone_from(&self.durable);
    }

    /// Inode numbers that a name leads to, now or after a power cut.
    pub fn inodes(&self) -> BTreeSet<u64> {
        let pending = self.pending.iter().filter_map(|change| change.to);
        let all = self.current.values().chain(self.durable.values()).copied();
        all.chain(pending)
            .filter_map(|entry| match entry {
                Entry::File(inode) => Some(inode),
                Entry::Directory => None,
            })
            .collect()
    }
}

fn assign(names: &mut BTreeMap<String, Entry>, path: &str, to: Option<Entry>) {
    match to {
        Some(entry) => names.insert(path.to_owned(), entry),
        None => names.remove(path),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prng::Salt;

    fn names() -> Names {
        let mut names = Names::default();
        names.change_durably("a-0", Some(Entry::Directory));
        names.change(1, "a-0/x", Some(Entry::File(1)));
        names
    }

    #[test]
    fn a_name_survives_a_power_cut_for_sure_only_after_a_sync() {
        let mut met = [false; 2];
        for seed in 0..50 {
            let mut names = names();
            names.power_cut(&mut Prng::new(seed, Salt::Disk));
            met[usize::from(names.get("a-0/x").is_some())] = true;
            let mut names = self::names();
            names.sync("a-0", 2);
            names.change(3, "a-0/y", Some(Entry::File(2)));
            names.sync("a-0", 3);
            names.power_cut(&mut Prng::new(seed, Salt::Disk));
            assert_eq!(names.get("a-0/x"), Some(Entry::File(1)));
            met[usize::from(names.get("a-0/y").is_some())] = true;
        }
        assert_eq!(met, [true; 2]);
    }

    #[test]
    fn a_directory_is_renamed_with_all_below_it() {
        let mut names = names();
        names.change_durably("a-00", Some(Entry::Directory));
        names.rename_directory("a-0", "a-0-delete");
        assert_eq!(names.get("a-0-delete/x"), Some(Entry::File(1)));
        assert!(names.is_directory("a-00") && !names.is_directory("a-0"));
        assert_eq!(names.below("a-0-delete"), ["a-0-delete/x"]);
        assert_eq!(names.list("").len(), 2);
        assert_eq!(names.list("a-0-delete")[0].0, "x");
    }
}
