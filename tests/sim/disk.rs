// SPDX-License-Identifier: Apache-2.0
//! The simulated disk and its fault model.
//!
//! What it may do, and no more than this, is what the broker has to survive:
//! * Completions come after a random latency and in random order; a write is seen by readers when
//!   it completes.
//! * A write is durable only after a `Flush` of its file that was asked after the write had
//!   completed, and that ended well. `SetLength` likewise. A file's name is durable only after a
//!   `SyncDirectory` asked after its `Open`; `RemoveFile` likewise. `ReplaceFile`,
//!   `CreateDirectory` and `RemoveDirectory` are durable when done.
//! * `FlushDevice` makes the bytes of completed writes of all files durable that lie in blocks
//!   which were written and flushed with their file before, and nothing else: no hole, no length,
//!   no name. `WriteZeros` is a write like any other; one that is taken back has begun, or it never
//!   does.
//! * Kill -9: what had completed stays; what was under way has happened, has not, or has in part
//!   (sector by sector).
//! * Power cut: in addition, changes that are not durable are lost, kept or torn, each 512-byte
//!   sector by itself; of the changes of a file's length a prefix survives; of the names that were
//!   not synced any.
//! * A removal of a directory under way may leave it, leave it renamed, or be done. A replacement
//!   under way leaves the old or the new file, and maybe a temporary one beside it.
//! * `NoSpace` for a while: whatever needs new space fails and changes nothing; overwriting goes
//!   on.
//! * `Io`, rarely: a read fails; a write fails and has happened in part; a flush fails and what it
//!   covered is lost, kept or torn, and no later flush brings it back. From then on the shell lets
//!   no flush of that process count.
//!
//! It never rots: durable bytes stay. What a machine must not do (overlapping writes under way,
//! unaligned positions, unknown files, a token twice) ends the run with a sentence.
//!
//! Invariants: one completion for each request of a living process; the same draws give the same
//! run.

mod death;
mod inode;
mod names;
mod on_names;

use std::collections::BTreeMap;

use furlong::limits::BLOCK_BYTES;
use furlong::model::block_buffer::BlockBuffer;
use furlong::model::disk::{
    DirectoryEntry, DiskCompletion, DiskError, DiskOperation, DiskOutcome, DiskRequest, FileId,
};

use crate::plan::Lie;
use crate::prng::Prng;
use crate::stats::Stats;
use inode::{Change, Inode};
use names::{Entry, Names, parent};

/// How fast and how faulty the disk of one run is.
#[derive(Clone, Debug)]
pub struct DiskPlan {
    /// Latency of most requests in microseconds, from and to.
    pub latency_us: (u64, u64),
    /// How many of a thousand requests take up to a hundred times longer.
    pub slow_per_mille: u64,
    /// How many of a million reads, writes and flushes fail.
    pub errors_per_million: u64,
    /// What it lies about.
    pub lie: Lie,
}

/// How the process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// Kill -9: the machine lives on.
    Kill,
    /// The power fails.
    PowerCut,
}

struct Running {
    machine: usize,
    request: DiskRequest,
    asked: u64,
}

/// The disk of one run. It outlives the process.
pub struct Disk {
    prng: Prng,
    plan: DiskPlan,
    names: Names,
    inodes: BTreeMap<u64, Inode>,
    open: BTreeMap<(usize, FileId), (u64, String)>,
    running: BTreeMap<u64, Running>,
    sequence: u64,
    full: bool,
    /// A flush has failed: none counts any more in the life of this process.
    has_failed: bool,
    healthy: bool,
}

impl Disk {
    /// An empty disk.
    pub fn new(prng: Prng, plan: DiskPlan) -> Disk {
        Disk {
            prng,
            plan,
            names: Names::default(),
            inodes: BTreeMap::new(),
            open: BTreeMap::new(),
            running: BTreeMap::new(),
            sequence: 0,
            full: false,
            has_failed: false,
            healthy: false,
        }
    }

    /// The file system is full from now on, or no longer.
    pub fn set_full(&mut self, full: bool) {
        self.full = full;
    }

    /// From now on nothing fails.
    pub fn heal(&mut self) {
        self.full = false;
        self.healthy = true;
    }

    /// A process starts: as `furlong serve` does, it first removes what an interrupted removal of a
    /// directory left.
    pub fn begin_life(&mut self) {
        self.has_failed = false;
        for (name, entry) in self.names.list("") {
            if entry == Entry::Directory && name.ends_with("-delete") {
                self.remove_directory(&name);
            }
        }
    }

    /// Takes a request; gives the number under which `complete` performs it, and how long that
    /// takes.
    pub fn submit(&mut self, machine: usize, request: DiskRequest) -> (u64, u64) {
        self.check_duties(machine, &request);
        if let DiskOperation::TakeBackZeros { file } = &request.operation {
            self.take_back_zeros(machine, *file);
        }
        let asked = self.next_sequence();
        let running = Running {
            machine,
            request,
            asked,
        };
        self.running.insert(asked, running);
        (asked, self.draw_latency())
    }

    /// What of these zeros has not begun is not written.
    fn take_back_zeros(&mut self, machine: usize, taken: FileId) {
        for run in self.running.values_mut() {
            let is_machine = run.machine == machine;
            if let DiskOperation::WriteZeros {
                file, len_bytes, ..
            } = &mut run.request.operation
                && is_machine
                && *file == taken
                && self.prng.chance(500)
            {
                *len_bytes = 0;
            }
        }
    }

    /// Requests of one machine that are under way.
    pub fn under_way(&self, machine: usize) -> usize {
        let all = self.running.values();
        all.filter(|running| running.machine == machine).count()
    }

    fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    fn draw_latency(&mut self) -> u64 {
        let (low, high) = self.plan.latency_us;
        let slow = self.prng.chance(self.plan.slow_per_mille);
        let factor = if slow { self.prng.skewed(2, 100) } else { 1 };
        self.prng.between(low, high) * factor
    }

    fn check_duties(&self, machine: usize, request: &DiskRequest) {
        let mine = || self.running.values().filter(|run| run.machine == machine);
        assert!(
            mine().all(|run| run.request.token != request.token),
            "token {:?} of machine {machine} is already under way",
            request.token
        );
        let known = |file: &FileId| {
            let known = self.open.contains_key(&(machine, *file));
            assert!(
                known,
                "{file:?} of machine {machine} is not open: {request:?}"
            );
        };
        match &request.operation {
            DiskOperation::Write {
                file,
                position_bytes,
                len_bytes,
                buffer,
            } => {
                known(file);
                let start = *position_bytes;
                let end = start + u64::from(*len_bytes);
                assert_eq!(start % BLOCK_BYTES as u64, 0, "an unaligned write");
                assert_eq!(end % BLOCK_BYTES as u64, 0, "a write of parts of blocks");
                assert!(to_usize(u64::from(*len_bytes)) <= buffer.len());
                self.check_alone(machine, *file, start, end);
            }
            DiskOperation::WriteZeros {
                file,
                position_bytes,
                len_bytes,
            } => {
                known(file);
                assert_eq!(position_bytes % BLOCK_BYTES as u64, 0, "unaligned zeros");
                assert_eq!(len_bytes % BLOCK_BYTES as u64, 0, "parts of blocks");
                self.check_alone(machine, *file, *position_bytes, position_bytes + len_bytes);
            }
            DiskOperation::Read {
                file,
                position_bytes,
                ..
            } => {
                known(file);
                assert_eq!(position_bytes % BLOCK_BYTES as u64, 0, "an unaligned read");
            }
            DiskOperation::Flush { file }
            | DiskOperation::SetLength { file, .. }
            | DiskOperation::Close { file } => known(file),
            DiskOperation::Open { file, path, .. } => {
                let taken = self.open.contains_key(&(machine, *file));
                assert!(
                    !taken,
                    "{file:?} of machine {machine} is used twice ({path})"
                );
            }
            _ => {}
        }
    }

    /// No other write to these blocks is under way.
    fn check_alone(&self, machine: usize, file: FileId, start: u64, end: u64) {
        let mine = self.running.values().filter(|run| run.machine == machine);
        for run in mine {
            let (other, from, to) = match &run.request.operation {
                DiskOperation::Write {
                    file,
                    position_bytes,
                    len_bytes,
                    ..
                } => (
                    *file,
                    *position_bytes,
                    position_bytes + u64::from(*len_bytes),
                ),
                DiskOperation::WriteZeros {
                    file,
                    position_bytes,
                    len_bytes,
                } => (*file, *position_bytes, position_bytes + len_bytes),
                _ => continue,
            };
            assert!(
                other != file || end <= from || to <= start,
                "two writes to one block of {:?} are under way",
                self.open[&(machine, file)].1
            );
        }
    }

    /// Performs a request. `None`: it has to wait for others; ask again after the given time.
    pub fn complete(&mut self, number: u64, stats: &mut Stats) -> Completed {
        let Some(running) = self.running.remove(&number) else {
            return Completed::Gone;
        };
        if let DiskOperation::Close { file } = &running.request.operation {
            let earlier = self.running.range(..number);
            let mut earlier = earlier.map(|(_, run)| run);
            if earlier.any(|run| run.machine == running.machine && names_file(run, *file)) {
                self.running.insert(number, running);
                return Completed::Later(self.draw_latency());
            }
        }
        let Running {
            machine,
            request,
            asked,
        } = running;
        let result = self.perform(machine, request.operation, asked, stats);
        let token = request.token;
        Completed::Done(machine, DiskCompletion { token, result })
    }

    fn fails(&mut self) -> bool {
        !self.healthy && self.prng.below(1_000_000) < self.plan.errors_per_million
    }

    fn perform(
        &mut self,
        machine: usize,
        operation: DiskOperation,
        asked: u64,
        stats: &mut Stats,
    ) -> Result<DiskOutcome, DiskError> {
        match operation {
            DiskOperation::Open { file, path, create } => {
                self.perform_open(machine, file, &path, create, stats)
            }
            DiskOperation::Close { file } => {
                self.open.remove(&(machine, file));
                self.sweep();
                Ok(DiskOutcome::Done)
            }
            DiskOperation::Write {
                file,
                position_bytes,
                len_bytes,
                buffer,
            } => {
                let bytes = buffer.as_slice()[..to_usize(u64::from(len_bytes))].to_vec();
                let position = to_usize(position_bytes);
                self.perform_write((machine, file), position, bytes, stats)?;
                Ok(DiskOutcome::Written { buffer })
            }
            DiskOperation::Read {
                file,
                position_bytes,
                buffer,
            } => self.perform_read((machine, file), to_usize(position_bytes), buffer, stats),
            DiskOperation::Flush { file } => self.perform_flush((machine, file), asked, stats),
            DiskOperation::FlushDevice => self.perform_flush_device(asked, stats),
            DiskOperation::WriteZeros { len_bytes: 0, .. } => Ok(DiskOutcome::TakenBack),
            DiskOperation::WriteZeros {
                file,
                position_bytes,
                len_bytes,
            } => {
                let (file, position) = ((machine, file), to_usize(position_bytes));
                self.perform_write(file, position, vec![0; to_usize(len_bytes)], stats)?;
                stats.areas_ahead += 1;
                Ok(DiskOutcome::Done)
            }
            DiskOperation::TakeBackZeros { .. } => Ok(DiskOutcome::Done),
            DiskOperation::SetLength { file, len_bytes } => {
                self.perform_set_length((machine, file), to_usize(len_bytes), stats)
            }
            other => self.perform_on_names(other, asked, stats),
        }
    }

    fn perform_open(
        &mut self,
        machine: usize,
        file: FileId,
        path: &str,
        create: bool,
        stats: &mut Stats,
    ) -> Result<DiskOutcome, DiskError> {
        let number = match self.names.get(path) {
            Some(Entry::File(number)) => number,
            Some(Entry::Directory) => return Err(DiskError::Io(21)),
            None if !create || !self.names.is_directory(parent(path)) => {
                return Err(DiskError::NotFound);
            }
            None => {
                self.need_space(stats)?;
                let number = self.next_sequence();
                self.inodes.insert(number, Inode::default());
                self.names.change(number, path, Some(Entry::File(number)));
                stats.saw_created(path);
                number
            }
        };
        let hides = self.hides_tears(path, stats);
        let len_bytes = self.inodes[&number].seen(hides).len() as u64;
        self.open.insert((machine, file), (number, path.to_owned()));
        Ok(DiskOutcome::Opened { len_bytes })
    }

    /// True while it shows this file as if the power had not failed.
    fn hides_tears(&self, path: &str, stats: &Stats) -> bool {
        self.plan.lie == Lie::TearsAreHidden && stats.recovering && is_partition(path)
    }

    fn need_space(&mut self, stats: &mut Stats) -> Result<(), DiskError> {
        if self.full {
            stats.no_space += 1;
            return Err(DiskError::NoSpace);
        }
        Ok(())
    }

    fn inode(&mut self, file: (usize, FileId)) -> &mut Inode {
        let number = self.open[&file].0;
        self.inodes
            .get_mut(&number)
            .expect("an open file has an inode")
    }

    fn perform_write(
        &mut self,
        file: (usize, FileId),
        position: usize,
        bytes: Vec<u8>,
        stats: &mut Stats,
    ) -> Result<(), DiskError> {
        let sequence = self.next_sequence();
        if position + bytes.len() > self.inode(file).current.len() {
            self.need_space(stats)?;
        }
        let change = Change::Write { position, bytes };
        if self.fails() {
            stats.io_errors += 1;
            let mut prng = self.prng.clone();
            self.inode(file).interrupt(sequence, change, &mut prng);
            self.prng = prng;
            return Err(DiskError::Io(5));
        }
        self.inode(file).change(sequence, change);
        Ok(())
    }

    fn perform_read(
        &mut self,
        file: (usize, FileId),
        position: usize,
        mut buffer: BlockBuffer,
        stats: &mut Stats,
    ) -> Result<DiskOutcome, DiskError> {
        if self.fails() {
            stats.io_errors += 1;
            return Err(DiskError::Io(5));
        }
        let hides = self.hides_tears(&self.open[&file].1, stats);
        let content = self.inode(file).seen(hides);
        let start = position.min(content.len());
        let len = buffer.len().min(content.len() - start);
        buffer.as_mut_slice()[..len].copy_from_slice(&content[start..start + len]);
        let len_bytes = u32::try_from(len).expect("a read is smaller than 4 GiB");
        Ok(DiskOutcome::Read { buffer, len_bytes })
    }

    fn perform_flush(
        &mut self,
        file: (usize, FileId),
        asked: u64,
        stats: &mut Stats,
    ) -> Result<DiskOutcome, DiskError> {
        if self.has_failed {
            return Err(DiskError::Io(5));
        }
        if self.fails() {
            self.has_failed = true;
            stats.io_errors += 1;
            let mut prng = self.prng.clone();
            self.inode(file).power_cut(&mut prng, stats);
            self.prng = prng;
            return Err(DiskError::Io(5));
        }
        match self.plan.lie {
            Lie::FlushDoesNothing if is_partition(&self.open[&file].1) => {}
            Lie::FileFlushIsDeviceFlush if is_partition(&self.open[&file].1) => {
                self.inode(file).flush_overwrites(asked);
            }
            _ => self.inode(file).flush(asked),
        }
        stats.flushes += 1;
        Ok(DiskOutcome::Done)
    }

    fn perform_flush_device(
        &mut self,
        asked: u64,
        stats: &mut Stats,
    ) -> Result<DiskOutcome, DiskError> {
        if self.has_failed {
            return Err(DiskError::Io(5));
        }
        if self.fails() {
            self.has_failed = true;
            stats.io_errors += 1;
            let mut prng = self.prng.clone();
            for inode in self.inodes.values_mut() {
                inode.power_cut(&mut prng, stats);
            }
            self.prng = prng;
            return Err(DiskError::Io(5));
        }
        if self.plan.lie != Lie::FlushDoesNothing {
            for inode in self.inodes.values_mut() {
                inode.flush_overwrites(asked);
            }
        }
        stats.device_flushes += 1;
        Ok(DiskOutcome::Done)
    }

    fn perform_set_length(
        &mut self,
        file: (usize, FileId),
        len: usize,
        stats: &mut Stats,
    ) -> Result<DiskOutcome, DiskError> {
        let sequence = self.next_sequence();
        let before = self.inode(file).current.len();
        if len > before {
            self.need_space(stats)?;
        }
        let path = self.open[&file].1.clone();
        stats.saw_resized(&path, before, len);
        self.inode(file).change(sequence, Change::SetLength { len });
        Ok(DiskOutcome::Done)
    }
}

/// What `Disk::complete` did.
pub enum Completed {
    /// It is done: of which machine, and with which result.
    Done(usize, DiskCompletion),
    /// It waits for others: ask again after so many microseconds.
    Later(u64),
    /// Its process is gone.
    Gone,
}

fn names_file(running: &Running, wanted: FileId) -> bool {
    match &running.request.operation {
        DiskOperation::Open { file, .. }
        | DiskOperation::Close { file }
        | DiskOperation::Write { file, .. }
        | DiskOperation::Read { file, .. }
        | DiskOperation::Flush { file }
        | DiskOperation::WriteZeros { file, .. }
        | DiskOperation::SetLength { file, .. } => *file == wanted,
        _ => false,
    }
}

/// True for the files of partitions that clients write to, groups included.
fn is_partition(path: &str) -> bool {
    !path.starts_with("__cluster")
}

fn to_usize(value: u64) -> usize {
    usize::try_from(value).expect("the simulation runs on 64 bits")
}

#[cfg(test)]
mod tests;
