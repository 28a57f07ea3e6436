// SPDX-License-Identifier: Apache-2.0
//! Commands of transactions against a real broker: what is listed and described, what a reader of
//! committed records prints, what an abort shows first and then does.

use furlong::wire::protocol::end_txn::EndTxnRequest;
use serde_json::{Value, json};

use crate::client::Client;
use crate::commands::Garden;
use crate::transactions::{end_request, find, init, write};

/// What a reader prints to the end.
fn printed(garden: &Garden, isolation: &str) -> String {
    garden.out(&["consume", "furrow", "-e", "--isolation", isolation])
}

#[test]
fn an_open_transaction_is_shown_and_aborted() {
    let garden = Garden::start(&[]);
    let mut client = Client::connect(&garden.broker.address);
    client.create_topic("furrow", 2);
    garden.produce(&["furrow", "-p", "0"], b"outside\n");
    find(&mut client);
    let producer = init(&mut client);
    write(&mut client, producer, 0, "open");

    let listed = garden.json(&["txn", "list", "--state", "Ongoing"]);
    assert_eq!(listed[0]["transactional_id"], "tx");
    assert_eq!(listed[0]["producer_id"], producer.id);
    let none = Value::Array(Vec::new());
    assert_eq!(garden.json(&["txn", "list", "--older-than", "1h"]), none);
    assert_eq!(garden.json(&["txn", "list", "--pattern", "t"]), none);
    let described = garden.json(&["txn", "describe", "tx"]);
    let written = json!([{"topic": "furrow", "partitions": [0]}]);
    assert_eq!(described[0]["topics"], written);
    assert!(described[0]["open_ms"].as_i64() >= Some(0), "{described}");
    assert_eq!(printed(&garden, "read_committed"), "outside\n");
    assert_eq!(printed(&garden, "read_uncommitted"), "outside\nopen\n");
    let hanging = ["txn", "find-hanging", "--older-than", "0s"];
    assert_eq!(garden.json(&hanging), none, "its coordinator ends it");

    let preview = garden.out(&["txn", "abort", "tx"]);
    assert!(preview.ends_with("give --execute to do it\n"), "{preview}");
    assert_eq!(
        garden.json(&["txn", "describe", "tx"])[0]["state"],
        "Ongoing"
    );
    let done = garden.json(&["txn", "abort", "tx", "--execute"]);
    assert_eq!(done[0]["done"], true);
    let request = end_request(producer, true);
    let late = client.call::<EndTxnRequest>(5, &request).error_code;
    assert!([47, 90].contains(&late), "the producer is fenced: {late}");
    garden.produce(&["furrow", "-p", "0"], b"later\n");
    assert_eq!(printed(&garden, "read_committed"), "outside\nlater\n");
    assert_eq!(
        printed(&garden, "read_uncommitted"),
        "outside\nopen\nlater\n"
    );
}

#[test]
fn what_cannot_be_aborted_is_said() {
    let garden = Garden::start(&[]);
    let mut client = Client::connect(&garden.broker.address);
    client.create_topic("furrow", 2);
    find(&mut client);
    let producer = init(&mut client);
    let idle = garden.fails(1, &["txn", "abort", "tx", "--execute"]);
    assert!(idle.contains("no open transaction"), "{idle}");
    write(&mut client, producer, 1, "open");
    let id = producer.id.to_string();
    let of_partition = |partition, mark, value| {
        let place = ["txn", "abort", "-t", "furrow", "-p", partition];
        garden.fails(1, &[&place[..], &[mark, value, "--execute"]].concat())
    };
    let kept = of_partition("1", "--producer-id", &id);
    assert!(kept.contains("that of transactional id tx"), "{kept}");
    let elsewhere = of_partition("0", "--start-offset", "0");
    assert!(elsewhere.contains("no such transaction"), "{elsewhere}");
    let beyond = of_partition("7", "--start-offset", "0");
    assert!(beyond.contains("no partition 7"), "{beyond}");
    assert_eq!(
        garden.json(&["txn", "describe", "tx"])[0]["state"],
        "Ongoing"
    );
    for command in ["describe", "abort"] {
        let nobody = garden.fails(1, &["txn", command, "nobody"]);
        assert!(nobody.contains("`furlong txn list` names them"), "{nobody}");
    }
    let pattern = garden.fails(1, &["txn", "list", "--pattern", "("]);
    assert!(pattern.contains("no regular expression"), "{pattern}");
    garden.fails(2, &["txn", "list", "--state", "Sleeping"]);
    garden.fails(2, &["txn", "abort"]);
    garden.fails(2, &["txn", "abort", "-t", "furrow", "-p", "1"]);
}
