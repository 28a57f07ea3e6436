// SPDX-License-Identifier: Apache-2.0
//! Real executors, rings, sockets and files under small machines: an echo, and one that exercises
//! the disk.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::executors::{Executors, Launch};
use super::machine_loop::Report;
use crate::io::files::Files;
use crate::io::flush_file;
use crate::io::listener::bind_shared;
use crate::io::placement::{CpuMask, Placement};
use crate::io::storage_probe::{DirectIo, Storage};
use crate::limits::{BLOCK_BYTES, FRAME_BYTES_MAX};
use crate::model::block_buffer::BlockBuffer;
use crate::model::cores::CoreChoice;
use crate::model::disk::{
    DiskCompletion, DiskError, DiskOperation, DiskOutcome, DiskToken, FileId,
};
use crate::model::ids::{ConnectionId, ShardId};
use crate::model::memory_budget::MemoryBudget;
use crate::model::time::{MonotonicUs, Now};
use crate::shard::contract::{Effects, Event, Machine, MeshEffect, NetworkEffect, ProcessEffect};
use crate::shard::mesh_message::MeshMessage;

/// Sends every frame back. A frame `close` closes; `tick` is answered by the timer 20 ms later;
/// `big` gives many parts; `when` is answered with the moments of its arrival and its handling.
#[derive(Default)]
struct Echo {
    ticks: BTreeMap<MonotonicUs, ConnectionId>,
}

impl Echo {
    fn answer(
        now: Now,
        connection: ConnectionId,
        frame: Bytes,
        arrived_us: MonotonicUs,
        ticks: &mut BTreeMap<MonotonicUs, ConnectionId>,
        effects: &mut Effects,
    ) {
        match &frame[..] {
            b"when" => {
                let times = [arrived_us, now.monotonic_us].map(u64::to_be_bytes);
                let answer = vec![Bytes::from(times.concat())];
                effects.network.push(response(connection, answer));
            }
            b"close" => {
                effects
                    .network
                    .push(response(connection, vec![Bytes::from_static(b"bye")]));
                return effects.network.push(NetworkEffect::Close { connection });
            }
            b"tick" => {
                ticks.insert(now.after_ms(20), connection);
            }
            b"later" => {
                ticks.insert(now.after_ms(60_000), connection);
            }
            b"big" => {
                let parts =
                    (0..1000u32).map(|number| Bytes::from(number.to_be_bytes().repeat(1000)));
                effects.network.push(response(connection, parts.collect()));
            }
            _ => effects.network.push(response(connection, vec![frame])),
        }
        effects
            .network
            .push(NetworkEffect::ReceiveNext { connection });
    }
}

fn response(connection: ConnectionId, mut parts: Vec<Bytes>) -> NetworkEffect {
    let length: usize = parts.iter().map(Bytes::len).sum();
    let length = u32::try_from(length).expect("small").to_be_bytes();
    parts.insert(0, Bytes::copy_from_slice(&length));
    NetworkEffect::Send { connection, parts }
}

impl Machine for Echo {
    fn handle_event(&mut self, now: Now, event: Event, effects: &mut Effects) {
        match event {
            Event::Connected { connection, .. } => {
                effects
                    .network
                    .push(NetworkEffect::ReceiveNext { connection });
            }
            Event::Frame {
                connection,
                frame,
                arrived_us,
            } => {
                let ticks = &mut self.ticks;
                Echo::answer(now, connection, frame, arrived_us, ticks, effects);
            }
            Event::Mesh { from, message, .. } => {
                assert_eq!(from, ShardId::CONTROL);
                assert!(matches!(*message, MeshMessage::Serve));
                effects.network.push(NetworkEffect::Listen);
                let message = Box::new(MeshMessage::ImageApplied { version: 1 });
                effects.mesh.push(MeshEffect { to: from, message });
            }
            Event::Stop => effects.process.push(ProcessEffect::Stopped),
            Event::Start
            | Event::Progress { .. }
            | Event::Sent { .. }
            | Event::Spent { .. }
            | Event::Disconnected { .. }
            | Event::Disk(_) => {}
        }
    }

    fn next_deadline(&self) -> Option<MonotonicUs> {
        self.ticks.keys().next().copied()
    }

    fn handle_timeout(&mut self, now: Now, effects: &mut Effects) {
        while let Some(entry) = self
            .ticks
            .first_entry()
            .filter(|entry| *entry.key() <= now.monotonic_us)
        {
            effects
                .network
                .push(response(entry.remove(), vec![Bytes::from_static(b"tock")]));
        }
    }
}

/// Tells every shard to serve and counts the answers.
struct Starter {
    shard_count: u16,
    serving: u16,
}

impl Machine for Starter {
    fn handle_event(&mut self, _now: Now, event: Event, effects: &mut Effects) {
        match event {
            Event::Start => effects
                .mesh
                .extend((0..self.shard_count).map(|shard| MeshEffect {
                    to: ShardId(shard),
                    message: Box::new(MeshMessage::Serve),
                })),
            Event::Mesh { .. } => {
                self.serving += 1;
                if self.serving == self.shard_count {
                    effects.process.push(ProcessEffect::Ready);
                }
            }
            Event::Stop => effects.process.push(ProcessEffect::Stopped),
            _ => {}
        }
    }

    fn next_deadline(&self) -> Option<MonotonicUs> {
        None
    }

    fn handle_timeout(&mut self, _now: Now, _effects: &mut Effects) {}
}

fn launch(directory: &Path, shards: usize) -> (Launch, SocketAddr) {
    let cpus = CpuMask::of_process().expect("affinity");
    let count = CoreChoice::Count(u16::try_from(shards).expect("few"));
    let placement = Placement::choose(cpus.cpus(), None, &count).expect("a count");
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (listeners, address) = bind_shared(any, shards).expect("bind");
    let storage = Storage::probe(directory).expect("writable");
    let direct = storage.direct != DirectIo::Refused;
    let files = Files::new(directory.to_path_buf(), direct);
    let launch = Launch {
        cpus,
        placement,
        files,
        clean_file: Some(flush_file::open(directory).expect("a file").into()),
        listeners,
        frame_bytes_max: FRAME_BYTES_MAX,
        memory: MemoryBudget::of_shard(64 << 20, 1).expect("enough"),
    };
    (launch, address)
}

fn expect_effect(executors: &Executors, wanted: &ProcessEffect) {
    loop {
        match executors.next_report() {
            Report::Effect(_, effect) => return assert_eq!(&effect, wanted),
            Report::Listening(_) | Report::Buffers(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Runs a test against echo shards and stops them afterwards.
fn with_echo(shards: u16, test: impl FnOnce(SocketAddr)) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (launch, address) = launch(directory.path(), usize::from(shards));
    let control = move || Starter {
        shard_count: shards,
        serving: 0,
    };
    let mut executors = Executors::start(launch, |_| Echo::default(), control).expect("start");
    expect_effect(&executors, &ProcessEffect::Ready);
    test(address);
    for shard in (0..shards).map(ShardId).chain([ShardId::CONTROL]) {
        executors.stop(shard);
        expect_effect(&executors, &ProcessEffect::Stopped);
    }
    executors.join();
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connect");
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("timeout");
    stream.set_nodelay(true).expect("nodelay");
    stream
}

fn write_frame(stream: &mut TcpStream, body: &[u8]) {
    let length = u32::try_from(body.len()).expect("small").to_be_bytes();
    stream.write_all(&[&length, body].concat()).expect("write");
}

fn read_frame(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).expect("length");
    let mut body = vec![0; usize::try_from(u32::from_be_bytes(length)).expect("small")];
    stream.read_exact(&mut body).expect("body");
    body
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len)
        .map(|place| u8::try_from(place % 251).expect("below 251"))
        .collect()
}

#[test]
fn frames_of_all_sizes_come_back_in_order() {
    with_echo(2, |address| {
        let mut streams: Vec<TcpStream> = (0..8).map(|_| connect(address)).collect();
        for (number, stream) in streams.iter_mut().enumerate() {
            for len in [1, 100, 9_000, 70_000, 3_000_000, number + 5] {
                write_frame(stream, &pattern(len));
                assert_eq!(read_frame(stream), pattern(len));
            }
        }
        let stream = &mut streams[0];
        let many: Vec<u8> = (0..2000u32)
            .flat_map(|number| [4u32.to_be_bytes(), number.to_be_bytes()].concat())
            .collect();
        stream.write_all(&many).expect("a burst of small frames");
        for number in 0..2000u32 {
            assert_eq!(read_frame(stream), number.to_be_bytes());
        }
    });
}

#[test]
fn gathers_times_out_and_closes() {
    with_echo(1, |address| {
        let mut stream = connect(address);
        write_frame(&mut stream, b"big");
        let body = read_frame(&mut stream);
        assert_eq!(body.len(), 4_000_000);
        assert_eq!(body[4_000 * 7 + 3], 7);
        write_frame(&mut stream, b"later");
        std::thread::sleep(Duration::from_millis(50));
        let before = Instant::now();
        write_frame(&mut stream, b"tick");
        assert_eq!(read_frame(&mut stream), b"tock");
        let waited = before.elapsed();
        let range = Duration::from_millis(19)..Duration::from_secs(10);
        assert!(range.contains(&waited), "{waited:?}");
        write_frame(&mut stream, b"close");
        assert_eq!(read_frame(&mut stream), b"bye");
        assert_eq!(stream.read(&mut [0; 1]).expect("an orderly end"), 0);
    });
}

/// The moments of the arrival and the handling of a frame `when`.
fn read_times(stream: &mut TcpStream) -> (u64, u64) {
    let body = read_frame(stream);
    let (arrived, handled) = body.split_at(8);
    let number = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().expect("eight bytes"));
    (number(arrived), number(handled))
}

#[test]
fn a_frame_that_waits_for_its_turn_keeps_the_moment_of_its_arrival() {
    with_echo(1, |address| {
        let mut stream = connect(address);
        let frame = [&4u32.to_be_bytes()[..], b"when"].concat();
        // All in one packet: each waits until the one before it was handled.
        stream.write_all(&frame.repeat(20)).expect("write");
        let times: Vec<(u64, u64)> = (0..20).map(|_| read_times(&mut stream)).collect();
        let (first, _) = times[0];
        for pair in times.windows(2) {
            assert!(pair[0].1 <= pair[1].1, "each is handled later: {times:?}");
        }
        for (arrived, handled) in &times {
            assert!(arrived <= handled, "{times:?}");
        }
        let together = times.iter().filter(|(arrived, _)| *arrived == first);
        assert!(together.count() > 1, "{times:?}");
        std::thread::sleep(Duration::from_millis(20));
        stream.write_all(&frame).expect("write");
        let (arrived, handled) = read_times(&mut stream);
        assert!(arrived >= first + 20_000, "{first} {arrived}");
        assert!(handled - arrived < 10_000_000, "{arrived} {handled}");
    });
}

#[test]
fn a_lying_length_or_a_cut_connection_harms_nobody() {
    with_echo(1, |address| {
        for claim in [u32::MAX, 0x7fff_ffff, 0x8000_0000] {
            let mut liar = connect(address);
            liar.write_all(&claim.to_be_bytes()).expect("write");
            assert_eq!(liar.read(&mut [0; 1]).expect("closed"), 0);
        }
        for len in [2, 10, 100_000] {
            let mut cut = connect(address);
            cut.write_all(&50_000_000u32.to_be_bytes()[..len.min(4)])
                .expect("write");
            cut.write_all(&vec![7; len]).expect("write");
            cut.shutdown(Shutdown::Both).expect("shutdown");
        }
        let mut stream = connect(address);
        write_frame(&mut stream, b"still here");
        assert_eq!(read_frame(&mut stream), b"still here");
    });
}

#[test]
fn a_reader_that_does_not_read_blocks_only_itself() {
    with_echo(1, |address| {
        let mut lazy = connect(address);
        lazy.set_write_timeout(Some(Duration::from_millis(300)))
            .expect("timeout");
        let frame = [&1_000_000u32.to_be_bytes()[..], &pattern(1_000_000)].concat();
        let mut sent = 0;
        while sent < 400 && lazy.write_all(&frame).is_ok() {
            sent += 1;
        }
        assert!(sent < 400, "the broker took everything and kept it");
        let mut stream = connect(address);
        write_frame(&mut stream, b"hello");
        assert_eq!(read_frame(&mut stream), b"hello");
    });
}

/// Walks through one of every disk operation, then says `Ready`.
#[derive(Default)]
struct DiskWalk {
    step: u32,
}

const FILE: FileId = FileId {
    owner: 1,
    number: 1,
};

const AHEAD: FileId = FileId {
    owner: 1,
    number: 2,
};

impl DiskWalk {
    fn operations() -> Vec<DiskOperation> {
        let mut block = BlockBuffer::zeroed(3 * BLOCK_BYTES);
        block.as_mut_slice().fill(9);
        let path: Box<str> = "t-0/a.log".into();
        vec![
            DiskOperation::CreateDirectory { path: "t-0".into() },
            DiskOperation::Open {
                file: FILE,
                path: path.clone(),
                create: false,
            },
            DiskOperation::Open {
                file: FILE,
                path,
                create: true,
            },
            DiskOperation::Write {
                file: FILE,
                position_bytes: 4096,
                len_bytes: 8192,
                buffer: block,
            },
            DiskOperation::Flush { file: FILE },
            DiskOperation::Read {
                file: FILE,
                position_bytes: 0,
                buffer: BlockBuffer::zeroed(1 << 20),
            },
            DiskOperation::SetLength {
                file: FILE,
                len_bytes: 5000,
            },
            DiskOperation::Read {
                file: FILE,
                position_bytes: 4096,
                buffer: BlockBuffer::zeroed(8192),
            },
            DiskOperation::ReplaceFile {
                path: "t-0/x".into(),
                contents: b"abc".to_vec(),
            },
            DiskOperation::ReadFile {
                path: "t-0/x".into(),
            },
            DiskOperation::ListDirectory { path: "t-0".into() },
            DiskOperation::Close { file: FILE },
            DiskOperation::Flush { file: FILE },
            DiskOperation::RemoveFile {
                path: "t-0/x".into(),
            },
            DiskOperation::SyncDirectory { path: "".into() },
        ]
    }

    fn later_operations() -> Vec<DiskOperation> {
        vec![
            DiskOperation::Open {
                file: AHEAD,
                path: "t-0/a.log".into(),
                create: false,
            },
            DiskOperation::WriteZeros {
                file: AHEAD,
                position_bytes: 8192,
                len_bytes: 1 << 18,
            },
            DiskOperation::TakeBackZeros { file: AHEAD },
            DiskOperation::Flush { file: AHEAD },
            DiskOperation::FlushDevice,
            DiskOperation::Read {
                file: AHEAD,
                position_bytes: 4096,
                buffer: BlockBuffer::zeroed(2 << 20),
            },
            DiskOperation::Close { file: AHEAD },
            DiskOperation::RemoveDirectory { path: "t-0".into() },
            DiskOperation::ListDirectory { path: "".into() },
        ]
    }

    fn check(step: u32, result: Result<DiskOutcome, DiskError>) {
        match (step, result) {
            (1, Err(DiskError::NotFound))
            | (2, Ok(DiskOutcome::Opened { len_bytes: 0 }))
            | (3, Ok(DiskOutcome::Written { .. }))
            | (12, Err(DiskError::Io(libc::EBADF)))
            | (15, Ok(DiskOutcome::Opened { len_bytes: 5000 }))
            | (0 | 4 | 6 | 8 | 11 | 13 | 14 | 16..=19 | 21 | 22, Ok(DiskOutcome::Done)) => {}
            (5, Ok(DiskOutcome::Read { buffer, len_bytes })) => {
                assert_eq!(len_bytes, 12_288);
                assert_eq!(buffer.as_slice()[4095..4097], [0, 9]);
            }
            (7, Ok(DiskOutcome::Read { len_bytes, .. })) => assert_eq!(len_bytes, 904),
            (9, Ok(DiskOutcome::FileRead { contents })) => assert_eq!(contents, b"abc"),
            (10, Ok(DiskOutcome::Listed { entries })) => {
                let names: Vec<_> = entries
                    .iter()
                    .map(|entry| (&*entry.name, entry.len_bytes))
                    .collect();
                assert_eq!(names, [("a.log", 5000), ("x", 3)]);
            }
            (20, Ok(DiskOutcome::Read { buffer, len_bytes })) => {
                assert_eq!(len_bytes, (1 << 18) + 4096);
                assert_eq!(buffer.as_slice()[903..905], [9, 0]);
            }
            (23, Ok(DiskOutcome::Listed { entries })) => {
                let names: Vec<_> = entries.iter().map(|entry| &*entry.name).collect();
                assert_eq!(names, ["device-flush"]);
            }
            (step, result) => panic!("step {step}: {result:?}"),
        }
    }

    fn ask(&self, effects: &mut Effects) {
        let place = usize::try_from(self.step).expect("small");
        let mut all = DiskWalk::operations();
        all.extend(DiskWalk::later_operations());
        match all.into_iter().nth(place) {
            Some(operation) => {
                let token = DiskToken {
                    owner: 0,
                    operation: self.step,
                };
                effects.disk.push(token, operation);
            }
            None => effects.process.push(ProcessEffect::Ready),
        }
    }
}

impl Machine for DiskWalk {
    fn handle_event(&mut self, _now: Now, event: Event, effects: &mut Effects) {
        match event {
            Event::Start => self.ask(effects),
            Event::Disk(DiskCompletion { token, result }) => {
                assert_eq!(token.operation, self.step);
                DiskWalk::check(self.step, result);
                self.step += 1;
                self.ask(effects);
            }
            Event::Stop => effects.process.push(ProcessEffect::Stopped),
            _ => {}
        }
    }

    fn next_deadline(&self) -> Option<MonotonicUs> {
        None
    }

    fn handle_timeout(&mut self, _now: Now, _effects: &mut Effects) {}
}

#[test]
fn every_disk_operation_does_what_the_contract_says() {
    // Beside the build, where there is a real file system: the usual place for temporary files may
    // be in memory.
    let directory =
        tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).expect("a temporary directory");
    let (launch, _) = launch(directory.path(), 1);
    let mut executors =
        Executors::start(launch, |_| Echo::default(), DiskWalk::default).expect("start");
    expect_effect(&executors, &ProcessEffect::Ready);
    for shard in [ShardId(0), ShardId::CONTROL] {
        executors.stop(shard);
        expect_effect(&executors, &ProcessEffect::Stopped);
    }
    executors.join();
}
