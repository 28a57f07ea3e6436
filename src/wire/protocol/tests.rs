// SPDX-License-Identifier: Apache-2.0
//! Frames by hand, and the rules of the description language one by one.

use bytes::Bytes;
use bytestring::ByteString;

use super::api_versions::{ApiVersion, ApiVersionsRequest, ApiVersionsResponse};
use super::metadata::{MetadataRequest, MetadataRequestTopic};
use super::*;
use crate::model::ids::Uuid;

fn joined(parts: Vec<Bytes>) -> Vec<u8> {
    parts.concat()
}

#[test]
fn an_api_versions_answer_has_the_old_header_in_every_version() {
    let body = ApiVersionsResponse {
        api_keys: vec![ApiVersion {
            api_key: 18,
            min_version: 0,
            max_version: 4,
        }],
        ..ApiVersionsResponse::default()
    };
    let old = joined(encode_response(7, 0, &body).expect("version 0 has these fields"));
    assert_eq!(
        old,
        [0, 0, 0, 16, 0, 0, 0, 7, 0, 0, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4]
    );
    let new = joined(encode_response(7, 3, &body).expect("version 3 has these fields"));
    let expected = [
        0, 0, 0, 19, 0, 0, 0, 7, 0, 0, 2, 0, 18, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0,
    ];
    assert_eq!(new, expected);
}

#[test]
fn a_request_header_keeps_the_classic_client_id_in_flexible_versions() {
    let body = ApiVersionsRequest {
        client_software_name: "c".into(),
        client_software_version: "1".into(),
    };
    let frame = encode_request(9, "me", 3, &body).expect("version 3 has these fields");
    let frame = joined(frame);
    let expected = [
        0, 0, 0, 18, 0, 18, 0, 3, 0, 0, 0, 9, 0, 2, b'm', b'e', 0, 2, b'c', 2, b'1', 0,
    ];
    assert_eq!(frame, expected);
    let (header, read) =
        decode_request::<ApiVersionsRequest>(Bytes::from(frame).slice(4..)).expect("just written");
    assert_eq!(header.client_id, Some(ByteString::from_static("me")));
    assert_eq!(
        (header.api_key, header.api_version, header.correlation_id),
        (18, 3, 9)
    );
    assert_eq!(read, body);
}

#[test]
fn the_header_of_an_unknown_api_is_read_as_the_older_one() {
    let mut reader = Reader::new(Bytes::from_static(&[
        0x7f, 0, 0, 9, 0, 0, 0, 1, 0xff, 0xff, 1, 2,
    ]));
    let header = decode_request_header(&mut reader).expect("the fixed part is whole");
    assert_eq!(
        (header.api_key, header.api_version, header.client_id),
        (0x7f00, 9, None)
    );
    assert_eq!(reader.remaining(), 2);
}

#[test]
fn null_is_refused_where_a_version_does_not_know_it() {
    let mut reader = Reader::new(Bytes::from_static(&[0xff; 4]));
    let refused = MetadataRequest::decode(&mut reader, 0);
    assert_eq!(refused, Err(DecodeError::Null { field: "topics" }));
    let mut reader = Reader::new(Bytes::from_static(&[0xff; 4]));
    let all = MetadataRequest::decode(&mut reader, 1).expect("null means all topics");
    assert_eq!(all.topics, None);
    let refused = all.encode(&mut Writer::new(), 0);
    assert_eq!(
        refused,
        Err(EncodeError::Null {
            field: "topics",
            version: 0
        })
    );
}

#[test]
fn a_value_that_a_version_cannot_say_is_dropped_only_if_it_is_ignorable() {
    let topic = MetadataRequestTopic {
        topic_id: Uuid([1; 16]),
        name: Some("a".into()),
    };
    let request = MetadataRequest {
        topics: Some(vec![topic]),
        ..MetadataRequest::default()
    };
    let mut writer = Writer::new();
    request
        .encode(&mut writer, 1)
        .expect("the topic id is ignorable");
    assert_eq!(joined(writer.finish()), [0, 0, 0, 1, 0, 1, b'a']);
    let request = MetadataRequest {
        allow_auto_topic_creation: false,
        ..request
    };
    let refused = request.encode(&mut Writer::new(), 3);
    let field = "allow_auto_topic_creation";
    assert_eq!(
        refused,
        Err(EncodeError::NotExpressible { field, version: 3 })
    );
}

#[test]
fn tags_must_rise_and_fill_their_length_and_unknown_ones_are_skipped() {
    let decode = |tags: &'static [u8]| {
        let body = [&[1, 1][..], tags].concat();
        ApiVersionsRequest::decode(&mut Reader::new(Bytes::from(body)), 3)
    };
    assert_eq!(decode(&[0]), Ok(ApiVersionsRequest::default()));
    assert_eq!(
        decode(&[2, 5, 2, 0, 0, 9, 0]),
        Ok(ApiVersionsRequest::default())
    );
    let repeated = Err(DecodeError::TagsNotRising { tag: 5 });
    assert_eq!(decode(&[2, 5, 0, 5, 0]), repeated);
    let truncated = Err(DecodeError::Truncated {
        needed: 9,
        remaining: 1,
    });
    assert_eq!(decode(&[1, 5, 9, 0]), truncated);
}

#[test]
fn a_response_fills_its_frame_and_a_request_need_not() {
    let request = vec![0, 18, 0, 1, 0, 0, 0, 7, 0xff, 0xff, 1, 2, 3];
    let read = decode_request::<ApiVersionsRequest>(Bytes::from(request));
    assert_eq!(read.map(|(header, _)| header.correlation_id), Ok(7));
    let response = [0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let read = |frame: Vec<u8>| {
        let read = decode_response::<ApiVersionsRequest>(Bytes::from(frame), 1);
        read.map(|(correlation_id, _)| correlation_id)
    };
    assert_eq!(read(response.to_vec()), Ok(7));
    let longer = [&response[..], &[0]].concat();
    assert_eq!(
        read(longer),
        Err(DecodeError::TrailingBytes { remaining: 1 })
    );
}

#[test]
fn every_layout_names_its_tags_in_rising_order() {
    fn check(layout: &describe::Layout) {
        let tags: Vec<u32> = layout
            .fields
            .iter()
            .filter_map(|f| f.rules.tag_number())
            .collect();
        assert!(
            tags.is_sorted_by(|a, b| a < b),
            "{} has tags {tags:?}",
            layout.name
        );
        for field in layout.fields {
            match field.kind {
                describe::Kind::Array(describe::Kind::Struct(inner)) => check(inner),
                describe::Kind::Struct(inner) => check(inner),
                _ => {}
            }
        }
    }
    check(&fetch::FetchRequest::LAYOUT);
    check(&fetch::FetchResponse::LAYOUT);
    check(&produce::ProduceResponse::LAYOUT);
    check(&api_versions::ApiVersionsResponse::LAYOUT);
    check(&create_topics::CreateTopicsResponse::LAYOUT);
}

#[test]
fn keys_and_numbers_agree() {
    for api in ApiKey::ALL {
        assert_eq!(ApiKey::from_code(api.code()), Some(*api));
        assert!(!api.versions().is_empty(), "{} has no version", api.name());
    }
    assert_eq!(ApiKey::from_code(7), None);
    assert!(ApiKey::ALL.is_sorted());
}
