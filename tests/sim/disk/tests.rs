// SPDX-License-Identifier: Apache-2.0
//! The disk keeps the promises of its head, and uses the freedom that it claims.

use furlong::model::disk::DiskToken;

use super::*;
use crate::prng::Salt;

const FILE: FileId = FileId {
    owner: 0,
    number: 0,
};

struct Bench {
    disk: Disk,
    stats: Stats,
    operation: u32,
}

impl Bench {
    fn new(seed: u64) -> Bench {
        let plan = DiskPlan {
            latency_us: (1, 10),
            slow_per_mille: 0,
            errors_per_million: 0,
            lie: Lie::None,
        };
        Bench {
            disk: Disk::new(Prng::new(seed, Salt::Disk), plan),
            stats: Stats::default(),
            operation: 0,
        }
    }

    fn submit(&mut self, operation: DiskOperation) -> u64 {
        self.operation += 1;
        let token = DiskToken {
            owner: 0,
            operation: self.operation,
        };
        self.disk.submit(0, DiskRequest { token, operation }).0
    }

    fn complete(&mut self, number: u64) -> Result<DiskOutcome, DiskError> {
        match self.disk.complete(number, &mut self.stats) {
            Completed::Done(_, completion) => completion.result,
            Completed::Later(_) | Completed::Gone => panic!("not done"),
        }
    }

    fn run(&mut self, operation: DiskOperation) -> Result<DiskOutcome, DiskError> {
        let number = self.submit(operation);
        self.complete(number)
    }

    fn open(&mut self, create: bool) -> Result<u64, DiskError> {
        let path = "x.log".into();
        match self.run(DiskOperation::Open {
            file: FILE,
            path,
            create,
        })? {
            DiskOutcome::Opened { len_bytes } => Ok(len_bytes),
            other => panic!("{other:?}"),
        }
    }

    fn read(&mut self) -> Vec<u8> {
        let outcome = self.run(DiskOperation::Read {
            file: FILE,
            position_bytes: 0,
            buffer: BlockBuffer::zeroed(8192),
        });
        match outcome {
            Ok(DiskOutcome::Read { buffer, len_bytes }) => {
                buffer.as_slice()[..to_usize(u64::from(len_bytes))].to_vec()
            }
            other => panic!("{other:?}"),
        }
    }
}

fn write(position_bytes: u64, byte: u8) -> DiskOperation {
    let mut buffer = BlockBuffer::zeroed(4096);
    buffer.as_mut_slice().fill(byte);
    DiskOperation::Write {
        file: FILE,
        position_bytes,
        len_bytes: 4096,
        buffer,
    }
}

#[test]
fn what_was_flushed_and_named_survives_a_power_cut() {
    for seed in 0..20 {
        let mut bench = Bench::new(seed);
        assert_eq!(bench.open(true), Ok(0));
        bench.run(write(0, 3)).expect("a write");
        bench
            .run(DiskOperation::Flush { file: FILE })
            .expect("a flush");
        let path = "".into();
        bench
            .run(DiskOperation::SyncDirectory { path })
            .expect("a sync");
        bench.disk.die(Death::PowerCut, &mut bench.stats);
        assert_eq!(bench.open(false), Ok(4096));
        assert_eq!(bench.read(), [3; 4096]);
    }
}

#[test]
fn a_flush_that_was_asked_before_a_write_completed_covers_it_not() {
    let mut lost = 0;
    for seed in 0..50 {
        let mut bench = Bench::new(seed);
        bench.open(true).expect("an open");
        let path = "".into();
        bench
            .run(DiskOperation::SyncDirectory { path })
            .expect("a sync");
        let under_way = bench.submit(write(0, 3));
        let flush = bench.submit(DiskOperation::Flush { file: FILE });
        bench.complete(under_way).expect("a write");
        bench.complete(flush).expect("a flush");
        bench.disk.die(Death::PowerCut, &mut bench.stats);
        lost += u32::from(bench.open(false) != Ok(4096) || bench.read() != [3; 4096]);
    }
    assert!(lost > 0);
}

#[test]
fn a_kill_takes_nothing_that_had_completed() {
    for seed in 0..20 {
        let mut bench = Bench::new(seed);
        bench.open(true).expect("an open");
        bench.run(write(0, 3)).expect("a write");
        bench.submit(write(4096, 4));
        bench.disk.die(Death::Kill, &mut bench.stats);
        assert!(bench.open(false).expect("an open") >= 4096);
        assert_eq!(bench.read()[..4096], [3; 4096]);
    }
}

#[test]
fn a_full_disk_takes_overwrites_and_nothing_else() {
    let mut bench = Bench::new(1);
    bench.open(true).expect("an open");
    bench.run(write(0, 3)).expect("a write");
    bench.disk.set_full(true);
    assert_eq!(bench.run(write(4096, 4)).err(), Some(DiskError::NoSpace));
    bench.run(write(0, 5)).expect("an overwrite");
    let path = "d".into();
    let outcome = bench.run(DiskOperation::CreateDirectory { path });
    assert_eq!(outcome.err(), Some(DiskError::NoSpace));
    bench.disk.set_full(false);
    bench.run(write(4096, 4)).expect("a write");
}

#[test]
fn a_close_waits_for_what_was_asked_before() {
    let mut bench = Bench::new(1);
    bench.open(true).expect("an open");
    let under_way = bench.submit(write(0, 3));
    let close = bench.submit(DiskOperation::Close { file: FILE });
    let completed = bench.disk.complete(close, &mut bench.stats);
    assert!(matches!(completed, Completed::Later(_)));
    bench.complete(under_way).expect("a write");
    bench.complete(close).expect("a close");
}

#[test]
#[should_panic(expected = "two writes to one block")]
fn overlapping_writes_end_the_run() {
    let mut bench = Bench::new(1);
    bench.open(true).expect("an open");
    bench.submit(write(0, 3));
    bench.submit(write(0, 4));
}

#[test]
fn a_replaced_file_is_the_old_or_the_new_one() {
    let mut met = [false; 2];
    for seed in 0..50 {
        let mut bench = Bench::new(seed);
        let replace = |byte| DiskOperation::ReplaceFile {
            path: "c".into(),
            contents: vec![byte; 9],
        };
        bench.run(replace(1)).expect("a replacement");
        bench.submit(replace(2));
        bench.disk.die(Death::PowerCut, &mut bench.stats);
        let path = "c".into();
        match bench.run(DiskOperation::ReadFile { path }) {
            Ok(DiskOutcome::FileRead { contents }) => {
                met[usize::from(contents[0] == 2)] = true;
                assert!(contents == [1; 9] || contents == [2; 9]);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(met, [true; 2]);
}
