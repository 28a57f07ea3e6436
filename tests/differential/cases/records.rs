// SPDX-License-Identifier: Apache-2.0
//! Record batches that are not as they should be, and the topic settings that judge records.
//!
//! Owns: [`CASES`]. Runs on: one thread for each broker.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use kafka_protocol::records::Compression;

use super::produce::{again, data, part, produced, request};
use super::{Case, case};
use crate::batch::{Batch, place, put};
use crate::side::Side;

const HOUR_MS: i64 = 3_600_000;

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.expect("after 1970").as_millis()).expect("fits")
}

/// Produces and reads back what was stored.
fn stored(side: &mut Side, version: i16, configs: &[(&str, &str)], records: Bytes) {
    produced(side, version, configs, records);
    super::fetch::read(side, "t", 0);
}

fn patched(change: impl Fn(&mut Vec<u8>)) -> Bytes {
    Batch::of(&["a", "b", "c"]).patched(change)
}

/// A batch with these attributes.
fn attributes(value: i16) -> Bytes {
    patched(|bytes| put(bytes, place::ATTRIBUTES, value.to_be_bytes()))
}

pub const CASES: &[Case] = &[
    case("records/null", &[8], |side, version| {
        let id = side.topic("t", 1, &[]);
        let name = side.name("t");
        let parts = vec![part(version, (&name, id), vec![data(0, None)])];
        side.ask("produce", version, &request(parts));
    }),
    case("records/empty", &[3, 8, 13], |side, version| {
        produced(side, version, &[], Bytes::new());
    }),
    case("records/wrong checksum", &[3, 8, 13], |side, version| {
        let mut bytes = Batch::of(&["a"]).bytes().to_vec();
        bytes[place::CRC] ^= 1;
        produced(side, version, &[], bytes.into());
    }),
    case("records/damaged value", &[8], |side, version| {
        let mut bytes = Batch::of(&["a"]).bytes().to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        produced(side, version, &[], bytes.into());
    }),
    case("records/magic 0", &[3, 8], |side, version| {
        produced(side, version, &[], old_message(0));
    }),
    case("records/magic 1", &[3, 8], |side, version| {
        produced(side, version, &[], old_message(1));
    }),
    case("records/magic 3", &[8], |side, version| {
        produced(side, version, &[], patched(|bytes| bytes[place::MAGIC] = 3));
    }),
    case("records/two batches", &[3, 8, 13], |side, version| {
        let bytes = Batch::of(&["a"]).bytes();
        produced(side, version, &[], [&bytes[..], &bytes[..]].concat().into());
    }),
    case("records/a batch and rubbish", &[8], |side, version| {
        let bytes = Batch::of(&["a"]).bytes();
        produced(side, version, &[], [&bytes[..], &[1, 2, 3]].concat().into());
    }),
    case("records/a cut batch", &[3, 8], |side, version| {
        produced(
            side,
            version,
            &[],
            Batch::of(&["abcdef"]).bytes().slice(..65),
        );
    }),
    case("records/a cut header", &[8], |side, version| {
        produced(
            side,
            version,
            &[],
            Batch::of(&["abcdef"]).bytes().slice(..40),
        );
    }),
    case("records/ten bytes", &[8], |side, version| {
        produced(
            side,
            version,
            &[],
            Batch::of(&["abcdef"]).bytes().slice(..10),
        );
    }),
    case("records/length too small", &[8], |side, version| {
        produced(
            side,
            version,
            &[],
            patched(|bytes| put(bytes, place::LENGTH, 10i32.to_be_bytes())),
        );
    }),
    case("records/length negative", &[8], |side, version| {
        produced(
            side,
            version,
            &[],
            patched(|bytes| put(bytes, place::LENGTH, (-1i32).to_be_bytes())),
        );
    }),
    case("records/length too large", &[8], |side, version| {
        produced(
            side,
            version,
            &[],
            patched(|bytes| put(bytes, place::LENGTH, 100_000i32.to_be_bytes())),
        );
    }),
    case("records/count too large", &[3, 8], |side, version| {
        produced(
            side,
            version,
            &[],
            patched(|bytes| put(bytes, place::COUNT, 4i32.to_be_bytes())),
        );
    }),
    case("records/count too small", &[8], |side, version| {
        produced(
            side,
            version,
            &[],
            patched(|bytes| put(bytes, place::COUNT, 2i32.to_be_bytes())),
        );
    }),
    case(
        "records/count and last offset too large",
        &[8],
        |side, version| {
            let bytes = patched(|bytes| {
                put(bytes, place::COUNT, 4i32.to_be_bytes());
                put(bytes, place::LAST_OFFSET_DELTA, 3i32.to_be_bytes());
            });
            produced(side, version, &[], bytes);
        },
    ),
    case(
        "records/count and last offset too small",
        &[8],
        |side, version| {
            let bytes = patched(|bytes| {
                put(bytes, place::COUNT, 2i32.to_be_bytes());
                put(bytes, place::LAST_OFFSET_DELTA, 1i32.to_be_bytes());
            });
            produced(side, version, &[], bytes);
        },
    ),
    case("records/count 0", &[8], |side, version| {
        let bytes = patched(|bytes| {
            bytes.truncate(place::RECORDS);
            put(bytes, place::LENGTH, 49i32.to_be_bytes());
            put(bytes, place::COUNT, 0i32.to_be_bytes());
            put(bytes, place::LAST_OFFSET_DELTA, 0i32.to_be_bytes());
        });
        produced(side, version, &[], bytes);
    }),
    case("records/count -1", &[8], |side, version| {
        produced(
            side,
            version,
            &[],
            patched(|bytes| put(bytes, place::COUNT, (-1i32).to_be_bytes())),
        );
    }),
    case("records/last offset wrong", &[8], |side, version| {
        produced(
            side,
            version,
            &[],
            patched(|bytes| put(bytes, place::LAST_OFFSET_DELTA, 9i32.to_be_bytes())),
        );
    }),
    case("records/offsets with a gap", &[8], |side, version| {
        let batch = Batch::of(&["a", "b"]).with(1, |record| record.offset = 5);
        produced(side, version, &[], batch.bytes());
    }),
    case("records/base offset 5", &[8], |side, version| {
        stored(
            side,
            version,
            &[],
            patched(|bytes| put(bytes, place::BASE_OFFSET, 5i64.to_be_bytes())),
        );
    }),
    case("records/base offset negative", &[8], |side, version| {
        stored(
            side,
            version,
            &[],
            patched(|bytes| put(bytes, place::BASE_OFFSET, (-5i64).to_be_bytes())),
        );
    }),
    case("records/leader epoch given", &[8], |side, version| {
        stored(
            side,
            version,
            &[],
            patched(|bytes| put(bytes, place::LEADER_EPOCH, 9i32.to_be_bytes())),
        );
    }),
    case("records/control batch", &[3, 8], |side, version| {
        produced(side, version, &[], attributes(0x20));
    }),
    case("records/unknown codec 5", &[3, 8], |side, version| {
        produced(side, version, &[], attributes(5));
    }),
    case("records/unknown codec 7", &[8], |side, version| {
        produced(side, version, &[], attributes(7));
    }),
    case(
        "records/codec without compressed bytes",
        &[8],
        |side, version| {
            produced(side, version, &[], attributes(1));
        },
    ),
    case("records/unused attributes", &[8], |side, version| {
        stored(side, version, &[], attributes(0x100));
    }),
    case("records/delete horizon", &[8], |side, version| {
        stored(side, version, &[], attributes(0x40));
    }),
    case(
        "records/marked as stamped by the broker",
        &[8],
        |side, version| {
            produced(side, version, &[], attributes(8));
        },
    ),
    case("records/max timestamp that lies", &[8], |side, version| {
        stored(
            side,
            version,
            &[],
            patched(|bytes| put(bytes, place::MAX_TIMESTAMP, 5i64.to_be_bytes())),
        );
    }),
    case("records/no timestamps", &[8], |side, version| {
        stored(side, version, &[], Batch::of(&["a", "b"]).at(-1).bytes());
    }),
    case(
        "records/too far in the future",
        &[3, 8, 9],
        |side, version| {
            produced(
                side,
                version,
                &[],
                Batch::of(&["a"]).at(now_ms() + 3 * HOUR_MS).bytes(),
            );
        },
    ),
    case(
        "records/one of three in the future",
        &[8, 13],
        |side, version| {
            let time = now_ms() + 3 * HOUR_MS;
            let batch = Batch::of(&["a", "b", "c"]).with(1, |record| record.timestamp = time);
            produced(side, version, &[], batch.bytes());
        },
    ),
    case("records/future allowed", &[8], |side, version| {
        let configs = [("message.timestamp.after.max.ms", "86400000")];
        produced(
            side,
            version,
            &configs,
            Batch::of(&["a"]).at(now_ms() + 3 * HOUR_MS).bytes(),
        );
    }),
    case("records/too far in the past", &[8, 13], |side, version| {
        let configs = [("message.timestamp.before.max.ms", "1000")];
        produced(side, version, &configs, Batch::of(&["a", "b"]).bytes());
    }),
    case(
        "records/compressed and in the future",
        &[8],
        |side, version| {
            let batch = Batch::of(&["a", "b"]).at(now_ms() + 3 * HOUR_MS);
            produced(side, version, &[], batch.codec(Compression::Gzip).bytes());
        },
    ),
    case(
        "records/stamped by the broker",
        &[3, 8, 13],
        |side, version| {
            let configs = [("message.timestamp.type", "LogAppendTime")];
            stored(side, version, &configs, Batch::of(&["a", "b"]).bytes());
        },
    ),
    case(
        "records/stamped and in the future",
        &[8],
        |side, version| {
            let configs = [("message.timestamp.type", "LogAppendTime")];
            produced(
                side,
                version,
                &configs,
                Batch::of(&["a"]).at(now_ms() + 3 * HOUR_MS).bytes(),
            );
        },
    ),
    case("records/stamped and compressed", &[8], |side, version| {
        let configs = [("message.timestamp.type", "LogAppendTime")];
        stored(
            side,
            version,
            &configs,
            Batch::of(&["a", "b"]).codec(Compression::Lz4).bytes(),
        );
    }),
    case(
        "records/larger than max.message.bytes",
        &[3, 8, 13],
        |side, version| {
            let configs = [("max.message.bytes", "200")];
            produced(
                side,
                version,
                &configs,
                Batch::of(&[&"x".repeat(300)]).bytes(),
            );
        },
    ),
    case("records/larger than the default", &[8], |side, version| {
        produced(
            side,
            version,
            &[],
            Batch::of(&[&"x".repeat(1_100_000)]).bytes(),
        );
    }),
    case(
        "records/exactly max.message.bytes",
        &[8],
        |side, version| {
            let size = Batch::of(&["abc"]).bytes().len();
            let id = side.topic("t", 1, &[("max.message.bytes", &size.to_string())]);
            again(side, version, id, Batch::of(&["abc"]).bytes());
            again(side, version, id, Batch::of(&["abcd"]).bytes());
        },
    ),
    case(
        "records/compacted without a key",
        &[3, 8, 13],
        |side, version| {
            let configs = [("cleanup.policy", "compact")];
            produced(
                side,
                version,
                &configs,
                Batch::keyed(&[(Some("k"), "a"), (None, "b")]).bytes(),
            );
        },
    ),
    case(
        "records/compacted and compressed without a key",
        &[8],
        |side, version| {
            let configs = [("cleanup.policy", "compact")];
            let batch = Batch::keyed(&[(None, "a"), (Some("k"), "b"), (None, "c")]);
            produced(
                side,
                version,
                &configs,
                batch.codec(Compression::Gzip).bytes(),
            );
        },
    ),
    case(
        "records/compacted with keys and a marker",
        &[8],
        |side, version| {
            let configs = [("cleanup.policy", "compact")];
            let batch = Batch::keyed(&[(Some("k"), "a"), (Some(""), "b")]);
            stored(
                side,
                version,
                &configs,
                batch.with(1, |record| record.value = None).bytes(),
            );
        },
    ),
    case("records/compression.type gzip", &[8], |side, version| {
        let configs = [("compression.type", "gzip")];
        stored(side, version, &configs, Batch::of(&["a", "b"]).bytes());
    }),
    case(
        "records/compression.type uncompressed",
        &[8],
        |side, version| {
            let configs = [("compression.type", "uncompressed")];
            stored(
                side,
                version,
                &configs,
                Batch::of(&["a", "b"]).codec(Compression::Snappy).bytes(),
            );
        },
    ),
    case("records/compression.type zstd", &[3], |side, version| {
        let configs = [("compression.type", "zstd")];
        stored(
            side,
            version,
            &configs,
            Batch::of(&["a", "b"]).codec(Compression::Lz4).bytes(),
        );
    }),
    case("records/headers and nulls", &[8], |side, version| {
        let batch = Batch::keyed(&[(None, "a"), (Some("k"), "")])
            .with(0, |record| record.value = None)
            .with(1, |record| {
                record
                    .headers
                    .insert("h".into(), Some(Bytes::from_static(b"1")));
                record.headers.insert("".into(), None);
            });
        stored(side, version, &[], batch.bytes());
    }),
    case(
        "records/a length in a record that lies",
        &[8],
        |side, version| {
            produced(
                side,
                version,
                &[],
                patched(|bytes| bytes[place::RECORDS] = 0x7e),
            );
        },
    ),
];

/// A message of the format before batches.
fn old_message(magic: u8) -> Bytes {
    let mut message = vec![magic, 0];
    if magic > 0 {
        message.extend_from_slice(&crate::batch::THEN_MS.to_be_bytes());
    }
    message.extend_from_slice(&(-1i32).to_be_bytes());
    message.extend_from_slice(&1i32.to_be_bytes());
    message.push(b'a');
    let sum = crc32fast::hash(&message);
    let length = u32::try_from(message.len() + 4).unwrap();
    let mut whole = 0i64.to_be_bytes().to_vec();
    whole.extend_from_slice(&length.to_be_bytes());
    whole.extend_from_slice(&sum.to_be_bytes());
    whole.extend_from_slice(&message);
    whole.into()
}
