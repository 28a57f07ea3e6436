// SPDX-License-Identifier: Apache-2.0
//! Fetch: offsets, bounds, epochs, sessions.
//!
//! Owns: [`CASES`], [`read`]. Invariants: records are written down in words, batch by batch.
//! Runs on: one thread for each broker.

use bytes::Bytes;
use kafka_protocol::messages::fetch_request::{
    FetchPartition, FetchTopic, ForgottenTopic, ReplicaState,
};
use kafka_protocol::messages::{BrokerId, FetchRequest, FetchResponse, TopicName};
use uuid::Uuid;

use super::produce::{data, part, request as produce_request};
use super::{Case, case};
use crate::batch::{Batch, told};
use crate::side::{Answer, Side};

/// Every version with a field or a rule of its own.
const VERSIONS: &[i16] = &[4, 5, 7, 9, 10, 11, 12, 13, 15, 17, 18];

/// First version that names topics by id alone.
const IDS_FROM: i16 = 13;

/// The session epoch of a request without a session, and of one that wants one.
const NO_SESSION: i32 = -1;
const NEW_SESSION: i32 = 0;

fn at(partition: i32, offset: i64) -> FetchPartition {
    FetchPartition::default()
        .with_partition(partition)
        .with_fetch_offset(offset)
        .with_partition_max_bytes(1 << 20)
}

fn topic(
    version: i16,
    (name, id): (&TopicName, Uuid),
    partitions: Vec<FetchPartition>,
) -> FetchTopic {
    let topic = FetchTopic::default().with_partitions(partitions);
    match version >= IDS_FROM {
        true => topic.with_topic_id(id),
        false => topic.with_topic(name.clone()),
    }
}

/// A fetch that waits for nothing.
fn request(topics: Vec<FetchTopic>) -> FetchRequest {
    FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(0)
        .with_min_bytes(1)
        .with_max_bytes(1 << 24)
        .with_session_epoch(NO_SESSION)
        .with_topics(topics)
}

/// Fetches and writes the answer down, records in words.
fn fetch(
    side: &mut Side,
    step: &str,
    version: i16,
    request: &FetchRequest,
) -> Option<FetchResponse> {
    let answer = side.send(version, request);
    let told = match answer {
        Answer::Body(mut body) => {
            let topics = body.responses.iter_mut();
            for partition in topics.flat_map(|topic| &mut topic.partitions) {
                partition.records = told(&partition.records);
            }
            Answer::Body(body)
        }
        other => other,
    };
    side.take_down(step, told)
}

/// Reads a partition of a topic of this case from an offset.
pub fn read(side: &mut Side, name: &str, offset: i64) {
    let name = side.name(name);
    let topics = vec![topic(11, (&name, Uuid::nil()), vec![at(0, offset)])];
    fetch(side, "read", 11, &request(topics));
}

/// Makes the topic `t` with three batches of two records in partition 0; its id.
fn filled(side: &mut Side, partitions: i32) -> Uuid {
    let id = side.topic("t", partitions, &[]);
    for values in [["a", "b"], ["c", "d"], ["e", "f"]] {
        append(side, id, 0, Batch::of(&values).bytes());
    }
    id
}

fn append(side: &mut Side, id: Uuid, partition: i32, records: Bytes) {
    let name = side.name("t");
    let parts = vec![part(9, (&name, id), vec![data(partition, Some(records))])];
    let answer = side.must(9, &produce_request(parts));
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
}

/// Fetches some partitions of the topic `t`, with a change to the request.
fn changed(
    side: &mut Side,
    version: i16,
    partitions: Vec<FetchPartition>,
    change: impl Fn(FetchRequest) -> FetchRequest,
) {
    let id = filled(side, 2);
    let name = side.name("t");
    let topics = vec![topic(version, (&name, id), partitions)];
    fetch(side, "fetch", version, &change(request(topics)));
}

fn plain(side: &mut Side, version: i16, partitions: Vec<FetchPartition>) {
    changed(side, version, partitions, |request| request);
}

/// A session over these partitions of the topic `t`; the id of the topic and of the session.
fn session(side: &mut Side, version: i16, partitions: &[i32]) -> (Uuid, i32) {
    let id = filled(side, 3);
    let name = side.name("t");
    let partitions = partitions.iter().map(|index| at(*index, 0)).collect();
    let topics = vec![topic(version, (&name, id), partitions)];
    let answer = fetch(
        side,
        "new",
        version,
        &request(topics).with_session_epoch(NEW_SESSION),
    );
    (id, answer.map_or(0, |answer| answer.session_id))
}

/// The next request of a session.
fn next(session: i32, epoch: i32, topics: Vec<FetchTopic>) -> FetchRequest {
    request(topics)
        .with_session_id(session)
        .with_session_epoch(epoch)
}

pub const CASES: &[Case] = &[
    case("fetch/from the start", VERSIONS, |side, version| {
        plain(side, version, vec![at(0, 0)]);
    }),
    case(
        "fetch/from the middle of a batch",
        &[4, 12, 18],
        |side, version| {
            plain(side, version, vec![at(0, 3)]);
        },
    ),
    case("fetch/at the end", &[4, 12, 18], |side, version| {
        plain(side, version, vec![at(0, 6), at(1, 0)]);
    }),
    case("fetch/behind the end", VERSIONS, |side, version| {
        plain(side, version, vec![at(0, 7), at(0, 6)]);
    }),
    case("fetch/negative offsets", &[4, 12, 17], |side, version| {
        plain(side, version, vec![at(0, -1), at(1, i64::MIN)]);
    }),
    case(
        "fetch/unknown partitions",
        &[4, 12, 13, 18],
        |side, version| {
            plain(side, version, vec![at(2, 0), at(-1, 0), at(0, 5)]);
        },
    ),
    case(
        "fetch/unknown topic",
        &[4, 7, 12, 13, 18],
        |side, version| {
            let name = side.name("nothing");
            let topics = vec![topic(
                version,
                (&name, Uuid::from_bytes([5; 16])),
                vec![at(0, 0)],
            )];
            fetch(side, "fetch", version, &request(topics));
        },
    ),
    case("fetch/id of nothing", &[13, 18], |side, version| {
        let name = side.name("nothing");
        let topics = vec![topic(version, (&name, Uuid::nil()), vec![at(0, 0)])];
        fetch(side, "fetch", version, &request(topics));
    }),
    case(
        "fetch/known and unknown topics",
        &[11, 13],
        |side, version| {
            let id = filled(side, 1);
            let (name, nothing) = (side.name("t"), side.name("nothing"));
            let topics = vec![
                topic(version, (&name, id), vec![at(0, 4)]),
                topic(
                    version,
                    (&nothing, Uuid::from_bytes([5; 16])),
                    vec![at(0, 0)],
                ),
            ];
            fetch(side, "fetch", version, &request(topics));
        },
    ),
    case("fetch/nothing", &[4, 12, 18], |side, version| {
        fetch(side, "fetch", version, &request(Vec::new()));
    }),
    case(
        "fetch/a topic without partitions",
        &[4, 13],
        |side, version| {
            plain(side, version, Vec::new());
        },
    ),
    case("fetch/partition twice", &[4, 11, 13], |side, version| {
        plain(side, version, vec![at(0, 0), at(0, 4)]);
    }),
    case("fetch/topic twice", &[4, 13], |side, version| {
        let id = filled(side, 2);
        let name = side.name("t");
        let one = |index, offset| topic(version, (&name, id), vec![at(index, offset)]);
        fetch(side, "fetch", version, &request(vec![one(0, 4), one(1, 0)]));
    }),
    case("fetch/max bytes 0", &[4, 12, 18], |side, version| {
        changed(side, version, vec![at(0, 0), at(1, 0)], |request| {
            request.with_max_bytes(0)
        });
    }),
    case("fetch/max bytes 1", &[4, 12], |side, version| {
        changed(side, version, vec![at(0, 2)], |request| {
            request.with_max_bytes(1)
        });
    }),
    case("fetch/max bytes -1", &[4, 12], |side, version| {
        changed(side, version, vec![at(0, 0)], |request| {
            request.with_max_bytes(-1)
        });
    }),
    case("fetch/partition max bytes 0", &[4, 12], |side, version| {
        plain(side, version, vec![at(0, 0).with_partition_max_bytes(0)]);
    }),
    case("fetch/partition max bytes 1", &[4, 12], |side, version| {
        plain(side, version, vec![at(0, 0).with_partition_max_bytes(1)]);
    }),
    case("fetch/partition max bytes -1", &[4, 12], |side, version| {
        plain(side, version, vec![at(0, 0).with_partition_max_bytes(-1)]);
    }),
    case(
        "fetch/partition max bytes of one batch",
        &[12],
        |side, version| {
            let size = i32::try_from(Batch::of(&["a", "b"]).bytes().len()).unwrap();
            plain(side, version, vec![at(0, 0).with_partition_max_bytes(size)]);
        },
    ),
    case(
        "fetch/two partitions under one max bytes",
        &[12],
        |side, version| {
            let id = filled(side, 2);
            append(side, id, 1, Batch::of(&["x", "y"]).bytes());
            let name = side.name("t");
            let topics = vec![topic(version, (&name, id), vec![at(1, 0), at(0, 0)])];
            fetch(side, "fetch", version, &request(topics).with_max_bytes(10));
        },
    ),
    case(
        "fetch/min bytes that are not there",
        &[4, 12],
        |side, version| {
            changed(side, version, vec![at(0, 0)], |request| {
                request.with_min_bytes(100_000).with_max_wait_ms(100)
            });
        },
    ),
    case("fetch/min bytes 0 at the end", &[4, 12], |side, version| {
        changed(side, version, vec![at(0, 6)], |request| {
            request.with_min_bytes(0).with_max_wait_ms(10_000)
        });
    }),
    case("fetch/an error does not wait", &[12], |side, version| {
        changed(side, version, vec![at(0, 6), at(1, 99)], |request| {
            request.with_min_bytes(1000).with_max_wait_ms(20_000)
        });
    }),
    case("fetch/negative waiting time", &[4, 12], |side, version| {
        changed(side, version, vec![at(0, 6)], |request| {
            request.with_max_wait_ms(-1)
        });
    }),
    case(
        "fetch/committed records only",
        &[4, 12, 17],
        |side, version| {
            changed(side, version, vec![at(0, 2)], |request| {
                request.with_isolation_level(1)
            });
        },
    ),
    case("fetch/isolation level 2", &[4, 12], |side, version| {
        changed(side, version, vec![at(0, 2)], |request| {
            request.with_isolation_level(2)
        });
    }),
    case("fetch/leader epochs", &[9, 12, 16], |side, version| {
        let partitions = [0, 7, -1, -2].map(|epoch| at(0, 4).with_current_leader_epoch(epoch));
        let id = filled(side, 1);
        let name = side.name("t");
        for partition in partitions {
            let topics = vec![topic(version, (&name, id), vec![partition])];
            fetch(side, "fetch", version, &request(topics));
        }
    }),
    case("fetch/last fetched epochs", &[12, 17], |side, version| {
        let partitions = [0, 5, -1].map(|epoch| at(0, 4).with_last_fetched_epoch(epoch));
        let id = filled(side, 1);
        let name = side.name("t");
        for partition in partitions {
            let topics = vec![topic(version, (&name, id), vec![partition])];
            fetch(side, "fetch", version, &request(topics));
        }
    }),
    case(
        "fetch/as a replica that is not one",
        &[4, 12],
        |side, version| {
            changed(side, version, vec![at(0, 0)], |request| {
                request.with_replica_id(BrokerId(5))
            });
        },
    ),
    case("fetch/as a replica by tag", &[15, 17], |side, version| {
        changed(side, version, vec![at(0, 0)], |request| {
            let state = ReplicaState::default()
                .with_replica_id(BrokerId(5))
                .with_replica_epoch(1);
            request
                .with_replica_id(BrokerId(-1))
                .with_replica_state(state)
        });
    }),
    case("fetch/as the broker itself", &[12], |side, version| {
        changed(side, version, vec![at(0, 0)], |request| {
            request.with_replica_id(BrokerId(1))
        });
    }),
    case(
        "fetch/as a debugging consumer",
        &[4, 12],
        |side, version| {
            changed(side, version, vec![at(0, 0)], |request| {
                request.with_replica_id(BrokerId(-2))
            });
        },
    ),
    case(
        "fetch/after a deletion of records",
        &[5, 12, 18],
        |side, version| {
            let id = filled(side, 1);
            super::partitions::trim(side, 0, 3);
            let name = side.name("t");
            for offset in [0, 2, 3, 6] {
                let topics = vec![topic(version, (&name, id), vec![at(0, offset)])];
                fetch(side, "fetch", version, &request(topics));
            }
        },
    ),
    case("fetch/with a rack", &[11, 17], |side, version| {
        changed(side, version, vec![at(0, 4)], |request| {
            request.with_rack_id("r".into())
        });
    }),
    case("session/incremental", &[7, 12, 13, 17], |side, version| {
        let (id, session) = session(side, version, &[0, 1]);
        fetch(side, "unchanged", version, &next(session, 1, Vec::new()));
        append(side, id, 1, Batch::of(&["x"]).bytes());
        fetch(side, "changed", version, &next(session, 2, Vec::new()));
        let name = side.name("t");
        let topics = vec![topic(version, (&name, id), vec![at(0, 6), at(1, 1)])];
        fetch(side, "moved on", version, &next(session, 3, topics));
        fetch(side, "nothing new", version, &next(session, 4, Vec::new()));
    }),
    case(
        "session/a partition more and one less",
        &[7, 13],
        |side, version| {
            let (id, session) = session(side, version, &[0, 1]);
            let name = side.name("t");
            let topics = vec![topic(version, (&name, id), vec![at(2, 0)])];
            fetch(side, "more", version, &next(session, 1, topics));
            let forgotten = ForgottenTopic::default().with_partitions(vec![0]);
            let forgotten = match version >= IDS_FROM {
                true => forgotten.with_topic_id(id),
                false => forgotten.with_topic(name),
            };
            let request = next(session, 2, Vec::new()).with_forgotten_topics_data(vec![forgotten]);
            fetch(side, "less", version, &request);
        },
    ),
    case("session/wrong epoch", &[7, 12, 17], |side, version| {
        let (_, session) = session(side, version, &[0]);
        fetch(side, "too new", version, &next(session, 5, Vec::new()));
        fetch(side, "right", version, &next(session, 1, Vec::new()));
        fetch(side, "again", version, &next(session, 1, Vec::new()));
    }),
    case("session/unknown", &[7, 12, 17], |side, version| {
        fetch(side, "unknown", version, &next(123_456_789, 1, Vec::new()));
        fetch(side, "none", version, &next(0, 5, Vec::new()));
    }),
    case("session/closed", &[7, 13], |side, version| {
        let (_, session) = session(side, version, &[0]);
        fetch(side, "closing", version, &next(session, -1, Vec::new()));
        fetch(side, "closed", version, &next(session, 1, Vec::new()));
    }),
    case("session/made anew", &[7, 13], |side, version| {
        let (id, session) = session(side, version, &[0]);
        let name = side.name("t");
        let topics = vec![topic(version, (&name, id), vec![at(1, 0)])];
        let again = next(session, 0, topics);
        let answer = fetch(side, "anew", version, &again);
        fetch(side, "old", version, &next(session, 1, Vec::new()));
        let new = answer.map_or(0, |answer| answer.session_id);
        fetch(side, "next", version, &next(new, 1, Vec::new()));
    }),
    case("session/odd epochs", &[7, 12], |side, version| {
        let (_, session) = session(side, version, &[0]);
        fetch(side, "-2", version, &next(session, -2, Vec::new()));
        fetch(side, "without a session", version, &next(0, -2, Vec::new()));
    }),
    case("session/unknown partition", &[7, 13], |side, version| {
        let (_, session) = session(side, version, &[0, 9]);
        fetch(side, "next", version, &next(session, 1, Vec::new()));
    }),
    case("session/unknown topic id", &[13, 17], |side, version| {
        let name = side.name("nothing");
        let topics = vec![topic(
            version,
            (&name, Uuid::from_bytes([6; 16])),
            vec![at(0, 0)],
        )];
        let new = request(topics).with_session_epoch(NEW_SESSION);
        let answer = fetch(side, "new", version, &new);
        let session = answer.map_or(0, |answer| answer.session_id);
        fetch(side, "next", version, &next(session, 1, Vec::new()));
    }),
    case("session/error and recovery", &[12], |side, version| {
        let (id, session) = session(side, version, &[0]);
        let name = side.name("t");
        let topics = vec![topic(version, (&name, id), vec![at(0, 99)])];
        fetch(side, "wrong", version, &next(session, 1, topics));
        fetch(side, "still wrong", version, &next(session, 2, Vec::new()));
        let topics = vec![topic(version, (&name, id), vec![at(0, 6)])];
        fetch(side, "right", version, &next(session, 3, topics));
    }),
    case("session/partition twice", &[11], |side, version| {
        let id = filled(side, 1);
        let name = side.name("t");
        let topics = vec![topic(version, (&name, id), vec![at(0, 0), at(0, 4)])];
        let new = request(topics).with_session_epoch(NEW_SESSION);
        fetch(side, "new", version, &new);
    }),
];
