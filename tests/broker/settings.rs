// SPDX-License-Identifier: Apache-2.0
//! Settings of the real program: files, environment, flags, what is refused and what is told.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::commands::{Outcome, run};
use crate::process::Broker;

struct Files {
    directory: tempfile::TempDir,
}

impl Files {
    fn new() -> Files {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Files { directory }
    }

    fn put(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, text).expect("a file");
        path
    }

    fn print(&self, name: &str, text: &str, more: &[&str], variables: &[(&str, &str)]) -> Outcome {
        let path = self.put(name, text).display().to_string();
        let words = [&["serve", "--print-config", "--config", &path], more].concat();
        run(&words, b"", variables)
    }
}

fn find<'a>(all: &'a Value, name: &str) -> &'a Value {
    let all = all.as_array().expect("a list");
    all.iter()
        .find(|one| one["name"] == name)
        .expect("it is told")
}

#[test]
fn every_place_is_told_with_what_it_gives() {
    let files = Files::new();
    let text = "node.id = 4\n[log.retention]\nhours = 2\n[num]\npartitions = 3\nio.threads = 64\n";
    let variables = [("FURLONG_NUM_PARTITIONS", "5"), ("FURLONG_NODE_ID", "6")];
    let flags = ["--set", "node.id=7", "--cores", "1", "--format", "json"];
    let printed = files.print("server.toml", text, &flags, &variables);
    assert_eq!(printed.code, 0, "{}", printed.err);
    let all: Value = serde_json::from_str(&printed.out).expect("JSON");
    for (name, value, source) in [
        ("node.id", "7", "flag --set"),
        ("cores", "1", "flag --cores"),
        ("num.partitions", "5", "environment FURLONG_NUM_PARTITIONS"),
        ("log.segment.bytes", "1073741824", "default"),
    ] {
        let one = find(&all, name);
        assert_eq!(
            (&one["value"], &one["source"]),
            (&value.into(), &source.into()),
            "{name}"
        );
    }
    let hours = find(&all, "log.retention.hours");
    assert!(
        hours["source"]
            .as_str()
            .is_some_and(|source| source.ends_with("server.toml"))
    );
    assert_eq!(find(&all, "num.io.threads")["use"], "without effect");
    assert_eq!(find(&all, "log.retention.ms")["dynamic"], true);
    let notices: Vec<&str> = printed.err.lines().collect();
    assert_eq!(notices.len(), 1, "one line in all: {notices:?}");
    assert!(notices[0].contains("no effect") && notices[0].contains("num.io.threads"));
}

#[test]
fn a_secret_is_never_printed() {
    let files = Files::new();
    let text = "ssl.keystore.password=s3cret\nlistener.name.a.ssl.key.password=s3cret\n";
    for format in ["table", "json"] {
        let printed = files.print("a.properties", text, &["--format", format], &[]);
        assert_eq!(printed.code, 1, "such a setting is refused");
        assert!(!printed.out.contains("s3cret") && !printed.err.contains("s3cret"));
        assert!(
            printed.out.contains("ssl.keystore.password"),
            "and told all the same"
        );
        assert!(
            printed.err.contains("Remove the setting"),
            "{}",
            printed.err
        );
    }
}

#[test]
fn a_broker_serves_with_what_was_given() {
    let files = Files::new();
    let path = files.put(
        "server.properties",
        "num.partitions : 4\nnum.partition=7\nbroker.rack \\\n  shed\n",
    );
    let path = path.display().to_string();
    let data = tempfile::tempdir().expect("a temporary directory");
    let arguments = ["--listen", "127.0.0.1:0", "--config", &path];
    let broker = Broker::try_start(data.path(), &arguments).expect("it starts");
    let said = broker.said.join("\n");
    assert!(
        said.contains("Did you mean num.partitions? It is passed over"),
        "{said}"
    );
    let address = broker.address.as_str();
    let create = ["topic", "create", "garden", "-b", address];
    assert_eq!(
        run(&create, b"", &[]).out,
        "created topic garden with 4 partitions\n"
    );
    let words = ["config", "describe", "broker", "1", "-b", address];
    let described = run(&words, b"", &[]).out;
    assert!(
        described.contains("broker.rack") && described.contains("shed"),
        "{described}"
    );
}

#[test]
fn what_cannot_be_served_is_refused_before_anything_is_touched() {
    let files = Files::new();
    let data = files.directory.path().join("data");
    for (text, part) in [
        ("zookeeper.connect=localhost:2181", "ZooKeeper"),
        ("process.roles=broker", "broker and controller in one"),
        (
            "listeners=SASL_SSL://127.0.0.1:9092",
            "without encryption and authentication",
        ),
        ("sasl.jaas.config=x", "no authentication here"),
        ("a=\\u12", "Line 1"),
    ] {
        let path = files.put("server.properties", text).display().to_string();
        let data = data.display().to_string();
        let refused = run(&["serve", "--config", &path, "--data", &data], b"", &[]);
        assert_eq!(refused.code, 1, "{text}");
        assert!(refused.err.contains(part), "{text}: {}", refused.err);
    }
    assert!(!data.exists());
    let mistake = run(&["serve", "--format", "json"], b"", &[]);
    assert_eq!(mistake.code, 2, "a format without anything to print");
}
