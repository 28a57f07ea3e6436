// SPDX-License-Identifier: Apache-2.0
//! Produce: what is taken, what is refused, and how.
//!
//! Owns: [`CASES`], requests to produce. Runs on: one thread for each broker.

use bytes::Bytes;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ApiVersionsRequest, ProduceRequest, TopicName, TransactionalId};
use kafka_protocol::protocol::Encodable;
use kafka_protocol::records::Compression;
use uuid::Uuid;

use super::{Case, case};
use crate::batch::Batch;
use crate::side::{Answer, Side};
use crate::value::Value;

/// Every version but those without anything new.
pub const VERSIONS: &[i16] = &[3, 5, 7, 8, 9, 10, 12, 13];

/// First version that names topics by id alone.
const IDS_FROM: i16 = 13;

/// One partition's part.
pub fn data(partition: i32, records: Option<Bytes>) -> PartitionProduceData {
    PartitionProduceData::default()
        .with_index(partition)
        .with_records(records)
}

/// One topic's part, by name or by id as the version has it.
pub fn part(
    version: i16,
    (name, id): (&TopicName, Uuid),
    partitions: Vec<PartitionProduceData>,
) -> TopicProduceData {
    let part = TopicProduceData::default().with_partition_data(partitions);
    match version >= IDS_FROM {
        true => part.with_topic_id(id),
        false => part.with_name(name.clone()),
    }
}

/// A request that wants all acknowledgements.
pub fn request(parts: Vec<TopicProduceData>) -> ProduceRequest {
    ProduceRequest::default()
        .with_acks(-1)
        .with_timeout_ms(10_000)
        .with_topic_data(parts)
}

/// Produces these records to a new topic and writes the answer down.
pub fn produced(side: &mut Side, version: i16, configs: &[(&str, &str)], records: Bytes) {
    let id = side.topic("t", 1, configs);
    again(side, version, id, records);
}

/// Produces these records to partition 0 of the topic `t`.
pub fn again(side: &mut Side, version: i16, id: Uuid, records: Bytes) {
    let name = side.name("t");
    let parts = vec![part(version, (&name, id), vec![data(0, Some(records))])];
    side.ask("produce", version, &request(parts));
}

/// Produces with some acknowledgements.
fn acks(side: &mut Side, version: i16, acks: i16, records: Bytes) {
    let id = side.topic("t", 1, &[]);
    let name = side.name("t");
    let parts = vec![part(version, (&name, id), vec![data(0, Some(records))])];
    side.ask("produce", version, &request(parts).with_acks(acks));
}

/// Produces without any acknowledgement: whether the connection goes on, and what was taken.
fn unacknowledged(side: &mut Side, version: i16, partition: i32, records: Bytes, is_taken: bool) {
    let id = side.topic("t", 1, &[]);
    let name = side.name("t");
    let parts = vec![part(
        version,
        (&name, id),
        vec![data(partition, Some(records))],
    )];
    let request = request(parts).with_acks(0);
    let mut body = bytes::BytesMut::new();
    request.encode(&mut body, version).unwrap();
    side.push(0, version, if version >= 9 { 2 } else { 1 }, &body);
    let next = side.send(0, &ApiVersionsRequest::default());
    let went_on = match next {
        Answer::Body(_) => "(the connection goes on)".to_owned(),
        Answer::Other(words) => words,
    };
    side.note("then", &Value::leaf(went_on));
    if is_taken {
        super::offsets::wait_for_end(side, "t", 1);
    }
    super::offsets::ends(side, "t", 1);
}

pub const CASES: &[Case] = &[
    case("produce/good", VERSIONS, |side, version| {
        let id = side.topic("t", 1, &[]);
        for _ in 0..2 {
            again(side, version, id, Batch::of(&["a", "b", "c"]).bytes());
        }
    }),
    case(
        "produce/several partitions and topics",
        &[3, 9],
        |side, version| {
            let ids = [side.topic("t", 2, &[]), side.topic("u", 1, &[])];
            let records = || Some(Batch::of(&["a", "b"]).bytes());
            let (t, u) = (side.name("t"), side.name("u"));
            let parts = vec![
                part(
                    version,
                    (&t, ids[0]),
                    vec![data(1, records()), data(0, records())],
                ),
                part(version, (&u, ids[1]), vec![data(0, records())]),
            ];
            side.ask("produce", version, &request(parts));
        },
    ),
    case("produce/some good some bad", &[8, 13], |side, version| {
        let id = side.topic("t", 2, &[]);
        let name = side.name("t");
        let bad = Batch::of(&["a"]).bytes().slice(..65);
        let good = Batch::of(&["a"]).bytes();
        let partitions = vec![
            data(0, Some(bad)),
            data(1, Some(good.clone())),
            data(2, Some(good)),
        ];
        let parts = vec![part(version, (&name, id), partitions)];
        side.ask("produce", version, &request(parts));
    }),
    case("produce/unknown topic", &[3, 8, 12, 13], |side, version| {
        let records = Some(Batch::of(&["a"]).bytes());
        let name = side.name("nothing");
        let parts = vec![part(
            version,
            (&name, Uuid::from_bytes([3; 16])),
            vec![data(0, records)],
        )];
        side.ask("produce", version, &request(parts));
    }),
    case("produce/id of nothing", &[13], |side, version| {
        let records = Some(Batch::of(&["a"]).bytes());
        let name = side.name("nothing");
        let parts = vec![part(version, (&name, Uuid::nil()), vec![data(0, records)])];
        side.ask("produce", version, &request(parts));
    }),
    case("produce/unknown partitions", &[8, 13], |side, version| {
        let id = side.topic("t", 1, &[]);
        let name = side.name("t");
        let records = || Some(Batch::of(&["a"]).bytes());
        let partitions = [-1, 1, i32::MAX].map(|index| data(index, records()));
        let parts = vec![part(version, (&name, id), partitions.into())];
        side.ask("produce", version, &request(parts));
    }),
    case("produce/invalid name", &[8], |side, version| {
        let records = Some(Batch::of(&["a"]).bytes());
        let name = TopicName("a b".into());
        let parts = vec![part(version, (&name, Uuid::nil()), vec![data(0, records)])];
        side.ask("produce", version, &request(parts));
    }),
    case("produce/to the metadata topic", &[8], |side, version| {
        let records = Some(Batch::of(&["a"]).bytes());
        let name = TopicName("__cluster_metadata".into());
        let parts = vec![part(version, (&name, Uuid::nil()), vec![data(0, records)])];
        side.ask("produce", version, &request(parts));
    }),
    case("produce/nothing", &[3, 8, 13], |side, version| {
        side.ask("produce", version, &request(Vec::new()));
    }),
    case(
        "produce/topic without partitions",
        &[8, 13],
        |side, version| {
            let id = side.topic("t", 1, &[]);
            let name = side.name("t");
            let parts = vec![part(version, (&name, id), Vec::new())];
            side.ask("produce", version, &request(parts));
        },
    ),
    case("produce/partition twice", &[8, 13], |side, version| {
        let id = side.topic("t", 1, &[]);
        let name = side.name("t");
        let one = |value| data(0, Some(Batch::of(&[value]).bytes()));
        let parts = vec![part(version, (&name, id), vec![one("a"), one("b")])];
        side.ask("produce", version, &request(parts));
        super::offsets::ends(side, "t", 1);
    }),
    case("produce/topic twice", &[8, 13], |side, version| {
        let id = side.topic("t", 2, &[]);
        let name = side.name("t");
        let one = |index| vec![data(index, Some(Batch::of(&["a"]).bytes()))];
        let parts = vec![
            part(version, (&name, id), one(0)),
            part(version, (&name, id), one(1)),
        ];
        side.ask("produce", version, &request(parts));
    }),
    case("produce/acks 1", &[3, 13], |side, version| {
        acks(side, version, 1, Batch::of(&["a"]).bytes());
    }),
    case("produce/acks 2", &[3, 8, 13], |side, version| {
        acks(side, version, 2, Batch::of(&["a"]).bytes());
    }),
    case("produce/acks -2", &[8], |side, version| {
        acks(side, version, -2, Batch::of(&["a"]).bytes());
    }),
    case("produce/acks 0", &[3, 9, 13], |side, version| {
        unacknowledged(side, version, 0, Batch::of(&["a"]).bytes(), true);
    }),
    case(
        "produce/acks 0 to an unknown partition",
        &[9],
        |side, version| {
            unacknowledged(side, version, 7, Batch::of(&["a"]).bytes(), false);
        },
    ),
    case(
        "produce/acks 0 with a damaged batch",
        &[9],
        |side, version| {
            let damaged = Batch::of(&["a"]).bytes().slice(..60);
            unacknowledged(side, version, 0, damaged, false);
        },
    ),
    case("produce/too few replicas", &[8], |side, version| {
        produced(
            side,
            version,
            &[("min.insync.replicas", "2")],
            Batch::of(&["a"]).bytes(),
        );
    }),
    case(
        "produce/too few replicas but acks 1",
        &[8],
        |side, version| {
            let id = side.topic("t", 1, &[("min.insync.replicas", "2")]);
            let name = side.name("t");
            let records = Some(Batch::of(&["a"]).bytes());
            let parts = vec![part(version, (&name, id), vec![data(0, records)])];
            side.ask("produce", version, &request(parts).with_acks(1));
        },
    ),
    case(
        "produce/transactional id without a transaction",
        &[3, 8, 12],
        |side, version| {
            let id = side.topic("t", 1, &[]);
            let name = side.name("t");
            let batch = Batch::of(&["a"])
                .producer(7, 0, 0)
                .each(|record| record.transactional = true);
            let parts = vec![part(
                version,
                (&name, id),
                vec![data(0, Some(batch.bytes()))],
            )];
            let transaction = TransactionalId(format!("{}-x", name.0).into());
            let request = request(parts).with_transactional_id(Some(transaction));
            side.ask("produce", version, &request);
        },
    ),
    case(
        "produce/transactional batch without an id",
        &[8],
        |side, version| {
            let batch = Batch::of(&["a"])
                .producer(7, 0, 0)
                .each(|record| record.transactional = true);
            produced(side, version, &[], batch.bytes());
        },
    ),
    case(
        "produce/transactional id and a plain batch",
        &[8],
        |side, version| {
            let id = side.topic("t", 1, &[]);
            let name = side.name("t");
            let records = Some(Batch::of(&["a"]).bytes());
            let parts = vec![part(version, (&name, id), vec![data(0, records)])];
            let transaction = TransactionalId(format!("{}-x", name.0).into());
            side.ask(
                "produce",
                version,
                &request(parts).with_transactional_id(Some(transaction)),
            );
        },
    ),
    case("produce/gzip", &[3, 13], |side, version| {
        produced(
            side,
            version,
            &[],
            Batch::of(&["a", "b"]).codec(Compression::Gzip).bytes(),
        );
    }),
    case("produce/snappy", &[3], |side, version| {
        produced(
            side,
            version,
            &[],
            Batch::of(&["a", "b"]).codec(Compression::Snappy).bytes(),
        );
    }),
    case("produce/lz4", &[3], |side, version| {
        produced(
            side,
            version,
            &[],
            Batch::of(&["a", "b"]).codec(Compression::Lz4).bytes(),
        );
    }),
    case("produce/zstd", &[3, 6, 7, 13], |side, version| {
        produced(
            side,
            version,
            &[],
            Batch::of(&["a", "b"]).codec(Compression::Zstd).bytes(),
        );
    }),
];
