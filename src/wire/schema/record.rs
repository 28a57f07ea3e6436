// SPDX-License-Identifier: Apache-2.0
//! The kinds of metadata records.
//!
//! Owns: [`MetadataRecord`] and the tables it is made of, each declared once below: from the
//! declaration come the type, its writer and its reader. Invariants: the number of a kind and the
//! slot of a field (its place in the declaration) never change; a new field goes to the end of its
//! table; a change that an older release must not overlook raises the version of its table.
//! Runs on: the control shard, and the simulator. Bounded by: the bytes of one record.

use bytes::Bytes;
use bytestring::ByteString;
use flatbuffers::FlatBufferBuilder;

use super::error::SchemaError;
use super::field::{Field, Reference};
use super::table::{IDENTIFIER, Table};
use crate::model::ids::{BrokerId, LeaderEpoch, ShardId, TopicId, Uuid};

/// Slots of the root table.
const SLOT_VERSION: u16 = 0;
const SLOT_KIND: u16 = 1;
const SLOT_BODY: u16 = 2;

/// One field of a table, as the schema file shows it.
#[cfg(test)]
pub(super) type FieldDescription = (&'static str, &'static str);

macro_rules! records {
    ($($(#[$doc:meta])* $name:ident = $kind:literal version $version:literal {
        $($(#[$field_doc:meta])* $field:ident: $type:ty = $slot:literal,)*
    })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, PartialEq, Eq)]
            pub struct $name {
                $($(#[$field_doc])* pub $field: $type,)*
            }

            impl $name {
                fn write(&self, builder: &mut FlatBufferBuilder<'_>) -> Reference {
                    $(let $field = self.$field.prepare(builder);)*
                    let table = builder.start_table();
                    $(self.$field.push($field, $slot, builder);)*
                    builder.end_table(table).as_union_value()
                }

                fn read(table: &Table<'_>) -> Result<$name, SchemaError> {
                    Ok($name { $($field: Field::read(table, $slot, stringify!($field))?,)* })
                }

                #[cfg(test)]
                pub(super) const FIELDS: &'static [FieldDescription] =
                    &[$((stringify!($field), <$type as Field>::SCHEMA_TYPE),)*];
            }
        )*

        /// One thing that happened to the metadata.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum MetadataRecord {
            $($(#[$doc])* $name($name),)*
        }

        impl MetadataRecord {
            fn write_body(&self, builder: &mut FlatBufferBuilder<'_>) -> (u8, u8, Reference) {
                match self {
                    $(MetadataRecord::$name(body) => ($version, $kind, body.write(builder)),)*
                }
            }

            fn read_body(
                version: u8,
                kind: u8,
                body: &Table<'_>,
            ) -> Result<MetadataRecord, SchemaError> {
                match (kind, version) {
                    $(($kind, $version) => $name::read(body).map(MetadataRecord::$name),)*
                    $(($kind, _) => Err(SchemaError::UnknownVersion { version }),)*
                    _ => Err(SchemaError::UnknownKind { kind }),
                }
            }

            /// Every kind: its number, its name and its fields.
            #[cfg(test)]
            pub(super) const KINDS: &'static [(u8, &'static str, &'static [FieldDescription])] =
                &[$(($kind, stringify!($name), $name::FIELDS),)*];
        }
    };
}

records! {
    /// The first record of every metadata log: whose it is.
    ClusterRecord = 1 version 1 {
        /// The cluster's id.
        cluster_id: Uuid = 0,
    }
    /// A broker started and registered; the offset of this record is its broker epoch.
    RegisterBrokerRecord = 2 version 1 {
        /// Node id.
        broker_id: BrokerId = 0,
        /// Drawn at random by each start of the process.
        incarnation_id: Uuid = 1,
        /// Of its log directory.
        directory_id: Uuid = 2,
        /// Advertised host.
        host: ByteString = 3,
        /// Advertised port.
        port: u16 = 4,
        /// Rack, if it has one.
        rack: Option<ByteString> = 5,
        /// Number of data shards it runs.
        shard_count: u16 = 6,
        /// Broker epoch, in a snapshot; 0 in the log, where the offset says it.
        epoch: i64 = 7,
    }
    /// A broker left for good.
    UnregisterBrokerRecord = 3 version 1 {
        /// Node id.
        broker_id: BrokerId = 0,
    }
    /// A topic was made; its partitions follow.
    TopicRecord = 4 version 1 {
        /// Its id.
        topic_id: TopicId = 0,
        /// Its name.
        name: ByteString = 1,
    }
    /// A topic was deleted, with its partitions and settings.
    RemoveTopicRecord = 5 version 1 {
        /// Its id.
        topic_id: TopicId = 0,
    }
    /// A partition was made, or changed: all of it as it is now.
    PartitionRecord = 6 version 1 {
        /// The topic.
        topic_id: TopicId = 0,
        /// Index in the topic.
        partition: i32 = 1,
        /// Leader, if there is one.
        leader: Option<BrokerId> = 2,
        /// Leader epoch.
        leader_epoch: LeaderEpoch = 3,
        /// Rises with every change.
        partition_epoch: i32 = 4,
        /// Assigned replicas, preferred leader first.
        replicas: Vec<BrokerId> = 5,
        /// In-sync replicas.
        isr: Vec<BrokerId> = 6,
        /// Data shard of the leader.
        shard: ShardId = 7,
    }
    /// Leader, leader epoch, ISR or shard of a partition changed; what did not change is repeated.
    PartitionChangeRecord = 7 version 1 {
        /// The topic.
        topic_id: TopicId = 0,
        /// Index in the topic.
        partition: i32 = 1,
        /// Leader, if there is one.
        leader: Option<BrokerId> = 2,
        /// Leader epoch.
        leader_epoch: LeaderEpoch = 3,
        /// Rises with every change.
        partition_epoch: i32 = 4,
        /// In-sync replicas.
        isr: Vec<BrokerId> = 5,
        /// Data shard of the leader.
        shard: ShardId = 6,
    }
    /// A setting of a topic was set, or with no value taken back.
    TopicConfigRecord = 8 version 1 {
        /// The topic.
        topic_id: TopicId = 0,
        /// Name of the setting.
        name: ByteString = 1,
        /// Its value.
        value: Option<ByteString> = 2,
    }
    /// A setting of one broker or of all brokers was set, or with no value taken back.
    BrokerConfigRecord = 9 version 1 {
        /// The broker, or all.
        broker_id: Option<BrokerId> = 0,
        /// Name of the setting.
        name: ByteString = 1,
        /// Its value.
        value: Option<ByteString> = 2,
    }
    /// Producer ids below this one have been handed out.
    ProducerIdsRecord = 10 version 1 {
        /// The broker that asked.
        broker_id: BrokerId = 0,
        /// First id of the next block.
        next_producer_id: i64 = 1,
    }
    /// The first record of a snapshot.
    SnapshotHeaderRecord = 11 version 1 {
        /// Offset after the last record that the snapshot contains.
        end_offset: i64 = 0,
        /// Epoch of the metadata log in which it was written.
        epoch: LeaderEpoch = 1,
    }
    /// The last record of a snapshot; without it the snapshot is not whole.
    SnapshotFooterRecord = 12 version 1 {
        /// Records between header and footer.
        record_count: i64 = 0,
    }
    /// A quota of an entity was set, or with no value taken back.
    ClientQuotaRecord = 13 version 1 {
        /// Parts that the entity has: 1 a user, 2 a client id, 4 an address, and their sums.
        parts: u16 = 0,
        /// The user; none for the default.
        user: Option<ByteString> = 1,
        /// The client id; none for the default.
        client_id: Option<ByteString> = 2,
        /// The address; none for the default.
        ip: Option<ByteString> = 3,
        /// Name of the quota.
        name: ByteString = 4,
        /// Its value in text form.
        value: Option<ByteString> = 5,
    }
    /// A setting of a group was set, or with no value taken back.
    GroupConfigRecord = 14 version 1 {
        /// The group.
        group: ByteString = 0,
        /// Name of the setting.
        name: ByteString = 1,
        /// Its value.
        value: Option<ByteString> = 2,
    }
}

impl MetadataRecord {
    /// The bytes of this record.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut builder = FlatBufferBuilder::new();
        let (version, kind, body) = self.write_body(&mut builder);
        let root = builder.start_table();
        builder.push_slot_always(4 + 2 * SLOT_BODY, body);
        builder.push_slot::<u8>(4 + 2 * SLOT_KIND, kind, 0);
        builder.push_slot::<u8>(4 + 2 * SLOT_VERSION, version, 0);
        let root = builder.end_table(root);
        builder.finish(root, Some(IDENTIFIER));
        Bytes::copy_from_slice(builder.finished_data())
    }

    /// The record in these bytes. Total: any bytes give a record or an error.
    pub fn decode(bytes: &[u8]) -> Result<MetadataRecord, SchemaError> {
        let root = Table::root(bytes)?;
        let [version] = root.scalar(SLOT_VERSION)?.unwrap_or_default();
        let [kind] = root.scalar(SLOT_KIND)?.unwrap_or_default();
        let body = root.table(SLOT_BODY)?;
        let body = body.ok_or(SchemaError::Missing { field: "body" })?;
        MetadataRecord::read_body(version, kind, &body)
    }
}
