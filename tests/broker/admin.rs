// SPDX-License-Identifier: Apache-2.0
//! The admin port of the real process: alive, ready, and figures that a collector can read.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::client::{Client, batch_of};
use crate::process::Broker;

/// Status and body of what is at a path.
pub fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("the admin port listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut said = String::new();
    stream.read_to_string(&mut said).expect("it answers");
    let (head, body) = said.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).expect("a status line");
    (status.parse().expect("a number"), body.to_owned())
}

fn start(data: &std::path::Path) -> (Broker, String) {
    start_with(data, &[])
}

/// A broker with these further arguments, and where it tells its figures.
pub fn start_with(data: &std::path::Path, more: &[&str]) -> (Broker, String) {
    let mut arguments = vec!["--listen", "127.0.0.1:0"];
    arguments.extend(["--set", "admin.listener=127.0.0.1:0"]);
    arguments.extend(more);
    let broker = Broker::try_start(data, &arguments).expect("it starts");
    let told = broker.said.iter().find_map(|line| {
        let (_, rest) = line.split_once("figures on http://")?;
        rest.split('/').next().map(str::to_owned)
    });
    let address = told.unwrap_or_else(|| panic!("{:?}", broker.said));
    (broker, address)
}

/// The value of the one line that begins so.
pub fn value(text: &str, begin: &str) -> f64 {
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with(begin))
        .collect();
    let [line] = lines[..] else {
        panic!("{begin} stands {} times in:\n{text}", lines.len())
    };
    let (_, value) = line.rsplit_once(' ').expect("a value");
    value.parse().expect("a number")
}

/// Checks the form of each line: a comment, or `name{label="value",...} number`.
fn assert_exposition(text: &str) {
    let mut known = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# ") {
            let mut words = rest.split(' ');
            assert!(matches!(words.next(), Some("HELP" | "TYPE")), "{line}");
            known = words.next().expect("a name").to_owned();
            continue;
        }
        let (series, number) = line.rsplit_once(' ').expect("a value");
        let name = series.split('{').next().expect("a name");
        assert!(name.starts_with(&known), "{line} stands under {known}");
        assert!(number.parse::<f64>().is_ok(), "{line}");
        assert_eq!(series.contains('{'), series.ends_with('}'), "{line}");
    }
}

#[test]
fn figures_follow_what_happens() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (mut broker, admin) = start(directory.path());
    assert_eq!(get(&admin, "/readyz"), (200, "ready\n".to_owned()));
    assert_eq!(get(&admin, "/healthz").0, 200);
    assert_eq!(get(&admin, "/nothing").0, 404);
    let mut client = Client::connect(&broker.address);
    client.create_topic("counted", 2);
    for _ in 0..3 {
        let answer = client.produce("counted", 1, batch_of(&["a".to_owned(), "b".to_owned()]));
        assert_eq!(answer.error_code, 0);
    }
    let (status, text) = get(&admin, "/metrics");
    assert_eq!(status, 200);
    assert_exposition(&text);
    let at = "{topic=\"counted\",partition=\"1\"}";
    assert_eq!(
        value(&text, &format!("kafka_topic_partition_current_offset{at}")),
        6.0
    );
    assert_eq!(
        value(&text, &format!("kafka_topic_partition_oldest_offset{at}")),
        0.0
    );
    assert!(value(&text, &format!("kafka_log_log_size{at}")) > 100.0);
    assert_eq!(
        value(&text, "kafka_server_replicamanager_partitioncount"),
        2.0
    );
    assert_eq!(value(&text, "kafka_server_replicamanager_leadercount"), 2.0);
    let produced = "kafka_network_requestmetrics_requests_total{request=\"Produce\"}";
    assert_eq!(value(&text, produced), 3.0);
    let stable = "furlong_groups{type=\"classic\",state=\"Stable\"}";
    assert_eq!(value(&text, stable), 0.0);
    let ongoing = "furlong_transactional_ids{state=\"Ongoing\"}";
    assert_eq!(value(&text, ongoing), 0.0);
    assert_eq!(value(&text, "furlong_transactions_timed_out_total"), 0.0);
    broker.assert_alive();
    assert_eq!(broker.stop().code(), Some(0));
}
