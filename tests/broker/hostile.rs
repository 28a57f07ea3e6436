// SPDX-License-Identifier: Apache-2.0
//! Bad input at the socket: an answer, an error code or a closed connection; never a dead broker,
//! never memory past twice the frame cap.

use std::time::{Duration, Instant};

use bytes::Bytes;
use furlong::limits::{FRAME_BYTES_MAX, REQUESTS_IN_FLIGHT_PER_CONNECTION_MAX};
use furlong::model::error_code::ErrorCode;
use furlong::wire::protocol::api_versions::ApiVersionsRequest;
use furlong::wire::protocol::encode_request;
use furlong::wire::record::{BatchBuilder, Compression};
use tempfile::TempDir;

use crate::client::{Client, batch_of, fetch_request, produce_request};
use crate::process::{Broker, PATIENCE};

/// How long a broker that owes no answer is given to close.
const SILENCE: Duration = Duration::from_secs(5);

/// A broker with one topic, and what it needed in memory before the attack.
struct Target {
    broker: Broker,
    baseline_bytes: u64,
    _data: TempDir,
}

impl Target {
    fn new() -> Target {
        let data = tempfile::tempdir().expect("a temporary directory");
        let broker = Broker::start(data.path());
        let mut client = Client::connect(&broker.address);
        client.create_topic("gate", 1);
        client.produce_values("gate", 0, &["before".to_owned()]);
        assert_eq!(client.read_all("gate", 0).len(), 1);
        let baseline_bytes = broker.memory_peak_bytes();
        Target {
            broker,
            baseline_bytes,
            _data: data,
        }
    }

    fn connect(&self) -> Client {
        Client::connect(&self.broker.address)
    }

    /// After the attack: alive, within its memory, serving others.
    fn assert_unharmed(mut self) {
        self.broker.assert_alive();
        let mut client = self.connect();
        let found = client.read_all("gate", 0);
        assert_eq!(found[0], (0, "before".to_owned()));
        let next = found.len();
        let base = client.produce_values("gate", 0, &["after".to_owned()]);
        assert_eq!(usize::try_from(base), Ok(next));
        assert_eq!(client.read_all("gate", 0).len(), next + 1);
        let grown = self.broker.memory_peak_bytes() - self.baseline_bytes;
        let allowed = 2 * u64::try_from(FRAME_BYTES_MAX).expect("64 bits");
        assert!(
            grown <= allowed,
            "memory grew by {grown} bytes, at most {allowed}"
        );
        assert_eq!(self.broker.stop().code(), Some(0));
    }
}

/// A request frame: key, version, correlation id, client id, and for flexible headers no tags.
fn frame(key: i16, version: i16, is_flexible: bool, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&key.to_be_bytes());
    bytes.extend_from_slice(&version.to_be_bytes());
    bytes.extend_from_slice(&1i32.to_be_bytes());
    bytes.extend_from_slice(&[0, 1, b'x']);
    bytes.extend_from_slice(if is_flexible { &[0] } else { &[] });
    bytes.extend_from_slice(body);
    bytes
}

/// An unsigned varint as flexible versions count.
fn varint(mut value: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(u8::try_from(value & 0x7f).expect("seven bits") | 0x80);
        value >>= 7;
    }
    bytes.push(u8::try_from(value).expect("seven bits"));
    bytes
}

#[test]
fn lying_frame_lengths_close_the_connection() {
    let target = Target::new();
    for length in [-1i32, i32::MIN, i32::MAX, 0, 1, 7, 104_857_601] {
        let mut client = target.connect();
        let body = [0u8; 7];
        let kept = usize::try_from(length).map_or(7, |length| length.min(7));
        let _ = client.send(&[&length.to_be_bytes()[..], &body[..kept]].concat());
        assert!(client.is_closed_within(SILENCE), "length {length}");
    }
    target.assert_unharmed();
}

#[test]
fn promised_frames_reserve_nothing() {
    let target = Target::new();
    let length = i32::try_from(FRAME_BYTES_MAX).expect("it fits the field");
    let mut waiting = Vec::new();
    for _ in 0..200 {
        let mut client = target.connect();
        client
            .send(&length.to_be_bytes())
            .expect("the length is allowed");
        client.send(&[0; 1000]).expect("some of the frame");
        waiting.push(client);
    }
    target.assert_unharmed();
}

#[test]
fn other_protocols_are_turned_away() {
    let target = Target::new();
    let hello = [
        0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03,
    ];
    for greeting in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"SSH-2.0-OpenSSH_9.9\r\n",
        &hello,
    ] {
        let mut client = target.connect();
        let _ = client.send(greeting);
        assert!(client.is_closed_within(SILENCE), "{greeting:?}");
    }
    target.assert_unharmed();
}

type NamedFrames = Vec<(&'static str, Vec<u8>)>;

/// Metadata requests whose counts and lengths lie.
fn lying_metadata() -> NamedFrames {
    let plain = |body: &[u8]| frame(3, 1, false, body);
    let flexible = |body: &[u8]| frame(3, 9, true, body);
    vec![
        ("2^31 topics", plain(&[0x7f, 0xff, 0xff, 0xff])),
        ("2^32 topics", flexible(&[0xff, 0xff, 0xff, 0xff, 0x0f])),
        ("negative topics", plain(&[0x80, 0, 0, 0])),
        ("truncated varint", flexible(&[0xff])),
        ("overlong varint", flexible(&[0xff; 12])),
        ("bad UTF-8", plain(&[0, 0, 0, 1, 0, 2, 0xff, 0xfe])),
        ("negative name", plain(&[0, 0, 0, 1, 0xff, 0xf0])),
        ("name past the end", plain(&[0, 0, 0, 1, 0x7f, 0xff, b'a'])),
        ("no body", flexible(&[])),
        ("unknown version", frame(3, 99, true, &[0; 16])),
        ("negative version", frame(3, -1, false, &[0; 16])),
    ]
}

/// Small frames that would cost much memory if every element they name were kept.
fn amplifying() -> NamedFrames {
    let tags = (0..300_000u32).flat_map(|tag| [varint(tag), vec![0]].concat());
    let tags = [
        &[2, b'a', 2, b'b'][..],
        &varint(300_000),
        &tags.collect::<Vec<u8>>(),
    ]
    .concat();
    let count = 1_000_000u32.to_be_bytes();
    let empty = |bytes: usize| vec![0; bytes * 1_000_000];
    let compact = [varint(1_000_001), [1, 0].repeat(1_000_000), vec![0; 4]].concat();
    let fetch = [&[0xff; 4][..], &[0; 13], &count, &empty(6)].concat();
    vec![
        ("300,000 unknown tags", frame(18, 3, true, &tags)),
        ("a million topics of metadata", frame(3, 9, true, &compact)),
        ("a million topics to fetch", frame(1, 4, false, &fetch)),
        (
            "a million topics to delete",
            frame(20, 1, false, &[&count[..], &empty(2), &[0; 4]].concat()),
        ),
    ]
}

/// Other requests that are not what they say.
fn lying_others() -> NamedFrames {
    let produce_head = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0, 0, 0, 1, 0, 1, b'a', 0, 0, 0, 1,
    ];
    let produce = [&produce_head[..], &[0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff]].concat();
    let tag = [2, b'a', 2, b'b', 1, 0, 0xff, 0xff, 0x7f];
    vec![
        ("lying tag length", frame(18, 3, true, &tag)),
        (
            "2^31 topics to create",
            frame(19, 2, false, &[0x7f, 0xff, 0xff, 0xff]),
        ),
        ("records past the end", frame(0, 3, false, &produce)),
        ("unknown api", frame(999, 0, false, &[0; 16])),
        ("negative api", frame(-1, 0, false, &[0; 16])),
        ("an api between brokers", frame(4, 0, false, &[0; 16])),
        (
            "client id past the end",
            vec![0, 3, 0, 1, 0, 0, 0, 1, 0x7f, 0xff, b'a'],
        ),
    ]
}

#[test]
fn lying_counts_and_lengths_cost_nothing() {
    let target = Target::new();
    let frames = [lying_metadata(), amplifying(), lying_others()].concat();
    for (name, frame) in frames {
        let mut client = target.connect();
        let _ = client.send_frame(&frame);
        // Either an answer that is an error, or a closed connection; silence is neither.
        let closed = client.read_frame().is_err();
        let mut other = target.connect();
        assert_eq!(
            other.metadata("gate").topics[0].error_code,
            0,
            "after {name}, closed {closed}"
        );
    }
    target.assert_unharmed();
}

#[test]
fn an_unknown_version_of_api_versions_is_answered_in_version_zero() {
    let target = Target::new();
    let mut client = target.connect();
    client
        .send_frame(&frame(18, 99, true, &[0xff; 9]))
        .expect("the broker reads");
    let answer = client
        .read_frame()
        .expect("an answer, not a closed connection");
    assert_eq!(answer[..4], 1i32.to_be_bytes(), "correlation id");
    assert_eq!(
        answer[4..6],
        ErrorCode::UnsupportedVersion.code().to_be_bytes()
    );
    let count = usize::from(u16::from_be_bytes([answer[8], answer[9]]));
    assert_eq!(answer.len(), 10 + 6 * count, "the body of version 0");
    let own = answer[10..]
        .chunks(6)
        .find(|entry| entry[..2] == [0, 18])
        .expect("its own range");
    assert_eq!(own[2..4], [0, 0]);
    // The connection goes on, as librdkafka expects.
    let versions = client.call(
        3,
        &ApiVersionsRequest {
            client_software_name: "test".into(),
            client_software_version: "1".into(),
        },
    );
    assert_eq!(versions.error_code, 0);
    target.assert_unharmed();
}

/// A sound batch of three records with some of its bytes replaced and its checksum made right
/// again.
fn damaged(is_resealed: bool, damage: impl Fn(&mut Vec<u8>)) -> Bytes {
    let values = ["one", "two", "three"].map(str::to_owned);
    let mut batch = batch_of(&values).to_vec();
    damage(&mut batch);
    if is_resealed {
        let crc = furlong::wire::checksum::crc32c(&batch[21..]);
        batch[17..21].copy_from_slice(&crc.to_be_bytes());
    }
    batch.into()
}

#[test]
fn damaged_batches_are_refused_with_a_code() {
    let target = Target::new();
    let put = |at: usize, bytes: &'static [u8]| {
        move |batch: &mut Vec<u8>| batch[at..at + bytes.len()].copy_from_slice(bytes)
    };
    let control = {
        let mut builder = BatchBuilder::new(Compression::None);
        builder
            .control()
            .append(0, Some(&[0; 4]), Some(&[0; 6]), &[]);
        builder.build()
    };
    let cases = [
        ("a flipped bit", damaged(false, |batch| batch[70] ^= 1)),
        ("a wrong checksum", damaged(false, put(17, &[1, 2, 3, 4]))),
        ("magic 1", damaged(true, put(16, &[1]))),
        (
            "more records than there are",
            damaged(true, put(57, &[0x7f, 0xff, 0xff, 0xff])),
        ),
        (
            "fewer records than there are",
            damaged(true, put(57, &[0, 0, 0, 1])),
        ),
        ("a negative count", damaged(true, put(57, &[0xff; 4]))),
        (
            "a last offset delta that lies",
            damaged(true, put(23, &[0, 0, 0, 9])),
        ),
        (
            "a length past the end",
            damaged(true, put(8, &[0x7f, 0xff, 0xff, 0xff])),
        ),
        ("a negative length", damaged(true, put(8, &[0xff; 4]))),
        ("an unknown codec", damaged(true, put(21, &[0, 7]))),
        ("half a batch", batch_of(&["x".repeat(100)]).slice(..80)),
        ("ten bytes", Bytes::from_static(&[0; 10])),
        ("nothing", Bytes::new()),
        ("a control batch", control),
    ];
    let mut client = target.connect();
    for (name, batch) in cases {
        let answer = client.produce("gate", 0, batch);
        assert_ne!(answer.error_code, 0, "{name}");
    }
    assert_eq!(client.read_all("gate", 0).len(), 1);
    target.assert_unharmed();
}

#[test]
fn old_produce_versions_are_refused_with_a_code() {
    let target = Target::new();
    for version in 0..3 {
        let mut client = target.connect();
        let body = [&[0, 1, 0, 0, 0, 9][..], &[0, 0, 0, 0]].concat();
        client
            .send_frame(&frame(0, version, false, &body))
            .expect("the broker reads");
        // Kafka answers what the version can say; a closed connection would do as well.
        let _ = client.read_frame();
    }
    target.assert_unharmed();
}

#[test]
fn a_client_cannot_pass_for_a_replica() {
    let target = Target::new();
    let mut client = target.connect();
    let mut request = fetch_request("gate", 0, 0);
    request.replica_id = 1;
    let parts = encode_request(9, "test", 11, &request).expect("the version can say it");
    client.send(&parts.concat()).expect("the broker reads");
    if let Ok(answer) = client.read_frame() {
        let (_, response) = furlong::wire::protocol::decode_response::<
            furlong::wire::protocol::fetch::FetchRequest,
        >(answer, 11)
        .expect("a sound answer");
        let partitions = response
            .responses
            .iter()
            .flat_map(|topic| &topic.partitions);
        let refused = response.error_code != 0 || partitions.clone().all(|p| p.error_code != 0);
        assert!(refused, "a fetch as replica 1 was served");
    }
    target.assert_unharmed();
}

#[test]
fn a_frame_of_the_largest_size_is_bounded() {
    let target = Target::new();
    let mut client = target.connect();
    let mut largest = frame(0, 3, false, &[]);
    largest.resize(FRAME_BYTES_MAX, 0xaa);
    let _ = client.send_frame(&largest);
    let _ = client.read_frame();
    target.assert_unharmed();
}

#[test]
fn a_client_that_never_reads_is_held_back() {
    let target = Target::new();
    let mut writer = target.connect();
    for _ in 0..20 {
        writer.produce_values("gate", 0, &["y".repeat(500_000)]);
    }
    let mut greedy = target.connect();
    let request = encode_request(1, "test", 11, &fetch_request("gate", 0, 1));
    let request = request.expect("the version can say it").concat();
    // Far more than is read ahead of the answers; what the sockets do not take stays with the
    // client.
    let all = request.repeat(100 * REQUESTS_IN_FLIGHT_PER_CONNECTION_MAX);
    let _ = greedy.send(&all);
    target.assert_unharmed();
}

#[test]
fn acks_zero_gets_no_answer_and_a_closed_connection_on_error() {
    let target = Target::new();
    let mut client = target.connect();
    let mut request = produce_request("gate", 0, batch_of(&["quiet".to_owned()]));
    request.acks = 0;
    let parts = encode_request(3, "test", 9, &request).expect("the version can say it");
    client.send(&parts.concat()).expect("the broker reads");
    // The next answer belongs to the next request.
    assert_eq!(client.metadata("gate").topics[0].error_code, 0);
    // Nobody said when it is stored; it is within the patience of any client.
    let deadline = Instant::now() + PATIENCE;
    while client.read_all("gate", 0).len() < 2 {
        assert!(Instant::now() < deadline, "the record never came");
    }
    let mut request = produce_request("no-such-field", 0, batch_of(&["lost".to_owned()]));
    request.acks = 0;
    let parts = encode_request(4, "test", 9, &request).expect("the version can say it");
    client.send(&parts.concat()).expect("the broker reads");
    assert!(client.is_closed_within(SILENCE));
    target.assert_unharmed();
}

#[test]
fn random_bytes_never_kill_it() {
    let target = Target::new();
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..300 {
        let mut client = target.connect();
        let length = usize::try_from(next() % 300).expect("small");
        let body: Vec<u8> = (0..length).map(|_| next().to_be_bytes()[3]).collect();
        let key = i16::try_from(next() % 70).expect("small");
        let version = i16::try_from(next() % 14).expect("small");
        let _ = client.send_frame(&frame(key, version, next() % 2 == 0, &body));
    }
    target.assert_unharmed();
}
