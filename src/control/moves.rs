// SPDX-License-Identifier: Apache-2.0
//! Another data shard of this broker for a partition.
//!
//! Owns: [`plan`]. Invariants: leader, epoch and replicas stay as they are: the log is handed over
//! whole, by the same process. A start with another number of shards spreads all partitions again
//! and forgets moves. Runs on: the control shard. Bounded by: one partition a request.

use super::record_list::RecordList;
use super::request::Refusal;
use super::state::MetadataState;
use super::topics::refusal;
use crate::model::error_code::ErrorCode;
use crate::model::ids::ShardId;
use crate::wire::schema::record::{MetadataRecord, PartitionChangeRecord};

/// Plans a move; gives the shard that owns the partition now.
pub(super) fn plan(
    state: &MetadataState,
    topic: &str,
    partition: i32,
    to: ShardId,
    list: &mut RecordList,
) -> Result<ShardId, Refusal> {
    let image = state.image();
    let unknown = |what: String| refusal(ErrorCode::UnknownTopicOrPartition, what);
    let Some(found) = image.topics.get(topic) else {
        let name = topic.escape_default();
        return Err(unknown(format!("There is no topic \"{name}\".")));
    };
    let index = usize::try_from(partition).ok();
    let Some(now) = index.and_then(|index| found.partitions.get(index)) else {
        let count = found.partitions.len();
        return Err(unknown(format!(
            "Topic {topic} has {count} partitions, counted from 0; there is no partition \
             {partition}."
        )));
    };
    if now.leader != Some(state.node_id()) {
        let message = format!("This broker does not lead partition {partition} of {topic}.");
        return Err(refusal(ErrorCode::NotLeaderOrFollower, message));
    }
    let broker = image.brokers.get(&state.node_id());
    let shard_count = broker.map_or(0, |broker| broker.shard_count);
    if to.0 >= shard_count {
        let message =
            format!("There is no shard {to}: this broker has {shard_count}, counted from 0.");
        return Err(refusal(ErrorCode::InvalidRequest, message));
    }
    if now.shard != to {
        let record = MetadataRecord::PartitionChangeRecord(PartitionChangeRecord {
            topic_id: found.id,
            partition,
            leader: now.leader,
            leader_epoch: now.leader_epoch,
            partition_epoch: now.partition_epoch + 1,
            isr: now.isr.clone(),
            shard: to,
        });
        list.extend(vec![record])
            .map_err(|error| refusal(ErrorCode::PolicyViolation, error.to_string()))?;
    }
    Ok(now.shard)
}
