// SPDX-License-Identifier: Apache-2.0
//! Starting and stopping: exit codes, and the sentences of a start that cannot be.

use std::net::TcpListener;
use std::process::Command;

use crate::client::Client;
use crate::process::{Broker, Ended};

const ANY_PORT: [&str; 2] = ["--listen", "127.0.0.1:0"];

/// A start that must fail: the exit code is not 0 and something was said that a person can act on.
#[track_caller]
fn refused(outcome: Result<Broker, Ended>) -> String {
    let ended = outcome.err().expect("this start must fail");
    assert!(
        ended.status.code().is_some_and(|code| code != 0),
        "{ended:?}"
    );
    assert!(!ended.said.contains("panicked"), "{}", ended.said);
    assert!(ended.said.len() > 20, "{:?}", ended.said);
    ended.said
}

#[test]
fn an_idle_broker_stops_with_code_zero() {
    let data = tempfile::tempdir().expect("a temporary directory");
    for _ in 0..3 {
        let broker = Broker::start(data.path());
        assert_eq!(broker.stop().code(), Some(0));
    }
}

#[test]
fn a_broker_with_clients_and_data_stops_with_code_zero() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let broker = Broker::start(data.path());
    let mut client = Client::connect(&broker.address);
    client.create_topic("field", 3);
    client.produce_values("field", 1, &["barley".to_owned()]);
    assert_eq!(broker.stop().code(), Some(0));
    let broker = Broker::start(data.path());
    let mut client = Client::connect(&broker.address);
    assert_eq!(client.read_all("field", 1), [(0, "barley".to_owned())]);
}

#[test]
fn a_port_in_use_is_named() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let other = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = other.local_addr().expect("it is bound").to_string();
    let said = refused(Broker::try_start(data.path(), &["--listen", &address]));
    assert!(said.contains(&address) && said.contains("in use"), "{said}");
}

#[test]
fn a_locked_directory_names_its_owner() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let mut first = Broker::start(data.path());
    let said = refused(Broker::try_start(data.path(), &ANY_PORT));
    assert!(said.contains(&first.pid().to_string()), "{said}");
    assert!(said.contains(&*data.path().to_string_lossy()), "{said}");
    first.assert_alive();
    first.kill();
    Broker::start(data.path());
}

#[test]
fn an_unknown_setting_is_refused_with_the_nearest_known_one() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let arguments = [&ANY_PORT[..], &["--set", "num.partitons=3"]].concat();
    let said = refused(Broker::try_start(data.path(), &arguments));
    assert!(
        said.contains("num.partitons") && said.contains("num.partitions"),
        "{said}"
    );
}

#[test]
fn a_setting_out_of_its_bounds_is_refused() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let arguments = [&ANY_PORT[..], &["--set", "num.partitions=many"]].concat();
    let said = refused(Broker::try_start(data.path(), &arguments));
    assert!(
        said.contains("num.partitions") && said.contains("many"),
        "{said}"
    );
}

#[test]
fn a_data_directory_that_cannot_be_is_named() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let file = data.path().join("occupied");
    std::fs::write(&file, "a file").expect("the directory can be written");
    let arguments = [&ANY_PORT[..], &["--data"]].concat();
    let path = file.to_string_lossy().into_owned();
    let ended = std::process::Command::new(env!("CARGO_BIN_EXE_furlong"))
        .arg("serve")
        .args(arguments)
        .arg(&path)
        .output()
        .expect("the program is built");
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.code().is_some_and(|code| code != 0), "{said}");
    assert!(
        said.contains("occupied") && !said.contains("panicked"),
        "{said}"
    );
}

#[test]
fn two_signals_at_once_are_one_wish_to_stop() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let broker = Broker::start(directory.path());
    let pid = broker.pid().to_string();
    let once = Command::new("kill").args(["-INT", &pid]).status();
    assert!(once.expect("kill is there").success());
    assert_eq!(broker.stop().code(), Some(0), "it stops in order");
}
