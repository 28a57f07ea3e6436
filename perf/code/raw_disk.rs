// SPDX-License-Identifier: Apache-2.0
//! What the disk does without a broker: direct writes, each flushed before the next, as a log does
//! with one outstanding commit. The yardstick beside which the broker's figures of the same run are
//! read.

use std::fs::OpenOptions;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use furlong::model::block_buffer::BlockBuffer;
use hdrhistogram::Histogram;

use crate::figures::Figures;

/// Bytes of a write, and what it is called.
const SIZES: [(usize, &str); 3] = [(4096, "4 KiB"), (64 << 10, "64 KiB"), (1 << 20, "1 MiB")];

/// A file is begun anew when it has this many bytes.
const FILE_BYTES: u64 = 1 << 30;

/// Measures appends (the file grows with each write) and overwrites of blocks that are already
/// there.
pub fn run(folder: &Path, time: Duration, figures: &mut Figures) {
    let file = tempfile::NamedTempFile::new_in(folder).expect("the folder can be written");
    for (size, name) in SIZES {
        for (is_append, kind) in [(true, "append"), (false, "overwrite")] {
            let (latencies, bytes, seconds) = commits(file.path(), size, is_append, time);
            let name = format!("disk, O_DIRECT {kind} + fdatasync, {name}");
            figures.add(&name, "MB/s", bytes as f64 / 1e6 / seconds);
            figures.add_latencies(&name, &latencies);
        }
    }
}

/// Writes and flushes until the time is over; overwriting goes over what the appending run has
/// left.
fn commits(
    path: &Path,
    size: usize,
    is_append: bool,
    time: Duration,
) -> (Histogram<u64>, u64, f64) {
    let mut buffer = BlockBuffer::zeroed(size);
    fill(buffer.as_mut_slice());
    let mut options = OpenOptions::new();
    options
        .write(true)
        .truncate(is_append)
        .custom_flags(libc::O_DIRECT);
    let file = options
        .open(path)
        .expect("the file system takes direct I/O");
    let end = if is_append {
        FILE_BYTES
    } else {
        file.metadata().expect("it is open").len()
    };
    let step = u64::try_from(size).expect("64 bits");
    let mut latencies = Histogram::new_with_bounds(1, 600_000_000, 3).expect("sound bounds");
    let (began, mut position, mut bytes) = (Instant::now(), 0, 0);
    while began.elapsed() < time {
        if position + step > end {
            position = 0;
        }
        let start = Instant::now();
        file.write_all_at(buffer.as_slice(), position)
            .expect("the disk takes the write");
        file.sync_data().expect("the disk takes the flush");
        latencies.saturating_record(microseconds(start.elapsed()));
        position += step;
        bytes += step;
    }
    (latencies, bytes, began.elapsed().as_secs_f64())
}

/// Whole microseconds.
pub fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Bytes that no codec makes smaller, the same in each run.
pub fn fill(bytes: &mut [u8]) {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    for chunk in bytes.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        chunk.copy_from_slice(&state.to_le_bytes()[..chunk.len()]);
    }
}
