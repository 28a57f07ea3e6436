// SPDX-License-Identifier: Apache-2.0
//! Snapshots of the metadata.
//!
//! Owns: the form of a snapshot and of its name, `<end offset, 20 digits>-<epoch, 10
//! digits>.checkpoint` in the directory of the metadata log. It is a run of record batches: a
//! header, the records that make the metadata from nothing, a footer with their number.
//! Invariants: loading a snapshot gives the state it was made of; one that is not whole, or
//! damaged anywhere, is refused, and an older one or the log itself serves.
//! Runs on: the control shard. Bounded by: `SMALL_FILE_BYTES_MAX`.

use bytes::Bytes;

use super::batches::{self, BatchesError};
use super::quotas;
use super::state::MetadataState;
use crate::config::layers::Settings;
use crate::limits::SNAPSHOT_BATCH_BYTES;
use crate::model::ids::{BrokerId, LeaderEpoch, Offset};
use crate::model::image::{BrokerImage, TopicImage};
use crate::wire::record::{BatchBuilder, BatchRules, Compression, split_batches, validate_batch};
use crate::wire::schema::record::{
    BrokerConfigRecord, ClusterRecord, GroupConfigRecord, MetadataRecord, PartitionRecord,
    ProducerIdsRecord, RegisterBrokerRecord, SnapshotFooterRecord, SnapshotHeaderRecord,
    TopicConfigRecord, TopicRecord,
};

const ENDING: &str = ".checkpoint";

/// Which snapshot; the newer is the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnapshotId {
    /// Offset after the last record that it contains.
    pub end_offset: Offset,
    /// Epoch of the metadata log in which it was written.
    pub epoch: LeaderEpoch,
}

impl SnapshotId {
    /// The name of its file.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{:020}-{:010}{ENDING}", self.end_offset, self.epoch)
    }

    /// The snapshot that a file holds, by its name.
    #[must_use]
    pub fn parse(file_name: &str) -> Option<SnapshotId> {
        let (end_offset, epoch) = file_name.strip_suffix(ENDING)?.split_once('-')?;
        let digits =
            |text: &str, len| text.len() == len && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(end_offset, 20) || !digits(epoch, 10) {
            return None;
        }
        Some(SnapshotId {
            end_offset: end_offset.parse().ok()?,
            epoch: epoch.parse().ok()?,
        })
    }
}

/// Why a snapshot is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotError {
    /// Its batches or records are damaged.
    Batches(BatchesError),
    /// It has no header, or that of another snapshot.
    Header,
    /// It has no footer, or one that counts other records.
    Footer,
}

impl std::fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SnapshotError::Batches(error) => error.fmt(f),
            SnapshotError::Header => f.write_str("The snapshot does not begin as its name says."),
            SnapshotError::Footer => f.write_str("The snapshot is not whole."),
        }
    }
}

impl std::error::Error for SnapshotError {}

impl From<BatchesError> for SnapshotError {
    fn from(error: BatchesError) -> SnapshotError {
        SnapshotError::Batches(error)
    }
}

/// The bytes of a snapshot of this state.
#[must_use]
pub fn write(state: &MetadataState, epoch: LeaderEpoch) -> Vec<u8> {
    let mut writer = Writer {
        epoch,
        offset: 0,
        batch: None,
        contents: Vec::new(),
    };
    let end_offset = state.version();
    writer.push(&MetadataRecord::SnapshotHeaderRecord(
        SnapshotHeaderRecord { end_offset, epoch },
    ));
    let mut record_count = 0;
    each_record(state, |record| {
        record_count += 1;
        writer.push(&record);
    });
    writer.push(&MetadataRecord::SnapshotFooterRecord(
        SnapshotFooterRecord { record_count },
    ));
    writer.flush();
    writer.contents
}

/// Gathers records into batches.
struct Writer {
    epoch: LeaderEpoch,
    offset: Offset,
    batch: Option<BatchBuilder>,
    contents: Vec<u8>,
}

impl Writer {
    fn push(&mut self, record: &MetadataRecord) {
        let (offset, epoch) = (self.offset, self.epoch);
        let batch = self.batch.get_or_insert_with(|| {
            let mut batch = BatchBuilder::new(Compression::None);
            batch.offsets(offset, epoch);
            batch
        });
        batch.append(0, None, Some(&record.encode()), &[]);
        if batch.size_bytes() >= SNAPSHOT_BATCH_BYTES {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if let Some(batch) = self.batch.take() {
            self.offset += Offset::from(batch.count());
            self.contents.extend_from_slice(&batch.build());
        }
    }
}

/// The records that make a state from nothing, in an order that replays.
fn each_record(state: &MetadataState, mut each: impl FnMut(MetadataRecord)) {
    let image = state.image();
    if !image.cluster_id.is_zero() {
        let cluster_id = image.cluster_id;
        each(MetadataRecord::ClusterRecord(ClusterRecord { cluster_id }));
    }
    each(MetadataRecord::ProducerIdsRecord(ProducerIdsRecord {
        broker_id: state.node_id(),
        next_producer_id: state.next_producer_id(),
    }));
    for broker in image.brokers.values() {
        each(registration(broker));
    }
    for (broker_id, settings) in &image.broker_configs {
        for (name, value) in settings {
            each(MetadataRecord::BrokerConfigRecord(BrokerConfigRecord {
                broker_id: *broker_id,
                name: name.clone(),
                value: Some(value.clone()),
            }));
        }
    }
    for topic in image.topics.values() {
        topic_records(topic, &mut each);
    }
    for (group, settings) in &*image.group_configs {
        for (name, value) in settings {
            each(MetadataRecord::GroupConfigRecord(GroupConfigRecord {
                group: group.clone(),
                name: name.clone(),
                value: Some(value.clone()),
            }));
        }
    }
    quotas::each_record(&image.quotas, each);
}

fn registration(broker: &BrokerImage) -> MetadataRecord {
    MetadataRecord::RegisterBrokerRecord(RegisterBrokerRecord {
        broker_id: broker.id,
        incarnation_id: broker.incarnation_id,
        directory_id: broker.directory_id,
        host: broker.host.clone(),
        port: broker.port,
        rack: broker.rack.clone(),
        shard_count: broker.shard_count,
        epoch: broker.epoch,
    })
}

fn topic_records(topic: &TopicImage, each: &mut impl FnMut(MetadataRecord)) {
    let topic_id = topic.id;
    each(MetadataRecord::TopicRecord(TopicRecord {
        topic_id,
        name: topic.name.clone(),
    }));
    for (partition, state) in (0..).zip(&topic.partitions) {
        each(MetadataRecord::PartitionRecord(PartitionRecord {
            topic_id,
            partition,
            leader: state.leader,
            leader_epoch: state.leader_epoch,
            partition_epoch: state.partition_epoch,
            replicas: state.replicas.clone(),
            isr: state.isr.clone(),
            shard: state.shard,
        }));
    }
    for (name, value) in &topic.overrides {
        each(MetadataRecord::TopicConfigRecord(TopicConfigRecord {
            topic_id,
            name: name.clone(),
            value: Some(value.clone()),
        }));
    }
}

/// The state that a snapshot holds.
pub fn load(
    id: SnapshotId,
    contents: &Bytes,
    node_id: BrokerId,
    file: Settings,
) -> Result<MetadataState, SnapshotError> {
    for batch in split_batches(contents) {
        let batch = batch.map_err(BatchesError::Batch)?;
        validate_batch(&batch, &BatchRules::BROKER).map_err(BatchesError::Batch)?;
    }
    let mut loading = Loading {
        id,
        state: MetadataState::empty(node_id, file),
        position: 0,
        is_whole: false,
    };
    batches::read(contents, |offset, value| loading.record(offset, value))?;
    if !loading.is_whole {
        return Err(SnapshotError::Footer);
    }
    loading.state.finish_snapshot(id.end_offset);
    Ok(loading.state)
}

struct Loading {
    id: SnapshotId,
    state: MetadataState,
    position: Offset,
    is_whole: bool,
}

impl Loading {
    fn record(&mut self, offset: Offset, value: &[u8]) -> Result<(), SnapshotError> {
        if offset != self.position || self.is_whole {
            return Err(SnapshotError::Footer);
        }
        self.position += 1;
        if offset == 0 {
            let header = SnapshotHeaderRecord {
                end_offset: self.id.end_offset,
                epoch: self.id.epoch,
            };
            let expected = MetadataRecord::SnapshotHeaderRecord(header);
            let is_header = MetadataRecord::decode(value) == Ok(expected);
            return if is_header {
                Ok(())
            } else {
                Err(SnapshotError::Header)
            };
        }
        match MetadataRecord::decode(value) {
            Ok(MetadataRecord::SnapshotFooterRecord(footer)) => {
                self.is_whole = footer.record_count == offset - 1;
                Ok(())
            }
            _ => {
                let replayed = self.state.replay_bytes(offset, value);
                replayed.map_err(|error| BatchesError::Replay(error).into())
            }
        }
    }
}
