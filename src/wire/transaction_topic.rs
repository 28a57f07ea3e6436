// SPDX-License-Identifier: Apache-2.0
//! The records of `__transaction_state`: what a transactional id looks like in a log.
//!
//! ```text
//! key    version i16, 0: the transactional id
//! value  version i16, 0 or 1 (compact lengths, tagged fields): its producer, and the transaction
//!        no value is a tombstone
//! ```
//!
//! Owns: the layouts of key and value, which are Kafka's, so that Kafka's tools read the topic.
//! Invariants: reading is total; version 1 is written, as Kafka does from `transaction.version` 1
//! on (KIP-890). Runs on: every core. Bounded by: the `max` of each array, the record.

use bytes::Bytes;
use bytestring::ByteString;

use super::codec::{DecodeError, EncodeError, Reader};
use super::coordinator_record::{checked_version, read, value_reader, write};
use super::protocol::describe::{messages, since};
use crate::limits::{PARTITIONS_PER_TOPIC_MAX, TOPICS_MAX};

/// Version of the key.
const KEY: i16 = 0;

/// Version in which a value is written, and the newest that is read.
const VALUE: i16 = 1;

/// The first version of a value with tagged fields.
const FLEXIBLE_FROM: i16 = 1;

messages! {
    /// Names a transactional id.
    pub struct TransactionLogKey {
        /// The transactional id.
        transactional_id: ByteString = ByteString::new(), since(0);
    }

    /// What a transactional id does.
    pub struct TransactionLogValue {
        /// Id of its producer.
        producer_id: i64 = 0, since(0);
        /// The producer id before this one, -1 for none.
        previous_producer_id: i64 = -1, since(1).tag(0).ignorable();
        /// The producer id that follows when the transaction has ended, -1 for none.
        next_producer_id: i64 = -1, since(1).tag(1).ignorable();
        /// Epoch of its producer.
        producer_epoch: i16 = 0, since(0);
        /// How long a transaction may last, in milliseconds.
        transaction_timeout_ms: i32 = 0, since(0);
        /// Number of its state.
        transaction_status: i8 = 0, since(0);
        /// Where its transaction has written; null where there is none.
        transaction_partitions: Option<Vec<PartitionsSchema>> = Some(Vec::new()),
            since(0).nullable(0).max(TOPICS_MAX);
        /// When it changed, in milliseconds since 1970.
        transaction_last_update_timestamp_ms: i64 = 0, since(0);
        /// When its transaction began, in milliseconds since 1970; -1 if there was none.
        transaction_start_timestamp_ms: i64 = 0, since(0);
        /// The `transaction.version` that the client used.
        client_transaction_version: i16 = 0, since(1).tag(2).ignorable();
    }

    /// Partitions of one topic.
    pub struct PartitionsSchema {
        /// Name of the topic.
        topic: ByteString = ByteString::new(), since(0);
        /// Indexes of the partitions.
        partition_ids: Vec<i32> = Vec::new(), since(0).max(PARTITIONS_PER_TOPIC_MAX);
    }
}

impl TransactionLogKey {
    /// Reads the key of a record; nothing if it is of a kind that this broker does not know.
    pub fn decode(bytes: Bytes) -> Result<Option<TransactionLogKey>, DecodeError> {
        let mut reader = Reader::new(bytes);
        match reader.read_i16()? {
            KEY => read(&mut reader, KEY, false).map(Some),
            _ => Ok(None),
        }
    }

    /// Writes the key of a record.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        write(self, KEY, false)
    }
}

impl TransactionLogValue {
    /// Reads the value of a record.
    pub fn decode(bytes: Bytes) -> Result<TransactionLogValue, DecodeError> {
        let mut reader = value_reader(bytes);
        let version = checked_version(&mut reader, VALUE)?;
        read(&mut reader, version, version >= FLEXIBLE_FROM)
    }

    /// Writes the value of a record.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        write(self, VALUE, true)
    }
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

    fn ongoing() -> TransactionLogValue {
        TransactionLogValue {
            producer_id: 7,
            producer_epoch: 5,
            transaction_timeout_ms: 60_000,
            transaction_status: 1,
            transaction_partitions: Some(vec![PartitionsSchema {
                topic: "out".into(),
                partition_ids: vec![0, 2],
            }]),
            transaction_last_update_timestamp_ms: 258,
            transaction_start_timestamp_ms: 257,
            client_transaction_version: 2,
            ..TransactionLogValue::default()
        }
    }

    #[test]
    fn a_key_by_hand() {
        let key = TransactionLogKey {
            transactional_id: "copy".into(),
        };
        let bytes = hex("0000 0004 636f7079");
        assert_eq!(key.encode(), Ok(bytes.clone()));
        assert_eq!(TransactionLogKey::decode(bytes), Ok(Some(key)));
        assert_eq!(TransactionLogKey::decode(hex("0001 00")), Ok(None));
        assert!(TransactionLogKey::decode(hex("0000 0004 63")).is_err());
        assert!(TransactionLogKey::decode(hex("0000 0001 63 00")).is_err());
    }

    #[test]
    fn an_open_transaction_by_hand() {
        let bytes = hex(
            "0001 0000000000000007 0005 0000ea60 01 02 04 6f7574 03 00000000 00000002 00 \
             0000000000000102 0000000000000101 01 02 02 0002",
        );
        assert_eq!(ongoing().encode(), Ok(bytes.clone()));
        assert_eq!(TransactionLogValue::decode(bytes), Ok(ongoing()));
    }

    #[test]
    fn ids_before_and_after_are_tagged_and_no_transaction_is_null() {
        let value = TransactionLogValue {
            producer_id: 7,
            previous_producer_id: 6,
            next_producer_id: 8,
            producer_epoch: 32_767,
            transaction_timeout_ms: 1,
            transaction_partitions: None,
            transaction_last_update_timestamp_ms: 2,
            transaction_start_timestamp_ms: -1,
            ..TransactionLogValue::default()
        };
        let bytes = hex(
            "0001 0000000000000007 7fff 00000001 00 00 0000000000000002 ffffffffffffffff \
             02 00 08 0000000000000006 01 08 0000000000000008",
        );
        assert_eq!(value.encode(), Ok(bytes.clone()));
        assert_eq!(TransactionLogValue::decode(bytes), Ok(value));
    }

    #[test]
    fn the_version_before_kip_890_is_read() {
        let bytes = hex(
            "0000 0000000000000007 0005 0000ea60 04 00000001 0003 6f7574 00000001 00000009 \
             0000000000000102 0000000000000101",
        );
        let value = TransactionLogValue::decode(bytes).expect("version 0");
        assert_eq!((value.producer_id, value.producer_epoch), (7, 5));
        assert_eq!(
            (value.previous_producer_id, value.next_producer_id),
            (-1, -1)
        );
        assert_eq!(
            (value.transaction_status, value.client_transaction_version),
            (4, 0)
        );
        let partitions = value.transaction_partitions.expect("one topic");
        assert_eq!(partitions[0].partition_ids, [9]);
    }

    #[test]
    fn what_is_not_known_is_passed_over_or_refused() {
        // A tagged field of a later version (KIP-915).
        let bytes = hex(
            "0001 0000000000000007 0005 0000ea60 00 01 0000000000000002 ffffffffffffffff \
             01 09 02 0003",
        );
        let value = TransactionLogValue::decode(bytes).expect("tag 9 is not known");
        assert_eq!(value.transaction_partitions, Some(Vec::new()));
        let refused = TransactionLogValue::decode(hex("0002 00"));
        assert!(matches!(
            refused,
            Err(DecodeError::Version { version: 2, .. })
        ));
        let whole = ongoing().encode().expect("it fits");
        for cut in 0..whole.len() {
            assert!(TransactionLogValue::decode(whole.slice(..cut)).is_err());
        }
    }
}
