// SPDX-License-Identifier: Apache-2.0
//! Directories that no partition of the metadata uses: what a crash in the middle of a deletion
//! leaves.
//!
//! Owns: [`Strays`]. Invariants: only what was renamed for deletion is removed; any other directory
//! that looks like a partition's is told to a person and left alone, since the metadata cannot say
//! whether it was ever deleted. The first image is not answered before the removals are done, so
//! that they never meet a new deletion.
//! Runs on: shard 0. Bounded by: the entries of the data directory.

use super::contract::{Effects, ProcessEffect};
use super::machine::Shard;
use crate::model::disk::{
    DirectoryEntry, DiskCompletion, DiskOperation, DiskOutcome, DiskQueue, DiskToken,
};
use crate::model::ids::ShardId;

/// What `DiskOperation::RemoveDirectory` appends to a directory before it empties it.
const DELETED_SUFFIX: &str = "-delete";

/// The directory of the metadata log, which belongs to the control shard.
const METADATA_DIRECTORY: &str = "__cluster_metadata-0";

/// The search for strays.
#[derive(Debug, Default)]
pub struct Strays {
    /// The slot that its disk requests carry, while it is under way.
    owner: Option<u32>,
    /// Disk requests under way.
    outstanding: u32,
    was_started: bool,
}

impl Strays {
    /// True while a disk request of the search is under way: the shard has not stopped before it
    /// ends.
    pub(super) fn is_under_way(&self) -> bool {
        self.owner.is_some()
    }

    fn ask(&mut self, owner: u32, operation: DiskOperation, disk: &mut DiskQueue) {
        let token = DiskToken {
            owner,
            operation: self.outstanding,
        };
        self.outstanding += 1;
        disk.push(token, operation);
    }
}

impl Shard {
    /// Lists the data directory, once, on the first shard. Gives the slot that the image has to
    /// wait for.
    pub(super) fn start_strays(&mut self, effects: &mut Effects) -> Option<u32> {
        if self.config.shard != ShardId(0) || self.strays.was_started {
            return None;
        }
        self.strays.was_started = true;
        let owner = self.partitions.next_slot();
        self.strays.owner = Some(owner);
        let list = DiskOperation::ListDirectory { path: "".into() };
        self.strays.ask(owner, list, &mut effects.disk);
        Some(owner)
    }

    /// Takes the completion of a request of the search; gives it back if it is another's.
    pub(super) fn take_stray_completion(
        &mut self,
        completion: DiskCompletion,
        effects: &mut Effects,
    ) -> Option<DiskCompletion> {
        if self.strays.owner != Some(completion.token.owner) {
            return Some(completion);
        }
        let owner = completion.token.owner;
        if let Ok(DiskOutcome::Listed { entries }) = completion.result {
            for entry in entries.iter().filter(|entry| entry.is_directory) {
                self.judge_directory(owner, entry, effects);
            }
        }
        // A directory that cannot be listed or removed now is found again by the next start.
        self.strays.outstanding -= 1;
        if self.strays.outstanding == 0 {
            self.strays.owner = None;
            self.finish_slot(owner);
            self.answer_images(effects);
            self.finish_stop(effects);
        }
        None
    }

    fn judge_directory(&mut self, owner: u32, entry: &DirectoryEntry, effects: &mut Effects) {
        let name = &*entry.name;
        if name.ends_with(DELETED_SUFFIX) {
            let path = name.into();
            let remove = DiskOperation::RemoveDirectory { path };
            self.strays.ask(owner, remove, &mut effects.disk);
        } else if looks_like_partition(name) && !self.has_partition(name) {
            let sentence = format!(
                "The directory {name} belongs to no partition of this cluster, perhaps because its \
                 deletion was interrupted. Nothing reads it: remove it if you do not need it."
            );
            effects.process.push(ProcessEffect::Notice {
                sentence: sentence.into(),
            });
        }
    }

    /// True if the metadata has a partition with this directory.
    fn has_partition(&self, directory: &str) -> bool {
        let Some((topic, index)) = directory.rsplit_once('-') else {
            return false;
        };
        let topic = self.image.topics.get(topic);
        let index = index.parse::<usize>().ok();
        topic.is_some_and(|topic| index.is_some_and(|index| index < topic.partitions.len()))
    }
}

/// True for `<topic>-<number>`, except the metadata log.
fn looks_like_partition(name: &str) -> bool {
    let number = name.rsplit_once('-').map(|(_, number)| number);
    name != METADATA_DIRECTORY
        && number.is_some_and(|number| {
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_partitions_look_like_partitions() {
        for name in ["a-0", "a-b-12", "-3"] {
            assert!(looks_like_partition(name), "{name}");
        }
        for name in ["a", "a-", "a-b", "a-1x", METADATA_DIRECTORY, "a-0-delete"] {
            assert!(!looks_like_partition(name), "{name}");
        }
    }
}
