// SPDX-License-Identifier: Apache-2.0
//! Identifiers, each its own type so that one cannot be passed for another.
//!
//! Owns: the identifier types. Invariants: plain copies, ordered, never interpreted here.
//! Runs on: every core. Bounded by: their width.

use std::fmt::{self, Write as _};

/// Position of a record in a partition.
pub type Offset = i64;

/// Leader epoch of a partition (KIP-101); -1 where unknown.
pub type LeaderEpoch = i32;

/// Node id of a broker as Kafka clients see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BrokerId(pub i32);

/// One executor of this process: data shards count from 0, the control shard is
/// [`ShardId::CONTROL`]. The main thread asks by messages as they do: it is [`ShardId::MAIN`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u16);

impl ShardId {
    /// The control shard.
    pub const CONTROL: ShardId = ShardId(u16::MAX);

    /// The main thread, for a person at the admin port.
    pub const MAIN: ShardId = ShardId(u16::MAX - 1);
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == ShardId::CONTROL {
            f.write_str("control")
        } else if *self == ShardId::MAIN {
            f.write_str("main")
        } else {
            write!(f, "{}", self.0)
        }
    }
}

/// A 128-bit identifier: topic ids (KIP-516), directory ids, cluster ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// The id that stands for "none".
    pub const ZERO: Uuid = Uuid([0; 16]);

    /// True for the id that stands for "none".
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Uuid::ZERO
    }
}

impl fmt::Display for Uuid {
    /// Kafka's text form: base64 (URL alphabet, no padding), 22 characters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        for chunk in self.0.chunks(3) {
            let mut group = [0u8; 3];
            group[..chunk.len()].copy_from_slice(chunk);
            let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
            for place in 0..=chunk.len() {
                let sextet = (bits >> (18 - 6 * place)) & 0x3f;
                let index = usize::try_from(sextet).expect("six bits fit");
                f.write_char(char::from(ALPHABET[index]))?;
            }
        }
        Ok(())
    }
}

/// A topic id (KIP-516).
pub type TopicId = Uuid;

/// A partition of a topic, by id: what messages between cores and machine state use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic.
    pub topic_id: TopicId,
    /// Index of the partition in its topic, from 0.
    pub partition: i32,
}

/// One client connection of a shard. Never used twice within a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_prints_as_kafka_prints_it() {
        assert_eq!(Uuid::ZERO.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(Uuid([0xff; 16]).to_string(), "_____________________w");
    }
}
