// SPDX-License-Identifier: Apache-2.0
//! One growing file, one commit at a time: written at its end with each commit, or into zeros that
//! a second thread writes ahead, or into blocks that are all there already. As fast as it goes, and
//! paced.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use furlong::model::block_buffer::BlockBuffer;

use crate::measured::Measured;
use crate::ring::{Commit, Ring, Write};
use crate::rounds::{open_direct, sync_folder, written};

/// A write of zeros; one is in flight at a time.
const ZEROS_BYTES: u64 = 1 << 20;

/// Zeros that become usable together, after one flush of their file.
const STEP_BYTES: u64 = 8 << 20;

/// How far the zeros may be ahead of the writer.
const AHEAD_BYTES: u64 = 64 << 20;

/// The measurement ends when the file is as long as this.
const FILE_BYTES: u64 = 1 << 30;

/// How a file gets its blocks, and what it is called.
const KINDS: [(&str, Kind); 4] = [
    ("extend", Kind::Extend),
    ("zeros ahead", Kind::Ahead { is_idle: false }),
    ("zeros ahead, idle", Kind::Ahead { is_idle: true }),
    ("recycled", Kind::Recycled),
];

/// Bytes of a commit, the pause between the starts of two, and what that is called.
const LOADS: [(usize, Duration, &str); 3] = [
    (64 << 10, Duration::ZERO, "64 KiB, flat out"),
    (1 << 20, Duration::ZERO, "1 MiB, flat out"),
    (64 << 10, Duration::from_millis(1), "64 KiB, every ms"),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Extend,
    Ahead { is_idle: bool },
    Recycled,
}

/// Every kind under every load, for so long each.
pub fn run(folder: &Path, time: Duration, say: &mut dyn FnMut(&str, &str, &Measured)) {
    let clean = written(&folder.join("clean"), 4096);
    let recycled = written(&folder.join("recycled"), 256 << 20);
    for (bytes, pause, load) in LOADS {
        for (name, kind) in KINDS {
            let path = folder.join("growing");
            let run = Run {
                bytes,
                pause,
                time,
                clean: &clean,
            };
            let measured = match kind {
                Kind::Recycled => run.commits(&recycled, &clean, &|_| 256 << 20),
                Kind::Extend => {
                    let file = open_direct(&path);
                    run.commits(&file, &file, &|_| FILE_BYTES)
                }
                Kind::Ahead { is_idle } => run.behind_zeros(&path, folder, is_idle),
            };
            let _ = std::fs::remove_file(&path);
            say(load, name, &measured);
        }
    }
}

struct Run<'a> {
    bytes: usize,
    pause: Duration,
    time: Duration,
    clean: &'a File,
}

impl Run<'_> {
    /// Commits into a file, each followed by a flush of `flushed`; `end` gives the bytes of the
    /// file that may be written, once they may.
    fn commits(&self, file: &File, flushed: &File, end: &dyn Fn(u64) -> u64) -> Measured {
        let mut buffer = BlockBuffer::zeroed(self.bytes);
        crate::raw_disk::fill(buffer.as_mut_slice());
        let step = u64::try_from(self.bytes).expect("64 bits");
        let mut ring = Ring::new();
        let (mut measured, mut position) = (Measured::default(), 0);
        let began = Instant::now();
        let mut due = began;
        while began.elapsed() < self.time {
            // Latency counts from when the commit was due, so a late one makes the next ones late.
            if self.pause.is_zero() {
                due = Instant::now();
            } else {
                thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            if position + step > end(position + step) {
                position = 0;
            }
            let write = Write {
                file,
                buffer: &buffer,
                position,
                commit: Commit::Later,
                is_idle: false,
            };
            ring.write_all(&[write]);
            ring.flush(flushed);
            measured.add(due.elapsed(), self.bytes);
            due += self.pause;
            position += step;
        }
        measured.add_time(began.elapsed());
        measured.finish();
        measured
    }

    /// The same with a second thread that writes zeros before it.
    fn behind_zeros(&self, path: &Path, folder: &Path, is_idle: bool) -> Measured {
        let (ready, used) = (AtomicU64::new(0), AtomicU64::new(0));
        let is_over = AtomicBool::new(false);
        let file = open_direct(path);
        sync_folder(folder);
        thread::scope(|scope| {
            scope.spawn(|| write_zeros(path, &ready, &used, &is_over, is_idle));
            while ready.load(Ordering::Acquire) < AHEAD_BYTES {
                thread::sleep(Duration::from_millis(1));
            }
            let measured = self.commits(&file, self.clean, &|wanted| {
                used.store(wanted.min(FILE_BYTES), Ordering::Release);
                while ready.load(Ordering::Acquire) < wanted.min(FILE_BYTES) {
                    thread::sleep(Duration::from_micros(50));
                }
                FILE_BYTES
            });
            is_over.store(true, Ordering::Release);
            measured
        })
    }
}

/// Keeps zeros ahead of what is used, in steps that are flushed before anybody may rely on them.
fn write_zeros(
    path: &Path,
    ready: &AtomicU64,
    used: &AtomicU64,
    is_over: &AtomicBool,
    is_idle: bool,
) {
    let file = open_direct(path);
    let buffer = BlockBuffer::zeroed(usize::try_from(ZEROS_BYTES).expect("64 bits"));
    let mut ring = Ring::new();
    let mut end = 0;
    while !is_over.load(Ordering::Acquire) && end < FILE_BYTES {
        if end >= used.load(Ordering::Acquire) + AHEAD_BYTES {
            thread::sleep(Duration::from_micros(200));
            continue;
        }
        let write = Write {
            file: &file,
            buffer: &buffer,
            position: end,
            commit: Commit::Later,
            is_idle,
        };
        ring.write_all(&[write]);
        end += ZEROS_BYTES;
        if end % STEP_BYTES == 0 {
            file.sync_all().expect("the disk takes the flush");
            ready.store(end, Ordering::Release);
        }
    }
}
