// SPDX-License-Identifier: Apache-2.0
//! What the disk would do in the broker's place: 64 KiB written and flushed at the same pace, while
//! threads use as much of the cores as broker and client did.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use furlong::io::priority::{raise_io_priority, raise_nice};
use furlong::model::block_buffer::BlockBuffer;
use hdrhistogram::Histogram;

use crate::pace::{Pace, fine_sleep};
use crate::raw_disk::{fill, microseconds};
use crate::ring::{Commit, Ring, Write};
use crate::rounds::written;

/// Bytes of a commit.
const COMMIT_BYTES: usize = 64 << 10;

/// Bytes of the file that is written over.
const FILE_BYTES: usize = 64 << 20;

/// How long a thread works before it rests: about what a request of this size takes.
const BURST: Duration = Duration::from_micros(100);

/// The niceness that the broker asks for.
const BROKER_NICE: i32 = -10;

/// How much of one core broker and client used, and how many commits a second there were.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Share of one core.
    pub broker_cores: f64,
    /// Share of one core.
    pub client_cores: f64,
    /// Requests a second.
    pub commits_per_second: f64,
}

/// Latencies of commits, each from when it was due, under that load.
pub fn run(folder: &Path, load: Load, time: Duration) -> Histogram<u64> {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for (cores, nice) in [(load.broker_cores, BROKER_NICE), (load.client_cores, 0)] {
            // No thread can use more than a core.
            for share in [cores.min(1.0), (cores - 1.0).clamp(0.0, 1.0)] {
                let is_over = &is_over;
                scope.spawn(move || work(share, nice, is_over));
            }
        }
        let committing = scope.spawn(|| commits(folder, load.commits_per_second, time));
        let latencies = committing.join().expect("no panic");
        is_over.store(true, Ordering::Release);
        latencies
    })
}

/// Works and rests so that the thread uses that share of a core.
fn work(share: f64, nice: i32, is_over: &AtomicBool) {
    if share < 0.01 {
        return;
    }
    raise_nice(nice).expect("Linux says how nice a thread is");
    fine_sleep();
    let mut pace = Pace::new(Instant::now(), BURST.div_f64(share));
    while !is_over.load(Ordering::Acquire) {
        pace.wait();
        let began = Instant::now();
        while began.elapsed() < BURST {
            std::hint::spin_loop();
        }
    }
}

fn commits(folder: &Path, per_second: f64, time: Duration) -> Histogram<u64> {
    let clean = written(&folder.join("twin-clean"), 4096);
    let file = written(&folder.join("twin"), FILE_BYTES);
    let mut buffer = BlockBuffer::zeroed(COMMIT_BYTES);
    fill(buffer.as_mut_slice());
    raise_nice(BROKER_NICE).expect("Linux says how nice a thread is");
    raise_io_priority();
    fine_sleep();
    let mut ring = Ring::new();
    let mut latencies = crate::load::histogram();
    let began = Instant::now();
    let mut pace = Pace::new(began, Duration::from_secs_f64(1.0 / per_second));
    let mut position = 0;
    while began.elapsed() < time {
        let due = pace.wait();
        let write = Write {
            file: &file,
            buffer: &buffer,
            position: u64::try_from(position).expect("64 bits"),
            commit: Commit::Later,
            is_idle: false,
        };
        ring.write_all(&[write]);
        ring.flush(&clean);
        latencies.saturating_record(microseconds(due.elapsed()));
        position = (position + COMMIT_BYTES) % FILE_BYTES;
    }
    latencies
}
