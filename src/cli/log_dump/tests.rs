// SPDX-License-Identifier: Apache-2.0
//! Dumps of sound and damaged files.
//!
//! Owns: nothing. Invariants: none. Runs on: the test runner. Bounded by: small files.

use super::*;
use crate::cli::arguments::Format;
use crate::wire::record::{BatchBuilder, Compression};

fn batch(base_offset: i64, codec: Compression) -> Bytes {
    let mut builder = BatchBuilder::new(codec);
    builder.append(
        1000,
        Some(b"bed"),
        Some(b"peas\tand beans"),
        &[(b"soil", Some(b"clay"))],
    );
    builder.append(1001, None, None, &[]);
    builder.offsets(base_offset, 3);
    builder.build()
}

fn dump(name: &str, bytes: &[u8]) -> (String, Vec<String>) {
    dump_as(Format::Table, name, bytes)
}

fn dump_as(format: Format, name: &str, bytes: &[u8]) -> (String, Vec<String>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    fs::write(&path, bytes).unwrap();
    let arguments = DumpArguments {
        paths: Vec::new(),
        records: true,
        entries: true,
        format: FormatArguments { format },
    };
    let (mut output, mut findings) = (Vec::new(), Findings::default());
    // The directory, so that both ways are taken.
    let result = dump_path(directory.path(), &arguments, &mut output, &mut findings);
    assert!(result.is_ok());
    (String::from_utf8(output).unwrap(), findings.damaged)
}

const LOG: &str = "00000000000000000040.log";

#[test]
fn batches_and_records_are_printed() {
    let log = [batch(40, Compression::None), batch(42, Compression::Zstd)].concat();
    let (text, damaged) = dump(LOG, &log);
    assert_eq!(damaged, Vec::<String>::new());
    assert!(
        text.contains("baseOffset: 42 lastOffset: 43 count: 2"),
        "{text}"
    );
    assert!(text.contains("compresscodec: zstd"), "{text}");
    assert!(text.contains("partitionLeaderEpoch: 3"), "{text}");
    let record = r"| offset: 40 CreateTime: 1000 keySize: 3 valueSize: 14 header: soil=clay";
    assert!(text.contains(record), "{text}");
    assert!(
        text.contains(r" key: bed payload: peas\tand beans"),
        "{text}"
    );
    assert!(
        text.contains("| offset: 43 CreateTime: 1001 keySize: -1 valueSize: -1\n"),
        "{text}"
    );
    assert!(
        text.contains("2 batches, 4 records, next offset 44"),
        "{text}"
    );
}

#[test]
fn zeros_at_the_end_are_no_damage() {
    let log = [batch(40, Compression::None), Bytes::from(vec![0; 5000])].concat();
    let (text, damaged) = dump(LOG, &log);
    assert_eq!(damaged, Vec::<String>::new());
    assert!(text.contains("5000 bytes of zeros"), "{text}");
}

#[test]
fn damage_is_named_with_its_position() {
    let whole = batch(40, Compression::None);
    let mut changed = whole.to_vec();
    changed[70] ^= 1;
    let log = [whole.clone(), changed.into(), whole.slice(..50)].concat();
    let (text, damaged) = dump(LOG, &log);
    let at = |position: usize| format!("{LOG} at position {position}: ");
    assert_eq!(damaged.len(), 3, "{damaged:?}");
    assert!(
        damaged[0].contains("base offset 40 goes backwards"),
        "{damaged:?}"
    );
    assert!(
        damaged[1].contains(&at(whole.len())) && damaged[1].contains("CRC-32C"),
        "{damaged:?}"
    );
    assert!(damaged[2].contains(&at(2 * whole.len())), "{damaged:?}");
    assert!(text.contains("isvalid: false"), "{text}");
    let (_, damaged) = dump(LOG, &[[0u8; 200].as_slice(), &[7]].concat());
    assert_eq!(damaged.len(), 1, "bytes after zeros are no empty space");
}

#[test]
fn index_and_checkpoint_files_are_explained() {
    let entry = [0, 0, 0, 5, 0, 0, 16, 0];
    let (text, _) = dump(
        "00000000000000000040.index",
        &[entry.as_slice(), &[1, 2]].concat(),
    );
    assert!(text.contains("offset: 45 position: 4096"), "{text}");
    assert!(
        text.contains("1 entries, the last one offset 45, position 4096"),
        "{text}"
    );
    assert!(text.contains("2 bytes that are no entry"), "{text}");
    let entry = [0, 0, 0, 0, 0, 0, 3, 232, 0, 0, 0, 5];
    let (text, _) = dump("00000000000000000040.timeindex", &entry);
    assert!(text.contains("timestamp: 1000 offset: 45"), "{text}");
    let (text, _) = dump("leader-epoch-checkpoint", b"0\n1\n3 40\n");
    assert!(text.contains("\n  3 40\n"), "{text}");
}

#[test]
fn an_index_that_goes_backwards_is_damaged() {
    let rising = [[0, 0, 0, 5, 0, 0, 16, 0], [0, 0, 0, 9, 0, 0, 32, 0], [0; 8]];
    let (text, damaged) = dump("00000000000000000040.index", rising.as_flattened());
    assert_eq!(damaged, Vec::<String>::new());
    assert!(
        text.contains("2 entries") && text.contains("then 1 entries of zeros"),
        "{text}"
    );
    let falling = [[0, 0, 0, 5, 0, 0, 16, 0], [0, 0, 0, 9, 0, 0, 8, 0]];
    let (_, damaged) = dump("00000000000000000040.index", falling.as_flattened());
    assert_eq!(damaged.len(), 1);
    assert!(damaged[0].ends_with("entry 1 (offset 49, position 2048) goes backwards"));
}

#[test]
fn a_missing_file_is_a_sentence() {
    let paths = vec![PathBuf::from("/no/such/file.log")];
    let error = run(&DumpArguments {
        paths,
        records: false,
        entries: false,
        format: FormatArguments {
            format: Format::Table,
        },
    })
    .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("/no/such/file.log cannot be read"),
        "{error}"
    );
}

#[test]
fn as_json_everything_is_an_object_on_a_line() {
    let mut log = [batch(40, Compression::Lz4), batch(42, Compression::None)].concat();
    let (text, damaged) = dump_as(Format::Json, LOG, &log);
    assert!(damaged.is_empty());
    let objects = |text: &str| -> Vec<serde_json::Value> {
        let objects = text.lines().map(serde_json::from_str);
        objects.map(|object| object.expect("an object")).collect()
    };
    let found = objects(&text);
    let kinds: Vec<&str> = found
        .iter()
        .map(|one| one["type"].as_str().unwrap())
        .collect();
    let expected = [
        "file", "batch", "record", "record", "batch", "record", "record", "end",
    ];
    assert_eq!(kinds, expected);
    assert_eq!(found[1]["compresscodec"], "lz4");
    assert_eq!(found[1]["lastOffset"], 41);
    assert_eq!(found[2]["payload"], "peas\tand beans");
    assert_eq!(found[2]["headers"], serde_json::json!(["soil", "clay"]));
    assert!(found[3]["key"].is_null() && found[3]["payload"].is_null());
    assert_eq!(found[7]["nextOffset"], 44);
    let end = log.len() - 1;
    log[end] ^= 1;
    let (text, damaged) = dump_as(Format::Json, LOG, &log);
    let found = objects(&text);
    let told: Vec<_> = found.iter().filter(|one| one["type"] == "damage").collect();
    assert_eq!((told.len(), damaged.len()), (1, 1));
    assert_eq!(told[0]["message"], damaged[0].as_str());
    let (text, _) = dump_as(
        Format::Json,
        "00000000000000000040.index",
        &[0, 0, 0, 2, 0, 0, 1, 0],
    );
    let found = objects(&text);
    assert_eq!(
        (&found[1]["offset"], &found[1]["position"]),
        (&42.into(), &256.into())
    );
    let (text, _) = dump_as(Format::Json, "leader-epoch-checkpoint", b"0\n1\n3 40\n");
    assert_eq!(objects(&text)[3]["text"], "3 40");
}
