// SPDX-License-Identifier: Apache-2.0
//! The memory of the real process under load.

use std::thread;

use crate::client::{Client, batch_of};
use crate::process::Broker;

const MIB: u64 = 1024 * 1024;

/// What a process of one shard holds beside its budget: the program itself, stacks, rings, the
/// allocator's own, and what the kernel has just filled.
const OVERHEAD_BYTES: u64 = 40 * MIB;

/// Writes so many megabytes, 0.9 MB a request, and reads all of them back from the start.
fn load(address: &str, partition: i32, megabytes: usize) {
    let mut client = Client::connect(address);
    let value = "m".repeat(900_000);
    let batch = batch_of(&[value]);
    for offset in 0..megabytes {
        let answer = client.produce("load", partition, batch.clone());
        assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
        assert_eq!(answer.base_offset, i64::try_from(offset).expect("small"));
    }
    let mut offset = 0;
    while offset < megabytes {
        let at = i64::try_from(offset).expect("small");
        let data = client.fetch("load", partition, at);
        assert_eq!(data.error_code, 0);
        let bytes = data.records.expect("never null").len();
        assert!(bytes > 900_000, "at least one batch");
        offset += bytes / 900_000;
    }
}

#[test]
fn a_small_budget_is_kept_under_load() {
    const CLIENTS: i32 = 24;
    const MEGABYTES: usize = 12;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let arguments = [
        "--listen",
        "127.0.0.1:0",
        "--cores",
        "1",
        "--memory",
        "32MiB",
    ];
    let mut broker = Broker::try_start(directory.path(), &arguments).expect("it starts");
    let told = broker
        .said
        .iter()
        .any(|line| line.contains("memory: 32 MiB"));
    assert!(told, "{:?}", broker.said);
    let address = broker.address.clone();
    Client::connect(&address).create_topic("load", CLIENTS);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|partition| {
            let address = address.clone();
            thread::spawn(move || load(&address, partition, MEGABYTES))
        })
        .collect();
    for client in clients {
        client.join().expect("the load goes through");
    }
    broker.assert_alive();
    let peak = broker.memory_peak_bytes();
    eprintln!("peak memory with a budget of 32 MiB: {} MiB", peak / MIB);
    assert!(peak <= 32 * MIB + OVERHEAD_BYTES, "{} MiB", peak / MIB);
}

#[test]
fn a_budget_that_is_too_small_is_refused_with_the_least_that_serves() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let arguments = [
        "--listen",
        "127.0.0.1:0",
        "--cores",
        "2",
        "--memory",
        "20MiB",
    ];
    let ended = Broker::try_start(directory.path(), &arguments)
        .err()
        .expect("too little");
    assert!(!ended.status.success());
    assert!(ended.said.contains("at least 32 MiB"), "{}", ended.said);
}
