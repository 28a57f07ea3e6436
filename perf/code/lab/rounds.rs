// SPDX-License-Identifier: Apache-2.0
//! Commit rounds over many files: in each round 4 KiB of every file are overwritten, in blocks that
//! were written before, and made durable in one of four ways.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use furlong::model::block_buffer::BlockBuffer;

use crate::measured::Measured;
use crate::ring::{Commit, Ring, Write};

/// Files that are written in a round.
pub const FILES: [usize; 4] = [1, 16, 128, 1000];

/// Bytes of a file that is overwritten.
const FILE_BYTES: usize = 64 << 10;

/// Bytes of a write.
const WRITE_BYTES: usize = 4096;

/// Turns of each strategy in one measurement.
const SLICES: u32 = 10;

/// Rounds of one turn, however long they take.
const SLICE_ROUNDS_MIN: usize = 2;

/// How a round becomes durable, and what it is called.
pub const STRATEGIES: [(&str, Commit); 4] = [
    ("one device flush", Commit::Later),
    ("fdatasync each", Commit::Flush),
    ("RWF_DSYNC each", Commit::Dsync),
    ("linked fdatasync", Commit::LinkedFlush),
];

/// Opens a file for direct I/O, made if it is not there.
pub fn open_direct(path: &Path) -> File {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    options.custom_flags(libc::O_DIRECT);
    options
        .open(path)
        .expect("the file system takes direct I/O")
}

/// A file whose blocks are written and durable, name and extents included.
pub fn written(path: &Path, bytes: usize) -> File {
    let file = open_direct(path);
    let zeros = BlockBuffer::zeroed(bytes.min(1 << 20));
    for position in (0..bytes).step_by(zeros.len()) {
        let position = u64::try_from(position).expect("64 bits");
        file.write_all_at(zeros.as_slice(), position)
            .expect("the disk takes the zeros");
    }
    file.sync_all().expect("the disk takes the flush");
    file
}

/// Makes a folder's entries durable.
pub fn sync_folder(folder: &Path) {
    let folder = File::open(folder).expect("the folder is there");
    folder.sync_all().expect("the disk takes the flush");
}

/// Every strategy on every count of files, for so long each. Strategies take turns in short slices,
/// so that what else happens on the machine happens to all of them.
pub fn run(folder: &Path, time: Duration, say: &mut dyn FnMut(&str, &str, &Measured)) {
    let clean = written(&folder.join("clean"), WRITE_BYTES);
    let most = FILES[FILES.len() - 1];
    let files: Vec<File> = (0..most)
        .map(|number| written(&folder.join(format!("file-{number}")), FILE_BYTES))
        .collect();
    sync_folder(folder);
    let mut buffer = BlockBuffer::zeroed(WRITE_BYTES);
    crate::raw_disk::fill(buffer.as_mut_slice());
    let mut ring = Ring::new();
    for count in FILES {
        let mut all = STRATEGIES.map(|_| Measured::default());
        for _ in 0..SLICES {
            for (measured, (_, commit)) in all.iter_mut().zip(STRATEGIES) {
                let began = Instant::now();
                let enough = measured.len() + SLICE_ROUNDS_MIN;
                while began.elapsed() < time / SLICES || measured.len() < enough {
                    round(
                        &mut ring,
                        &files[..count],
                        &clean,
                        &buffer,
                        commit,
                        measured,
                    );
                }
                measured.add_time(began.elapsed());
            }
        }
        for (mut measured, (name, _)) in all.into_iter().zip(STRATEGIES) {
            measured.finish();
            say(&format!("{count} files"), name, &measured);
        }
    }
}

/// One round: a block of each file, durable when it returns.
fn round(
    ring: &mut Ring,
    files: &[File],
    clean: &File,
    buffer: &BlockBuffer,
    commit: Commit,
    measured: &mut Measured,
) {
    let position = measured.len() * WRITE_BYTES % FILE_BYTES;
    let position = u64::try_from(position).expect("64 bits");
    let write = |file| Write {
        file,
        buffer,
        position,
        commit,
        is_idle: false,
    };
    let writes: Vec<Write<'_>> = files.iter().map(write).collect();
    let start = Instant::now();
    ring.write_all(&writes);
    if commit == Commit::Later {
        ring.flush(clean);
    }
    measured.add(start.elapsed(), files.len() * WRITE_BYTES);
}
