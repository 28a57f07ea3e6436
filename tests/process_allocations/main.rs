// SPDX-License-Identifier: Apache-2.0
//! What the whole broker, shell included, asks of the allocator once it is warm: the broker runs in
//! this process, and every thread but the client's is counted.
//!
//! It has no test harness: the broker takes over the signals and the priority of its process.
//! With `FURLONG_ALLOCATION_TRACES=1` each counted allocation prints its stack.

#[path = "../wire/allocation.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod allocation;
#[path = "../broker/client.rs"]
#[allow(dead_code, reason = "tests/broker uses the rest of it")]
mod client;

use std::net::TcpListener;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Parser;
use furlong::server::options::ServeArguments;
use furlong::server::serve::serve;
use furlong::wire::protocol::encode_request;

use client::{Client, batch_of, produce_request};

mod process {
    //! What `tests/broker/process.rs` says of waiting.

    /// How long a client waits.
    pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);
}

/// Partitions of the topic, so that both shards of a small machine have some.
const PARTITIONS: i32 = 4;

/// Requests under way on the connection at a time.
const WINDOW: usize = 8;

/// The command line of the broker.
#[derive(Parser)]
struct Program {
    #[command(flatten)]
    serve: ServeArguments,
}

/// Allocations that may come with each recovery point, which is written every 32 MiB of a log.
const PER_RECOVERY_POINT_MAX: usize = 100;

/// Allocations that may come by the way: timers, indexes that grow.
const BY_THE_WAY_MAX: usize = 50;

/// One shape of load.
struct Load {
    name: &'static str,
    /// Sends requests and takes their answers.
    step: Box<dyn FnMut(&mut Client)>,
    requests_of_step: usize,
    warm_up_steps: usize,
    steps: usize,
    /// Bytes that all counted steps append.
    appended_bytes: usize,
}

impl Load {
    fn allocations_max(&self) -> usize {
        BY_THE_WAY_MAX + PER_RECOVERY_POINT_MAX * self.appended_bytes.div_ceil(32 << 20)
    }
}

fn main() -> ExitCode {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("it is bound").to_string();
    drop(free);
    let data = directory.path().display().to_string();
    let arguments = [
        "broker",
        "--listen",
        &address,
        "--data",
        &data,
        "--cores",
        "1",
        "--memory",
        "192MiB",
        "--log-level",
        "error",
        "--set",
        "admin.listener=",
    ];
    let arguments = Program::parse_from(arguments).serve;
    std::thread::spawn(move || {
        if let Err(error) = serve(&arguments) {
            eprintln!("the broker: {error}");
            std::process::exit(1);
        }
    });
    allocation::leave_this_thread_out();
    let is_good = run(&address);
    drop(directory);
    // Not a return: the broker's threads still run.
    std::process::exit(if is_good { 0 } else { 1 })
}

fn run(address: &str) -> bool {
    let mut client = connect(address);
    client.create_topic("t", PARTITIONS);
    let mut failed = 0;
    let mut loads = loads();
    for load in &mut loads {
        let (most, requests) = (load.allocations_max(), load.steps * load.requests_of_step);
        assert!(most < requests, "one allocation a request would pass");
        (0..load.warm_up_steps).for_each(|_| (load.step)(&mut client));
        let ((), count) = allocation::counted_everywhere(|| {
            (0..load.steps).for_each(|_| (load.step)(&mut client));
        });
        let verdict = if count <= most { "ok" } else { "TOO MANY" };
        let name = load.name;
        println!("{name}: {count} allocations in {requests} requests, at most {most}: {verdict}");
        failed += usize::from(count > most);
    }
    println!("{} passed, {failed} failed", loads.len() - failed);
    failed == 0
}

fn connect(address: &str) -> Client {
    let until = Instant::now() + process::PATIENCE;
    while std::net::TcpStream::connect(address).is_err() {
        assert!(Instant::now() < until, "the broker does not come up");
        std::thread::sleep(Duration::from_millis(20));
    }
    Client::connect(address)
}

fn loads() -> Vec<Load> {
    let small = batch_of(&vec!["x".repeat(100); 3]);
    let large = batch_of(&vec!["x".repeat(1000); 200]);
    let large_bytes = large.len();
    vec![
        Load {
            name: "produce of 3 records of 100 bytes",
            step: produce(&small),
            requests_of_step: WINDOW,
            warm_up_steps: 2000,
            steps: 500,
            appended_bytes: 500 * WINDOW * small.len(),
        },
        Load {
            name: "produce of 200 records of 1000 bytes",
            step: produce(&large),
            requests_of_step: WINDOW,
            warm_up_steps: 300,
            steps: 200,
            appended_bytes: 200 * WINDOW * large_bytes,
        },
        Load {
            name: "produce of 3 records, and a fetch of them",
            step: follow(small.clone()),
            requests_of_step: 2,
            warm_up_steps: 2000,
            steps: 500,
            appended_bytes: 500 * small.len(),
        },
    ]
}

/// Sends a window of requests, then takes all answers.
fn produce(batch: &Bytes) -> Box<dyn FnMut(&mut Client)> {
    let partitions = (0..PARTITIONS).cycle().take(WINDOW);
    let frame = |partition| frame(&produce_request("t", partition, batch.clone()), 9);
    let frames: Vec<Bytes> = partitions.map(frame).collect();
    Box::new(move |client| {
        for frame in &frames {
            client.send(frame).expect("the broker reads");
        }
        for _ in &frames {
            client.read_frame().expect("an answer");
        }
    })
}

/// Writes a batch and reads it.
fn follow(batch: Bytes) -> Box<dyn FnMut(&mut Client)> {
    Box::new(move |client| {
        let offset = client.produce("t", 0, batch.clone()).base_offset;
        let data = client.fetch("t", 0, offset);
        let bytes = data.records.map_or(0, |records| records.len());
        assert_eq!((data.error_code, bytes), (0, batch.len()));
    })
}

/// A request as it goes to the socket.
fn frame<R: furlong::wire::protocol::Request>(request: &R, version: i16) -> Bytes {
    let parts = encode_request(7, "test", version, request).expect("the version can say it");
    parts.concat().into()
}
