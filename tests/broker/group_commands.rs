// SPDX-License-Identifier: Apache-2.0
//! Members and commands of groups against a real broker: who gets what, what is committed, what is
//! shown, what is changed.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::commands::{Garden, run};
use crate::process::{Broker, PATIENCE};

/// Rebalances begin at once.
pub const AT_ONCE: [&str; 2] = ["--set", "group.initial.rebalance.delay.ms=0"];

/// A member that prints until it is told to end.
pub struct Reader {
    pub child: Child,
    printed: JoinHandle<String>,
}

impl Reader {
    /// Starts to read the garden.
    pub fn start(address: &str, words: &[&str]) -> Reader {
        let mut command = Command::new(env!("CARGO_BIN_EXE_furlong"));
        command.env("XDG_CONFIG_HOME", "/nonexistent");
        command
            .args(["consume", "garden", "-b", address])
            .args(words);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the program is built");
        let mut stdout = child.stdout.take().expect("piped");
        let printed = std::thread::spawn(move || {
            let mut text = String::new();
            stdout.read_to_string(&mut text).expect("text");
            text
        });
        Reader { child, printed }
    }

    /// What it printed until it ended by itself.
    pub fn printed(mut self) -> String {
        let status = self.child.wait().expect("it ends");
        assert!(status.success(), "{status}");
        self.printed.join().expect("it was read")
    }

    /// Interrupts it as a person does.
    pub fn told_to_end(&self) {
        let pid = self.child.id().to_string();
        let told = Command::new("kill").args(["-INT", &pid]).status();
        assert!(told.expect("kill is there").success());
    }

    /// Interrupts it, and takes what it printed.
    pub fn interrupt(self) -> String {
        self.told_to_end();
        self.printed()
    }
}

/// Waits until it is so.
pub fn soon(what: &str, is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Partitions of each member, the most first; none while the group rebalances.
pub fn shares(garden: &Garden) -> Vec<usize> {
    let outcome = garden.run(&["group", "describe", "readers", "--format", "json"]);
    let Ok(found) = serde_json::from_str::<Value>(&outcome.out) else {
        return Vec::new();
    };
    if found[0]["state"] != "Stable" {
        return Vec::new();
    }
    let members = found[0]["members"].as_array().expect("a list");
    let count = |member: &Value| {
        let topics = member["assignment"].as_array().cloned().unwrap_or_default();
        let lists = topics.iter().filter_map(|one| one["partitions"].as_array());
        lists.map(Vec::len).sum()
    };
    let mut counts: Vec<usize> = members.iter().map(count).collect();
    counts.sort_by_key(|count| std::cmp::Reverse(*count));
    counts
}

/// How far the group is behind.
pub fn lag(garden: &Garden) -> Option<i64> {
    garden.json(&["group", "describe", "readers"])[0]["lag"].as_i64()
}

/// Twelve records, three in each of four partitions.
pub fn sow(garden: &Garden, round: usize) -> Vec<String> {
    let names: Vec<String> = (0..12).map(|number| format!("{round}-{number}")).collect();
    let line = |(number, name): (usize, &String)| {
        format!("{{\"partition\":{},\"payload\":\"{name}\"}}\n", number % 4)
    };
    let lines: String = names.iter().enumerate().map(line).collect();
    garden.produce(&["garden", "--json"], lines.as_bytes());
    names
}

/// The protocol of the group.
fn kind(garden: &Garden) -> String {
    let found = garden.json(&["group", "list"]);
    found[0]["type"].as_str().expect("a type").to_owned()
}

/// Two members share, the first leaves, the other takes over: each record comes once.
pub fn come_and_go(garden: &Garden, (first, second): (&[&str], &[&str]), kinds: [&str; 3]) {
    let address = garden.broker.address.clone();
    let mut sown = sow(garden, 0);
    let one = Reader::start(&address, first);
    soon("one member has all", || shares(garden) == [4]);
    assert_eq!(kind(garden), kinds[0]);
    let other = Reader::start(&address, second);
    soon("two members share", || shares(garden) == [2, 2]);
    assert_eq!(kind(garden), kinds[1]);
    sown.extend(sow(garden, 1));
    soon("all is consumed", || lag(garden) == Some(0));
    let mut printed = one.interrupt();
    soon("the other takes over", || shares(garden) == [4]);
    assert_eq!(kind(garden), kinds[2]);
    sown.extend(sow(garden, 2));
    soon("all is consumed", || lag(garden) == Some(0));
    printed.push_str(&other.interrupt());
    let mut printed: Vec<&str> = printed.lines().collect();
    printed.sort_unstable();
    sown.sort_unstable();
    assert_eq!(printed, sown, "each record once");
    let found = garden.json(&["group", "describe", "readers"]);
    assert_eq!(
        (&found[0]["state"], &found[0]["lag"]),
        (&"Empty".into(), &0.into())
    );
}

fn members_come_and_go(assignor: &str) {
    let garden = Garden::start(&AT_ONCE);
    garden.out(&["topic", "create", "garden", "--partitions", "4"]);
    let words = ["-G", "readers", "--assignor", assignor];
    come_and_go(&garden, (&words, &words), ["classic"; 3]);
}

#[test]
fn members_with_range_share_the_partitions() {
    members_come_and_go("range");
}

#[test]
fn members_with_roundrobin_share_the_partitions() {
    members_come_and_go("roundrobin");
}

#[test]
fn members_with_sticky_share_the_partitions() {
    members_come_and_go("sticky");
}

#[test]
fn members_with_cooperative_sticky_share_the_partitions() {
    members_come_and_go("cooperative-sticky");
}

#[test]
fn a_member_outlives_its_coordinator() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("it is bound").to_string();
    drop(free);
    let start = || {
        let arguments = [&["--listen", &address][..], &AT_ONCE].concat();
        Broker::try_start(data.path(), &arguments).expect("the broker starts")
    };
    let send = |line: &str| {
        let words = ["produce", "garden", "--quiet", "-b", &address];
        assert_eq!(run(&words, line.as_bytes(), &[]).code, 0);
    };
    let broker = start();
    send("before\n");
    let reader = Reader::start(&address, &["-G", "readers", "-c", "3"]);
    let committed = || {
        let words = [
            "group", "offsets", "readers", "--format", "csv", "-b", &address,
        ];
        run(&words, b"", &[]).out
    };
    soon("the first is committed", || committed() == "garden,0,1\n");
    broker.kill();
    let broker = start();
    send("after\n");
    soon("the second is committed", || committed() == "garden,0,2\n");
    send("end\n");
    assert_eq!(reader.printed(), "before\nafter\nend\n");
    assert_eq!(committed(), "garden,0,3\n");
    broker.kill();
}

#[test]
fn a_member_that_is_told_to_end_leaves_a_broker_that_was_restarted_and_waits_for_none_that_is_dead()
{
    let data = tempfile::tempdir().expect("a temporary directory");
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("it is bound").to_string();
    drop(free);
    let start = || {
        let arguments = [&["--listen", &address][..], &AT_ONCE].concat();
        Broker::try_start(data.path(), &arguments).expect("the broker starts")
    };
    let described = || run(&["group", "describe", "readers", "-b", &address], b"", &[]).out;
    let broker = start();
    let words = ["produce", "garden", "--quiet", "-b", &address];
    assert_eq!(run(&words, b"peas\n", &[]).code, 0);
    let reader = Reader::start(&address, &["-G", "readers"]);
    soon("it is read", || {
        described().contains("garden  0          1 ")
    });
    broker.kill();
    let broker = start();
    assert_eq!(reader.interrupt(), "peas\n");
    let left = described();
    assert!(left.contains("Empty"), "it has not left: {left}");

    let mut reader = Reader::start(&address, &["-G", "readers"]);
    soon("it is a member", || described().contains("Stable"));
    broker.kill();
    // Long enough that it is at its pauses between two tries.
    std::thread::sleep(Duration::from_secs(2));
    let begin = Instant::now();
    reader.told_to_end();
    assert!(!reader.child.wait().expect("it ends").success());
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(30), "it took {took:?}");
}

#[test]
fn a_group_goes_on_where_it_had_come_to_and_is_shown() {
    let garden = Garden::start(&AT_ONCE);
    garden.out(&["topic", "create", "garden", "--partitions", "4"]);
    sow(&garden, 0);
    let consume = ["consume", "garden", "-G", "readers", "-e"];
    assert_eq!(garden.out(&consume).lines().count(), 12);
    assert_eq!(garden.out(&consume), "", "it goes on where it had come to");
    sow(&garden, 1);
    let peek = [&consume[..], &["--no-commit", "-c", "5"]].concat();
    assert_eq!(garden.out(&peek).lines().count(), 5);
    let listed = garden.json(&["group", "list", "--state", "Empty", "--type", "classic"]);
    assert_eq!(listed[0]["group"], "readers");
    assert_eq!(
        garden.json(&["group", "list", "--state", "Stable"]),
        Value::Array(Vec::new())
    );

    let found = &garden.json(&["group", "describe", "readers"])[0];
    assert_eq!(found["lag"], 12);
    let behind = found["lag_seconds"].as_f64().expect("records have times");
    assert!((0.0..600.0).contains(&behind), "{behind}");
    let one = &found["offsets"][3];
    assert_eq!(
        (&one["offset"], &one["end"], &one["lag"]),
        (&3.into(), &6.into(), &3.into())
    );
}

#[test]
fn offsets_of_a_group_are_moved_and_forgotten() {
    let garden = Garden::start(&AT_ONCE);
    garden.out(&["topic", "create", "garden", "--partitions", "4"]);
    sow(&garden, 0);
    let consume = ["consume", "garden", "-G", "readers", "-e"];
    garden.out(&consume);
    sow(&garden, 1);
    let offsets = || garden.out(&["group", "offsets", "readers", "--format", "csv"]);
    let before = offsets();
    assert_eq!(before, "garden,0,3\ngarden,1,3\ngarden,2,3\ngarden,3,3\n");
    let seek = ["group", "seek", "readers", "--topic", "garden:1,2"];
    let back = [&seek[..], &["--shift-by", "-99"]].concat();
    let preview = garden.out(&back);
    assert!(
        preview.contains("-96 is before the first record"),
        "{preview}"
    );
    assert!(preview.ends_with("give --execute to do it\n"), "{preview}");
    assert_eq!(offsets(), before, "a preview changes nothing");
    let done = garden.json(&[&back[..], &["--execute"]].concat());
    assert_eq!(
        (&done[1]["to"], &done[1]["done"]),
        (&0.into(), &true.into())
    );
    assert_eq!(
        offsets(),
        "garden,0,3\ngarden,1,0\ngarden,2,0\ngarden,3,3\n"
    );
    let read = [
        &["group", "seek", "readers", "--from-file", "-"][..],
        &["--execute"],
    ]
    .concat();
    let outcome = garden.with_input(&read, before.as_bytes());
    assert_eq!(outcome.code, 0, "{}", outcome.err);
    assert_eq!(offsets(), before, "what was printed is read");
    garden.out(&[&seek[..4], &["garden", "--by-duration", "1h", "--execute"]].concat());
    assert_eq!(
        garden.out(&consume).lines().count(),
        24,
        "all of the last hour again"
    );

    let forget = ["group", "delete-offsets", "readers", "--topic", "garden:3"];
    garden.out(&forget);
    garden.out(&[&forget[..], &["--execute"]].concat());
    assert_eq!(offsets(), "garden,0,6\ngarden,1,6\ngarden,2,6\n");
    garden.out(&["group", "delete", "readers"]);
    let gone = garden.out(&["group", "delete", "readers", "--execute"]);
    assert_eq!(gone, "deleted group readers and its 3 offsets\n");
    for words in [
        &["describe", "readers"][..],
        &["offsets", "readers"],
        &["delete", "readers"],
    ] {
        let outcome = garden.run(&[&["group"], words].concat());
        assert_eq!(outcome.code, 1);
        assert!(
            outcome.err.contains("there is no group readers"),
            "{}",
            outcome.err
        );
    }
}

#[test]
fn a_group_with_members_is_left_alone() {
    let garden = Garden::start(&AT_ONCE);
    garden.out(&["topic", "create", "garden"]);
    garden.produce(&["garden"], b"peas\n");
    let reader = Reader::start(&garden.broker.address, &["-G", "readers"]);
    soon("it is a member", || {
        shares(&garden) == [1] && lag(&garden) == Some(0)
    });
    let seek = [
        "group",
        "seek",
        "readers",
        "--topic",
        "garden",
        "--to-earliest",
    ];
    for words in [&seek[..], &["group", "delete", "readers", "--execute"]] {
        let outcome = garden.run(words);
        assert_eq!(outcome.code, 1);
        assert!(outcome.err.contains("stop them first"), "{}", outcome.err);
    }
    let forget = ["group", "delete-offsets", "readers", "--topic", "garden"];
    for more in [&[][..], &["--execute"]] {
        let outcome = garden.run(&[&forget[..], more].concat());
        assert_eq!(outcome.code, 1, "{}", outcome.out);
        assert!(
            outcome.err.contains("GroupSubscribedToTopic"),
            "{}",
            outcome.err
        );
    }
    assert_eq!(reader.interrupt(), "peas\n");
    for words in [
        &["group", "seek", "readers", "--to-earliest"][..],
        &["group", "seek", "readers", "--topic", "garden"],
        &[
            "group",
            "seek",
            "readers",
            "--topic",
            "garden",
            "--to-offset",
            "1",
            "--to-latest",
        ],
        &["consume", "garden", "--assignor", "range"],
        &["consume", "garden", "-G", "readers", "-p", "0"],
    ] {
        garden.fails(2, words);
    }
    let odd = [
        "group",
        "seek",
        "readers",
        "--topic",
        "garden:7",
        "--to-earliest",
    ];
    assert!(
        garden
            .fails(1, &odd)
            .contains("no partition 7 of topic garden")
    );
}

#[test]
fn a_group_is_watched_until_nobody_looks() {
    let garden = Garden::start(&AT_ONCE);
    garden.produce(&["garden"], b"peas\n");
    garden.out(&["consume", "garden", "-G", "readers", "-e"]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_furlong"));
    command.env("XDG_CONFIG_HOME", "/nonexistent");
    command.args([
        "group",
        "describe",
        "readers",
        "--watch=0.1",
        "--format",
        "json",
    ]);
    command
        .args(["-b", &garden.broker.address])
        .stdout(Stdio::piped());
    let mut child = command.spawn().expect("the program is built");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    for _ in 0..3 {
        let line = lines.next().expect("a line each round").expect("text");
        let found: Value = serde_json::from_str(&line).expect("one object a line");
        assert_eq!(
            (&found["group"], &found["lag"]),
            (&"readers".into(), &0.into())
        );
    }
    drop(lines);
    assert!(child.wait().expect("it ends").success());
}
