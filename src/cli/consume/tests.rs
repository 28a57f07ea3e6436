// SPDX-License-Identifier: Apache-2.0
//! `produce` and `consume` against the fake broker.
//!
//! Owns: nothing. Invariants: none. Runs on: the test runner. Bounded by: small inputs.

use super::*;
use crate::cli::client::fake_broker::{FakeBroker, TOPIC};
use crate::cli::produce::{self, ProduceArguments};
use clap::Parser;
use std::path::Path;

#[derive(Debug, Parser)]
struct Producing {
    #[command(flatten)]
    arguments: ProduceArguments,
}

#[derive(Debug, Parser)]
struct Consuming {
    #[command(flatten)]
    arguments: ConsumeArguments,
}

fn produce_file(broker: &FakeBroker, file: &Path, more: &[&str]) -> Result<(), CliError> {
    let file = file.to_str().unwrap();
    let mut words = vec![
        "produce",
        "-b",
        &broker.address,
        "-t",
        TOPIC,
        "--file",
        file,
    ];
    words.extend(more);
    produce::run(&Producing::parse_from(words).arguments)
}

fn produce_text(broker: &FakeBroker, text: &[u8], more: &[&str]) -> Result<(), CliError> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("lines");
    std::fs::write(&file, text).unwrap();
    produce_file(broker, &file, more)
}

fn consumed(broker: &FakeBroker, more: &[&str]) -> String {
    let mut words = vec!["consume", "-b", &broker.address, TOPIC, "-e"];
    words.extend(more);
    let mut output = Vec::new();
    let result = consume(&Consuming::parse_from(words).arguments, &mut output);
    assert!(result.is_ok());
    String::from_utf8(output).unwrap()
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn starts_are_words_offsets_and_distances() {
    assert_eq!(parse_start("beginning"), Ok(Start::Beginning));
    assert_eq!(parse_start("end"), Ok(Start::End));
    assert_eq!(parse_start("17"), Ok(Start::At(17)));
    assert_eq!(parse_start("-3"), Ok(Start::BeforeEnd(3)));
    assert!(parse_start("soon").is_err());
}

#[test]
fn lines_come_back_as_they_were() {
    let lines: String = (0..60_000)
        .map(|n| format!("line {n} {}\n", "x".repeat(n % 90)))
        .collect();
    // Empty lines, carriage returns, a line longer than a block of input.
    let text = format!("\n\r\n{}\n{lines}", "long".repeat(200_000));
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let broker = FakeBroker::start(1);
        produce_text(&broker, text.as_bytes(), &["-z", codec]).unwrap();
        assert!(consumed(&broker, &[]) == text, "{codec}");
        assert_eq!(consumed(&broker, &["--count", "2"]), "\n\r\n");
        assert_eq!(
            consumed(&broker, &["-o", "-1"]),
            text.lines().last().unwrap().to_string() + "\n"
        );
    }
    let broker = FakeBroker::start(4);
    produce_text(&broker, text.as_bytes(), &[]).unwrap();
    assert!(sorted(&consumed(&broker, &[])) == sorted(&text));
    assert!(
        broker.with(|state| state.logs.values().all(|log| !log.is_empty())),
        "all are used"
    );
}

#[test]
fn the_last_line_may_lack_its_line_feed() {
    let broker = FakeBroker::start(1);
    produce_text(&broker, b"peas\nbeans", &[]).unwrap();
    assert_eq!(consumed(&broker, &[]), "peas\nbeans\n");
    produce_text(&broker, b"", &[]).unwrap();
    assert_eq!(consumed(&broker, &[]), "peas\nbeans\n");
}

#[test]
fn keys_choose_the_partition_and_come_back() {
    let broker = FakeBroker::start(12);
    produce_text(&broker, b"21=>peas\n21=>=>beans\nno key\n", &["-K", "=>"]).unwrap();
    // The Java client puts key 21 of 12 partitions there.
    assert_eq!(
        consumed(&broker, &["-p", "0", "-K", r"\t"]),
        "21\tpeas\n21\t=>beans\n\tno key\n"
    );
    let broker = FakeBroker::start(3);
    produce_text(&broker, b"here\n", &["-p", "2"]).unwrap();
    assert_eq!(consumed(&broker, &["-p", "2"]), "here\n");
    assert!(produce_text(&broker, b"here\n", &["-p", "3"]).is_err());
}

#[test]
fn an_input_that_fails_fails_the_command() {
    let broker = FakeBroker::start(1);
    let missing = produce_file(&broker, Path::new("/no/such/file"), &[]).unwrap_err();
    assert!(
        missing
            .to_string()
            .starts_with("/no/such/file cannot be opened"),
        "{missing}"
    );
    let directory = produce_file(&broker, Path::new("/"), &[]).unwrap_err();
    assert!(
        directory.to_string().contains("cannot be read"),
        "{directory}"
    );
}

#[test]
fn output_that_nobody_reads_ends_in_peace() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let broker = FakeBroker::start(1);
    produce_text(&broker, b"peas\n", &[]).unwrap();
    let words = ["consume", "-b", &broker.address, TOPIC];
    let stop = consume(&Consuming::parse_from(words).arguments, Closed);
    assert!(matches!(stop, Err(Stop::Closed)));
}
