// SPDX-License-Identifier: Apache-2.0
//! What is asked of the controller, and its answers, free of wire formats.
//!
//! Owns: the vocabulary between shards and the controller. Invariants: an answer is made only once
//! the records that make it true are committed and replayed. Runs on: made on any core, handled on
//! the control shard.
//! Bounded by: the frame that asked.

use bytestring::ByteString;

use crate::model::error_code::ErrorCode;
use crate::model::ids::{BrokerId, LeaderEpoch, Offset, ShardId, TopicId};
use crate::model::quota::{QuotaEntity, QuotaKind, QuotaValue};

/// A request to the controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlRequest {
    /// Make topics.
    CreateTopics {
        /// Which.
        topics: Vec<NewTopic>,
        /// Check only.
        validate_only: bool,
    },
    /// Add partitions to topics.
    CreatePartitions {
        /// Which.
        topics: Vec<MorePartitions>,
        /// Check only.
        validate_only: bool,
    },
    /// Delete topics.
    DeleteTopics {
        /// Which, by name or id.
        topics: Vec<TopicSelector>,
    },
    /// Change settings one by one (KIP-339).
    AlterConfigs {
        /// Which.
        resources: Vec<ConfigResourceChange>,
        /// Check only.
        validate_only: bool,
    },
    /// Change quotas (KIP-546).
    AlterQuotas {
        /// Which.
        entities: Vec<QuotaChange>,
        /// Check only.
        validate_only: bool,
    },
    /// Make or take away partitions for a client that has a quota of that (KIP-599).
    Metered {
        /// The client.
        asker: MutationAsker,
        /// What it asks.
        request: Box<ControlRequest>,
    },
    /// A block of producer ids (KIP-730).
    AllocateProducerIds,
    /// How far the metadata is.
    DescribeQuorum,
    /// Have another data shard of this broker own a partition.
    MovePartition {
        /// Name of the topic.
        topic: ByteString,
        /// Which partition of it.
        partition: i32,
        /// The new owner.
        to: ShardId,
    },
}

/// Who asks for changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MutationAsker {
    /// The user.
    pub user: ByteString,
    /// What the client calls itself.
    pub client_id: ByteString,
    /// It can be told that its quota is used up; older versions are only made to wait.
    pub is_strict: bool,
}

/// A topic to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Name.
    pub name: ByteString,
    /// Number of partitions, -1 for the broker's default.
    pub num_partitions: i32,
    /// Replication factor, -1 for the broker's default.
    pub replication_factor: i16,
    /// Replica assignment by partition; empty to let the controller choose.
    pub assignments: Vec<(i32, Vec<BrokerId>)>,
    /// Settings in text form, `None` for the default.
    pub configs: Vec<(ByteString, Option<ByteString>)>,
}

/// More partitions for a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MorePartitions {
    /// Its name.
    pub name: ByteString,
    /// How many it is to have.
    pub count: i32,
    /// Replicas of each new one, preferred leader first; `None` to let the controller choose.
    pub assignments: Option<Vec<Vec<BrokerId>>>,
}

/// A topic by name or by id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TopicSelector {
    /// By name.
    Name(ByteString),
    /// By id.
    Id(TopicId),
}

/// What settings belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigResource {
    /// A topic.
    Topic(ByteString),
    /// A broker, or all brokers.
    Broker(Option<BrokerId>),
    /// A group, whether there is one of this name or not.
    Group(ByteString),
}

/// How one setting changes (the numbers of IncrementalAlterConfigs).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigOperation {
    /// Set it (0).
    Set,
    /// Back to the default (1).
    Delete,
    /// Append to a list (2).
    Append,
    /// Remove from a list (3).
    Subtract,
}

/// Changes to the settings of one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigResourceChange {
    /// Whose.
    pub resource: ConfigResource,
    /// What was set before and is not named goes back to its default.
    pub replaces: bool,
    /// In order.
    pub changes: Vec<(ByteString, ConfigOperation, Option<ByteString>)>,
}

/// Changes to the quotas of one entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaChange {
    /// Whose.
    pub entity: QuotaEntity,
    /// What, and how much from now on; `None` takes it away. In order.
    pub changes: Vec<(QuotaKind, Option<QuotaValue>)>,
}

/// An outcome for one named thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Kafka's code.
    pub code: ErrorCode,
    /// What happened and what to do, for a person.
    pub message: ByteString,
}

/// A topic that was made (or would be, with `validate_only`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Its id (zero with `validate_only`).
    pub id: TopicId,
    /// Partitions.
    pub num_partitions: i32,
    /// Replication factor.
    pub replication_factor: i16,
}

/// A topic that was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedTopic {
    /// Its name.
    pub name: ByteString,
    /// Its id.
    pub id: TopicId,
}

/// The controller's answer, in the order of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlAnswer {
    /// To `CreateTopics`: name and outcome.
    CreateTopics(Vec<(ByteString, Result<CreatedTopic, Refusal>)>),
    /// To `CreatePartitions`: name and outcome.
    CreatePartitions(Vec<(ByteString, Result<(), Refusal>)>),
    /// To `DeleteTopics`.
    DeleteTopics(Vec<(TopicSelector, Result<DeletedTopic, Refusal>)>),
    /// To `AlterConfigs`.
    AlterConfigs(Vec<(ConfigResource, Result<(), Refusal>)>),
    /// To `AlterQuotas`, in order.
    AlterQuotas(Vec<Result<(), Refusal>>),
    /// To `AllocateProducerIds`: first id and how many.
    ProducerIds {
        /// First of the block.
        first: i64,
        /// How many.
        count: i64,
    },
    /// To `DescribeQuorum`.
    Quorum {
        /// The epoch in which this broker leads.
        leader_epoch: LeaderEpoch,
        /// Offset after the last committed record.
        high_watermark: Offset,
    },
    /// To `MovePartition`: the shard that owned it before.
    MovePartition(Result<ShardId, Refusal>),
    /// To `Metered`, if the client is to be held back.
    Throttled {
        /// For how long.
        ms: i32,
        /// The answer.
        answer: Box<ControlAnswer>,
    },
    /// The controller cannot answer now (metadata log failed or stopping).
    Unavailable,
}
