// SPDX-License-Identifier: Apache-2.0
//! Tests of record batches: what is built is valid and reads back, patches, rules, runs of batches.
//!
//! Owns: the batches that the other test files use too.
//! Invariants: none. Runs on: the test runner. Bounded by: proptest's cases.

mod differential;
mod hostile;
mod recompress;

use super::*;
use crate::limits::DECOMPRESSED_BYTES_MAX;
use crate::model::topic_config::TimestampType;
use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// One record as the tests think of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plain {
    pub(super) timestamp: i64,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Plain {
    pub(super) fn of(value: &str) -> Plain {
        let value = Some(value.as_bytes().to_vec());
        Plain {
            timestamp: 1_700_000_000_000,
            key: None,
            value,
            headers: Vec::new(),
        }
    }
}

pub(super) fn builder_of(codec: Compression, plain: &[Plain]) -> BatchBuilder {
    let mut builder = BatchBuilder::new(codec);
    for record in plain {
        let headers: Vec<_> = record
            .headers
            .iter()
            .map(|(k, v)| (k.as_bytes(), v.as_deref()))
            .collect();
        builder.append(
            record.timestamp,
            record.key.as_deref(),
            record.value.as_deref(),
            &headers,
        );
    }
    builder
}

pub(super) fn batch_of(codec: Compression, values: &[&str]) -> Bytes {
    let plain: Vec<Plain> = values.iter().map(|value| Plain::of(value)).collect();
    builder_of(codec, &plain).build()
}

/// Reads a batch back; the offsets must count up from the base offset.
pub(super) fn read_back(batch: &Bytes) -> Result<Vec<Plain>, BatchError> {
    let opened = records(batch, DECOMPRESSED_BYTES_MAX)?;
    let mut plain = Vec::new();
    for (offset, record) in (opened.header().base_offset..).zip(&opened) {
        let record = record?;
        assert_eq!(record.offset, offset);
        let name = |name: &[u8]| String::from_utf8(name.to_vec()).expect("names here are text");
        plain.push(Plain {
            timestamp: record.timestamp,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record
                .headers
                .map(|(k, v)| (name(k), v.map(<[u8]>::to_vec)))
                .collect(),
        });
    }
    Ok(plain)
}

pub(super) fn any_codec() -> impl Strategy<Value = Compression> {
    (0..5usize).prop_map(|index| Compression::ALL[index])
}

fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    // Mostly small; now and then past one block of the framed codecs.
    prop_oneof![
        8 => vec(any::<u8>(), 0..40),
        1 => (any::<u8>(), 30_000..140_000usize).prop_map(|(byte, len)| vec![byte; len]),
    ]
}

pub(super) fn any_plain() -> impl Strategy<Value = Plain> {
    let timestamp = prop_oneof![0..1_800_000_000_000i64, Just(-1i64)];
    // kafka-protocol keeps headers in a map, so names differ within a record.
    let headers = proptest::collection::btree_map("[a-z]{0,8}", option::of(any_bytes()), 0..3);
    (
        timestamp,
        option::of(any_bytes()),
        option::of(any_bytes()),
        headers,
    )
        .prop_map(|(timestamp, key, value, headers)| Plain {
            timestamp,
            key,
            value,
            headers: headers.into_iter().collect(),
        })
}

/// Changes bytes of a batch and makes its checksum true again.
pub(super) fn forged(batch: &Bytes, change: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut bytes = batch.to_vec();
    change(&mut bytes);
    let length = i32::try_from(bytes.len() - batch::LOG_OVERHEAD_BYTES).unwrap();
    bytes[batch::BATCH_LENGTH_AT..batch::LEADER_EPOCH_AT].copy_from_slice(&length.to_be_bytes());
    batch::seal(&mut bytes);
    Bytes::from(bytes)
}

/// Opens compressed batches, too.
pub(super) fn thorough() -> BatchRules {
    BatchRules {
        open_compressed: true,
        ..BatchRules::CLIENT
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_built_is_valid_and_reads_back(
        codec in any_codec(),
        plain in vec(any_plain(), 1..12),
        base_offset in 0..i64::MAX / 2,
        leader_epoch: i32,
    ) {
        let mut builder = builder_of(codec, &plain);
        let promised: usize = plain
            .iter()
            .map(|r| BatchBuilder::record_bytes_max(r.key.as_deref(), r.value.as_deref()))
            .sum();
        if plain.iter().all(|r| r.headers.is_empty()) {
            prop_assert!(builder.size_bytes() <= BATCH_HEADER_BYTES + promised);
        }
        builder.producer(7, 3, 100).offsets(base_offset, leader_epoch);
        let batch = builder.build();
        let checked = check_batch(&batch, &thorough()).unwrap();
        let header = checked.header;
        prop_assert_eq!(header, validate_batch(&batch, &BatchRules::CLIENT).unwrap());
        prop_assert_eq!(header.size_bytes(), batch.len());
        prop_assert_eq!(header.base_offset, base_offset);
        prop_assert_eq!(header.partition_leader_epoch, leader_epoch);
        let count = i64::try_from(plain.len()).unwrap();
        prop_assert_eq!(header.last_offset() - base_offset + 1, count);
        let producer = (header.producer_id, header.producer_epoch, header.base_sequence);
        prop_assert_eq!(producer, (7, 3, 100));
        prop_assert_eq!(header.last_sequence(), 100 + header.last_offset_delta);
        let largest = plain.iter().map(|r| r.timestamp).max().unwrap();
        prop_assert_eq!(header.max_timestamp, largest);
        prop_assert_eq!(checked.largest_timestamp, Some(largest));
        prop_assert_eq!(read_back(&batch).unwrap(), plain);
    }

    #[test]
    fn a_run_of_batches_is_cut_where_they_end(sizes in vec(1..5usize, 0..6), cut in 0..61usize) {
        let batches: Vec<Bytes> =
            sizes.iter().map(|n| batch_of(Compression::None, &["line"; 5][..*n])).collect();
        let run = Bytes::from(batches.concat());
        let found: Vec<Bytes> = split_batches(&run).map(Result::unwrap).collect();
        prop_assert_eq!(&found, &batches);
        // A fetch may end inside a batch.
        if cut > 0 && !run.is_empty() {
            let mut split = split_batches(&run.slice(..run.len() - cut));
            for batch in &batches[..batches.len() - 1] {
                prop_assert_eq!(split.next(), Some(Ok(batch.clone())));
            }
            let last = split.next();
            let ended = matches!(last, Some(Err(BatchError::Truncated { .. })));
            prop_assert!(ended, "{:?}", last);
            prop_assert_eq!(split.next(), None);
        }
    }
}

#[test]
fn offsets_and_epoch_lie_outside_the_checksum() {
    let mut batch = batch_of(Compression::None, &["a", "b"]).to_vec();
    patch_offsets(&mut batch, 77, 5);
    let header = validate_batch(&batch, &BatchRules::CLIENT).unwrap();
    assert_eq!(
        (
            header.base_offset,
            header.last_offset(),
            header.partition_leader_epoch
        ),
        (77, 78, 5)
    );
}

#[test]
fn log_append_time_replaces_every_timestamp() {
    for codec in Compression::ALL {
        let mut batch = batch_of(codec, &["a", "b"]).to_vec();
        set_log_append_time(&mut batch, 42);
        let header = validate_batch(&batch, &BatchRules::BROKER).unwrap();
        assert_eq!(
            header.attributes.timestamp_type(),
            TimestampType::LogAppendTime
        );
        assert_eq!(header.attributes.compression(), Ok(codec));
        assert_eq!(header.max_timestamp, 42);
        let plain = read_back(&Bytes::from(batch.clone())).unwrap();
        assert!(plain.iter().all(|record| record.timestamp == 42));
        // A client may not claim it.
        let refused = validate_batch(&batch, &BatchRules::CLIENT);
        assert_eq!(
            refused,
            Err(BatchError::Timestamp {
                index: -1,
                timestamp: 42
            })
        );
    }
}

#[test]
fn a_wrong_max_timestamp_is_noticed_and_can_be_corrected() {
    let mut batch = batch_of(Compression::None, &["a"]).to_vec();
    set_max_timestamp(&mut batch, 1);
    let checked = check_batch(&batch, &BatchRules::CLIENT).unwrap();
    assert_eq!(checked.header.max_timestamp, 1);
    assert_eq!(checked.largest_timestamp, Some(1_700_000_000_000));
    set_max_timestamp(&mut batch, 1_700_000_000_000);
    assert_eq!(batch, batch_of(Compression::None, &["a"]));
}

#[test]
fn sequences_go_on_with_zero_after_the_largest() {
    let mut builder = builder_of(Compression::None, &[Plain::of("a"), Plain::of("b")]);
    builder.producer(1, 0, i32::MAX);
    let header = validate_batch(&builder.build(), &BatchRules::CLIENT).unwrap();
    assert_eq!(header.last_sequence(), 0);
    let unnumbered = BatchHeader::parse(&batch_of(Compression::None, &["a", "b"])).unwrap();
    assert_eq!(unnumbered.last_sequence(), -1);
}

#[test]
fn rules_about_size_time_keys_and_control() {
    let batch = batch_of(Compression::None, &["a", "b"]);
    let small = BatchRules {
        size_bytes_max: batch.len() - 1,
        ..BatchRules::CLIENT
    };
    let error = validate_batch(&batch, &small).unwrap_err();
    assert_eq!(error.fault(), BatchFault::TooLarge);

    let late = BatchRules {
        timestamp_max: 1_600_000_000_000,
        ..BatchRules::CLIENT
    };
    let early = BatchRules {
        timestamp_min: 1_800_000_000_000,
        ..BatchRules::CLIENT
    };
    for rules in [late, early] {
        for codec in Compression::ALL {
            let error = validate_batch(&batch_of(codec, &["a"]), &rules).unwrap_err();
            assert_eq!(error.fault(), BatchFault::Timestamp);
        }
    }
    let untimed = builder_of(
        Compression::None,
        &[Plain {
            timestamp: -1,
            ..Plain::of("a")
        }],
    );
    assert!(validate_batch(&untimed.build(), &early).is_ok());

    let keyed = BatchRules {
        key_required: true,
        ..BatchRules::CLIENT
    };
    for codec in Compression::ALL {
        let error = validate_batch(&batch_of(codec, &["a"]), &keyed).unwrap_err();
        assert_eq!(
            error,
            BatchError::Record {
                index: 0,
                fault: RecordFault::KeyMissing
            }
        );
    }

    let mut control = builder_of(Compression::None, &[Plain::of("a")]);
    control.control();
    let control = control.build();
    assert_eq!(
        validate_batch(&control, &BatchRules::CLIENT),
        Err(BatchError::Control)
    );
    assert!(
        validate_batch(&control, &BatchRules::BROKER)
            .unwrap()
            .attributes
            .is_control()
    );
}

#[test]
fn producer_fields_must_fit_together() {
    for (id, epoch, sequence, fits) in [
        (-1, -1, -1, true),
        (5, 0, 0, true),
        (5, -1, 0, false),
        (5, 0, -1, false),
    ] {
        let mut builder = builder_of(Compression::None, &[Plain::of("a")]);
        builder.producer(id, epoch, sequence);
        let result = validate_batch(&builder.build(), &BatchRules::CLIENT);
        assert_eq!(result.is_ok(), fits, "{id} {epoch} {sequence}");
    }
    let mut builder = builder_of(Compression::None, &[Plain::of("a")]);
    builder.transactional();
    let error = validate_batch(&builder.build(), &BatchRules::CLIENT).unwrap_err();
    assert_eq!(error.fault(), BatchFault::Invalid);
}
