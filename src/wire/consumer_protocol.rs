// SPDX-License-Identifier: Apache-2.0
//! What consumers of a classic group say to each other through the coordinator: subscriptions on
//! their way to the leader, assignments on their way back.
//!
//! ```text
//! version i16, then the fields of that version; a newer version only appends fields
//! ```
//!
//! Owns: `ConsumerProtocolSubscription` and `ConsumerProtocolAssignment` (KIP-429 added the owned
//! partitions, KIP-792 the generation, KIP-881 the rack). Invariants: reading is total; what a
//! newer version has behind the known fields is passed over. Runs on: every core, the commands.
//! Bounded by: the `max` of each array.

use bytes::Bytes;
use bytestring::ByteString;

use super::codec::{DecodeError, EncodeError, Reader, Writer};
use super::protocol::describe::{Place, WireStruct, WireType, messages, since};
use crate::limits::{DECODED_BYTES_PER_RESPONSE_BYTE, PARTITIONS_PER_TOPIC_MAX, TOPICS_MAX};

/// Newest version of both.
const NEWEST: i16 = 3;

messages! {
    /// What a consumer wants and has.
    pub struct Subscription {
        /// Topics that it wants.
        topics: Vec<ByteString> = Vec::new(), since(0).max(TOPICS_MAX);
        /// What its assignor has to say.
        user_data: Option<Bytes> = None, since(0).nullable(0);
        /// What it has at the moment.
        owned_partitions: Vec<TopicPartitions> = Vec::new(), since(1).max(TOPICS_MAX).ignorable();
        /// The generation in which it got that, -1 if not known.
        generation_id: i32 = -1, since(2).ignorable();
        /// Where it is.
        rack_id: Option<ByteString> = None, since(3).nullable(3).ignorable();
    }

    /// What a consumer gets.
    pub struct Assignment {
        /// The partitions.
        assigned_partitions: Vec<TopicPartitions> = Vec::new(), since(0).max(TOPICS_MAX);
        /// What the assignor has to say.
        user_data: Option<Bytes> = None, since(0).nullable(0);
    }

    /// Partitions of one topic.
    pub struct TopicPartitions {
        /// Name of the topic.
        topic: ByteString = ByteString::new(), since(0);
        /// Indexes of the partitions.
        partitions: Vec<i32> = Vec::new(), since(0).max(PARTITIONS_PER_TOPIC_MAX);
    }
}

impl Subscription {
    /// Reads what a member said.
    pub fn decode(bytes: Bytes) -> Result<Subscription, DecodeError> {
        read(bytes)
    }

    /// Writes it in the newest version.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        write(self)
    }
}

impl Assignment {
    /// Reads what a member got. No bytes at all are an empty assignment: a leader may leave a
    /// member out.
    pub fn decode(bytes: Bytes) -> Result<Assignment, DecodeError> {
        match bytes.is_empty() {
            true => Ok(Assignment::default()),
            false => read(bytes),
        }
    }

    /// Writes it in the newest version.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        write(self)
    }
}

fn read<M: WireStruct + Default>(bytes: Bytes) -> Result<M, DecodeError> {
    let mut reader = Reader::with_memory_per_byte(bytes, DECODED_BYTES_PER_RESPONSE_BYTE);
    let version = reader.read_i16()?;
    if version < 0 {
        // No API has this number; the version is what is said.
        let api_key = -1;
        return Err(DecodeError::Version { api_key, version });
    }
    let place = Place::message(M::LAYOUT.name, version.min(NEWEST), false);
    let mut message = M::default();
    message.read_over(&mut reader, place)?;
    Ok(message)
}

fn write<M: WireStruct>(message: &M) -> Result<Bytes, EncodeError> {
    let mut writer = Writer::new();
    writer.write_i16(NEWEST);
    let place = Place::message(M::LAYOUT.name, NEWEST, false);
    WireType::write(message, &mut writer, place)?;
    Ok(Bytes::from(writer.finish().concat()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn owned(topic: &str, partitions: &[i32]) -> TopicPartitions {
        TopicPartitions {
            topic: topic.into(),
            partitions: partitions.to_vec(),
        }
    }

    #[test]
    fn a_subscription_by_hand() {
        let bytes = b"\x00\x03\x00\x00\x00\x01\x00\x01t\xff\xff\xff\xff\
                      \x00\x00\x00\x01\x00\x01t\x00\x00\x00\x01\x00\x00\x00\x02\
                      \x00\x00\x00\x07\x00\x01r";
        let subscription = Subscription {
            topics: vec!["t".into()],
            owned_partitions: vec![owned("t", &[2])],
            generation_id: 7,
            rack_id: Some("r".into()),
            ..Subscription::default()
        };
        assert_eq!(subscription.encode().as_deref(), Ok(&bytes[..]));
        let read = Subscription::decode(Bytes::from_static(bytes));
        assert_eq!(read, Ok(subscription));
    }

    #[test]
    fn older_and_newer_versions_are_read() {
        let old = Subscription::decode(Bytes::from_static(
            b"\x00\x00\x00\x00\x00\x01\x00\x01t\x00\x00\x00\x01x",
        ));
        let old = old.expect("version 0");
        assert_eq!((old.generation_id, old.owned_partitions), (-1, Vec::new()));
        assert_eq!(old.user_data.as_deref(), Some(&b"x"[..]));
        let newer = Assignment::decode(Bytes::from_static(
            b"\x00\x09\x00\x00\x00\x00\xff\xff\xff\xffsomething new",
        ));
        assert_eq!(newer, Ok(Assignment::default()));
        assert_eq!(Assignment::decode(Bytes::new()), Ok(Assignment::default()));
        assert!(Assignment::decode(Bytes::from_static(b"\xff\xff\0\0\0\0")).is_err());
        assert!(Subscription::decode(Bytes::from_static(b"\0\0\0\0\0\x01")).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            topics in prop::collection::vec("[a-z]{1,9}", 0..5),
            partitions in prop::collection::vec(0i32..100, 0..20),
            generation_id in -1i32..,
        ) {
            let lists = topics.iter().map(|topic| owned(topic, &partitions));
            let assignment = Assignment {
                assigned_partitions: lists.clone().collect(),
                user_data: Some(Bytes::from_static(b"note")),
            };
            let subscription = Subscription {
                topics: topics.iter().map(|topic| topic.as_str().into()).collect(),
                owned_partitions: lists.collect(),
                generation_id,
                ..Subscription::default()
            };
            let bytes = assignment.encode().expect("small");
            prop_assert_eq!(Assignment::decode(bytes), Ok(assignment));
            let bytes = subscription.encode().expect("small");
            prop_assert_eq!(Subscription::decode(bytes), Ok(subscription));
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Subscription::decode(Bytes::from(bytes.clone()));
            let _ = Assignment::decode(Bytes::from(bytes));
        }
    }
}
