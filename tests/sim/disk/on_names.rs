// SPDX-License-Identifier: Apache-2.0
//! Requests about names: small files, directories, removals.
//!
//! Invariants: a file that no name and no open file leads to is forgotten.

use furlong::model::disk::VolumeSize;

use super::{
    DirectoryEntry, Disk, DiskError, DiskOperation, DiskOutcome, Entry, Inode, Stats, parent,
};

impl Disk {
    pub(super) fn perform_on_names(
        &mut self,
        operation: DiskOperation,
        asked: u64,
        stats: &mut Stats,
    ) -> Result<DiskOutcome, DiskError> {
        match operation {
            DiskOperation::ReadFile { path } => match self.names.get(&path) {
                Some(Entry::File(number)) => Ok(DiskOutcome::FileRead {
                    contents: self.inodes[&number].current.clone(),
                }),
                _ => Err(DiskError::NotFound),
            },
            DiskOperation::ReplaceFile { path, contents } => {
                self.need_space(stats)?;
                self.replace(&path, contents)
            }
            DiskOperation::RenameFile { from, to } => {
                let Some(Entry::File(number)) = self.names.get(&from) else {
                    return Err(DiskError::NotFound);
                };
                let sequence = self.next_sequence();
                self.names.rename_file(sequence, &from, &to, number);
                stats.saw_renamed(&from, &to);
                Ok(DiskOutcome::Done)
            }
            DiskOperation::RemoveFile { path } => {
                if self.names.get(&path).is_some() {
                    let sequence = self.next_sequence();
                    self.names.change(sequence, &path, None);
                    stats.saw_removed(&path);
                }
                Ok(DiskOutcome::Done)
            }
            DiskOperation::CreateDirectory { path } => {
                if self.names.is_directory(&path) {
                    return Ok(DiskOutcome::Done);
                }
                self.need_space(stats)?;
                if !self.names.is_directory(parent(&path)) {
                    return Err(DiskError::NotFound);
                }
                self.names.change_durably(&path, Some(Entry::Directory));
                Ok(DiskOutcome::Done)
            }
            DiskOperation::SyncDirectory { path } => {
                if !self.names.is_directory(&path) {
                    return Err(DiskError::NotFound);
                }
                self.names.sync(&path, asked);
                self.sweep();
                Ok(DiskOutcome::Done)
            }
            DiskOperation::ListDirectory { path } => self.list(&path),
            DiskOperation::MeasureVolume => Ok(DiskOutcome::Volume(VolumeSize {
                total_bytes: 1 << 40,
                usable_bytes: 1 << 30,
            })),
            DiskOperation::RemoveDirectory { path } => {
                self.remove_directory(&path);
                Ok(DiskOutcome::Done)
            }
            _ => unreachable!("requests for open files are performed elsewhere"),
        }
    }

    pub(super) fn replace(
        &mut self,
        path: &str,
        contents: Vec<u8>,
    ) -> Result<DiskOutcome, DiskError> {
        if !self.names.is_directory(parent(path)) {
            return Err(DiskError::NotFound);
        }
        let number = self.next_sequence();
        self.inodes.insert(number, Inode::durable(contents));
        self.names.change_durably(path, Some(Entry::File(number)));
        self.sweep();
        Ok(DiskOutcome::Done)
    }

    pub(super) fn list(&self, path: &str) -> Result<DiskOutcome, DiskError> {
        if !self.names.is_directory(path) {
            return Err(DiskError::NotFound);
        }
        let entries = self.names.list(path).into_iter();
        let entries = entries.map(|(name, entry)| DirectoryEntry {
            name: name.into_boxed_str(),
            is_directory: entry == Entry::Directory,
            len_bytes: match entry {
                Entry::Directory => 0,
                Entry::File(number) => self.inodes[&number].current.len() as u64,
            },
        });
        Ok(DiskOutcome::Listed {
            entries: entries.collect(),
        })
    }

    pub(super) fn remove_directory(&mut self, path: &str) {
        for below in self.names.below(path) {
            self.names.change_durably(&below, None);
        }
        self.names.change_durably(path, None);
        self.sweep();
    }

    /// Forgets files that no name and no open file leads to.
    pub(super) fn sweep(&mut self) {
        let named = self.names.inodes();
        let open: Vec<u64> = self.open.values().map(|(number, _)| *number).collect();
        self.inodes
            .retain(|number, _| named.contains(number) || open.contains(number));
    }
}
