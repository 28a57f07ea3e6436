// SPDX-License-Identifier: Apache-2.0
//! Frames that are not as they should be, and what is not built yet.
//!
//! Owns: [`CASES`], [`note_versions`]. Runs on: one thread for each broker.

use std::thread;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, FindCoordinatorRequest, MetadataRequest,
    ResponseHeader,
};
use kafka_protocol::protocol::{Decodable, Encodable};

use super::{Case, case};
use crate::side::Side;
use crate::value::Value;

/// Writes down the answer to a version of ApiVersions that is not known: it has version 0.
pub fn note_versions(side: &mut Side, frame: Result<Bytes, &'static str>) {
    let value = match frame {
        Ok(mut frame) => {
            let header = ResponseHeader::decode(&mut frame, 0);
            match header.and_then(|_| ApiVersionsResponse::decode(&mut frame, 0)) {
                Ok(body) if frame.is_empty() => Value::of(&body),
                _ => Value::leaf("(not decoded)"),
            }
        }
        Err(words) => Value::leaf(words),
    };
    side.note("versions", &value);
}

/// Sends any body and writes down whether anything came back.
fn raw(side: &mut Side, step: &str, (key, version): (i16, i16), header: i16, body: &[u8]) {
    let words = match side.send_raw(key, version, header, body) {
        Ok(_) => "(an answer)",
        Err(words) => words,
    };
    side.note(step, &Value::leaf(words));
    side.hang_up();
}

/// A metadata request of all topics in version 1.
fn metadata_body() -> BytesMut {
    let mut body = BytesMut::new();
    let request = MetadataRequest::default().with_topics(Some(Vec::new()));
    request.encode(&mut body, 1).unwrap();
    body
}

fn find(version: i16, kind: i8, keys: &[&'static str]) -> FindCoordinatorRequest {
    match version >= 4 {
        true => FindCoordinatorRequest::default()
            .with_key_type(kind)
            .with_coordinator_keys(keys.iter().map(|key| (*key).into()).collect()),
        false => FindCoordinatorRequest::default()
            .with_key_type(kind)
            .with_key(keys[0].into()),
    }
}

/// Waits a while for a coordinator: Kafka makes its topic when it is first asked for one.
fn wait_for_coordinator(side: &mut Side, kind: i8, key: &'static str) {
    for _ in 0..30 {
        if side.must(1, &find(1, kind, &[key])).error_code == 0 {
            return;
        }
        thread::sleep(Duration::from_millis(100));
    }
}

pub const CASES: &[Case] = &[
    case("odd/unknown key", &[], |side, _| {
        for key in [93, 999, -1, i16::MAX, i16::MIN, 4, 5, 6, 7] {
            raw(side, &format!("key {key}"), (key, 0), 1, b"");
        }
    }),
    case("odd/keys of brokers and controllers", &[], |side, _| {
        for key in [52, 53, 54, 56, 58, 59, 62, 63, 67, 70, 82] {
            raw(side, &format!("key {key}"), (key, 0), 2, b"");
        }
    }),
    case("odd/unknown versions", &[], |side, _| {
        for (key, version) in [
            (0, 14),
            (0, -1),
            (1, 3),
            (1, 99),
            (2, 0),
            (3, 14),
            (19, 1),
            (22, 6),
        ] {
            raw(
                side,
                &format!("key {key} version {version}"),
                (key, version),
                1,
                &[0; 16],
            );
        }
    }),
    case("odd/produce before version 3", &[], |side, _| {
        for version in [0, 1, 2] {
            // acks, timeout, no topics.
            let body = [0, 1, 0, 0, 0, 9, 0, 0, 0, 0];
            let frame = side.send_raw(0, version, 1, &body);
            let words = match frame {
                Ok(frame) => format!("{:?}", frame.slice(4..)),
                Err(words) => words.to_owned(),
            };
            side.note(&format!("version {version}"), &Value::leaf(words));
            side.hang_up();
        }
    }),
    case("odd/client ids", &[0, 3], |side, version| {
        let request = match version >= 3 {
            true => ApiVersionsRequest::default()
                .with_client_software_name("x".into())
                .with_client_software_version("1".into()),
            false => ApiVersionsRequest::default(),
        };
        for id in [None, Some(""), Some("ä €"), Some("a\nb")] {
            side.client_id = id;
            let step = format!("{id:?}");
            if let crate::side::Answer::Body(body) = side.send(version, &request) {
                side.note(&step, &Value::leaf(body.error_code.to_string()));
            } else {
                side.note(&step, &Value::leaf("(no answer)"));
            }
        }
    }),
    case("odd/a body that is too short", &[], |side, _| {
        let body = metadata_body();
        raw(side, "metadata", (3, 1), 1, &body[..2]);
        raw(side, "nothing", (3, 1), 1, b"");
        raw(side, "fetch", (1, 12), 2, &[0; 9]);
        raw(side, "produce", (0, 8), 1, &[255, 255, 255, 255, 0, 0]);
    }),
    case("odd/bytes behind the body", &[], |side, _| {
        let mut body = metadata_body();
        body.extend_from_slice(b"more");
        raw(side, "metadata", (3, 1), 1, &body);
        let versions = ApiVersionsRequest::default();
        let mut body = BytesMut::new();
        versions.encode(&mut body, 0).unwrap();
        body.extend_from_slice(b"more");
        raw(side, "versions", (18, 0), 1, &body);
    }),
    case("odd/counts that cannot be", &[], |side, _| {
        raw(side, "metadata", (3, 1), 1, &i32::MAX.to_be_bytes());
        raw(side, "metadata of -2", (3, 1), 1, &(-2i32).to_be_bytes());
        raw(
            side,
            "compact",
            (3, 9),
            2,
            &[255, 255, 255, 255, 15, 1, 0, 0, 0],
        );
    }),
    case("odd/null where none may be", &[], |side, _| {
        raw(
            side,
            "topics of version 0",
            (3, 0),
            1,
            &(-1i32).to_be_bytes(),
        );
        raw(
            side,
            "name of version 1",
            (3, 1),
            1,
            &[0, 0, 0, 1, 255, 255],
        );
    }),
    case("odd/a text that is none", &[], |side, _| {
        raw(side, "name", (3, 4), 1, &[0, 0, 0, 1, 0, 2, 0xc3, 0x28, 0]);
    }),
    case("odd/header of another version", &[], |side, _| {
        let body = metadata_body();
        raw(side, "tags where none are", (3, 1), 2, &body);
        raw(side, "no tags where some are", (3, 9), 1, &[0, 0, 0, 0]);
    }),
    case("odd/frames without a header", &[], |side, _| {
        for frame in [&b""[..], b"\0", b"\0\x12", b"\0\x12\0\0\0\0"] {
            side.push_frame(frame);
            let words = match side.next_frame() {
                Ok(_) => "(an answer)",
                Err(words) => words,
            };
            side.note(&format!("{} bytes", frame.len()), &Value::leaf(words));
            side.hang_up();
        }
    }),
    case("odd/unknown tagged fields", &[], |side, _| {
        let request = MetadataRequest::default()
            .with_topics(Some(vec![
                MetadataRequestTopic::default()
                    .with_name(Some(side.name("t")))
                    .with_unknown_tagged_field(9, Bytes::from_static(b"x")),
            ]))
            .with_allow_auto_topic_creation(false)
            .with_unknown_tagged_field(77, Bytes::from_static(b"y"));
        side.ask("metadata", 12, &request);
    }),
    case("odd/two requests at once", &[], |side, _| {
        let body = metadata_body();
        let first = side.next_number();
        side.push(3, 1, 1, &body);
        side.push(18, 0, 1, b"");
        for (step, number) in [("first", first), ("second", first + 1)] {
            let words = match side.next_frame() {
                Ok(frame) => format!("right: {}", frame.starts_with(&number.to_be_bytes())),
                Err(words) => words.to_owned(),
            };
            side.note(step, &Value::leaf(words));
        }
    }),
    case("coordinator/of a group", &[], |side, _| {
        wait_for_coordinator(side, 0, "g");
        for version in [0, 1, 3, 4, 6] {
            side.ask("coordinator", version, &find(version, 0, &["g"]));
        }
    }),
    case("coordinator/odd keys", &[], |side, _| {
        wait_for_coordinator(side, 0, "");
        for version in [1, 4] {
            side.ask("type 7", version, &find(version, 7, &["g"]));
            side.ask("type -1", version, &find(version, -1, &["g"]));
            side.ask("empty", version, &find(version, 0, &[""]));
        }
    }),
];
