// SPDX-License-Identifier: Apache-2.0
//! Caps of connections and idle connections, on real sockets of the real process.

use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::admin::{get, start_with, value};
use crate::client::Client;
use crate::process::{Broker, PATIENCE};

/// Waits for the end of a connection on which nothing comes; how long it took.
fn time_to_end(stream: &TcpStream) -> Duration {
    let since = Instant::now();
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a socket has timeouts");
    let mut stream = stream;
    let count = stream.read(&mut [0; 1]).expect("it ends in order");
    assert_eq!(count, 0, "nothing comes");
    since.elapsed()
}

/// True if the peer has not ended the connection.
fn is_open(stream: &TcpStream) -> bool {
    stream
        .set_read_timeout(Some(Duration::from_millis(200)))
        .expect("a socket has timeouts");
    let mut stream = stream;
    match stream.read(&mut [0; 1]) {
        Ok(count) => count > 0,
        Err(error) => matches!(
            error.kind(),
            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
        ),
    }
}

fn connect(address: &str) -> TcpStream {
    TcpStream::connect(address).expect("it listens")
}

#[test]
fn an_idle_connection_is_closed_after_its_time_and_counted() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let settings = ["--set", "connections.max.idle.ms=700", "--cores", "2"];
    let (broker, admin) = start_with(directory.path(), &settings);
    let mut asking = Client::connect(&broker.address);
    asking.create_topic("asked", 1);
    let silent = connect(&broker.address);
    let took = time_to_end(&silent);
    assert!(took >= Duration::from_millis(500), "{took:?} is too soon");
    let (_, text) = get(&admin, "/metrics");
    let closed = "furlong_connections_closed_total{reason=\"no_request\"}";
    assert_eq!(value(&text, closed), 1.0);
    let deadline = Instant::now() + PATIENCE;
    let idle = "furlong_connections_closed_total{reason=\"idle\"}";
    while value(&get(&admin, "/metrics").1, idle) < 1.0 {
        assert!(Instant::now() < deadline, "it is never closed");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(broker.stop().code(), Some(0));
}

#[test]
fn the_cap_of_the_broker_makes_wait_and_that_of_an_address_closes() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let settings = ["--set", "max.connections.per.ip=2", "--cores", "2"];
    let (broker, _) = start_with(directory.path(), &settings);
    let (first, _second) = (Client::connect(&broker.address), connect(&broker.address));
    for _ in 0..5 {
        time_to_end(&connect(&broker.address));
    }
    drop(first);
    assert_eq!(broker.stop().code(), Some(0));

    let settings = ["--set", "max.connections=1", "--cores", "2"];
    let (broker, _) = start_with(directory.path(), &settings);
    let mut first = Client::connect(&broker.address);
    first.create_topic("capped", 1);
    let mut waiting = Client::connect(&broker.address);
    let raw = connect(&broker.address);
    assert!(is_open(&raw), "who waits is not closed");
    // One that leaves while it waits is not waited for.
    let gone = connect(&broker.address);
    let last = connect(&broker.address);
    drop(raw);
    drop(gone);
    drop(first);
    // Its request was in the socket all the time.
    waiting.create_topic("served", 1);
    assert!(is_open(&last));
    assert_eq!(broker.stop().code(), Some(0));
}

#[test]
fn clients_cannot_take_the_descriptors_that_logs_need() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let arguments = ["--listen", "127.0.0.1:0", "--cores", "2"];
    let mut broker = Broker::start_with_descriptors(directory.path(), &arguments, 240);
    let mut client = Client::connect(&broker.address);
    client.create_topic("first", 2);
    let others: Vec<TcpStream> = (0..300).map(|_| connect(&broker.address)).collect();
    let closed = broker.hear("over what the descriptors of this process allow");
    assert!(closed.contains("ulimit -n"), "{closed}");
    let open = others.iter().filter(|stream| is_open(stream)).count();
    assert!((60..120).contains(&open), "{open} are open");
    // Files are opened and made as ever.
    for number in 0..10 {
        client.create_topic(&format!("topic-{number}"), 1);
        client.produce_values(&format!("topic-{number}"), 0, &["a".to_owned()]);
    }
    broker.assert_alive();
    assert_eq!(broker.stop().code(), Some(0));
}
