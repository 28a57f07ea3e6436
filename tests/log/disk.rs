// SPDX-License-Identifier: Apache-2.0
//! A disk in memory that is as bad as a disk may be.
//!
//! Owns: [`ModelDisk`]. Fault model: requests end in any order; a crash keeps any subset of the
//! 512-byte sectors that were not covered by a flush (a flush of the device covers, of every file,
//! the sectors of blocks that were written and flushed with the file before, and no length), any
//! subset of the names that no directory sync covered, and either version of a file that was being
//! replaced; a renamed file may be left with the old name, the new one, both or none; a full disk
//! refuses writes; flushes may fail. Invariants: two writes of one block under way at once are a
//! fault of the log, and so is an unaligned request. Runs on: tests. Bounded by: the test.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use furlong::limits::BLOCK_BYTES;
use furlong::model::disk::{
    DirectoryEntry, DiskCompletion, DiskError, DiskOperation, DiskOutcome, DiskQueue, DiskRequest,
    FileId,
};

/// A small generator: good enough to choose, and the same on every machine.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 33).expect("31 bits") % limit
    }

    pub fn one_in(&mut self, limit: usize) -> bool {
        self.below(limit) == 0
    }
}

#[derive(Clone, Debug)]
enum Change {
    Write { position: usize, bytes: Vec<u8> },
    Length(usize),
}

impl Change {
    fn apply(&self, file: &mut Vec<u8>) {
        match self {
            Change::Write { position, bytes } => {
                let end = position + bytes.len();
                file.resize(file.len().max(end), 0);
                file[*position..end].copy_from_slice(bytes);
            }
            Change::Length(len) => file.resize(*len, 0),
        }
    }
}

#[derive(Clone, Debug, Default)]
struct File {
    durable: Vec<u8>,
    /// The blocks that were written and flushed with the file: only these can be overwritten
    /// without a change of metadata. Anything else inside the length is a hole.
    made: BTreeSet<usize>,
    /// What is not durable, by when it was done.
    changes: Vec<(u64, Change)>,
    /// The name survives a crash.
    named: bool,
    /// It was removed, but a crash may bring it back.
    removed: bool,
}

impl File {
    fn now(&self) -> Cow<'_, [u8]> {
        if self.changes.is_empty() {
            return Cow::Borrowed(&self.durable);
        }
        let mut file = self.durable.clone();
        self.changes
            .iter()
            .for_each(|(_, change)| change.apply(&mut file));
        Cow::Owned(file)
    }

    fn len(&self) -> usize {
        let grown = |len: usize, (_, change): &(u64, Change)| match change {
            Change::Write { position, bytes } => len.max(position + bytes.len()),
            Change::Length(len) => *len,
        };
        self.changes.iter().fold(self.durable.len(), grown)
    }

    /// Everything done before `asked` is durable.
    fn flush(&mut self, asked: u64) {
        let count = self.changes.partition_point(|(done, _)| *done < asked);
        for (_, change) in self.changes.drain(..count) {
            change.apply(&mut self.durable);
            match change {
                Change::Length(len) => self.made.retain(|block| *block < len.div_ceil(BLOCK_BYTES)),
                Change::Write { position, bytes } => {
                    let end = position + bytes.len();
                    self.made
                        .extend(position / BLOCK_BYTES..end.div_ceil(BLOCK_BYTES));
                }
            }
        }
    }

    /// The device flushed its cache: bytes are durable in the blocks that were there before.
    fn flush_overwrites(&mut self, asked: u64) {
        let mut rest = Vec::new();
        let mut is_resized = false;
        for (done, change) in std::mem::take(&mut self.changes) {
            is_resized |= matches!(change, Change::Length(_));
            match change {
                Change::Write { position, bytes } if done < asked && !is_resized => {
                    for (place, block) in bytes.chunks(BLOCK_BYTES).enumerate() {
                        let position = position + place * BLOCK_BYTES;
                        let write = Change::Write {
                            position,
                            bytes: block.to_vec(),
                        };
                        if self.made.contains(&(position / BLOCK_BYTES)) {
                            write.apply(&mut self.durable);
                        } else {
                            rest.push((done, write));
                        }
                    }
                }
                other => rest.push((done, other)),
            }
        }
        self.changes = rest;
    }

    /// Keeps any sectors of what was not flushed.
    fn crash(&mut self, dice: &mut Dice) {
        let mood = dice.below(4);
        for (_, change) in std::mem::take(&mut self.changes) {
            match change {
                Change::Length(_) if mood != 1 && dice.one_in(2) => change.apply(&mut self.durable),
                Change::Length(_) => {}
                Change::Write { position, bytes } => {
                    for (place, sector) in bytes.chunks(512).enumerate() {
                        if mood == 0 || (mood > 1 && dice.one_in(2)) {
                            let position = position + place * 512;
                            Change::Write {
                                position,
                                bytes: sector.to_vec(),
                            }
                            .apply(&mut self.durable);
                        }
                    }
                }
            }
        }
    }
}

/// A crash may leave the old name, the new one, both or none.
fn rename(files: &mut BTreeMap<String, File>, from: &str, to: &str) {
    let file = files
        .get_mut(from)
        .expect("a file that is renamed is there");
    let renamed = File {
        named: false,
        ..file.clone()
    };
    file.removed = true;
    files.insert(to.to_owned(), renamed);
}

/// The disk.
#[derive(Debug)]
pub struct ModelDisk {
    files: BTreeMap<String, File>,
    /// Files that are open and have no name any more.
    nameless: BTreeMap<String, File>,
    open: BTreeMap<FileId, String>,
    /// Requests under way, and when they were asked.
    under_way: Vec<(DiskRequest, u64)>,
    sequence: u64,
    pub dice: Dice,
    /// Bytes that segment files may hold in all.
    pub capacity: usize,
    pub fail_flushes: bool,
    /// What small files are answered with, instead of being replaced.
    pub fail_replace: Option<DiskError>,
    pub flushes: usize,
    pub device_flushes: usize,
    /// Zeros that were written ahead of logs, in bytes.
    pub zeros_ahead: usize,
    /// Files that became a segment again.
    pub recycled: usize,
    /// Zeros were asked back before they had begun.
    pub taken_back: usize,
    /// Reads that were asked for.
    pub reads: usize,
    /// Small files, like indexes, that were to be read whole.
    pub files_read: usize,
}

impl ModelDisk {
    pub fn new(seed: u64) -> ModelDisk {
        ModelDisk {
            files: BTreeMap::new(),
            nameless: BTreeMap::new(),
            open: BTreeMap::new(),
            under_way: Vec::new(),
            dice: Dice::new(seed),
            capacity: usize::MAX,
            fail_flushes: false,
            fail_replace: None,
            flushes: 0,
            device_flushes: 0,
            zeros_ahead: 0,
            taken_back: 0,
            recycled: 0,
            sequence: 0,
            reads: 0,
            files_read: 0,
        }
    }

    /// Takes the requests of the log.
    pub fn submit(&mut self, queue: &mut DiskQueue) {
        for request in queue.drain() {
            match &request.operation {
                DiskOperation::Write {
                    file,
                    position_bytes,
                    len_bytes,
                    ..
                } => {
                    self.check_alone(*file, *position_bytes, u64::from(*len_bytes));
                }
                DiskOperation::Read { position_bytes, .. } => {
                    assert!(position_bytes.is_multiple_of(4096), "an unaligned read");
                    self.reads += 1;
                }
                DiskOperation::WriteZeros {
                    file,
                    position_bytes,
                    len_bytes,
                } => self.check_alone(*file, *position_bytes, *len_bytes),
                DiskOperation::TakeBackZeros { file } => self.take_back(*file),
                DiskOperation::ReadFile { .. } => self.files_read += 1,
                _ => {}
            }
            self.sequence += 1;
            self.under_way.push((request, self.sequence));
        }
    }

    fn check_alone(&self, file: FileId, position: u64, len: u64) {
        assert!(position.is_multiple_of(4096) && len.is_multiple_of(4096) && len > 0);
        for (other, _) in &self.under_way {
            let (other, start, other_len) = match &other.operation {
                DiskOperation::Write {
                    file,
                    position_bytes,
                    len_bytes,
                    ..
                } => (*file, *position_bytes, u64::from(*len_bytes)),
                DiskOperation::WriteZeros {
                    file,
                    position_bytes,
                    len_bytes,
                } => (*file, *position_bytes, *len_bytes),
                _ => continue,
            };
            let apart = other != file || position + len <= start || start + other_len <= position;
            assert!(apart, "two writes of one block under way");
        }
    }

    /// Zeros of this file that wait have begun, or they end without being written.
    fn take_back(&mut self, taken: FileId) {
        for request in &mut self.under_way {
            let is_taken = matches!(
                &request.0.operation,
                DiskOperation::WriteZeros { file, .. } if *file == taken
            );
            if is_taken && self.dice.one_in(2) {
                self.taken_back += 1;
                request.0.operation = DiskOperation::WriteZeros {
                    file: taken,
                    position_bytes: 0,
                    len_bytes: 0,
                };
            }
        }
    }

    pub fn is_idle(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Ends one request, any of those that may end.
    pub fn complete_one(&mut self) -> DiskCompletion {
        let chosen = self.dice.below(self.under_way.len());
        let (request, asked) = self.under_way.swap_remove(chosen);
        self.sequence += 1;
        DiskCompletion {
            token: request.token,
            result: self.perform(request.operation, asked),
        }
    }

    fn perform(&mut self, operation: DiskOperation, asked: u64) -> Result<DiskOutcome, DiskError> {
        match operation {
            DiskOperation::Open { file, path, create } => self.open_file(file, &path, create),
            DiskOperation::Close { file } => {
                self.open.remove(&file);
                Ok(DiskOutcome::Done)
            }
            DiskOperation::Write {
                file,
                position_bytes,
                len_bytes,
                buffer,
            } => {
                let position = usize::try_from(position_bytes).expect("small");
                let len = usize::try_from(len_bytes).expect("small");
                let bytes = buffer.as_slice()[..len].to_vec();
                if self.used() + len > self.capacity {
                    return Err(DiskError::NoSpace);
                }
                let write = (self.sequence, Change::Write { position, bytes });
                self.file_mut(file).changes.push(write);
                Ok(DiskOutcome::Written { buffer })
            }
            DiskOperation::Read {
                file,
                position_bytes,
                mut buffer,
            } => {
                let contents = self.file_mut(file).now();
                let from = usize::try_from(position_bytes)
                    .expect("small")
                    .min(contents.len());
                let len = buffer.len().min(contents.len() - from);
                buffer.as_mut_slice()[..len].copy_from_slice(&contents[from..from + len]);
                Ok(DiskOutcome::Read {
                    buffer,
                    len_bytes: u32::try_from(len).expect("small"),
                })
            }
            DiskOperation::Flush { .. } | DiskOperation::FlushDevice if self.fail_flushes => {
                Err(DiskError::Io(5))
            }
            DiskOperation::Flush { file } => {
                self.flushes += 1;
                self.file_mut(file).flush(asked);
                Ok(DiskOutcome::Done)
            }
            DiskOperation::FlushDevice => {
                self.device_flushes += 1;
                let files = self.files.values_mut();
                files.for_each(|file| file.flush_overwrites(asked));
                Ok(DiskOutcome::Done)
            }
            DiskOperation::WriteZeros {
                file,
                position_bytes,
                len_bytes,
            } => self.write_zeros(file, position_bytes, len_bytes),
            DiskOperation::TakeBackZeros { .. } => Ok(DiskOutcome::Done),
            DiskOperation::SetLength { file, len_bytes } => {
                let len = usize::try_from(len_bytes).expect("small");
                let length = (self.sequence, Change::Length(len));
                self.file_mut(file).changes.push(length);
                Ok(DiskOutcome::Done)
            }
            other => self.perform_on_names(other),
        }
    }

    fn write_zeros(
        &mut self,
        file: FileId,
        position_bytes: u64,
        len_bytes: u64,
    ) -> Result<DiskOutcome, DiskError> {
        let len = usize::try_from(len_bytes).expect("small");
        if len == 0 {
            return Ok(DiskOutcome::TakenBack);
        }
        if self.used() + len > self.capacity {
            return Err(DiskError::NoSpace);
        }
        self.zeros_ahead += len;
        let position = usize::try_from(position_bytes).expect("small");
        let bytes = vec![0; len];
        let write = (self.sequence, Change::Write { position, bytes });
        self.file_mut(file).changes.push(write);
        Ok(DiskOutcome::Done)
    }

    fn perform_on_names(&mut self, operation: DiskOperation) -> Result<DiskOutcome, DiskError> {
        match operation {
            DiskOperation::ReadFile { path } => match self.visible(&path) {
                Some(file) => Ok(DiskOutcome::FileRead {
                    contents: file.now().into_owned(),
                }),
                None => Err(DiskError::NotFound),
            },
            DiskOperation::ReplaceFile { path, contents } => {
                if let Some(error) = self.fail_replace {
                    return Err(error);
                }
                if self.used() + contents.len() > self.capacity {
                    return Err(DiskError::NoSpace);
                }
                let file = File {
                    durable: contents,
                    named: true,
                    ..File::default()
                };
                self.files.insert(path.into(), file);
                Ok(DiskOutcome::Done)
            }
            DiskOperation::RenameFile { from, to } => {
                self.rename(&from, &to);
                Ok(DiskOutcome::Done)
            }
            DiskOperation::RemoveFile { path } => {
                if let Some(file) = self.files.get_mut(&*path) {
                    file.removed = true;
                }
                Ok(DiskOutcome::Done)
            }
            DiskOperation::CreateDirectory { .. } => Ok(DiskOutcome::Done),
            DiskOperation::SyncDirectory { .. } => {
                let all = std::mem::take(&mut self.files);
                let (removed, left) = all.into_iter().partition(|(_, file)| file.removed);
                self.files = left;
                self.nameless.append(&mut { removed });
                let open: BTreeSet<&String> = self.open.values().collect();
                self.nameless.retain(|path, _| open.contains(path));
                self.files.values_mut().for_each(|file| file.named = true);
                Ok(DiskOutcome::Done)
            }
            DiskOperation::ListDirectory { path } => {
                let visible = self.files.iter().filter(|(_, file)| !file.removed);
                let entries = visible.filter_map(|(name, file)| {
                    let name = name.strip_prefix(&*path)?.strip_prefix('/')?;
                    let len_bytes = u64::try_from(file.now().len()).expect("small");
                    Some(DirectoryEntry {
                        name: name.into(),
                        is_directory: false,
                        len_bytes,
                    })
                });
                Ok(DiskOutcome::Listed {
                    entries: entries.collect(),
                })
            }
            DiskOperation::MeasureVolume => unreachable!("no log asks for it"),
            DiskOperation::RemoveDirectory { path } => {
                assert!(self.open.is_empty(), "removed with open files");
                self.files.retain(|name, _| !name.starts_with(&*path));
                Ok(DiskOutcome::Done)
            }
            other => unreachable!("{other:?}"),
        }
    }

    fn rename(&mut self, from: &str, to: &str) {
        rename(&mut self.files, from, to);
        let open = self.open.values_mut().filter(|path| *path == from);
        open.for_each(|path| to.clone_into(path));
        self.recycled += usize::from(to.ends_with(".log"));
    }

    fn open_file(
        &mut self,
        id: FileId,
        path: &str,
        create: bool,
    ) -> Result<DiskOutcome, DiskError> {
        if self.visible(path).is_none() {
            if !create {
                return Err(DiskError::NotFound);
            }
            self.files.insert(path.to_owned(), File::default());
        }
        assert!(!self.open.contains_key(&id), "a file id is used once");
        self.open.insert(id, path.to_owned());
        let len_bytes = u64::try_from(self.len_of(path)).expect("small");
        Ok(DiskOutcome::Opened { len_bytes })
    }

    fn visible(&self, path: &str) -> Option<&File> {
        self.files.get(path).filter(|file| !file.removed)
    }

    fn file_mut(&mut self, id: FileId) -> &mut File {
        let path = self.open.get(&id).expect("a request names an open file");
        let is_named = self.files.contains_key(path);
        let files = if is_named {
            &mut self.files
        } else {
            &mut self.nameless
        };
        files.get_mut(path).expect("an open file is there")
    }

    fn used(&self) -> usize {
        self.files.values().map(File::len).sum()
    }

    /// The process dies, the machine goes on: what was written and not flushed stays readable, and
    /// a later loss of power may still take it.
    pub fn kill(&mut self) {
        self.end_all();
        self.open.clear();
    }

    /// Requests under way have been done or not.
    fn end_all(&mut self) {
        let dice = &mut self.dice;
        for (request, _) in std::mem::take(&mut self.under_way) {
            match request.operation {
                DiskOperation::Write {
                    file,
                    position_bytes,
                    len_bytes,
                    buffer,
                } if dice.one_in(2) => {
                    let path = &self.open[&file];
                    let bytes =
                        buffer.as_slice()[..usize::try_from(len_bytes).expect("small")].to_vec();
                    let position = usize::try_from(position_bytes).expect("small");
                    let file = self.files.get_mut(path).expect("an open file is there");
                    file.changes
                        .push((self.sequence, Change::Write { position, bytes }));
                }
                DiskOperation::WriteZeros {
                    file,
                    position_bytes,
                    len_bytes,
                } if dice.one_in(2) => {
                    let path = &self.open[&file];
                    let position = usize::try_from(position_bytes).expect("small");
                    let bytes = vec![0; usize::try_from(len_bytes).expect("small")];
                    let file = self.files.get_mut(path).expect("an open file is there");
                    file.changes
                        .push((self.sequence, Change::Write { position, bytes }));
                }
                DiskOperation::ReplaceFile { path, contents } if dice.one_in(2) => {
                    let file = File {
                        durable: contents,
                        named: true,
                        ..File::default()
                    };
                    self.files.insert(path.into(), file);
                }
                DiskOperation::Open {
                    path, create: true, ..
                } if dice.one_in(2) => {
                    self.files.entry(path.into()).or_default();
                }
                DiskOperation::RenameFile { from, to } if dice.one_in(2) => {
                    rename(&mut self.files, &from, &to);
                }
                DiskOperation::RemoveFile { path } if dice.one_in(2) => {
                    if let Some(file) = self.files.get_mut(&*path) {
                        file.removed = true;
                    }
                }
                _ => {}
            }
        }
    }

    /// Loses power.
    pub fn crash(&mut self) {
        self.end_all();
        let dice = &mut self.dice;
        self.open.clear();
        self.nameless.clear();
        self.files.retain(|_, file| {
            let stays_named = file.named || dice.one_in(2);
            let comes_back = !file.removed || dice.one_in(2);
            file.crash(dice);
            file.named = true;
            file.removed = false;
            stays_named && comes_back
        });
    }

    /// Names of all files.
    pub fn names(&self) -> Vec<&str> {
        self.files
            .iter()
            .filter(|(_, file)| !file.removed)
            .map(|(name, _)| name.as_str())
            .collect()
    }

    /// What a file holds now.
    pub fn contents(&self, name: &str) -> Vec<u8> {
        self.visible(name)
            .expect("the file is there")
            .now()
            .into_owned()
    }

    /// How long a file is now.
    pub fn len_of(&self, name: &str) -> usize {
        self.visible(name).expect("the file is there").len()
    }

    /// Damages a file that is not open.
    pub fn rewrite(&mut self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let file = self.files.get_mut(name).expect("the file is there");
        file.flush(u64::MAX);
        change(&mut file.durable);
    }

    /// Removes a file for good.
    pub fn lose(&mut self, name: &str) {
        self.files.remove(name).expect("the file is there");
    }
}

const _: () = assert!(BLOCK_BYTES == 4096);
