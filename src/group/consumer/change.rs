// SPDX-License-Identifier: Apache-2.0
//! Changes of a group of the new protocol: what becomes a record, and what a record becomes.
//!
//! Owns: [`Change`]. Invariants: the state of a group is what its changes in the order of the log
//! make of it, whether they have just been made or were read at a start. Runs on: the shard that
//! coordinates. Bounded by: the record.

use bytes::Bytes;
use bytestring::ByteString;

use crate::group::member::own;
use crate::wire::codec::{DecodeError, EncodeError};
use crate::wire::consumer_groups::{
    ConsumerKey, CurrentPart, GroupEpoch, MemberProfile, PatternTopics, TargetEpoch, TargetPart,
    decode_value, encode_value,
};

/// One change; no value is an end.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::group) enum Change {
    /// The epoch of the group.
    Group(Option<GroupEpoch>),
    /// The topics of the group, as older brokers kept them: only ever an end.
    Partitions,
    /// What a member says of itself.
    Member(ByteString, Option<MemberProfile>),
    /// The epoch of the target assignment.
    Target(Option<TargetEpoch>),
    /// What a member is to own.
    TargetMember(ByteString, Option<TargetPart>),
    /// What a member owns.
    Current(ByteString, Option<CurrentPart>),
    /// The topics of a pattern.
    Pattern(ByteString, Option<PatternTopics>),
}

impl Change {
    /// From a record.
    pub(in crate::group) fn decode(
        key: ConsumerKey,
        value: Option<Bytes>,
    ) -> Result<Change, DecodeError> {
        Ok(match key {
            ConsumerKey::Group => Change::Group(value.map(decode_value).transpose()?),
            ConsumerKey::Partitions => Change::Partitions,
            ConsumerKey::Member(id) => {
                Change::Member(own(&id), value.map(decode_value).transpose()?)
            }
            ConsumerKey::Target => Change::Target(value.map(decode_value).transpose()?),
            ConsumerKey::TargetMember(id) => {
                Change::TargetMember(own(&id), value.map(decode_value).transpose()?)
            }
            ConsumerKey::Current(id) => {
                Change::Current(own(&id), value.map(decode_value).transpose()?)
            }
            ConsumerKey::Pattern(text) => {
                Change::Pattern(own(&text), value.map(decode_value).transpose()?)
            }
        })
    }

    /// Key and value of its record.
    pub(in crate::group) fn encode(
        &self,
        group: &ByteString,
    ) -> Result<(Bytes, Option<Bytes>), EncodeError> {
        let (key, value) = match self {
            Change::Group(value) => (ConsumerKey::Group, value.as_ref().map(encode_value)),
            Change::Partitions => (ConsumerKey::Partitions, None),
            Change::Member(id, value) => (
                ConsumerKey::Member(id.clone()),
                value.as_ref().map(encode_value),
            ),
            Change::Target(value) => (ConsumerKey::Target, value.as_ref().map(encode_value)),
            Change::TargetMember(id, value) => (
                ConsumerKey::TargetMember(id.clone()),
                value.as_ref().map(encode_value),
            ),
            Change::Current(id, value) => (
                ConsumerKey::Current(id.clone()),
                value.as_ref().map(encode_value),
            ),
            Change::Pattern(text, value) => (
                ConsumerKey::Pattern(text.clone()),
                value.as_ref().map(encode_value),
            ),
        };
        Ok((key.encode(group)?, value.transpose()?))
    }
}
