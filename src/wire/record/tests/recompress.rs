// SPDX-License-Identifier: Apache-2.0
//! Records survive every change of codec, and no batch may take more than its share.

use bytes::Bytes;
use proptest::prelude::*;

use crate::limits::{RECOMPRESSED_AT_LEVEL_BYTES_MAX, RECOMPRESSED_BYTES_MAX};
use crate::wire::record::recompress::{Target, recompress};
use crate::wire::record::{
    BatchBuilder, BatchError, BatchFault, BatchRules, Compression, check_batch, records,
    validate_batch,
};

const ROOM: usize = 256 * 1024 * 1024;

fn batch(codec: Compression, values: &[Vec<u8>]) -> Bytes {
    let mut builder = BatchBuilder::new(codec);
    builder.producer(7, 1, 40);
    for (timestamp, value) in (5000..).zip(values) {
        builder.append(timestamp, Some(b"key"), Some(value), &[(b"h", Some(b"v"))]);
    }
    builder.build()
}

fn to(codec: Compression) -> Target {
    Target { codec, level: None }
}

fn turned(batch: &Bytes, target: Target, rules: &BatchRules) -> Result<Bytes, BatchError> {
    let checked = check_batch(batch, rules)?;
    let (packed, after) = recompress(batch, &checked, target, rules)?;
    let packed = Bytes::from(packed);
    let again = check_batch(
        &packed,
        &BatchRules {
            size_bytes_max: ROOM,
            ..*rules
        },
    );
    assert_eq!(again.map(|again| again.header), Ok(after.header));
    Ok(packed)
}

fn shown(batch: &Bytes) -> Vec<String> {
    let opened = records(batch, ROOM).expect("opens");
    let all = opened
        .iter()
        .map(|record| format!("{:?}", record.expect("well-formed")));
    all.collect()
}

proptest! {
    #[test]
    fn records_are_the_same_in_every_codec(
        values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..20),
        source in 0usize..5,
        target in 0usize..5,
        level in 1i32..9,
    ) {
        let (source, codec) = (Compression::ALL[source], Compression::ALL[target]);
        let before = batch(source, &values);
        let level = Some(level);
        let after = turned(&before, Target { codec, level }, &BatchRules::CLIENT).expect("turns");
        prop_assert_eq!(shown(&before), shown(&after));
        let header = validate_batch(&after, &BatchRules::CLIENT).expect("a good batch");
        prop_assert_eq!(header.attributes.compression(), Ok(codec));
        let old = validate_batch(&before, &BatchRules::CLIENT).expect("a good batch");
        prop_assert_eq!(
            (header.producer_id, header.base_sequence, header.max_timestamp, header.record_count),
            (old.producer_id, old.base_sequence, old.max_timestamp, old.record_count)
        );
    }

    #[test]
    fn hostile_records_in_a_codec_are_refused_and_never_a_panic(
        body in prop::collection::vec(any::<u8>(), 0..200),
        source in 1usize..5,
        target in 0usize..5,
    ) {
        let good = batch(Compression::ALL[source], &[vec![1; 50]]);
        let mut bad = good[..61].to_vec();
        bad.extend_from_slice(&body);
        let length = i32::try_from(bad.len() - 12).expect("small");
        bad[8..12].copy_from_slice(&length.to_be_bytes());
        crate::wire::record::set_max_timestamp(&mut bad, 5000);
        let bad = Bytes::from(bad);
        let result = turned(&bad, to(Compression::ALL[target]), &BatchRules::CLIENT);
        prop_assert!(result.is_err());
    }
}

#[test]
fn what_was_not_opened_before_is_held_to_the_rules() {
    let rules = BatchRules {
        timestamp_max: 5001,
        ..BatchRules::CLIENT
    };
    let mut bytes = batch(Compression::Gzip, &[vec![1], vec![2], vec![3]]).to_vec();
    // The header lies about the third record.
    crate::wire::record::set_max_timestamp(&mut bytes, 5001);
    let bytes = Bytes::from(bytes);
    let error = turned(&bytes, to(Compression::Zstd), &rules);
    let expected = BatchError::Timestamp {
        index: 2,
        timestamp: 5002,
    };
    assert_eq!(error, Err(expected));
}

#[test]
fn a_batch_that_becomes_too_large_is_refused() {
    let packed = batch(Compression::Zstd, &[vec![0; 100_000]]);
    let rules = BatchRules {
        size_bytes_max: 10_000,
        ..BatchRules::CLIENT
    };
    assert!(packed.len() < 10_000);
    let error = turned(&packed, to(Compression::None), &rules).expect_err("too large");
    assert_eq!(error.fault(), BatchFault::TooLarge);
    assert!(turned(&packed, to(Compression::Gzip), &rules).is_ok());
}

#[test]
fn a_batch_that_opens_to_very_much_is_refused() {
    let quarter = vec![0; RECOMPRESSED_BYTES_MAX / 4];
    let values = vec![quarter.clone(), quarter.clone(), quarter.clone(), quarter];
    let bomb = batch(Compression::Zstd, &values);
    assert!(bomb.len() < 100_000);
    let error = turned(&bomb, to(Compression::Lz4), &BatchRules::CLIENT).expect_err("a bomb");
    assert_eq!(error.fault(), BatchFault::TooLarge);
}

#[test]
fn a_level_counts_up_to_a_size() {
    let text: Vec<u8> = (0..200_000u32)
        .flat_map(|number| number.to_string().into_bytes())
        .collect();
    let size = |level: i32, times: usize| {
        let values = vec![text.clone(); times];
        let target = Target {
            codec: Compression::Gzip,
            level: Some(level),
        };
        let plain = batch(Compression::None, &values);
        turned(&plain, target, &BatchRules::CLIENT)
            .expect("turns")
            .len()
    };
    assert!(size(9, 1) < size(1, 1));
    let many = RECOMPRESSED_AT_LEVEL_BYTES_MAX / text.len() + 1;
    assert_eq!(size(9, many), size(1, many));
}
