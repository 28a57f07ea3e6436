// SPDX-License-Identifier: Apache-2.0
//! The records of `__consumer_offsets`: what groups and their offsets look like in a log.
//!
//! ```text
//! key    version i16, 0 or 1: group, topic, partition   -> value: one committed offset
//!        version i16, 2:      group                     -> value: one group and its members
//!        further kinds: see `consumer_groups`
//! value  version i16, then the fields of that version; no value is a tombstone
//! ```
//!
//! Owns: the layouts of keys and values, which are Kafka's, so that Kafka's tools read the topic.
//! Invariants: reading is total; what is written is the newest version without tagged fields, as
//! Kafka writes it. Runs on: every core. Bounded by: the `max` of each array, the record.

use bytes::Bytes;
use bytestring::ByteString;

use super::codec::{DecodeError, EncodeError, Reader};
use super::consumer_groups::ConsumerKey;
use super::coordinator_record::{self, checked_version, value_reader};
use super::protocol::describe::{WireStruct, messages, since};
use crate::limits::GROUP_MEMBERS_MAX;
use crate::model::ids::Uuid;

/// Version of the key of a committed offset; 0 has the same fields.
const OFFSET_KEY: i16 = 1;

/// Version of the key of a group.
const GROUP_KEY: i16 = 2;

/// Version in which a committed offset is written.
const OFFSET_VALUE: i16 = 3;

/// Version in which one is written that has a time of its own at which it expires.
const EXPIRING_OFFSET_VALUE: i16 = 1;

/// Newest version of a committed offset that is read; the first with tagged fields.
const OFFSET_VALUE_MAX: i16 = 4;

/// Version in which a group is written.
const GROUP_VALUE: i16 = 3;

/// Newest version of a group that is read; the first with tagged fields.
const GROUP_VALUE_MAX: i16 = 4;

messages! {
    /// Names a committed offset.
    pub struct OffsetCommitKey {
        /// The group.
        group: ByteString = ByteString::new(), since(0);
        /// The topic.
        topic: ByteString = ByteString::new(), since(0);
        /// Index of the partition.
        partition: i32 = 0, since(0);
    }

    /// Names a group.
    pub struct GroupMetadataKey {
        /// The group.
        group: ByteString = ByteString::new(), since(2);
    }

    /// A committed offset.
    pub struct OffsetCommitValue {
        /// The next offset that the group wants.
        offset: i64 = 0, since(0);
        /// Leader epoch of the last record, -1 if not known.
        leader_epoch: i32 = -1, since(3).ignorable();
        /// What the client keeps with it.
        metadata: ByteString = ByteString::new(), since(0);
        /// When it was committed, in milliseconds since 1970.
        commit_timestamp: i64 = 0, since(0);
        /// When it expires, -1 for as usual.
        expire_timestamp: i64 = -1, since(1).until(1).ignorable();
        /// Id of the topic.
        topic_id: Uuid = Uuid::ZERO, since(4).tag(0).ignorable();
    }

    /// A group.
    pub struct GroupMetadataValue {
        /// The kind of group, like `consumer`.
        protocol_type: ByteString = ByteString::new(), since(0);
        /// Number of its generation.
        generation: i32 = 0, since(0);
        /// The protocol that was chosen.
        protocol: Option<ByteString> = None, since(0).nullable(0);
        /// The member that assigns.
        leader: Option<ByteString> = None, since(0).nullable(0);
        /// Since when it is in its state, in milliseconds since 1970.
        current_state_timestamp: i64 = -1, since(2).ignorable();
        /// One entry per member.
        members: Vec<MemberMetadata> = Vec::new(), since(0).max(GROUP_MEMBERS_MAX);
    }

    /// A member of a group.
    pub struct MemberMetadata {
        /// What the coordinator calls it.
        member_id: ByteString = ByteString::new(), since(0);
        /// What its operator calls it, if it is a static one.
        group_instance_id: Option<ByteString> = None, since(3).nullable(3).ignorable();
        /// What its client calls itself.
        client_id: ByteString = ByteString::new(), since(0);
        /// Where it is.
        client_host: ByteString = ByteString::new(), since(0);
        /// How long it may take to join again, in milliseconds.
        rebalance_timeout: i32 = 0, since(1).ignorable();
        /// Without a heartbeat for so many milliseconds it counts as dead.
        session_timeout: i32 = 0, since(0);
        /// What it said in the chosen protocol.
        subscription: Bytes = Bytes::new(), since(0);
        /// What it got.
        assignment: Bytes = Bytes::new(), since(0);
    }
}

/// What a record is about.
#[derive(Clone, Debug, PartialEq)]
pub enum OffsetsKey {
    /// A committed offset.
    Offset(OffsetCommitKey),
    /// A group.
    Group(GroupMetadataKey),
    /// Something of a group of the new protocol.
    Consumer(ByteString, ConsumerKey),
    /// Something that this broker does not know; the number of its kind.
    Unknown(i16),
}

impl OffsetsKey {
    /// Reads the key of a record.
    pub fn decode(bytes: Bytes) -> Result<OffsetsKey, DecodeError> {
        let mut reader = Reader::new(bytes);
        match reader.read_i16()? {
            version @ (0 | OFFSET_KEY) => read(&mut reader, version).map(OffsetsKey::Offset),
            GROUP_KEY => read(&mut reader, GROUP_KEY).map(OffsetsKey::Group),
            kind if ConsumerKey::knows(kind) => {
                let (group, what) = ConsumerKey::decode(kind, &mut reader)?;
                Ok(OffsetsKey::Consumer(group, what))
            }
            kind => Ok(OffsetsKey::Unknown(kind)),
        }
    }
}

impl OffsetCommitKey {
    /// Writes the key of a record.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        write(self, OFFSET_KEY)
    }
}

impl GroupMetadataKey {
    /// Writes the key of a record.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        write(self, GROUP_KEY)
    }
}

impl OffsetCommitValue {
    /// Reads the value of a record.
    pub fn decode(bytes: Bytes) -> Result<OffsetCommitValue, DecodeError> {
        let mut reader = value_reader(bytes);
        let version = checked_version(&mut reader, OFFSET_VALUE_MAX)?;
        read(&mut reader, version)
    }

    /// Writes the value of a record.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        match self.expire_timestamp {
            -1 => write(self, OFFSET_VALUE),
            _ => write(self, EXPIRING_OFFSET_VALUE),
        }
    }
}

impl GroupMetadataValue {
    /// Reads the value of a record.
    pub fn decode(bytes: Bytes) -> Result<GroupMetadataValue, DecodeError> {
        let mut reader = value_reader(bytes);
        let version = checked_version(&mut reader, GROUP_VALUE_MAX)?;
        read(&mut reader, version)
    }

    /// Writes the value of a record.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        write(self, GROUP_VALUE)
    }
}

/// The first version of every layout with tagged fields.
const FLEXIBLE_FROM: i16 = 4;

fn read<M: WireStruct + Default>(reader: &mut Reader, version: i16) -> Result<M, DecodeError> {
    coordinator_record::read(reader, version, version >= FLEXIBLE_FROM)
}

fn write<M: WireStruct>(message: &M, version: i16) -> Result<Bytes, EncodeError> {
    coordinator_record::write(message, version, version >= FLEXIBLE_FROM)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Bytes {
        let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
        let pairs = digits.chunks(2).map(|pair| {
            let pair = std::str::from_utf8(pair).expect("ASCII");
            u8::from_str_radix(pair, 16).expect("hexadecimal")
        });
        Bytes::from(pairs.collect::<Vec<u8>>())
    }

    #[test]
    fn a_committed_offset_by_hand() {
        let key = OffsetCommitKey {
            group: "g".into(),
            topic: "orders".into(),
            partition: 3,
        };
        let bytes = hex("0001 0001 67 0006 6f7264657273 00000003");
        assert_eq!(key.encode(), Ok(bytes.clone()));
        assert_eq!(OffsetsKey::decode(bytes), Ok(OffsetsKey::Offset(key)));
        let mut value = OffsetCommitValue {
            offset: 42,
            leader_epoch: 5,
            metadata: "m".into(),
            commit_timestamp: 258,
            ..OffsetCommitValue::default()
        };
        let bytes = hex("0003 000000000000002a 00000005 0001 6d 0000000000000102");
        assert_eq!(value.encode(), Ok(bytes.clone()));
        assert_eq!(OffsetCommitValue::decode(bytes), Ok(value.clone()));
        // One that expires at a time of its own knows no leader epoch.
        value.expire_timestamp = 512;
        let bytes = hex("0001 000000000000002a 0001 6d 0000000000000102 0000000000000200");
        assert_eq!(value.encode(), Ok(bytes.clone()));
        value.leader_epoch = -1;
        assert_eq!(OffsetCommitValue::decode(bytes), Ok(value));
    }

    #[test]
    fn a_group_by_hand() {
        let key = GroupMetadataKey { group: "g".into() };
        let bytes = hex("0002 0001 67");
        assert_eq!(key.encode(), Ok(bytes.clone()));
        assert_eq!(OffsetsKey::decode(bytes), Ok(OffsetsKey::Group(key)));
        let member = MemberMetadata {
            member_id: "m-1".into(),
            group_instance_id: None,
            client_id: "c".into(),
            client_host: "/h".into(),
            rebalance_timeout: 16,
            session_timeout: 17,
            subscription: Bytes::from_static(&[1, 2]),
            assignment: Bytes::from_static(&[3]),
        };
        let value = GroupMetadataValue {
            protocol_type: "consumer".into(),
            generation: 7,
            protocol: Some("range".into()),
            leader: Some("m-1".into()),
            current_state_timestamp: 258,
            members: vec![member],
        };
        let bytes = hex(
            "0003 0008 636f6e73756d6572 00000007 0005 72616e6765 0003 6d2d31 0000000000000102 \
             00000001 0003 6d2d31 ffff 0001 63 0002 2f68 00000010 00000011 00000002 0102 \
             00000001 03",
        );
        assert_eq!(value.encode(), Ok(bytes.clone()));
        assert_eq!(GroupMetadataValue::decode(bytes), Ok(value));
    }

    #[test]
    fn older_and_newer_versions_are_read() {
        // Version 0 of an offset ends with its commit time; of a key it is the same as version 1.
        let old = hex("0000 0000000000000001 0000 0000000000000002");
        let read = OffsetCommitValue::decode(old).expect("version 0");
        assert_eq!((read.offset, read.commit_timestamp), (1, 2));
        assert_eq!((read.leader_epoch, read.expire_timestamp), (-1, -1));
        let key = OffsetsKey::decode(hex("0000 0001 67 0001 74 00000000")).expect("version 0");
        assert!(matches!(key, OffsetsKey::Offset(_)));
        // Version 4 has compact lengths, and the id of the topic in a tagged field.
        let id = "00112233445566778899aabbccddeeff";
        let new = format!("0004 0000000000000001 00000002 01 0000000000000003 01 00 10 {id}");
        let read = OffsetCommitValue::decode(hex(&new)).expect("version 4");
        assert_eq!((read.offset, read.leader_epoch), (1, 2));
        assert_eq!(read.topic_id.0[1], 0x11);
        let old = hex("0000 0001 63 00000001 ffff ffff 00000000");
        let read = GroupMetadataValue::decode(old).expect("version 0");
        assert_eq!((read.generation, read.current_state_timestamp), (1, -1));
        let new = hex("0004 02 63 00000001 00 00 0000000000000009 01 00");
        let read = GroupMetadataValue::decode(new).expect("version 4");
        assert_eq!((read.generation, read.current_state_timestamp), (1, 9));
    }

    #[test]
    fn what_is_not_known_is_named_or_refused() {
        let share = OffsetsKey::decode(hex("000b 0001 67"));
        assert_eq!(share, Ok(OffsetsKey::Unknown(11)));
        let refused = OffsetCommitValue::decode(hex("0005 00"));
        assert!(matches!(
            refused,
            Err(DecodeError::Version { version: 5, .. })
        ));
        assert!(GroupMetadataValue::decode(hex("ffff")).is_err());
        assert!(OffsetsKey::decode(hex("0001 0001")).is_err(), "cut short");
        assert!(
            OffsetsKey::decode(hex("0002 0001 67 00")).is_err(),
            "too long"
        );
    }
}
