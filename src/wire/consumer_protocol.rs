// SPDX-License-Identifier: Apache-2.0
//! What members of the classic protocol say to each other inside JoinGroup and SyncGroup: which
//! topics a consumer wants, and which partitions it got (`consumer` protocol).
//!
//! Owns: the layouts of both. Invariants: a version that is newer than those that are known is read
//! as the newest one that is, and what follows is left alone, as Kafka does it. Runs on: every
//! core. Bounded by: the `max` of each array, the bytes.

use bytes::Bytes;
use bytestring::ByteString;

use super::codec::{DecodeError, EncodeError, Reader, Writer};
use super::protocol::describe::{Place, WireStruct, WireType, messages, since};
use crate::limits::{DECODED_BYTES_PER_RESPONSE_BYTE, PARTITIONS_MAX, TOPICS_MAX};

/// The newest version of both.
const NEWEST: i16 = 3;

messages! {
    /// What a consumer wants.
    pub struct ConsumerSubscription {
        /// Topics by name.
        topics: Vec<ByteString> = Vec::new(), since(0).max(TOPICS_MAX);
        /// What its assignor says to the leader's.
        user_data: Option<Bytes> = None, since(0).nullable(0);
        /// What it owns and keeps while it joins.
        owned_partitions: Vec<NamedPartitions> = Vec::new(),
            since(1).max(TOPICS_MAX).ignorable();
        /// The generation in which it got that.
        generation_id: i32 = -1, since(2).ignorable();
        /// Where it is.
        rack_id: Option<ByteString> = None, since(3).nullable(3).ignorable();
    }

    /// What a consumer got.
    pub struct ConsumerAssignment {
        /// Partitions by topic.
        assigned_partitions: Vec<NamedPartitions> = Vec::new(), since(0).max(TOPICS_MAX);
        /// What the leader's assignor says to the consumer's.
        user_data: Option<Bytes> = None, since(0).nullable(0);
    }

    /// Partitions of one topic.
    pub struct NamedPartitions {
        /// The topic.
        topic: ByteString = ByteString::new(), since(0);
        /// Indexes of the partitions.
        partitions: Vec<i32> = Vec::new(), since(0).max(PARTITIONS_MAX);
    }
}

/// Reads either; also gives its version.
pub fn decode<M: WireStruct + Default>(bytes: &Bytes) -> Result<(i16, M), DecodeError> {
    let mut reader = Reader::with_memory_per_byte(bytes.clone(), DECODED_BYTES_PER_RESPONSE_BYTE);
    let version = reader.read_i16()?;
    if version < 0 {
        let api_key = -1; // No API has this number; the version is what is said.
        return Err(DecodeError::Version { api_key, version });
    }
    let version = version.min(NEWEST);
    let mut message = M::default();
    message.read_over(&mut reader, Place::message(M::LAYOUT.name, version, false))?;
    Ok((version, message))
}

/// Writes either in one of its versions.
pub fn encode<M: WireStruct>(message: &M, version: i16) -> Result<Bytes, EncodeError> {
    let version = version.clamp(0, NEWEST);
    let mut writer = Writer::new();
    writer.write_i16(version);
    let place = Place::message(M::LAYOUT.name, version, false);
    WireType::write(message, &mut writer, place)?;
    Ok(Bytes::from(writer.finish().concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_by_hand_in_each_version() {
        let whole = ConsumerSubscription {
            topics: vec!["t".into()],
            user_data: None,
            owned_partitions: vec![NamedPartitions {
                topic: "t".into(),
                partitions: vec![2],
            }],
            generation_id: 5,
            rack_id: Some("r".into()),
        };
        let start = [0, 0, 0, 1, 0, 1, b't', 0xff, 0xff, 0xff, 0xff];
        let owned = [0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 2];
        let pieces: [&[u8]; 4] = [&start, &owned, &[0, 0, 0, 5], &[0, 1, b'r']];
        for version in 0..=3u8 {
            let body = pieces[..=usize::from(version)].concat();
            let bytes = Bytes::from([&[0, version][..], &body].concat());
            assert_eq!(encode(&whole, i16::from(version)), Ok(bytes.clone()));
            let (told, read): (i16, ConsumerSubscription) = decode(&bytes).expect("just written");
            assert_eq!((told, &read.topics), (i16::from(version), &whole.topics));
            assert_eq!(read.owned_partitions.is_empty(), version < 1);
            assert_eq!(read.generation_id == 5, version >= 2);
            assert_eq!(read.rack_id.is_some(), version >= 3);
        }
    }

    #[test]
    fn newer_ones_are_read_and_nonsense_is_not() {
        let newer = Bytes::from_static(&[0, 9, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3]);
        let (version, read): (i16, ConsumerAssignment) = decode(&newer).expect("as version 3");
        assert_eq!((version, read), (3, ConsumerAssignment::default()));
        let negative = Bytes::from_static(&[0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
        assert!(decode::<ConsumerAssignment>(&negative).is_err());
        assert!(decode::<ConsumerSubscription>(&Bytes::from_static(b"m")).is_err());
        let short = Bytes::from_static(&[0, 0, 0, 0, 0, 9, 0, 1, b't']);
        assert!(decode::<ConsumerSubscription>(&short).is_err());
    }
}
