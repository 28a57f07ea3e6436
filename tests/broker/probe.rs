// SPDX-License-Identifier: Apache-2.0
//! What the program says about the machine: at its start, and when it is asked with `check`.

use std::path::Path;
use std::process::{Command, Output};

use crate::process::Broker;

fn check(data: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_furlong"));
    command.args(["check", "--data"]).arg(data);
    command.output().expect("the program is built")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_start_says_what_it_found() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let broker = Broker::start(data.path());
    let said = &broker.said;
    let has = |words: &str| said.iter().any(|line| line.contains(words));
    let directory = format!("data in {}: ", data.path().display());
    for words in [
        "Linux ",
        "io_uring works",
        "CPUs: ",
        "descriptors: ",
        "priority: ",
        "commits: ",
    ] {
        assert!(has(words), "{words}: {said:?}");
    }
    assert!(has(&directory), "{said:?}");
    let memory = said
        .iter()
        .filter(|line| line.contains(" memory: ") && line.contains("for buffers"));
    assert_eq!(memory.count(), 1, "{said:?}");
    assert!(has("flush latency of 4096 bytes: median "), "{said:?}");
    assert!(said.len() <= 14, "too much: {said:?}");
    broker.stop();
}

#[test]
fn the_clean_file_for_flushes_is_no_stray() {
    let data = tempfile::tempdir().expect("a temporary directory");
    Broker::start(data.path()).stop();
    let mut broker = Broker::start(data.path());
    broker.assert_alive();
    let named = broker.said.iter().any(|line| line.contains("device-flush"));
    assert!(!named, "{:?}", broker.said);
}

#[test]
fn the_wish_for_a_priority_can_be_dropped() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let arguments = ["--listen", "127.0.0.1:0", "--set", "process.nice=0"];
    let broker = Broker::try_start(data.path(), &arguments).expect("it starts");
    // The nice value is the nineteenth field, the seventeenth after the name in brackets.
    let mine = std::fs::read_to_string("/proc/self/stat").expect("proc is there");
    let its = std::fs::read_to_string(format!("/proc/{}/stat", broker.pid())).expect("it runs");
    let nice = |stat: &str| {
        let (_, rest) = stat.rsplit_once(") ").expect("a name in brackets");
        rest.split(' ').nth(16).expect("nice").to_owned()
    };
    assert_eq!(nice(&its), nice(&mine));
    assert!(
        !broker
            .said
            .iter()
            .any(|line| line.contains("is not permitted"))
    );
}

#[test]
fn a_check_says_the_same_and_leaves_a_running_broker_alone() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let mut broker = Broker::start(data.path());
    let output = check(data.path());
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    assert!(
        said.contains("flush latency") && said.contains("commits: "),
        "{said}"
    );
    assert!(said.ends_with("the broker can serve here\n"), "{said}");
    broker.assert_alive();
}

#[test]
fn a_check_fails_where_the_broker_could_not_serve() {
    let output = check(Path::new("/proc/furlong"));
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("cannot serve: ") && said.contains("--data"),
        "{said}"
    );
}
