// SPDX-License-Identifier: Apache-2.0
//! Tests of metadata records: round trip, hostile bytes, the verifier of the flatbuffers crate as
//! an oracle, and the schema file against the declarations.

use bytestring::ByteString;
use flatbuffers::{ForwardsUOffset, InvalidFlatbuffer, Vector, Verifiable, Verifier};
use flatbuffers::{VOffsetT, VerifierOptions};
use proptest::prelude::*;

use super::error::SchemaError;
use super::record::*;
use crate::model::ids::{BrokerId, ShardId, Uuid};

fn id() -> impl Strategy<Value = Uuid> {
    any::<[u8; 16]>().prop_map(Uuid)
}

fn text() -> impl Strategy<Value = ByteString> {
    "\\PC{0,20}".prop_map(ByteString::from)
}

fn brokers() -> impl Strategy<Value = Vec<BrokerId>> {
    prop::collection::vec(any::<i32>().prop_map(BrokerId), 0..5)
}

fn broker() -> impl Strategy<Value = Option<BrokerId>> {
    prop::option::of(any::<i32>().prop_map(BrokerId))
}

fn registration() -> impl Strategy<Value = MetadataRecord> {
    let texts = (text(), prop::option::of(text()));
    (id(), id(), texts, any::<(i32, u16, u16, i64)>()).prop_map(
        |(incarnation_id, directory_id, (host, rack), (broker, port, shard_count, epoch))| {
            MetadataRecord::RegisterBrokerRecord(RegisterBrokerRecord {
                broker_id: BrokerId(broker),
                incarnation_id,
                directory_id,
                host,
                port,
                rack,
                shard_count,
                epoch,
            })
        },
    )
}

fn partition() -> impl Strategy<Value = MetadataRecord> {
    (
        id(),
        any::<(i32, i32, i32, u16, bool)>(),
        broker(),
        brokers(),
        brokers(),
    )
        .prop_map(
            |(
                topic_id,
                (partition, leader_epoch, partition_epoch, shard, new),
                leader,
                replicas,
                isr,
            )| {
                let shard = ShardId(shard);
                if new {
                    return MetadataRecord::PartitionRecord(PartitionRecord {
                        topic_id,
                        partition,
                        leader,
                        leader_epoch,
                        partition_epoch,
                        replicas,
                        isr,
                        shard,
                    });
                }
                MetadataRecord::PartitionChangeRecord(PartitionChangeRecord {
                    topic_id,
                    partition,
                    leader,
                    leader_epoch,
                    partition_epoch,
                    isr,
                    shard,
                })
            },
        )
}

fn setting() -> impl Strategy<Value = MetadataRecord> {
    (
        id(),
        broker(),
        text(),
        prop::option::of(text()),
        prop::option::of(any::<bool>()),
    )
        .prop_map(
            |(topic_id, broker_id, name, value, of_topic)| match of_topic {
                Some(true) => MetadataRecord::TopicConfigRecord(TopicConfigRecord {
                    topic_id,
                    name,
                    value,
                }),
                None => MetadataRecord::GroupConfigRecord(GroupConfigRecord {
                    group: name.clone(),
                    name,
                    value,
                }),
                Some(false) => MetadataRecord::BrokerConfigRecord(BrokerConfigRecord {
                    broker_id,
                    name,
                    value,
                }),
            },
        )
}

fn small() -> impl Strategy<Value = MetadataRecord> {
    (0..8, id(), text(), any::<(i32, i64)>()).prop_map(|(kind, id, name, (number, long))| {
        let broker_id = BrokerId(number);
        match kind {
            0 => MetadataRecord::ClusterRecord(ClusterRecord { cluster_id: id }),
            1 => MetadataRecord::TopicRecord(TopicRecord { topic_id: id, name }),
            2 => MetadataRecord::RemoveTopicRecord(RemoveTopicRecord { topic_id: id }),
            3 => MetadataRecord::UnregisterBrokerRecord(UnregisterBrokerRecord { broker_id }),
            4 => MetadataRecord::ProducerIdsRecord(ProducerIdsRecord {
                broker_id,
                next_producer_id: long,
            }),
            5 => MetadataRecord::SnapshotHeaderRecord(SnapshotHeaderRecord {
                end_offset: long,
                epoch: number,
            }),
            6 => MetadataRecord::ClientQuotaRecord(ClientQuotaRecord {
                parts: u16::from(number < 0),
                user: (number % 2 == 0).then(|| name.clone()),
                client_id: None,
                ip: (number % 3 == 0).then(|| name.clone()),
                name,
                value: (number % 5 != 0).then(|| long.to_string().into()),
            }),
            _ => MetadataRecord::SnapshotFooterRecord(SnapshotFooterRecord { record_count: long }),
        }
    })
}

fn record() -> impl Strategy<Value = MetadataRecord> {
    prop_oneof![registration(), partition(), setting(), small()]
}

/// A record's bytes, damaged in a few places or cut.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let hits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    (record(), hits, any::<prop::sample::Index>(), any::<bool>()).prop_map(
        |(record, hits, cut, whole)| {
            let mut bytes = record.encode().to_vec();
            for (place, value) in hits {
                let place = place.index(bytes.len());
                bytes[place] = value;
            }
            if !whole {
                bytes.truncate(cut.index(bytes.len()));
            }
            bytes
        },
    )
}

type Verified = Result<(), InvalidFlatbuffer>;

/// Slot number to the entry of a vtable.
fn entry(slot: usize) -> VOffsetT {
    VOffsetT::try_from(4 + 2 * slot).expect("tables have few fields")
}

fn verify_fields(
    verifier: &mut Verifier<'_, '_>,
    position: usize,
    fields: &[(&'static str, &str)],
) -> Verified {
    let mut table = verifier.visit_table(position)?;
    for (slot, (name, kind)) in fields.iter().enumerate() {
        let at = entry(slot);
        table = match *kind {
            "int" | "int = null" => table.visit_field::<i32>(*name, at, false)?,
            "long" => table.visit_field::<i64>(*name, at, false)?,
            "ushort" => table.visit_field::<u16>(*name, at, false)?,
            "[int]" => table.visit_field::<ForwardsUOffset<Vector<'_, i32>>>(*name, at, false)?,
            "[ubyte] (required)" => {
                table.visit_field::<ForwardsUOffset<Vector<'_, u8>>>(*name, at, true)?
            }
            "string" => table.visit_field::<ForwardsUOffset<&str>>(*name, at, false)?,
            "string (required)" => table.visit_field::<ForwardsUOffset<&str>>(*name, at, true)?,
            other => panic!("no such type: {other}"),
        };
    }
    table.finish();
    Ok(())
}

/// The body of one kind, as the crate's verifier wants it: a type of its own.
struct Body<const KIND: u8>;

impl<const KIND: u8> Verifiable for Body<KIND> {
    fn run_verifier(verifier: &mut Verifier<'_, '_>, position: usize) -> Verified {
        let found = MetadataRecord::KINDS
            .iter()
            .find(|(kind, _, _)| *kind == KIND);
        let (_, _, fields) = found.expect("only kinds that exist are asked for");
        verify_fields(verifier, position, fields)
    }
}

/// The body of a kind that does not exist: a table, whatever its fields.
struct Unknown;

impl Verifiable for Unknown {
    fn run_verifier(verifier: &mut Verifier<'_, '_>, position: usize) -> Verified {
        verify_fields(verifier, position, &[])
    }
}

struct Root;

impl Verifiable for Root {
    fn run_verifier(verifier: &mut Verifier<'_, '_>, position: usize) -> Verified {
        let table =
            verifier
                .visit_table(position)?
                .visit_field::<u8>("version", entry(0), false)?;
        let table =
            table.visit_union::<u8, _>("body_type", entry(1), "body", entry(2), true, body)?;
        table.finish();
        Ok(())
    }
}

fn body(kind: u8, verifier: &mut Verifier<'_, '_>, position: usize) -> Verified {
    match kind {
        1 => verifier.verify_union_variant::<ForwardsUOffset<Body<1>>>("1", position),
        2 => verifier.verify_union_variant::<ForwardsUOffset<Body<2>>>("2", position),
        3 => verifier.verify_union_variant::<ForwardsUOffset<Body<3>>>("3", position),
        4 => verifier.verify_union_variant::<ForwardsUOffset<Body<4>>>("4", position),
        5 => verifier.verify_union_variant::<ForwardsUOffset<Body<5>>>("5", position),
        6 => verifier.verify_union_variant::<ForwardsUOffset<Body<6>>>("6", position),
        7 => verifier.verify_union_variant::<ForwardsUOffset<Body<7>>>("7", position),
        8 => verifier.verify_union_variant::<ForwardsUOffset<Body<8>>>("8", position),
        9 => verifier.verify_union_variant::<ForwardsUOffset<Body<9>>>("9", position),
        10 => verifier.verify_union_variant::<ForwardsUOffset<Body<10>>>("10", position),
        11 => verifier.verify_union_variant::<ForwardsUOffset<Body<11>>>("11", position),
        12 => verifier.verify_union_variant::<ForwardsUOffset<Body<12>>>("12", position),
        13 => verifier.verify_union_variant::<ForwardsUOffset<Body<13>>>("13", position),
        14 => verifier.verify_union_variant::<ForwardsUOffset<Body<14>>>("14", position),
        _ => verifier.verify_union_variant::<ForwardsUOffset<Unknown>>("unknown", position),
    }
}

/// What the verifier of the flatbuffers crate says.
fn verify(bytes: &[u8]) -> Verified {
    let options = VerifierOptions::default();
    let mut verifier = Verifier::new(&options, bytes);
    <ForwardsUOffset<Root>>::run_verifier(&mut verifier, 0)
}

proptest! {
    #[test]
    fn a_record_comes_back_equal(record in record()) {
        let bytes = record.encode();
        prop_assert_eq!(MetadataRecord::decode(&bytes), Ok(record));
        prop_assert!(verify(&bytes).is_ok(), "{:?}", verify(&bytes));
    }

    #[test]
    fn any_bytes_give_a_record_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = MetadataRecord::decode(&bytes);
        let mut marked = bytes;
        if let Some(mark) = marked.get_mut(4..8) {
            mark.copy_from_slice(b"FLMR");
        }
        let _ = MetadataRecord::decode(&marked);
    }

    #[test]
    fn damage_gives_a_record_no_larger_than_its_bytes_or_an_error(bytes in damaged()) {
        if let Ok(record) = MetadataRecord::decode(&bytes) {
            // Every field of a table may refer to the same bytes, and there are at most 8 fields.
            let again = record.encode();
            prop_assert!(again.len() <= 8 * bytes.len() + 200);
            prop_assert_eq!(MetadataRecord::decode(&again), Ok(record));
        }
    }

    /// What the crate's verifier accepts as a table, our reader can follow too: it may refuse it
    /// only for what the fields say.
    #[test]
    fn the_reader_follows_whatever_the_verifier_accepts(bytes in damaged()) {
        if bytes.get(4..8) == Some(b"FLMR") && verify(&bytes).is_ok() {
            let decoded = MetadataRecord::decode(&bytes);
            prop_assert!(
                !matches!(decoded, Err(SchemaError::OutOfBounds | SchemaError::NotARecord)),
                "{decoded:?}"
            );
        }
    }
}

fn sample() -> Vec<u8> {
    let record = TopicRecord {
        topic_id: Uuid([7; 16]),
        name: "events".into(),
    };
    MetadataRecord::TopicRecord(record).encode().to_vec()
}

#[test]
fn an_unknown_version_or_kind_is_refused() {
    let bytes = sample();
    let (mut versions, mut kinds) = (0, 0);
    for place in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[place] = 99;
        match MetadataRecord::decode(&changed) {
            Err(SchemaError::UnknownVersion { version: 99 }) => versions += 1,
            Err(SchemaError::UnknownKind { kind: 99 }) => kinds += 1,
            _ => {}
        }
    }
    assert_eq!((versions, kinds), (1, 1));
}

#[test]
fn the_bytes_of_a_record_do_not_change_from_release_to_release() {
    let hex: String = sample().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, include_str!("topic_record.hex").trim());
}

#[test]
fn the_schema_file_describes_the_records() {
    let text: String = include_str!("metadata.fbs")
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    let union = text.split_once("union Body {").expect("a union").1;
    let union = union.split_once('}').expect("its end").0;
    let kinds: Vec<&str> = union
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect();
    let declared: Vec<&str> = MetadataRecord::KINDS
        .iter()
        .map(|(_, name, _)| *name)
        .collect();
    assert_eq!(kinds, declared);
    for (index, (kind, name, fields)) in MetadataRecord::KINDS.iter().enumerate() {
        assert_eq!(usize::from(*kind), index + 1);
        let table = text
            .split_once(&format!("table {name} {{"))
            .expect("a table")
            .1;
        let table = table.split_once('}').expect("its end").0;
        let described: Vec<(&str, &str)> = table
            .split(';')
            .filter_map(|field| field.split_once(':'))
            .map(|(field, kind)| (field.trim(), kind.trim()))
            .collect();
        assert_eq!(described, *fields, "{name}");
    }
}
