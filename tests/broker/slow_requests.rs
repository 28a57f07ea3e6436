// SPDX-License-Identifier: Apache-2.0
//! The lines of slow requests, and the figures of stages, of the real process: with a bound of
//! 0 ms every request is slow.

use serde_json::Value;

use crate::admin::{get, start_with, value};
use crate::client::{Client, batch_of, produce_request};
use crate::process::Broker;

/// The line that tells of a slow request of this API, as JSON.
fn slow(broker: &mut Broker, api: &str) -> Value {
    let line = broker.hear(&format!("slow request: {api} took"));
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// All its stages, which must not be more than the whole.
fn stages(line: &Value) -> Vec<(&str, u64)> {
    let fields = line.as_object().expect("an object").iter();
    let stages: Vec<(&str, u64)> = fields
        .filter_map(|(name, took)| Some((name.strip_suffix("_us")?, took.as_u64()?)))
        .filter(|(name, _)| *name != "total")
        .collect();
    let sum_us: u64 = stages.iter().map(|(_, took_us)| took_us).sum();
    let total_us = line["total_us"].as_u64().expect("a number");
    assert!(sum_us <= total_us, "{line}");
    assert!(total_us > 0 && total_us < 60_000_000, "{line}");
    stages
}

#[test]
fn a_slow_request_is_a_line_with_all_its_stages() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let more = ["--set", "slow.request.ms=0", "--log-format", "json"];
    let (mut broker, admin) = start_with(directory.path(), &more);
    let mut client = Client::connect(&broker.address);
    client.create_topic("slow", 1);
    let created = slow(&mut broker, "CreateTopics");
    assert!(stages(&created).iter().all(|(name, _)| *name != "flush"));
    // A second has so many lines only.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let batch = batch_of(&["a".to_owned()]);
    let mut answers = client.call(9, &produce_request("slow", 0, batch)).responses;
    assert_eq!(answers.remove(0).partition_responses[0].error_code, 0);
    let produced = slow(&mut broker, "Produce");
    assert_eq!(produced["partition"], "slow-0");
    assert_eq!(produced["level"], "WARN");
    assert_eq!(produced["client"], "test");
    assert_eq!(produced["answered"], true);
    let peer = produced["peer"].as_str().expect("its address");
    assert!(peer.starts_with("127.0.0.1:"), "{peer}");
    let stages_of_it = stages(&produced);
    let took = |wanted: &str| {
        let found = stages_of_it.iter().find(|(name, _)| *name == wanted);
        found.unwrap_or_else(|| panic!("no {wanted}: {produced}")).1
    };
    for stage in ["queue", "gather", "answer"] {
        let _ = took(stage);
    }
    assert!(took("write") > 0 && took("flush") > 0, "{produced}");
    client.fetch("slow", 0, 0);
    let fetched = slow(&mut broker, "Fetch");
    assert!(stages(&fetched).iter().any(|(name, _)| *name == "read"));
    let (_, text) = get(&admin, "/metrics");
    for (stage, least) in [
        ("produce", 1),
        ("flush", 1),
        ("write", 1),
        ("fetch", 1),
        ("queue", 3),
    ] {
        let count: f64 = text
            .lines()
            .filter(|line| line.starts_with("furlong_stage_seconds_count{"))
            .filter(|line| line.contains(&format!("stage=\"{stage}\"")))
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum();
        assert!(count >= f64::from(least), "{stage}: {count}");
    }
    let at = "{topic=\"slow\"}";
    let name = "kafka_server_brokertopicmetrics";
    assert_eq!(value(&text, &format!("{name}_messagesin_total{at}")), 1.0);
    assert_eq!(value(&text, &format!("{name}_messagesin_total ")), 1.0);
    let bytes_in = value(&text, &format!("{name}_bytesin_total{at}"));
    assert!(bytes_in > 60.0, "{bytes_in}");
    assert_eq!(
        value(&text, &format!("{name}_bytesout_total{at}")),
        bytes_in
    );
    let none = "kafka_network_requestmetrics_errors_total{request=\"Produce\",error=\"NONE\"}";
    assert_eq!(value(&text, none), 1.0);
    assert_eq!(broker.stop().code(), Some(0));
}
