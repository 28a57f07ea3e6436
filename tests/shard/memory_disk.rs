// SPDX-License-Identifier: Apache-2.0
//! A disk in memory that does what it is asked.
//!
//! Owns: files and directories of one broker. Invariants: completions keep the order of the
//! requests; requests that a test holds back stay in order too. Runs on: the test's thread.
//! Bounded by: the test.

use std::collections::{BTreeMap, BTreeSet};

use furlong::model::disk::{
    DirectoryEntry, DiskCompletion, DiskError, DiskOperation, DiskOutcome, DiskRequest, FileId,
    VolumeSize,
};

/// Files by path, open files by id.
#[derive(Default)]
pub struct MemoryDisk {
    files: BTreeMap<String, Vec<u8>>,
    directories: BTreeSet<String>,
    open: BTreeMap<(u16, FileId), String>,
    /// Files cannot grow.
    pub is_full: bool,
    /// The size of the volume cannot be had.
    pub hides_volume: bool,
    /// Every flush fails with this errno.
    pub flush_error: Option<i32>,
}

impl MemoryDisk {
    /// Does what a request of a shard says.
    pub fn perform(&mut self, shard: u16, request: DiskRequest) -> DiskCompletion {
        DiskCompletion {
            token: request.token,
            result: self.operate(shard, request.operation),
        }
    }

    /// Paths of all files.
    pub fn paths(&self) -> Vec<&str> {
        self.files.keys().map(String::as_str).collect()
    }

    /// Makes a directory with one file in it.
    pub fn plant(&mut self, directory: &str) {
        self.directories.insert(directory.to_owned());
        self.files.insert(format!("{directory}/x"), vec![1]);
    }

    /// Names of all directories.
    pub fn directories(&self) -> Vec<&str> {
        self.directories.iter().map(String::as_str).collect()
    }

    /// Flips one byte of a file.
    pub fn damage(&mut self, path: &str, position: usize) {
        let file = self.files.get_mut(path).expect("the file is there");
        file[position] ^= 0x55;
    }

    fn operate(&mut self, shard: u16, operation: DiskOperation) -> Result<DiskOutcome, DiskError> {
        match operation {
            DiskOperation::Open { file, path, create } => {
                if create {
                    if self.is_full && !self.files.contains_key(&*path) {
                        return Err(DiskError::NoSpace);
                    }
                    self.files.entry(path.to_string()).or_default();
                }
                let bytes = self.files.get(&*path).ok_or(DiskError::NotFound)?;
                let len_bytes = bytes.len() as u64;
                self.open.insert((shard, file), path.into());
                Ok(DiskOutcome::Opened { len_bytes })
            }
            DiskOperation::Close { file } => {
                let path = self.open.remove(&(shard, file));
                assert!(path.is_some(), "{file:?} is not open");
                Ok(DiskOutcome::Done)
            }
            DiskOperation::Write {
                file,
                position_bytes,
                len_bytes,
                buffer,
            } => {
                let is_full = self.is_full;
                let bytes = self.bytes(shard, file)?;
                let (start, len) = (position_bytes as usize, len_bytes as usize);
                if is_full && bytes.len() < start + len {
                    return Err(DiskError::NoSpace);
                }
                if bytes.len() < start + len {
                    bytes.resize(start + len, 0);
                }
                bytes[start..start + len].copy_from_slice(&buffer.as_slice()[..len]);
                Ok(DiskOutcome::Written { buffer })
            }
            DiskOperation::Read {
                file,
                position_bytes,
                mut buffer,
            } => {
                let bytes = self.bytes(shard, file)?;
                let start = (position_bytes as usize).min(bytes.len());
                let len = (bytes.len() - start).min(buffer.len());
                buffer.as_mut_slice()[..len].copy_from_slice(&bytes[start..start + len]);
                Ok(DiskOutcome::Read {
                    buffer,
                    len_bytes: len as u32,
                })
            }
            DiskOperation::SetLength { file, len_bytes } => {
                self.bytes(shard, file)?.resize(len_bytes as usize, 0);
                Ok(DiskOutcome::Done)
            }
            DiskOperation::Flush { .. } | DiskOperation::FlushDevice => match self.flush_error {
                Some(errno) => Err(DiskError::Io(errno)),
                None => Ok(DiskOutcome::Done),
            },
            DiskOperation::WriteZeros { .. } if self.is_full => Err(DiskError::NoSpace),
            DiskOperation::WriteZeros {
                file,
                position_bytes,
                len_bytes,
            } => {
                self.write_zeros((shard, file), position_bytes as usize, len_bytes as usize);
                Ok(DiskOutcome::Done)
            }
            DiskOperation::TakeBackZeros { .. } | DiskOperation::SyncDirectory { .. } => {
                Ok(DiskOutcome::Done)
            }
            other => self.operate_on_names(other),
        }
    }

    fn write_zeros(&mut self, file: (u16, FileId), start: usize, len: usize) {
        let path = &self.open[&file];
        let bytes = self.files.get_mut(path).expect("the file is there");
        let is_behind = bytes.iter().skip(start).all(|byte| *byte == 0);
        assert!(
            is_behind || path.ends_with(".recycled"),
            "zeros over records"
        );
        bytes.resize(bytes.len().max(start + len), 0);
        bytes[start..start + len].fill(0);
    }

    fn operate_on_names(&mut self, operation: DiskOperation) -> Result<DiskOutcome, DiskError> {
        match operation {
            DiskOperation::ReadFile { path } => {
                let contents = self.files.get(&*path).ok_or(DiskError::NotFound)?.clone();
                return Ok(DiskOutcome::FileRead { contents });
            }
            DiskOperation::ReplaceFile { .. } if self.is_full => return Err(DiskError::NoSpace),
            DiskOperation::ReplaceFile { path, contents } => {
                self.files.insert(path.into(), contents);
            }
            DiskOperation::RenameFile { from, to } => {
                let bytes = self.files.remove(&*from).ok_or(DiskError::NotFound)?;
                self.files.insert(to.to_string(), bytes);
                let open = self.open.values_mut();
                open.filter(|path| ***path == *from)
                    .for_each(|path| *path = to.to_string());
            }
            DiskOperation::RemoveFile { path } => {
                self.files.remove(&*path);
            }
            DiskOperation::CreateDirectory { path } => {
                self.directories.insert(path.into());
            }
            DiskOperation::ListDirectory { path } => {
                let entries = self.list(&path)?;
                return Ok(DiskOutcome::Listed { entries });
            }
            DiskOperation::MeasureVolume if self.hides_volume => return Err(DiskError::Io(5)),
            DiskOperation::MeasureVolume => {
                return Ok(DiskOutcome::Volume(VolumeSize {
                    total_bytes: 1 << 40,
                    usable_bytes: 1 << 30,
                }));
            }
            DiskOperation::RemoveDirectory { path } => {
                let below = format!("{path}/");
                self.files.retain(|name, _| !name.starts_with(&below));
                self.directories.remove(&*path);
            }
            other => unreachable!("{other:?} works on a file"),
        }
        Ok(DiskOutcome::Done)
    }

    fn list(&self, path: &str) -> Result<Vec<DirectoryEntry>, DiskError> {
        if !path.is_empty() && !self.directories.contains(path) {
            return Err(DiskError::NotFound);
        }
        let prefix = if path.is_empty() {
            String::new()
        } else {
            format!("{path}/")
        };
        let mut entries = BTreeMap::new();
        for directory in &self.directories {
            if let Some(name) = directory.strip_prefix(&prefix) {
                entries.insert(name.to_owned(), (true, 0));
            }
        }
        for (file, bytes) in &self.files {
            match file.strip_prefix(&prefix) {
                Some(name) if !name.contains('/') => {
                    entries.insert(name.to_owned(), (false, bytes.len() as u64));
                }
                _ => {}
            }
        }
        let entries = entries.into_iter();
        let entries = entries.map(|(name, (is_directory, len_bytes))| DirectoryEntry {
            name: name.into(),
            is_directory,
            len_bytes,
        });
        Ok(entries.collect())
    }

    fn bytes(&mut self, shard: u16, file: FileId) -> Result<&mut Vec<u8>, DiskError> {
        let path = self.open.get(&(shard, file)).expect("the file is open");
        self.files.get_mut(path).ok_or(DiskError::NotFound)
    }
}
