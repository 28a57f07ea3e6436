// SPDX-License-Identifier: Apache-2.0
//! Tries out the directory that will hold the data: is direct I/O direct, how long does a flush
//! take.
//!
//! Owns: a temporary file while it runs. Invariants: the directory is left as it was; what cannot
//! be tried is unknown, never assumed.
//! Runs on: boot. Bounded by: `FLUSH_PROBE_MS_MAX` for the measurement, one flush more, and one
//! file of `FLUSH_PROBE_WRITES_MAX` blocks.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use super::block_device::{self, Disk};
use super::file_system::{self, Alignment, DeviceFlush, FileSystem, Kind};
use crate::limits::{BLOCK_BYTES, FLUSH_PROBE_MS_MAX, FLUSH_PROBE_WRITES_MAX};
use crate::model::block_buffer::BlockBuffer;
use crate::model::storage::StorageRules;

/// The temporary file. It is made anew each time; a left-over is overwritten.
const PROBE_FILE: &str = ".storage-probe";

/// The smallest unit that direct I/O has anywhere, in bytes.
const SECTOR_BYTES: usize = 512;

/// What became of direct writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectIo {
    /// They are direct: what is not aligned is refused.
    Direct,
    /// They are accepted whatever their alignment, so at least some go through the page cache.
    Buffered,
    /// The file system takes none.
    Refused,
}

/// How long a block took from the write to the end of its flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlushLatency {
    /// How many were tried.
    pub count: usize,
    /// The median.
    pub median: Duration,
    /// The worst.
    pub worst: Duration,
}

/// All that is known of the storage under a directory.
#[derive(Clone, Debug)]
pub struct Storage {
    /// The file system.
    pub file_system: FileSystem,
    /// Its disks; none where it is on no block device.
    pub disks: Vec<Disk>,
    /// What direct writes are.
    pub direct: DirectIo,
    /// The alignment that direct writes need, if the kernel tells.
    pub told_alignment: Option<Alignment>,
    /// The smallest length that a direct write was seen to take, in bytes.
    pub tried_alignment_bytes: usize,
    /// How long a commit takes when nothing else is going on.
    pub latency: Option<FlushLatency>,
    /// Whether one flush may cover the device.
    pub device_flush: DeviceFlush,
}

impl Storage {
    /// Looks at a directory and tries it out.
    ///
    /// # Errors
    /// When nothing can be written there.
    pub fn probe(directory: &Path) -> io::Result<Storage> {
        let file_system = FileSystem::inspect(directory)?;
        let disks = match &file_system.mount {
            Some(mount) => block_device::disks(mount.device),
            None => Vec::new(),
        };
        let path = directory.join(PROBE_FILE);
        let tried = try_out(&path);
        // A failure is no harm: the next start overwrites it.
        let _ = fs::remove_file(&path);
        let tried = tried?;
        let device_flush = file_system.device_flush(tried.direct == DirectIo::Direct);
        Ok(Storage {
            file_system,
            disks,
            direct: tried.direct,
            told_alignment: tried.told_alignment,
            tried_alignment_bytes: tried.alignment_bytes,
            latency: tried.latency,
            device_flush,
        })
    }
}

impl Storage {
    /// The verdict as the pure half takes it.
    #[must_use]
    pub fn rules(&self) -> StorageRules {
        let is_direct = self.direct == DirectIo::Direct;
        StorageRules {
            device_flush: self.device_flush.is_allowed(),
            write_ahead: is_direct && matches!(self.file_system.kind, Kind::Ext4 | Kind::Xfs),
            ..StorageRules::default()
        }
    }
}

/// What the temporary file taught.
struct Tried {
    direct: DirectIo,
    told_alignment: Option<Alignment>,
    alignment_bytes: usize,
    latency: Option<FlushLatency>,
}

fn try_out(path: &Path) -> io::Result<Tried> {
    let mut buffer = BlockBuffer::zeroed(2 * BLOCK_BYTES);
    let (file, direct) = match open(path, libc::O_DIRECT) {
        Err(error) if is_refusal(&error) => (open(path, 0)?, DirectIo::Refused),
        other => {
            let file = other?;
            match file.write_all_at(&buffer.as_slice()[..BLOCK_BYTES], 0) {
                Err(error) if is_refusal(&error) => (open(path, 0)?, DirectIo::Refused),
                Err(error) => return Err(error),
                Ok(()) => {
                    let direct = what_is_direct(&file, &buffer);
                    (file, direct)
                }
            }
        }
    };
    let sector = &buffer.as_slice()[..SECTOR_BYTES];
    let alignment_bytes = if file.write_at(sector, 0).is_ok() {
        SECTOR_BYTES
    } else {
        BLOCK_BYTES
    };
    let told_alignment = file_system::alignment(&file);
    // Not all zero: some storage makes a hole of a block of zeros.
    buffer.as_mut_slice().fill(0xf1);
    let latency = measure(&file, &buffer.as_slice()[..BLOCK_BYTES])?;
    Ok(Tried {
        direct,
        told_alignment,
        alignment_bytes,
        latency,
    })
}

/// What `O_DIRECT` gives where the file system, or the length of the block, does not allow it.
fn is_refusal(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EINVAL)
}

/// Writes what no disk could take as it is: an odd length from an odd address.
fn what_is_direct(file: &File, buffer: &BlockBuffer) -> DirectIo {
    let odd = &buffer.as_slice()[8..108];
    match file.write_at(odd, 0) {
        Ok(_) => DirectIo::Buffered,
        Err(_) => DirectIo::Direct,
    }
}

fn open(path: &Path, flags: libc::c_int) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .custom_flags(flags)
        .open(path)
}

/// Overwrites blocks that are there already and flushes each, as a commit does.
fn measure(file: &File, block: &[u8]) -> io::Result<Option<FlushLatency>> {
    let blocks = u64::try_from(FLUSH_PROBE_WRITES_MAX).expect("a small constant");
    let step = u64::try_from(BLOCK_BYTES).expect("a small constant");
    let began = Instant::now();
    for number in 0..blocks {
        file.write_all_at(block, number * step)?;
    }
    file.sync_all()?;
    let mut took = Vec::with_capacity(FLUSH_PROBE_WRITES_MAX);
    for number in 0..blocks {
        if began.elapsed() >= Duration::from_millis(FLUSH_PROBE_MS_MAX) {
            break;
        }
        let start = Instant::now();
        file.write_all_at(block, number * step)?;
        file.sync_data()?;
        took.push(start.elapsed());
    }
    took.sort_unstable();
    let median = took.get(took.len() / 2).copied();
    Ok(median
        .zip(took.last().copied())
        .map(|(median, worst)| FlushLatency {
            count: took.len(),
            median,
            worst,
        }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_tried_out_and_left_clean() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let storage = Storage::probe(directory.path()).expect("it can be written");
        assert_eq!(fs::read_dir(directory.path()).expect("list").count(), 0);
        if let Some(latency) = storage.latency {
            assert!(latency.median <= latency.worst, "{latency:?}");
            assert!((1..=FLUSH_PROBE_WRITES_MAX).contains(&latency.count));
        }
        let allowed = storage.rules().device_flush;
        assert!(
            !allowed || storage.direct == DirectIo::Direct,
            "{storage:?}"
        );
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        assert!(Storage::probe(&directory.path().join("missing")).is_err());
    }

    #[test]
    fn memory_is_seen_not_to_be_direct() {
        let Ok(directory) = tempfile::tempdir_in("/dev/shm") else {
            println!("SKIPPED: there is no /dev/shm to try");
            return;
        };
        let storage = Storage::probe(directory.path()).expect("it can be written");
        assert_ne!(storage.direct, DirectIo::Direct);
        assert!(!storage.rules().device_flush);
    }
}
