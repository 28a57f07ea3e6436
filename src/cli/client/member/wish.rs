// SPDX-License-Identifier: Apache-2.0
//! What a member says to its leader, what a leader reads of it, and what it answers.
//!
//! Owns: subscriptions and assignments as bytes, with what the two sticky assignors keep in their
//! user data: `sticky` the partitions and the generation (KIP-54, KIP-341), `cooperative-sticky`
//! the generation. Invariants: user data that cannot be read is a member that has nothing, never a
//! group that cannot be divided. Runs on: the command's thread. Bounded by: one member's message.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::cli::client::assign::{Assignor, Wish};
use crate::cli::client::offsets::{Place, by_topic};
use crate::wire::codec::{DecodeError, EncodeError};
use crate::wire::consumer_protocol::{
    ConsumerAssignment, ConsumerSubscription, NamedPartitions, decode, encode,
};
use crate::wire::protocol::join_group::JoinGroupResponseMember;

/// The version in which we speak; whoever knows less reads the fields that it knows.
const VERSION: i16 = 3;

/// The kind of group whose members speak so.
pub(in crate::cli) const PROTOCOL_TYPE: &str = "consumer";

/// What a member says that wants one topic.
pub(super) fn subscription(
    assignor: Assignor,
    topic: &str,
    owned: &[Place],
    generation: i32,
) -> Result<Bytes, EncodeError> {
    let user_data = match assignor {
        Assignor::Range | Assignor::RoundRobin => None,
        Assignor::Sticky => Some(sticky_data(owned, generation)),
        Assignor::CooperativeSticky => Some(Bytes::copy_from_slice(&generation.to_be_bytes())),
    };
    let subscription = ConsumerSubscription {
        topics: vec![topic.into()],
        user_data,
        // In the eager way a member has given up everything when it joins.
        owned_partitions: match assignor.is_cooperative() {
            true => lists(owned),
            false => Vec::new(),
        },
        generation_id: generation,
        rack_id: None,
    };
    encode(&subscription, VERSION)
}

fn lists(places: &[Place]) -> Vec<NamedPartitions> {
    let one = |(topic, partitions): (&str, Vec<i32>)| NamedPartitions {
        topic: topic.into(),
        partitions,
    };
    by_topic(places).into_iter().map(one).collect()
}

/// The share of one member.
pub(super) fn assignment(places: &[Place]) -> Result<Bytes, EncodeError> {
    let assignment = ConsumerAssignment {
        assigned_partitions: lists(places),
        user_data: None,
    };
    encode(&assignment, VERSION)
}

/// What a member got. No bytes at all are an empty share: a leader may leave a member out.
pub(in crate::cli) fn share(bytes: &Bytes) -> Result<ConsumerAssignment, DecodeError> {
    match bytes.is_empty() {
        true => Ok(ConsumerAssignment::default()),
        false => Ok(decode(bytes)?.1),
    }
}

/// Topics and partitions, one by one.
pub(in crate::cli) fn places(lists: &[NamedPartitions]) -> Vec<Place> {
    let one = |list: &NamedPartitions| {
        let topic = list.topic.to_string();
        let places = list.partitions.iter().map(move |one| (topic.clone(), *one));
        places.collect::<Vec<_>>()
    };
    lists.iter().flat_map(one).collect()
}

/// What a leader reads of a member.
pub(super) fn of_member(
    assignor: Assignor,
    member: &JoinGroupResponseMember,
) -> Result<Wish, DecodeError> {
    let (_, said): (i16, ConsumerSubscription) = decode(&member.metadata)?;
    let mut wish = Wish {
        member: member.member_id.to_string(),
        instance: member.group_instance_id.as_ref().map(ToString::to_string),
        topics: said.topics.iter().map(ToString::to_string).collect(),
        owned: places(&said.owned_partitions),
        generation: said.generation_id,
    };
    let data = said.user_data.unwrap_or_default();
    match assignor {
        Assignor::Range | Assignor::RoundRobin => {}
        Assignor::Sticky => {
            if let Some((owned, generation)) = read_sticky_data(data) {
                wish.owned = owned;
                wish.generation = generation;
            }
        }
        Assignor::CooperativeSticky => {
            if let (true, Some(bytes)) = (wish.generation < 0, data.first_chunk()) {
                wish.generation = i32::from_be_bytes(*bytes);
            }
        }
    }
    Ok(wish)
}

/// Topics with their partitions, then the generation.
fn sticky_data(owned: &[Place], generation: i32) -> Bytes {
    let topics = by_topic(owned);
    let mut bytes = BytesMut::new();
    put_count(&mut bytes, topics.len());
    for (topic, partitions) in topics {
        // Names of topics have 249 bytes at most.
        bytes.put_i16(i16::try_from(topic.len()).unwrap_or(i16::MAX));
        bytes.put_slice(topic.as_bytes());
        put_count(&mut bytes, partitions.len());
        partitions.into_iter().for_each(|one| bytes.put_i32(one));
    }
    bytes.put_i32(generation);
    bytes.freeze()
}

fn put_count(bytes: &mut BytesMut, count: usize) {
    bytes.put_i32(i32::try_from(count).unwrap_or(i32::MAX));
}

/// The same, read; members before KIP-341 say no generation.
fn read_sticky_data(mut bytes: Bytes) -> Option<(Vec<Place>, i32)> {
    let mut owned = Vec::new();
    for _ in 0..bytes.try_get_i32().ok()? {
        let length = usize::try_from(bytes.try_get_i16().ok()?).ok()?;
        if length > bytes.remaining() {
            return None;
        }
        let topic = String::from_utf8(bytes.split_to(length).to_vec()).ok()?;
        for _ in 0..bytes.try_get_i32().ok()? {
            owned.push((topic.clone(), bytes.try_get_i32().ok()?));
        }
    }
    Some((owned, bytes.try_get_i32().unwrap_or(-1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn owned() -> Vec<Place> {
        vec![
            ("a".to_owned(), 1),
            ("a".to_owned(), 3),
            ("b".to_owned(), 0),
        ]
    }

    fn member(metadata: Bytes) -> JoinGroupResponseMember {
        JoinGroupResponseMember {
            member_id: "m".into(),
            group_instance_id: Some("name".into()),
            metadata,
        }
    }

    #[test]
    fn a_leader_reads_what_a_member_says() {
        for (assignor, has) in [
            (Assignor::Sticky, owned()),
            (Assignor::CooperativeSticky, owned()),
            (Assignor::Range, Vec::new()),
        ] {
            let said = subscription(assignor, "a", &owned(), 7).expect("small");
            let wish = of_member(assignor, &member(said)).expect("it can be read");
            assert_eq!((wish.owned, wish.generation), (has, 7), "{assignor:?}");
            assert_eq!(wish.topics.into_iter().collect::<Vec<_>>(), ["a"]);
            assert_eq!(wish.instance.as_deref(), Some("name"));
        }
    }

    #[test]
    fn older_members_keep_the_generation_in_their_user_data() {
        let old = |user_data: &[u8]| ConsumerSubscription {
            topics: vec!["a".into()],
            user_data: Some(Bytes::copy_from_slice(user_data)),
            owned_partitions: lists(&owned()),
            ..ConsumerSubscription::default()
        };
        let read = |assignor, said: ConsumerSubscription| {
            let wish = of_member(assignor, &member(encode(&said, 1).expect("small")));
            let wish = wish.expect("it can be read");
            (wish.owned, wish.generation)
        };
        let said = old(&9i32.to_be_bytes());
        assert_eq!(read(Assignor::CooperativeSticky, said), (owned(), 9));
        let without = sticky_data(&owned()[..1], 3);
        let said = old(&without[..without.len() - 4]);
        assert_eq!(read(Assignor::Sticky, said), (owned()[..1].to_vec(), -1));
        let odd = old(b"\0\0\0\x05?");
        assert_eq!(read(Assignor::Sticky, odd), (owned(), -1), "not readable");
    }

    #[test]
    fn no_bytes_are_an_empty_share() {
        assert_eq!(share(&Bytes::new()), Ok(ConsumerAssignment::default()));
        assert!(share(&Bytes::from_static(b"?")).is_err());
    }

    proptest! {
        #[test]
        fn no_user_data_panics(bytes in prop::collection::vec(any::<u8>(), 0..99)) {
            let _ = read_sticky_data(Bytes::from(bytes));
        }

        #[test]
        fn an_assignment_comes_back(
            places_given in prop::collection::btree_set(("[a-z]{1,5}", 0i32..99), 0..20),
        ) {
            let given: Vec<Place> = places_given.into_iter().collect();
            let bytes = assignment(&given).expect("small");
            let read = share(&bytes).expect("it was just written");
            let mut back = places(&read.assigned_partitions);
            back.sort();
            prop_assert_eq!(back, given);
        }
    }
}
