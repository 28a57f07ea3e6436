// SPDX-License-Identifier: Apache-2.0
//! The records of `__consumer_offsets` that keep groups of the new protocol (KIP-848).
//!
//! ```text
//! key    version i16, then group (3, 4, 6); group and member (5, 7, 8); group and pattern (16)
//!   3    epoch of the group            6    epoch of the target assignment
//!   4    topics, written before 4.1    7    what a member is to own
//!   5    what a member said            8    what a member owns
//!                                     16    the topics that a pattern stands for
//! value  version i16 (0), then the fields, all flexible; no value is a tombstone
//! ```
//!
//! Owns: the layouts of keys and values, which are Kafka's, so that Kafka's tools read the topic.
//! Invariants: reading is total. Runs on: every core. Bounded by: the `max` of each array, the
//! record.

use bytes::Bytes;
use bytestring::ByteString;

use super::codec::{DecodeError, EncodeError, Reader, Writer};
use super::protocol::consumer_group_heartbeat::TopicPartitions;
use super::protocol::describe::{Place, WireStruct, WireType, messages, since};
use crate::limits::{DECODED_BYTES_PER_RESPONSE_BYTE, GROUP_PROTOCOLS_MAX, TOPICS_MAX};

/// The only version of every value.
const VALUE: i16 = 0;

messages! {
    /// Names a group.
    pub struct GroupKey {
        /// The group.
        group: ByteString = ByteString::new(), since(0);
    }

    /// Names something of a group.
    pub struct PartKey {
        /// The group.
        group: ByteString = ByteString::new(), since(0);
        /// The member, or the pattern.
        part: ByteString = ByteString::new(), since(0);
    }

    /// The epoch of a group.
    pub struct GroupEpoch {
        /// It rises whenever the target assignment has to be made anew.
        epoch: i32 = 0, since(0);
        /// A digest of the topics that its members want (KIP-1101), 0 if there are none.
        metadata_hash: i64 = 0, since(0).tag(0);
    }

    /// What a member said of itself.
    pub struct MemberProfile {
        /// What its operator calls it, if it is a static one.
        instance_id: Option<ByteString> = None, since(0).nullable(0);
        /// Where it is.
        rack_id: Option<ByteString> = None, since(0).nullable(0);
        /// What its client calls itself.
        client_id: ByteString = ByteString::new(), since(0);
        /// Its address.
        client_host: ByteString = ByteString::new(), since(0);
        /// Topics that it wants, by name and in order.
        subscribed_topic_names: Vec<ByteString> = Vec::new(), since(0).max(TOPICS_MAX);
        /// A pattern of topics that it wants.
        subscribed_topic_regex: Option<ByteString> = None, since(0).nullable(0);
        /// How long it may take to give partitions up, in milliseconds.
        rebalance_timeout_ms: i32 = -1, since(0);
        /// The assignor that it would like.
        server_assignor: Option<ByteString> = None, since(0).nullable(0);
        /// Of a member that speaks the classic protocol.
        classic: Option<ClassicProfile> = None, since(0).tag(0).nullable(0);
    }

    /// What a member of the classic protocol said.
    pub struct ClassicProfile {
        /// Without a heartbeat for so many milliseconds it counts as dead.
        session_timeout_ms: i32 = 0, since(0);
        /// What it can do, the best first.
        protocols: Vec<ClassicProtocol> = Vec::new(), since(0).max(GROUP_PROTOCOLS_MAX);
    }

    /// One protocol of such a member.
    pub struct ClassicProtocol {
        /// Its name.
        name: ByteString = ByteString::new(), since(0);
        /// What the member says in it.
        metadata: Bytes = Bytes::new(), since(0);
    }

    /// The epoch of a target assignment.
    pub struct TargetEpoch {
        /// The epoch of the group that it was made for.
        assignment_epoch: i32 = 0, since(0);
        /// When, in milliseconds since 1970 (KIP-1263).
        assignment_timestamp: i64 = 0, since(0).tag(0);
    }

    /// What a member is to own.
    pub struct TargetPart {
        /// Partitions by topic.
        topic_partitions: Vec<TopicPartitions> = Vec::new(), since(0).max(TOPICS_MAX);
    }

    /// What a member owns.
    pub struct CurrentPart {
        /// The epoch that it has to name.
        member_epoch: i32 = 0, since(0);
        /// The one before, which it names if it has not heard of the other.
        previous_member_epoch: i32 = 0, since(0);
        /// How far it is (0: it owns its part, 1: it has to give partitions up, 2: others have to).
        state: i8 = 0, since(0);
        /// What it may own.
        assigned_partitions: Vec<TopicPartitions> = Vec::new(), since(0).max(TOPICS_MAX);
        /// What it has to give up.
        partitions_pending_revocation: Vec<TopicPartitions> = Vec::new(),
            since(0).max(TOPICS_MAX);
    }

    /// The topics that a pattern stands for.
    pub struct PatternTopics {
        /// Their names.
        topics: Vec<ByteString> = Vec::new(), since(0).max(TOPICS_MAX);
        /// The metadata that they were found in.
        version: i64 = 0, since(0);
        /// When, in milliseconds since 1970.
        timestamp: i64 = 0, since(0);
    }
}

/// What a record is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsumerKey {
    /// The epoch of a group.
    Group,
    /// The topics of a group, as older brokers kept them.
    Partitions,
    /// What a member said.
    Member(ByteString),
    /// The epoch of the target assignment.
    Target,
    /// What a member is to own.
    TargetMember(ByteString),
    /// What a member owns.
    Current(ByteString),
    /// The topics of a pattern.
    Pattern(ByteString),
}

impl ConsumerKey {
    /// The number of its kind.
    #[must_use]
    pub const fn kind(&self) -> i16 {
        match self {
            ConsumerKey::Group => 3,
            ConsumerKey::Partitions => 4,
            ConsumerKey::Member(_) => 5,
            ConsumerKey::Target => 6,
            ConsumerKey::TargetMember(_) => 7,
            ConsumerKey::Current(_) => 8,
            ConsumerKey::Pattern(_) => 16,
        }
    }

    /// True for the number of such a kind.
    #[must_use]
    pub const fn knows(kind: i16) -> bool {
        matches!(kind, 3..=8 | 16)
    }

    /// Reads what follows the number of the kind: the group, and what of it.
    pub fn decode(kind: i16, reader: &mut Reader) -> Result<(ByteString, Self), DecodeError> {
        if matches!(kind, 3 | 4 | 6) {
            let key: GroupKey = read(reader, false)?;
            let what = match kind {
                3 => ConsumerKey::Group,
                4 => ConsumerKey::Partitions,
                _ => ConsumerKey::Target,
            };
            return Ok((key.group, what));
        }
        let key: PartKey = read(reader, false)?;
        let what = match kind {
            5 => ConsumerKey::Member(key.part),
            7 => ConsumerKey::TargetMember(key.part),
            8 => ConsumerKey::Current(key.part),
            16 => ConsumerKey::Pattern(key.part),
            version => {
                let api_key = -1; // No API has this number; the version is what is said.
                return Err(DecodeError::Version { api_key, version });
            }
        };
        Ok((key.group, what))
    }

    /// Writes the key of a record of a group.
    pub fn encode(&self, group: &ByteString) -> Result<Bytes, EncodeError> {
        let group = group.clone();
        match self {
            ConsumerKey::Group | ConsumerKey::Partitions | ConsumerKey::Target => {
                write(&GroupKey { group }, self.kind(), false)
            }
            ConsumerKey::Member(part)
            | ConsumerKey::TargetMember(part)
            | ConsumerKey::Current(part)
            | ConsumerKey::Pattern(part) => {
                let part = part.clone();
                write(&PartKey { group, part }, self.kind(), false)
            }
        }
    }
}

/// Reads the value of a record.
pub fn decode_value<M: WireStruct + Default>(bytes: Bytes) -> Result<M, DecodeError> {
    let mut reader = Reader::with_memory_per_byte(bytes, DECODED_BYTES_PER_RESPONSE_BYTE);
    match reader.read_i16()? {
        VALUE => read(&mut reader, true),
        version => {
            let api_key = -1;
            Err(DecodeError::Version { api_key, version })
        }
    }
}

/// Writes the value of a record.
pub fn encode_value<M: WireStruct>(message: &M) -> Result<Bytes, EncodeError> {
    write(message, VALUE, true)
}

fn read<M: WireStruct + Default>(reader: &mut Reader, flexible: bool) -> Result<M, DecodeError> {
    let mut message = M::default();
    message.read_over(reader, Place::message(M::LAYOUT.name, VALUE, flexible))?;
    reader.expect_end()?;
    Ok(message)
}

fn write<M: WireStruct>(message: &M, kind: i16, flexible: bool) -> Result<Bytes, EncodeError> {
    let mut writer = Writer::new();
    writer.write_i16(kind);
    let place = Place::message(M::LAYOUT.name, VALUE, flexible);
    WireType::write(message, &mut writer, place)?;
    Ok(Bytes::from(writer.finish().concat()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::Uuid;

    fn hex(text: &str) -> Bytes {
        let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
        let pairs = digits.chunks(2).map(|pair| {
            let pair = std::str::from_utf8(pair).expect("ASCII");
            u8::from_str_radix(pair, 16).expect("hexadecimal")
        });
        Bytes::from(pairs.collect::<Vec<u8>>())
    }

    fn decode_key(bytes: Bytes) -> Result<(ByteString, ConsumerKey), DecodeError> {
        let mut reader = Reader::new(bytes);
        let kind = reader.read_i16()?;
        ConsumerKey::decode(kind, &mut reader)
    }

    #[test]
    fn every_key_by_hand() {
        let all = [
            (ConsumerKey::Group, "0003 0001 67"),
            (ConsumerKey::Partitions, "0004 0001 67"),
            (ConsumerKey::Member("m".into()), "0005 0001 67 0001 6d"),
            (ConsumerKey::Target, "0006 0001 67"),
            (
                ConsumerKey::TargetMember("m".into()),
                "0007 0001 67 0001 6d",
            ),
            (ConsumerKey::Current("m".into()), "0008 0001 67 0001 6d"),
            (ConsumerKey::Pattern("a*".into()), "0010 0001 67 0002 612a"),
        ];
        for (key, bytes) in all {
            assert_eq!(key.encode(&"g".into()), Ok(hex(bytes)), "{key:?}");
            assert!(ConsumerKey::knows(key.kind()));
            assert_eq!(decode_key(hex(bytes)), Ok(("g".into(), key)));
        }
        assert!(!ConsumerKey::knows(2) && !ConsumerKey::knows(11));
        assert!(decode_key(hex("0003 0001 67 00")).is_err(), "too long");
        assert!(decode_key(hex("0005 0001 67")).is_err(), "cut short");
        assert!(decode_key(hex("000b 0001 67 0001 6d")).is_err(), "another");
    }

    #[test]
    fn epochs_by_hand() {
        let value = GroupEpoch {
            epoch: 7,
            metadata_hash: 1,
        };
        let bytes = hex("0000 00000007 01 00 08 0000000000000001");
        assert_eq!(encode_value(&value), Ok(bytes.clone()));
        assert_eq!(decode_value(bytes), Ok(value));
        // What older brokers wrote has no digest, what newer ones write has more.
        let old: GroupEpoch = decode_value(hex("0000 00000007 00")).expect("as in 4.0");
        assert_eq!(old.metadata_hash, 0);
        let new = "0000 00000007 01 01 08 0000000000000002";
        let new: GroupEpoch = decode_value(hex(new)).expect("with a time of its creation");
        assert_eq!(new.epoch, 7);
        let value = TargetEpoch {
            assignment_epoch: 7,
            assignment_timestamp: 258,
        };
        let bytes = hex("0000 00000007 01 00 08 0000000000000102");
        assert_eq!(encode_value(&value), Ok(bytes.clone()));
        assert_eq!(decode_value(bytes), Ok(value));
        let other: Result<TargetEpoch, _> = decode_value(hex("0001 00000007 00"));
        assert!(matches!(
            other,
            Err(DecodeError::Version { version: 1, .. })
        ));
    }

    #[test]
    fn a_member_by_hand() {
        let mut value = MemberProfile {
            rack_id: Some("r".into()),
            client_id: "c".into(),
            client_host: "/h".into(),
            subscribed_topic_names: vec!["t".into()],
            rebalance_timeout_ms: 16,
            ..MemberProfile::default()
        };
        let body = "0000 00 02 72 02 63 03 2f68 02 02 74 00 00000010 00";
        let bytes = hex(&format!("{body} 00"));
        assert_eq!(encode_value(&value), Ok(bytes.clone()));
        assert_eq!(decode_value(bytes), Ok(value.clone()));
        // The mark of what may be null, the timeout, one protocol, and the ends of both.
        value.classic = Some(ClassicProfile {
            session_timeout_ms: 17,
            protocols: vec![ClassicProtocol {
                name: "range".into(),
                metadata: Bytes::from_static(&[9]),
            }],
        });
        let classic = "01 00000011 02 06 72616e6765 02 09 00 00";
        let bytes = hex(&format!("{body} 01 00 10 {classic}"));
        assert_eq!(encode_value(&value), Ok(bytes.clone()));
        assert_eq!(decode_value(bytes), Ok(value));
    }

    #[test]
    fn parts_and_patterns_by_hand() {
        let one = TopicPartitions {
            topic_id: Uuid([1; 16]),
            partitions: vec![3],
        };
        let id = "01".repeat(16);
        let value = TargetPart {
            topic_partitions: vec![one.clone()],
        };
        let bytes = hex(&format!("0000 02 {id} 02 00000003 00 00"));
        assert_eq!(encode_value(&value), Ok(bytes.clone()));
        assert_eq!(decode_value(bytes), Ok(value));
        let value = CurrentPart {
            member_epoch: 5,
            previous_member_epoch: 4,
            state: 1,
            assigned_partitions: vec![one],
            partitions_pending_revocation: Vec::new(),
        };
        let head = "0000 00000005 00000004 01";
        let bytes = hex(&format!("{head} 02 {id} 02 00000003 00 01 00"));
        assert_eq!(encode_value(&value), Ok(bytes.clone()));
        assert_eq!(decode_value(bytes), Ok(value.clone()));
        // KIP-1251 keeps the epoch of each partition beside it, in a tagged field.
        let tagged = format!("{head} 02 {id} 02 00000003 01 00 05 02 00000005 01 00");
        assert_eq!(decode_value(hex(&tagged)), Ok(value));
        let value = PatternTopics {
            topics: vec!["a1".into()],
            version: 2,
            timestamp: 3,
        };
        let bytes = hex("0000 02 03 6131 0000000000000002 0000000000000003 00");
        assert_eq!(encode_value(&value), Ok(bytes.clone()));
        assert_eq!(decode_value(bytes), Ok(value));
    }
}
