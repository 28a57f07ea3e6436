// SPDX-License-Identifier: Apache-2.0
//! Any bytes at all: cut, changed, made up. Nothing panics, nothing is reserved that the bytes do
//! not pay for, and what is accepted survives being written and read again.
//!
//! Owns: nothing but tests.

use bytes::Bytes;
use furlong::wire::codec::Reader;
use furlong::wire::protocol::decode_request_header;
use proptest::prelude::*;

use super::allocation::measure;
use super::cases::{self, Case};
use super::generate::{self, Dice, Source};

/// Memory that one byte of a small frame may cost: the leanest element on the wire takes 2 bytes,
/// the fattest in memory about 150, and an allocation of its own comes with overhead.
const MEMORY_PER_BYTE_MAX: usize = 64;

fn digest(case: &Case, version: i16, bytes: &Bytes) {
    let what = format!(
        "{} v{version}: {:02x?}",
        case.name,
        &bytes[..bytes.len().min(200)]
    );
    let (result, memory) = measure(|| (case.decode)(bytes.clone(), version));
    let bound = 256 + bytes.len() * MEMORY_PER_BYTE_MAX;
    assert!(memory.peak <= bound, "{what} took {memory:?}");
    if result.is_err() {
        return;
    }
    let read = (case.convert)(bytes.clone(), version, version).expect("it was read before");
    let written = read.bytes.unwrap_or_else(|error| panic!("{what}: {error}"));
    let again = (case.convert)(Bytes::from(written), version, version)
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(again.shown, read.shown, "{what}");
}

fn valid(case: &Case, version: i16, seed: u64) -> Vec<u8> {
    let mut source = Source::Dice(Dice::new(seed));
    generate::message(&mut source, case.layout, version, case.is_flexible(version))
}

proptest! {
    #![proptest_config(generate::config(48))]

    #[test]
    fn any_bytes_are_read_as_any_message_or_refused(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let bytes = Bytes::from(bytes);
        let _ = decode_request_header(&mut Reader::new(bytes.clone()));
        for case in cases::all() {
            for version in case.versions.clone() {
                digest(&case, version, &bytes);
            }
        }
    }

    #[test]
    fn a_version_that_is_not_described_is_refused(version: i16) {
        for case in cases::all().iter().filter(|case| !case.versions.contains(&version)) {
            prop_assert!((case.decode)(Bytes::from_static(&[0; 64]), version).is_err());
        }
    }

    #[test]
    fn a_message_that_is_cut_short_is_refused(seed: u64) {
        for case in cases::all() {
            for version in case.versions.clone() {
                let body = Bytes::from(valid(&case, version, seed));
                let mut dice = Dice::new(!seed);
                for _ in 0..8.min(body.len()) {
                    let cut = body.slice(..dice.below(body.len()));
                    let (result, _) = measure(|| (case.decode)(cut.clone(), version));
                    let length = cut.len();
                    prop_assert!(result.is_err(), "{} v{version} cut to {length}", case.name);
                }
            }
        }
    }

    /// Kafka does not look at bytes behind a request, and librdkafka sends some; nobody has reason
    /// to send any behind a response.
    #[test]
    fn bytes_behind_a_response_are_refused_and_behind_a_request_ignored(seed: u64) {
        for case in cases::all() {
            for version in case.versions.clone() {
                let frame = (case.frame)(Bytes::from(valid(&case, version, seed)), version);
                let whole = Bytes::copy_from_slice(&frame[4..]);
                let behind = Bytes::from([&whole[..], &[0]].concat());
                let result = (case.reframe)(behind, version);
                if case.name.ends_with("Request") {
                    prop_assert_eq!(result, (case.reframe)(whole, version), "{}", case.name);
                } else {
                    prop_assert!(result.is_err(), "{}", case.name);
                }
            }
        }
    }

    #[test]
    fn a_message_with_changed_bytes_is_read_or_refused(seed: u64) {
        for case in cases::all() {
            for version in case.versions.clone() {
                let mut body = valid(&case, version, seed);
                let mut dice = Dice::new(!seed);
                for _ in 0..body.len().min(1 + dice.below(4)) {
                    let place = dice.below(body.len());
                    body[place] = [0, 1, 0x7f, 0x80, 0xff][dice.below(5)];
                }
                digest(&case, version, &Bytes::from(body));
            }
        }
    }
}
