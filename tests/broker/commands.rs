// SPDX-License-Identifier: Apache-2.0
//! The commands of the program against a real broker: topics, records, settings, exit codes.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::process::Broker;

/// What a command did.
pub struct Outcome {
    /// Its exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// Runs the program without any settings of the person who runs the tests.
pub fn run(words: &[&str], input: &[u8], variables: &[(&str, &str)]) -> Outcome {
    let mut command = Command::new(env!("CARGO_BIN_EXE_furlong"));
    for name in ["FURLONG_PROFILE", "FURLONG_BOOTSTRAP_SERVER"] {
        command.env_remove(name);
    }
    command.env("XDG_CONFIG_HOME", "/nonexistent").args(words);
    command.envs(variables.iter().copied());
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program is built");
    let mut stdin = child.stdin.take().expect("piped");
    // A command that does not read its input closes it early.
    let _ = stdin.write_all(input);
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    Outcome {
        code: output.status.code().expect("no signal ended it"),
        out: String::from_utf8(output.stdout).expect("text"),
        err: String::from_utf8(output.stderr).expect("text"),
    }
}

/// A broker to which commands are sent.
pub struct Garden {
    /// The broker.
    pub broker: Broker,
    data: tempfile::TempDir,
}

impl Garden {
    /// Starts a broker with these arguments.
    pub fn start(arguments: &[&str]) -> Garden {
        let data = tempfile::tempdir().expect("a temporary directory");
        let broker = start(data.path(), arguments);
        Garden { broker, data }
    }

    fn restart(self, arguments: &[&str]) -> Garden {
        self.broker.kill();
        Garden {
            broker: start(self.data.path(), arguments),
            data: self.data,
        }
    }

    /// Runs a command of so many words, then `-b`, then the others.
    pub fn with_input(&self, words: &[&str], input: &[u8]) -> Outcome {
        let mut all = words.to_vec();
        all.extend(["-b", &self.broker.address]);
        run(&all, input, &[])
    }

    /// Runs a command.
    pub fn run(&self, words: &[&str]) -> Outcome {
        self.with_input(words, b"")
    }

    /// The output of a command that succeeds.
    pub fn out(&self, words: &[&str]) -> String {
        let outcome = self.run(words);
        assert_eq!(outcome.code, 0, "{words:?}: {}", outcome.err);
        outcome.out
    }

    /// What a command says to programs.
    pub fn json(&self, words: &[&str]) -> Value {
        let mut all = words.to_vec();
        all.extend(["--format", "json"]);
        serde_json::from_str(&self.out(&all)).expect("JSON")
    }

    /// The sentence of a command that fails with this code.
    pub fn fails(&self, code: i32, words: &[&str]) -> String {
        let outcome = self.run(words);
        assert_eq!(
            outcome.code, code,
            "{words:?}: {}{}",
            outcome.out, outcome.err
        );
        assert_eq!(outcome.out, "", "results only");
        outcome.err
    }

    /// Sends lines.
    pub fn produce(&self, words: &[&str], input: &[u8]) {
        let mut all = vec!["produce", "--quiet"];
        all.extend(words);
        let outcome = self.with_input(&all, input);
        assert_eq!(outcome.code, 0, "{words:?}: {}", outcome.err);
        assert_eq!(outcome.err, "", "quiet");
    }

    /// A setting of a topic: its value and where that comes from.
    fn setting(&self, topic: &str, name: &str) -> (String, String) {
        let found = self.json(&["config", "describe", "topic", topic, name]);
        let text = |key: &str| found[0][key].as_str().unwrap_or("null").to_owned();
        (text("value"), text("source"))
    }
}

fn start(data: &Path, arguments: &[&str]) -> Broker {
    let mut all = vec!["--listen", "127.0.0.1:0"];
    all.extend(arguments);
    Broker::try_start(data, &all).expect("the broker starts")
}

#[test]
fn topics_are_made_shown_changed_and_deleted() {
    let garden = Garden::start(&[]);
    let create = [
        "topic",
        "create",
        "garden",
        "--partitions",
        "3",
        "--config",
        "retention.ms=5000",
    ];
    let dry = [&create[..], &["--dry-run"]].concat();
    assert_eq!(garden.out(&dry), "topic garden could be created\n");
    assert_eq!(garden.out(&["topic", "list"]), "");
    assert_eq!(
        garden.out(&create),
        "created topic garden with 3 partitions\n"
    );
    let again = garden.fails(1, &create);
    assert!(
        again.contains("garden") && again.contains("exist"),
        "{again}"
    );
    let again = [&create[..], &["--if-not-exists"]].concat();
    assert_eq!(garden.out(&again), "topic garden exists already\n");
    garden.out(&["topic", "create", "attic"]);
    assert_eq!(garden.out(&["topic", "list"]), "attic\ngarden\n");
    let listed = garden.json(&["topic", "list"]);
    assert_eq!(
        (&listed[1]["name"], &listed[1]["partitions"]),
        (&"garden".into(), &3.into())
    );
    let long = garden.out(&["topic", "list", "--long"]);
    assert!(
        long.starts_with("TOPIC   ID ") && long.contains("garden  "),
        "{long}"
    );

    let described = garden.json(&["topic", "describe", "garden"]);
    assert_eq!(described[0]["settings"]["retention.ms"], "5000");
    assert_eq!(described[0]["partitions"][2]["leader"], 1);
    assert_eq!(described[0]["partitions"].as_array().map(Vec::len), Some(3));
    let changed = garden.out(&["topic", "alter", "garden", "--set", "retention.ms=6000"]);
    assert_eq!(changed, "changed retention.ms of topic garden\n");
    let text = garden.out(&["topic", "describe", "garden"]);
    assert!(text.contains("  retention.ms=6000\n"), "{text}");

    let outcome = garden.run(&["topic", "delete", "attic", "cellar", "garden"]);
    assert_eq!(outcome.code, 1);
    assert_eq!(
        outcome.out, "deleted topic attic\ndeleted topic garden\n",
        "all are tried"
    );
    assert!(outcome.err.contains("cellar"), "{}", outcome.err);
    assert_eq!(garden.out(&["topic", "list"]), "");
}

#[test]
fn records_go_in_and_come_out_as_they_were() {
    let garden = Garden::start(&[]);
    garden.out(&["topic", "create", "garden", "--partitions", "12"]);
    // Java's clients put the key 21 of 12 partitions into the first one.
    garden.produce(
        &["garden", "-K", ":", "-H", "soil=clay", "-z", "zstd"],
        b"21:peas\n21:beans\n",
    );
    let line = "%t %p %o %k=%s %h\\n";
    assert_eq!(
        garden.out(&["consume", "garden", "-e", "-f", line]),
        "garden 0 0 21=peas soil=clay\ngarden 0 1 21=beans soil=clay\n"
    );
    let records = "{\"partition\":5,\"ts\":1000,\"key\":null,\"payload\":\"old\"}\n\
                   {\"partition\":5,\"ts\":2000,\"key\":\"k\",\"payload\":null}\n\
                   {\"partition\":5,\"ts\":3000,\"payload_base64\":\"AP8=\",\
                   \"headers\":[\"a\",null]}\n";
    garden.produce(&["garden", "--json"], records.as_bytes());
    let of_five = ["consume", "garden", "-e", "-p", "5"];
    let offsets = |more: &[&str]| garden.out(&[&of_five, more, &["-f", "%o "]].concat());
    assert_eq!(offsets(&[]), "0 1 2 ");
    assert_eq!(offsets(&["--from", "1500"]), "1 2 ");
    assert_eq!(
        offsets(&["--from", "1970-01-01T00:00:02Z", "--until", "3000"]),
        "1 "
    );
    assert_eq!(offsets(&["--tail", "1"]), "2 ");
    assert_eq!(offsets(&["-o", "1", "-c", "1"]), "1 ");
    let json = garden.out(&[&of_five[..], &["--format", "json"]].concat());
    let lines: Vec<Value> = json
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(
        (&lines[0]["payload"], &lines[0]["ts"]),
        (&"old".into(), &1000.into())
    );
    assert!(lines[1]["payload"].is_null() && lines[1]["key"] == "k");
    assert_eq!(lines[2]["payload_base64"], "AP8=");
    // What was printed can be sent as it is.
    garden.out(&["topic", "create", "copy", "--partitions", "6"]);
    garden.produce(&["copy", "--json"], json.as_bytes());
    let copied = garden.out(&["consume", "copy", "-e", "-J"]);
    assert_eq!(
        copied,
        json.replace("\"topic\":\"garden\"", "\"topic\":\"copy\"")
    );
}

#[test]
fn a_topic_grows_and_is_trimmed() {
    let garden = Garden::start(&[]);
    garden.out(&["topic", "create", "garden"]);
    let more = garden.out(&["topic", "alter", "garden", "--partitions", "3"]);
    assert_eq!(more, "changed the partitions of topic garden to 3\n");
    garden.fails(1, &["topic", "alter", "garden", "--partitions", "2"]);
    let line = |partition: usize, ts: usize| {
        format!("{{\"partition\":{partition},\"ts\":{ts},\"payload\":\"x\"}}\n")
    };
    let lines: String = (0..15).map(|n| line(n % 3, 1000 * n)).collect();
    garden.produce(&["garden", "--json"], lines.as_bytes());
    let left = |garden: &Garden| garden.out(&["consume", "garden", "-e", "-p", "1", "-f", "%o "]);
    assert_eq!(left(&garden), "0 1 2 3 4 ");
    let one = ["topic", "trim", "garden", "-p", "1", "--before-offset", "2"];
    let trimmed = garden.out(&one);
    assert_eq!(trimmed, "PARTITION  FIRST OFFSET\n1          2\n");
    assert_eq!(left(&garden), "2 3 4 ");
    // The records of the second 8 and later stay.
    let by_time = garden.json(&["topic", "trim", "garden", "--before", "8000"]);
    let firsts: Vec<i64> = by_time
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|one| one["first_offset"].as_i64())
        .collect();
    assert_eq!(firsts, [3, 3, 2]);
    let beyond = garden.run(&[
        "topic",
        "trim",
        "garden",
        "-p",
        "1",
        "--before-offset",
        "77",
    ]);
    assert_eq!(beyond.code, 1);
    assert!(
        beyond.err.contains("partition 1 of topic garden"),
        "{}",
        beyond.err
    );
    let missing = garden.run(&["topic", "trim", "garden", "-p", "9", "--before-offset", "1"]);
    assert!(missing.err.contains("partitions 0 to 2"), "{}", missing.err);
    let garden = garden.restart(&[]);
    assert_eq!(left(&garden), "3 4 ", "it is trimmed after a kill, too");
    garden.out(&["topic", "trim", "garden", "--all"]);
    assert_eq!(left(&garden), "");
}

#[test]
fn exit_codes_tell_a_failure_from_a_mistake() {
    let garden = Garden::start(&[]);
    garden.out(&["topic", "create", "garden"]);
    for words in [
        &["topic", "describe", "nothing"][..],
        &["consume", "nothing", "-e"],
        &["config", "describe", "topic", "nothing"],
        &["config", "describe", "topic", "garden", "no.such.setting"],
        &["config", "describe", "broker", "7"],
        &["topic", "alter", "garden", "--set", "retention.ms=soon"],
        &["topic", "create", "odd/name"],
        &["consume", "garden", "-o", "5", "-e"],
    ] {
        let sentence = garden.fails(1, words);
        assert!(
            sentence.starts_with("furlong: ") && sentence.len() > 30,
            "{words:?}: {sentence}"
        );
    }
    for words in [
        &["topic"][..],
        &["topic", "rename", "garden"],
        &["topic", "alter", "garden"],
        &["topic", "trim", "garden"],
        &["consume", "garden", "-f", "%q"],
        &["consume", "garden", "--from", "soon"],
        &["consume", "garden", "--from-beginning", "--tail", "4"],
        &["produce", "garden", "--acks", "7"],
        &["config", "alter", "topic", "garden"],
        &[
            "config",
            "alter",
            "broker",
            "one",
            "--delete",
            "log.retention.ms",
        ],
        &[
            "config", "alter", "topic", "garden", "--set", "a=1", "--delete", "a",
        ],
    ] {
        garden.fails(2, words);
    }
    let nobody = run(&["topic", "list", "-b", "127.0.0.1:1"], b"", &[]);
    assert_eq!(nobody.code, 1);
    assert!(
        nobody.err.contains("is the broker running"),
        "{}",
        nobody.err
    );
}

#[test]
fn settings_of_brokers_change_topics_at_once_and_outlive_a_kill() {
    let garden = Garden::start(&["--set", "log.retention.hours=1"]);
    garden.out(&["topic", "create", "garden"]);
    let inherited = |value: &str, source: &str| (value.to_owned(), source.to_owned());
    let retention = |garden: &Garden| garden.setting("garden", "retention.ms");
    assert_eq!(retention(&garden), inherited("3600000", "file or flags"));
    let set = |garden: &Garden, whose: &[&str], value: &str| {
        let words = [&["config", "alter"], whose, &["--set", value]].concat();
        garden.out(&words)
    };
    let said = set(&garden, &["broker", "default"], "log.retention.ms=7000");
    assert_eq!(said, "changed log.retention.ms of all brokers\n");
    assert_eq!(retention(&garden), inherited("7000", "all brokers"));
    set(&garden, &["broker", "1"], "log.retention.ms=8000");
    assert_eq!(retention(&garden), inherited("8000", "broker"));
    let every = garden.json(&["config", "describe", "broker", "default", "--all", "-s"]);
    assert_eq!(every.as_array().map(Vec::len), Some(1), "{every}");
    assert_eq!(
        (&every[0]["value"], &every[0]["source"]),
        (&"7000".into(), &"all brokers".into())
    );
    set(&garden, &["topic", "garden"], "retention.ms=9000");
    assert_eq!(retention(&garden), inherited("9000", "topic"));
    let garden = garden.restart(&["--set", "log.retention.hours=1"]);
    assert_eq!(retention(&garden), inherited("9000", "topic"));
    let every = garden.json(&[
        "config",
        "describe",
        "topic",
        "garden",
        "retention.ms",
        "-s",
        "-d",
    ]);
    let places: Vec<(&str, &str)> = every[0]["synonyms"]
        .as_array()
        .expect("synonyms")
        .iter()
        .map(|one| {
            (
                one["name"].as_str().unwrap_or(""),
                one["source"].as_str().unwrap_or(""),
            )
        })
        .collect();
    assert_eq!(
        places,
        [
            ("retention.ms", "topic"),
            ("log.retention.ms", "broker"),
            ("log.retention.ms", "all brokers"),
            ("log.retention.hours", "file or flags"),
            ("log.retention.hours", "default"),
        ]
    );
    assert!(
        every[0]["documentation"]
            .as_str()
            .is_some_and(|text| text.contains("deleted"))
    );
    for (whose, name, source) in [
        (&["topic", "garden"][..], "retention.ms", "broker"),
        (&["broker", "1"], "log.retention.ms", "all brokers"),
        (&["broker", "default"], "log.retention.ms", "file or flags"),
    ] {
        garden.out(&[&["config", "alter"], whose, &["--delete", name]].concat());
        assert_eq!(retention(&garden).1, source);
    }
}

#[test]
fn a_limit_that_is_changed_holds_for_the_next_record() {
    let garden = Garden::start(&[]);
    garden.out(&["topic", "create", "garden"]);
    let line = [b'x'; 3000];
    let produce = || garden.with_input(&["produce", "garden", "--quiet"], &line);
    garden.out(&[
        "config",
        "alter",
        "broker",
        "default",
        "--set",
        "message.max.bytes=1000",
    ]);
    let refused = produce();
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("1000 are allowed"), "{}", refused.err);
    garden.out(&[
        "config",
        "alter",
        "broker",
        "1",
        "--set",
        "message.max.bytes=4000",
    ]);
    assert_eq!(produce().code, 0);
    garden.out(&[
        "config",
        "alter",
        "topic",
        "garden",
        "--set",
        "max.message.bytes=1000",
    ]);
    assert_eq!(produce().code, 1);
    garden.out(&[
        "config",
        "alter",
        "topic",
        "garden",
        "--delete",
        "max.message.bytes",
    ]);
    assert_eq!(produce().code, 0);
    for (change, part) in [
        (
            "listeners=PLAINTEXT://a:1",
            "cannot be changed while the broker runs",
        ),
        ("log.retention.mss=5", "Did you mean log.retention.ms?"),
        ("log.segment.bytes=5", "whole number from 1048576"),
    ] {
        let sentence = garden.fails(1, &["config", "alter", "broker", "1", "--set", change]);
        assert!(sentence.contains(part), "{change}: {sentence}");
    }
    let dry = [
        "config",
        "alter",
        "broker",
        "1",
        "--set",
        "message.max.bytes=9",
        "--dry-run",
    ];
    assert_eq!(
        garden.out(&dry),
        "would change message.max.bytes of broker 1\n"
    );
    assert_eq!(garden.setting("garden", "max.message.bytes").0, "4000");
}

#[test]
fn a_cluster_is_described() {
    let garden = Garden::start(&["--set", "broker.rack=shed"]);
    let text = garden.out(&["cluster", "describe"]);
    let address = &garden.broker.address;
    assert!(
        text.starts_with("cluster ") && text.contains(address),
        "{text}"
    );
    assert!(text.contains("shed  serving, controller"), "{text}");
    let described = garden.json(&["cluster", "describe", "--apis"]);
    assert_eq!(described["brokers"][0]["id"], 1);
    let apis = described["apis"].as_array().expect("APIs");
    assert!(
        apis.iter()
            .any(|api| api["name"] == "Fetch" && api["key"] == 1),
        "{apis:?}"
    );
}

#[test]
fn a_profile_names_a_cluster() {
    let garden = Garden::start(&[]);
    garden.out(&["topic", "create", "garden"]);
    let home = tempfile::tempdir().expect("a temporary directory");
    let directory = home.path().join("furlong");
    std::fs::create_dir(&directory).expect("a directory");
    let address = &garden.broker.address;
    let file = format!("[plot]\nbootstrap-server = \"{address}\"\n");
    std::fs::write(directory.join("profiles.toml"), file).expect("a file");
    let xdg = home.path().display().to_string();
    let with = |words: &[&str], more: &[(&str, &str)]| {
        let variables = [&[("XDG_CONFIG_HOME", xdg.as_str())], more].concat();
        run(words, b"", &variables)
    };
    assert_eq!(
        with(&["topic", "list", "--profile", "plot"], &[]).out,
        "garden\n"
    );
    assert_eq!(
        with(&["topic", "list"], &[("FURLONG_PROFILE", "plot")]).out,
        "garden\n"
    );
    let by_address = with(&["topic", "list"], &[("FURLONG_BOOTSTRAP_SERVER", address)]);
    assert_eq!(by_address.out, "garden\n");
    let unknown = with(&["topic", "list", "--profile", "field"], &[]);
    assert_eq!(unknown.code, 2);
    assert!(unknown.err.contains("there are plot"), "{}", unknown.err);
    let listed = with(&["profile", "list"], &[]);
    assert!(
        listed.out.contains("plot") && listed.out.contains(address),
        "{}",
        listed.out
    );
}

#[test]
fn shells_and_manuals_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell], b"", &[]);
        assert_eq!(script.code, 0);
        for word in ["consume", "print-config", "delete-offsets", "find-hanging"] {
            assert!(script.out.contains(word), "{shell} does not know {word}");
        }
    }
    let page = run(&["man"], b"", &[]).out;
    assert!(
        page.contains(".TH FURLONG") && page.contains("completions"),
        "{page}"
    );
    let page = run(&["man", "topic create"], b"", &[]).out;
    assert!(page.contains(r"\-\-if\-not\-exists"), "{page}");
    assert_eq!(run(&["completions", "tcsh"], b"", &[]).code, 2);
}

#[test]
fn files_are_verified() {
    let garden = Garden::start(&["--set", "log.segment.bytes=1048576"]);
    garden.out(&["topic", "create", "garden"]);
    let lines = "a line of some forty letters or so\n".repeat(60_000);
    garden.produce(&["garden"], lines.as_bytes());
    let data = garden.data.path().display().to_string();
    assert!(garden.broker.stop().success());
    let verify = |format: &str| run(&["log", "verify", &data, "--format", format], b"", &[]);
    let sound = verify("json");
    assert_eq!(sound.code, 0, "{}{}", sound.out, sound.err);
    let reports: Value = serde_json::from_str(&sound.out).expect("JSON");
    let reports = reports.as_array().expect("a list");
    let is_garden = |one: &&Value| {
        one["directory"]
            .as_str()
            .is_some_and(|name| name.ends_with("/garden-0"))
    };
    let report = reports.iter().find(is_garden).expect("a report");
    assert_eq!(
        (&report["records"], &report["next_offset"]),
        (&60_000.into(), &60_000.into())
    );
    assert!(report["segments"].as_u64() >= Some(2), "{report}");
    assert!(reports.iter().any(|one| {
        one["directory"]
            .as_str()
            .is_some_and(|name| name.ends_with("__cluster_metadata-0"))
    }));
    // One bit, in the middle of the first segment.
    let file = garden.data.path().join("garden-0/00000000000000000000.log");
    let mut bytes = std::fs::read(&file).expect("a log");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).expect("written");
    let damaged = verify("table");
    assert_eq!(damaged.code, 1);
    assert!(
        damaged.out.contains("PROBLEM 00000000000000000000.log"),
        "{}",
        damaged.out
    );
    assert!(
        damaged
            .err
            .contains("problems were found: 1; `furlong log dump`"),
        "{}",
        damaged.err
    );
}
