// SPDX-License-Identifier: Apache-2.0
//! What it costs to write and read with buffers that the ring was told of, and with others, through
//! the broker's own disk. Run it under `perf stat -e instructions:k,instructions:u`: everything but
//! the buffers is the same.

use std::path::Path;
use std::sync::Arc;

use furlong::io::blocking::BlockingThread;
use furlong::io::device_health::DeviceHealth;
use furlong::io::disk::Disk;
use furlong::io::driver::Driver;
use furlong::io::files::Files;
use furlong::io::lent_memory::LentMemory;
use furlong::io::network::Network;
use furlong::io::placement::CpuMask;
use furlong::io::wake::Waker;
use furlong::model::block_buffer::BlockBuffer;
use furlong::model::buffer_pool::BlockLender;
use furlong::model::disk::{DiskOperation, DiskOutcome, DiskRequest, DiskToken, FileId};
use furlong::model::memory_budget::MemoryBudget;

const FILE: FileId = FileId {
    owner: 0,
    number: 0,
};

/// Bytes of the file, all of them written before.
const FILE_BYTES: usize = 64 << 20;

/// Operations under way at once.
const DEPTH: usize = 4;

/// Writes, or reads, `count` times `bytes` with buffers of the ring's (`registered`) or not.
pub fn run(folder: &Path, is_registered: bool, is_read: bool, bytes: usize, count: usize) {
    let memory = MemoryBudget::of_shard(64 << 20, 1).expect("enough");
    let waker = Waker::new().expect("an eventfd");
    let files = Files::new(folder.to_owned(), true);
    let thread = || BlockingThread::start(files.clone(), Arc::clone(&waker)).expect("a thread");
    let disk = Disk::new(thread(), thread(), None, DeviceHealth::default());
    let network = Network::new(None, 0, 1 << 20, &memory);
    let cpus = CpuMask::of_process().expect("known");
    let mut lent = LentMemory::new(8 << 20).expect("mapped");
    let waker = Arc::clone(&waker);
    let known = is_registered.then_some(&lent);
    let mut driver = Driver::new(disk, network, waker, &cpus, known).expect("a ring");
    crate::rounds::written(&folder.join("blocks"), FILE_BYTES);
    let open = DiskOperation::Open {
        file: FILE,
        path: "blocks".into(),
        create: false,
    };
    submit(&mut driver, open);
    let _opened = next(&mut driver);
    // The same memory in both cases, so that huge pages make no difference.
    let mut free: Vec<BlockBuffer> = (0..DEPTH)
        .map(|_| lent.lend(bytes, 0).expect("it is enough"))
        .collect();
    let (mut started, mut ended) = (0, 0);
    while ended < count {
        while started < count
            && let Some(buffer) = free.pop()
        {
            let position = started * bytes % FILE_BYTES;
            let position_bytes = u64::try_from(position).expect("64 bits");
            submit(&mut driver, operation(is_read, position_bytes, buffer));
            started += 1;
        }
        match next(&mut driver) {
            DiskOutcome::Written { buffer } | DiskOutcome::Read { buffer, .. } => free.push(buffer),
            other => panic!("{other:?}"),
        }
        ended += 1;
    }
}

fn operation(is_read: bool, position_bytes: u64, buffer: BlockBuffer) -> DiskOperation {
    if is_read {
        return DiskOperation::Read {
            file: FILE,
            position_bytes,
            buffer,
        };
    }
    DiskOperation::Write {
        file: FILE,
        position_bytes,
        len_bytes: u32::try_from(buffer.len()).expect("a write is small"),
        buffer,
    }
}

fn submit(driver: &mut Driver, operation: DiskOperation) {
    let token = DiskToken {
        owner: 0,
        operation: 0,
    };
    let request = DiskRequest { token, operation };
    driver.disk.submit(&mut driver.ring, request);
}

fn next(driver: &mut Driver) -> DiskOutcome {
    loop {
        if let Some(completion) = driver.disk.take_completion() {
            return completion.result.expect("the disk works");
        }
        driver.park(None, || false).expect("the ring works");
        driver.turn().expect("the ring works");
    }
}
