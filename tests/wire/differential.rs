// SPDX-License-Identifier: Apache-2.0
//! Both implementations must agree on every valid message of every version: on its bytes and on its
//! value.
//!
//! Owns: nothing but tests. The crate `kafka-protocol` 0.18 does not know ListOffsets 11,
//! DescribeLogDirs 5, WriteTxnMarkers 2, and the requests of OffsetCommit 10 and OffsetFetch 10,
//! which hand-written frames and the round trip cover.

use bytes::Bytes;
use furlong::wire::codec::EncodeError;
use proptest::prelude::*;

use super::cases::{self, Case};
use super::generate::{self, Dice, Source};

/// Versions described here that the other implementation lacks.
const UNKNOWN_TO_THEM: [(&str, i16); 8] = [
    ("ListOffsetsRequest", 11),
    ("ListOffsetsResponse", 11),
    ("DescribeLogDirsRequest", 5),
    ("DescribeLogDirsResponse", 5),
    ("OffsetCommitRequest", 10),
    ("OffsetFetchRequest", 10),
    ("WriteTxnMarkersRequest", 2),
    ("WriteTxnMarkersResponse", 2),
];

fn agree_on(case: &Case, version: i16, seed: u64) {
    let mut source = Source::Dice(Dice::new(seed));
    let body = generate::message(&mut source, case.layout, version, case.is_flexible(version));
    let what = format!("{} v{version} seed {seed}", case.name);
    let body = Bytes::from(body);
    let ours = (case.convert)(body.clone(), version, version)
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    let our_bytes = ours.bytes.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(
        our_bytes, body,
        "{what}: reading and writing changed the bytes"
    );
    if UNKNOWN_TO_THEM.contains(&(case.name, version)) {
        return;
    }
    // What we wrote they read; what they write again we read.
    let theirs = (case.convert_theirs)(Bytes::from(our_bytes), version, version)
        .unwrap_or_else(|| panic!("{what}: the other implementation refuses it"));
    let their_bytes = theirs
        .bytes
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(
        their_bytes, body,
        "{what}: the other implementation writes other bytes"
    );
    let again = (case.convert)(Bytes::from(their_bytes), version, version)
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(
        again.shown, ours.shown,
        "{what}: the value changed on its way"
    );
    assert_eq!(
        plain(&theirs.shown),
        plain(&ours.shown),
        "{what}: the values differ"
    );
}

/// Tagged fields that are not ignorable: Kafka refuses to write a value of theirs in a version
/// without them, as we do; the other implementation leaves it out.
const DROPPED_BY_THEM: [&str; 5] = [
    "replica_state",
    "current_leader",
    "node_endpoints",
    "diverging_epoch",
    "snapshot_id",
];

/// Fields that only one of the two knows, because the version that has them is not stable in Kafka
/// 4.3, or too new for the other; in the versions that are compared they stand at their defaults.
const KNOWN_TO_ONE: [&str; 4] = [
    ", is_cordoned: false",
    ", transaction_version: 0",
    ", enable_2_pc: false, keep_prepared_txn: false",
    ", ongoing_txn_producer_id: -1, ongoing_txn_producer_epoch: -1",
];

/// The text of a value without what the two implementations name differently: wrappers around
/// numbers and strings, the form of a UUID, and the bag of unknown tagged fields.
fn plain(shown: &str) -> String {
    let shown = KNOWN_TO_ONE
        .iter()
        .fold(shown.to_owned(), |shown, field| shown.replace(field, ""));
    let shown = shown
        // The field is called `match`, which is a word of the language.
        .replace(", _match: ", ", match_name: ")
        // Structures whose names in the schema are those of others, too.
        .replace("HeartbeatAssignment {", "Assignment {")
        .replace("EntryResult {", "EntryData {")
        .replace("DescribedConsumerGroup {", "DescribedGroup {")
        .replace("DescribedConsumer {", "Member {")
        .replace("DescribedAssignment {", "Assignment {")
        .replace("NamedTopicPartitions {", "TopicPartitions {")
        .replace(", unknown_tagged_fields: {}", "")
        .replace("unknown_tagged_fields: {}", "");
    let mut out = String::new();
    let mut wrappers = Vec::new();
    let mut quoted = false;
    let mut characters = shown.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' if quoted => {
                out.push(character);
                out.extend(characters.next());
                continue;
            }
            '"' => quoted = !quoted,
            '(' if !quoted => {
                let word: String = out
                    .chars()
                    .rev()
                    .take_while(|c| c.is_alphanumeric())
                    .collect();
                let word: String = word.chars().rev().collect();
                wrappers.push(word != "Some");
                if word != "Some" {
                    out.truncate(out.len() - word.len());
                    continue;
                }
            }
            ')' if !quoted && wrappers.pop() == Some(true) => continue,
            _ => {}
        }
        out.push(character);
    }
    uuids_as_lists(&out)
}

/// Rewrites `01020304-...` outside of strings as the list of its bytes.
fn uuids_as_lists(shown: &str) -> String {
    let mut out = String::new();
    for (index, piece) in shown.split("topic_id: ").enumerate() {
        out.push_str(if index == 0 { "" } else { "topic_id: " });
        out.push_str(&uuid_as_list(piece));
    }
    let whole = out;
    let mut out = String::new();
    for (index, piece) in whole.split("replica_directory_id: ").enumerate() {
        out.push_str(if index == 0 {
            ""
        } else {
            "replica_directory_id: "
        });
        out.push_str(&uuid_as_list(piece));
    }
    out
}

fn uuid_as_list(piece: &str) -> String {
    let is_uuid = piece.len() >= 36
        && piece.is_char_boundary(36)
        && piece[..36]
            .chars()
            .enumerate()
            .all(|(place, c)| match place {
                8 | 13 | 18 | 23 => c == '-',
                _ => c.is_ascii_hexdigit(),
            });
    if !is_uuid {
        return piece.to_owned();
    }
    let digits = piece[..36].replace('-', "");
    let bytes: Vec<u8> = (0..16)
        .map(|place| {
            u8::from_str_radix(&digits[2 * place..2 * place + 2], 16).expect("checked above")
        })
        .collect();
    format!("{bytes:?}{}", &piece[36..])
}

#[test]
fn the_versions_are_those_the_other_implementation_knows_but_for_a_named_few() {
    for case in cases::all() {
        for version in case.versions.clone() {
            let known = case.their_versions.contains(&version);
            let named = UNKNOWN_TO_THEM.contains(&(case.name, version));
            assert_eq!(known, !named, "{} v{version}", case.name);
        }
    }
}

proptest! {
    #![proptest_config(generate::config(64))]

    #[test]
    fn both_implementations_agree_on_every_message_of_every_version(seed: u64) {
        for case in cases::all() {
            for version in case.versions.clone() {
                agree_on(&case, version, seed);
            }
        }
    }

    #[test]
    fn both_implementations_agree_on_what_an_older_version_can_say(seed: u64) {
        for case in cases::all() {
            let newest = *case.versions.end().min(case.their_versions.end());
            for version in *case.versions.start()..newest {
                agree_on_conversion(&case, newest, version, seed);
            }
        }
    }
}

/// A value of the newest version, written in an older one: both refuse it or both write the same.
fn agree_on_conversion(case: &Case, newest: i16, version: i16, seed: u64) {
    let mut source = Source::Dice(Dice::new(seed));
    let body = generate::message(&mut source, case.layout, newest, case.is_flexible(newest));
    let body = Bytes::from(body);
    let what = format!("{} v{newest} to v{version} seed {seed}", case.name);
    let ours = (case.convert)(body.clone(), newest, version)
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    let theirs = (case.convert_theirs)(body, newest, version)
        .unwrap_or_else(|| panic!("{what}: the other implementation refuses it"));
    match (ours.bytes, theirs.bytes) {
        (Ok(ours), Ok(theirs)) => assert_eq!(ours, theirs, "{what}"),
        (Err(_), Err(_)) => {}
        (Err(EncodeError::NotExpressible { field, .. }), Ok(_))
            if DROPPED_BY_THEM.contains(&field) => {}
        // They write null where the version does not allow it.
        (Err(EncodeError::Null { .. }), Ok(_)) => {}
        (Ok(_), Err(theirs)) => panic!("{what}: written against {theirs}"),
        (Err(ours), Ok(_)) => panic!("{what}: {ours} against written"),
    }
}
