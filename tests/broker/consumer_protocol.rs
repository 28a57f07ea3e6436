// SPDX-License-Identifier: Apache-2.0
//! Members of the new group protocol (KIP-848) on the command line, against a real broker: they
//! share, come and go beside each other and beside classic ones, outlive the broker and their own
//! standstill, and their offsets are not forgotten behind their backs.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use crate::commands::{Garden, run};
use crate::group_commands::{Reader, come_and_go, lag, shares, soon, sow};
use crate::process::Broker;

/// Members are heard of often, and missed soon.
const LIVELY: [&str; 10] = [
    "--set",
    "group.initial.rebalance.delay.ms=0",
    "--set",
    "group.consumer.heartbeat.interval.ms=300",
    "--set",
    "group.consumer.session.timeout.ms=4000",
    // The broker's own pace lies within what groups may set for themselves.
    "--set",
    "group.consumer.min.heartbeat.interval.ms=100",
    "--set",
    "group.consumer.min.session.timeout.ms=1000",
];
/// As such a member.
const NEW: [&str; 4] = ["-G", "readers", "--group-protocol", "consumer"];
const CLASSIC: [&str; 4] = ["-G", "readers", "--assignor", "range"];

fn garden() -> Garden {
    let garden = Garden::start(&LIVELY);
    garden.out(&["topic", "create", "garden", "--partitions", "4"]);
    garden
}

fn members_come_and_go(first: &[&str], second: &[&str], kinds: [&str; 3]) {
    come_and_go(&garden(), (first, second), kinds);
}

#[test]
fn members_share_as_the_broker_prefers() {
    members_come_and_go(&NEW, &NEW, ["consumer"; 3]);
}

#[test]
fn members_share_in_the_way_they_ask_for() {
    let range = [&NEW[..], &["--assignor", "range"]].concat();
    members_come_and_go(&range, &range, ["consumer"; 3]);
}

#[test]
fn a_classic_group_is_joined_by_a_new_member_and_left_to_it() {
    members_come_and_go(&CLASSIC, &NEW, ["classic", "consumer", "consumer"]);
}

#[test]
fn a_new_group_is_joined_by_a_classic_member_and_left_to_it() {
    members_come_and_go(&NEW, &CLASSIC, ["consumer", "consumer", "classic"]);
}

#[test]
fn it_ends_at_the_end_and_goes_on_where_it_had_come_to() {
    let garden = garden();
    sow(&garden, 0);
    let consume = [&["consume", "garden", "-e"], &NEW[..]].concat();
    assert_eq!(garden.out(&consume).lines().count(), 12);
    assert_eq!(garden.out(&consume), "");
    sow(&garden, 1);
    let peek = [&consume[..], &["--no-commit", "-c", "5"]].concat();
    assert_eq!(garden.out(&peek).lines().count(), 5);
    assert_eq!(lag(&garden), Some(12));
    for (words, why) in [
        (&["--group-protocol", "consumer"][..], "--group"),
        (&["-G", "g", "--group-protocol", "eager"], "eager"),
        (
            &[
                "-G",
                "g",
                "--group-protocol",
                "consumer",
                "--assignor",
                "sticky",
            ],
            "uniform and range",
        ),
        (&["-G", "g", "--assignor", "uniform"], "--group-protocol"),
    ] {
        let said = garden.fails(2, &[&["consume", "garden", "-e"], words].concat());
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn a_new_member_outlives_its_coordinator() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("it is bound").to_string();
    drop(free);
    let start = || {
        let arguments = [&["--listen", &address][..], &LIVELY].concat();
        Broker::try_start(data.path(), &arguments).expect("the broker starts")
    };
    let send = |line: &str| {
        let words = ["produce", "garden", "--quiet", "-b", &address];
        assert_eq!(run(&words, line.as_bytes(), &[]).code, 0);
    };
    let broker = start();
    send("before\n");
    let reader = Reader::start(&address, &[&NEW[..], &["-c", "3"]].concat());
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

/// What the members call themselves.
fn ids(garden: &Garden) -> Vec<String> {
    let found = garden.json(&["group", "describe", "readers"]);
    let members = found[0]["members"].as_array().cloned().unwrap_or_default();
    let ids = members.iter().map(|member| member["member_id"].to_string());
    ids.collect()
}

fn signal(reader: &Reader, name: &str) {
    let pid = reader.child.id().to_string();
    let told = Command::new("kill").args([name, &pid]).status();
    assert!(told.expect("kill is there").success());
}

#[test]
fn a_member_that_stood_still_for_too_long_joins_again() {
    let garden = garden();
    let address = garden.broker.address.clone();
    let committed = || {
        garden
            .run(&["group", "offsets", "readers", "--format", "csv"])
            .out
    };
    let sleeper = Reader::start(&address, &NEW);
    soon("it has all", || shares(&garden) == [4]);
    let its_id = ids(&garden);
    let first = sow(&garden, 0);
    let all = "garden,0,3\ngarden,1,3\ngarden,2,3\ngarden,3,3\n";
    soon("all is committed", || committed() == all);
    signal(&sleeper, "-STOP");
    let other = Reader::start(&address, &NEW);
    soon("it was missed", || {
        let found = ids(&garden);
        found.len() == 1 && found != its_id && shares(&garden) == [4]
    });
    let mut later = sow(&garden, 1);
    soon("the other has consumed", || lag(&garden) == Some(0));
    signal(&sleeper, "-CONT");
    soon("they share", || shares(&garden) == [2, 2]);
    let printed = other.interrupt();
    let mut printed: Vec<&str> = printed.lines().collect();
    printed.sort_unstable();
    later.sort_unstable();
    assert_eq!(printed, later);
    soon("it has all again", || shares(&garden) == [4]);
    // It may have had some in hand before it was told, which it prints; but it commits none.
    let first: BTreeSet<String> = first.into_iter().collect();
    let printed = sleeper.interrupt();
    let printed: Vec<&str> = printed.lines().take(first.len()).collect();
    assert!(printed.iter().all(|line| first.contains(*line)));
    assert_eq!(committed(), all.replace(",3\n", ",6\n"));
}

#[test]
fn a_static_member_keeps_its_place_and_nobody_else_takes_it() {
    let garden = garden();
    let address = garden.broker.address.clone();
    let words = [&NEW[..], &["--instance", "north"]].concat();
    let first = Reader::start(&address, &words);
    soon("it has all", || shares(&garden) == [4]);
    let second = [&["consume", "garden"], &words[..]].concat();
    let said = garden.fails(1, &second);
    assert!(said.contains("--instance has not left"), "{said}");
    sow(&garden, 0);
    soon("all is consumed", || lag(&garden) == Some(0));
    assert_eq!(first.interrupt().lines().count(), 12);
    let found = garden.json(&["group", "describe", "readers"]);
    assert_eq!(found[0]["members"].as_array().map(Vec::len), Some(1));
    sow(&garden, 1);
    let again = [&["consume", "garden", "-e"], &words[..]].concat();
    assert_eq!(garden.out(&again).lines().count(), 12);
}

#[test]
fn offsets_that_new_members_consume_are_not_forgotten() {
    let garden = garden();
    garden.out(&["topic", "create", "attic"]);
    garden.produce(&["attic"], b"dust\n");
    garden.out(&[&["consume", "attic", "-e"], &NEW[..]].concat());
    sow(&garden, 0);
    let reader = Reader::start(&garden.broker.address, &NEW);
    soon("it has consumed", || {
        shares(&garden) == [4] && lag(&garden) == Some(0)
    });
    let forget = ["group", "delete-offsets", "readers", "--topic"];
    for more in [&[][..], &["--execute"]] {
        let used = [&forget[..], &["garden:0"], more].concat();
        let outcome = garden.run(&used);
        assert_eq!(outcome.code, 1, "{}", outcome.out);
        let words = "a member of the group consumes the topic";
        assert!(outcome.err.contains(words), "{}", outcome.err);
        let free = [&forget[..], &["attic"], more].concat();
        assert_eq!(garden.run(&free).code, 0);
    }
    let found = garden
        .run(&["group", "offsets", "readers", "--format", "csv"])
        .out;
    assert!(
        !found.contains("attic") && found.contains("garden,0,3"),
        "{found}"
    );
    assert_eq!(reader.interrupt().lines().count(), 12);
    std::thread::sleep(Duration::from_millis(100));
    let all = [&forget[..], &["garden", "--execute"]].concat();
    assert_eq!(garden.run(&all).code, 0, "nobody consumes it now");
}
