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

fn range(more: &[&str]) -> Result<(Start, Until), String> {
    let words = ["consume", TOPIC].iter().chain(more);
    let range = Consuming::parse_from(words).arguments.range(1_000_000)?;
    Ok((range.start, range.until))
}

#[test]
fn ranges_are_words_offsets_distances_and_times() {
    for (words, start, until) in [
        (&[][..], Start::Beginning, Until::Never),
        (&["-o", "end"], Start::End, Until::Never),
        (&["-o", "17", "-e"], Start::At(17), Until::End),
        (&["-o", "-3"], Start::BeforeEnd(3), Until::Never),
        (&["--tail", "3"], Start::BeforeEnd(3), Until::Never),
        (&["-o", "s@500"], Start::Time(500), Until::Never),
        (
            &["--from", "-1s", "--until", "now"],
            Start::Time(999_000),
            Until::Time(1_000_000),
        ),
        (
            &["-o", "beginning", "-o", "e@7"],
            Start::Beginning,
            Until::Time(7),
        ),
    ] {
        assert_eq!(range(words), Ok((start, until)), "{words:?}");
    }
    assert!(range(&["-o", "soon"]).is_err());
    assert!(range(&["-o", "s@soon"]).is_err());
    assert!(range(&["-o", "5", "-o", "6"]).is_err());
    assert!(range(&["-o", "5", "--tail", "6"]).is_err());
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

#[test]
fn times_choose_the_first_and_the_last_record() {
    let broker = FakeBroker::start(1);
    let lines = "{\"ts\":100,\"payload\":\"a\"}\n{\"ts\":200,\"payload\":\"b\"}\n{\"ts\":300,\
                 \"payload\":\"c\"}\n";
    produce_text(&broker, lines.as_bytes(), &["--json"]).unwrap();
    assert_eq!(consumed(&broker, &["--from", "150"]), "b\nc\n");
    assert_eq!(
        consumed(&broker, &["--from", "200", "--until", "300"]),
        "b\n"
    );
    assert_eq!(consumed(&broker, &["--until", "101"]), "a\n");
    assert_eq!(consumed(&broker, &["--from", "301"]), "");
    assert_eq!(consumed(&broker, &["--until", "100"]), "");
}

#[test]
fn json_goes_around() {
    let broker = FakeBroker::start(3);
    let text = "{\"topic\":\"garden\",\"partition\":2,\"offset\":0,\"tstype\":\"create\",\"ts\":17,\
                \"headers\":[\"a\",\"1\",\"b\",null,\"c\",{\"base64\":\"/w==\"}],\"key\":\"k\",\
                \"payload_base64\":\"AP8=\"}\n{\"topic\":\"garden\",\"partition\":2,\"offset\":1,\
                \"tstype\":\"create\",\"ts\":18,\"headers\":[],\"key\":null,\"payload\":null}\n";
    produce_text(&broker, text.as_bytes(), &["--json"]).unwrap();
    assert_eq!(consumed(&broker, &["--format", "json"]), text);
    let refused = produce_text(&broker, b"{\"partition\":3}\n", &["--json"]).unwrap_err();
    assert!(
        refused.to_string().contains("line 1 of the input"),
        "{refused}"
    );
    let refused = produce_text(&broker, b"peas\n", &["--json"]).unwrap_err();
    assert!(refused.to_string().contains("no JSON"), "{refused}");
}

#[test]
fn keys_headers_and_empty_values() {
    let broker = FakeBroker::start(1);
    let more = ["-k", "bed", "-H", "a=1", "-H", "b", "-Z", "-D", ";"];
    produce_text(&broker, b"peas;;beans", &more).unwrap();
    assert_eq!(
        consumed(&broker, &["-f", "%t %p %o %k %K %s %S %h\\n", "-Z", "NULL"]),
        "garden 0 0 bed 3 peas 4 a=1,b=NULL\n\
         garden 0 1 bed 3 NULL -1 a=1,b=NULL\n\
         garden 0 2 bed 3 beans 5 a=1,b=NULL\n"
    );
    assert_eq!(consumed(&broker, &["-D", "|", "-Z", "-"]), "peas|-|beans|");
}

#[test]
fn files_follow_each_other_and_may_be_whole_records() {
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = (directory.path().join("one"), directory.path().join("two"));
    std::fs::write(&one, "a\nb").unwrap();
    std::fs::write(&two, "c\nd\n").unwrap();
    let second = two.to_str().unwrap();
    let broker = FakeBroker::start(1);
    produce_file(&broker, &one, &["--file", second]).unwrap();
    assert_eq!(consumed(&broker, &[]), "a\nb\nc\nd\n");
    let broker = FakeBroker::start(1);
    produce_file(&broker, &one, &["--file", second, "--whole"]).unwrap();
    assert_eq!(consumed(&broker, &["-D", "|"]), "a\nb|c\nd\n|");
}
