// SPDX-License-Identifier: Apache-2.0
//! Kafka's error codes, by Kafka's names (`Errors.java` of Apache Kafka 4.3).
//!
//! Owns: the numbers. Invariants: a number here never changes its meaning. Runs on: every core.
//! Bounded by: the list.

macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// A Kafka error code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i16)]
        pub enum ErrorCode { $($(#[$doc])* $name = $code,)* }

        impl ErrorCode {
            /// The number on the wire.
            #[must_use]
            pub const fn code(self) -> i16 { self as i16 }

            /// The code with this number, if this broker knows it.
            #[must_use]
            pub const fn from_code(code: i16) -> Option<ErrorCode> {
                match code { $($code => Some(ErrorCode::$name),)* _ => None }
            }
        }
    };
}

error_codes! {
    /// Something unexpected happened on the broker.
    UnknownServerError = -1,
    /// No error.
    None = 0,
    /// The offset is outside the log.
    OffsetOutOfRange = 1,
    /// A record batch fails its checksum or is otherwise damaged.
    CorruptMessage = 2,
    /// No such topic or partition here.
    UnknownTopicOrPartition = 3,
    /// The fetch size is invalid.
    InvalidFetchSize = 4,
    /// The partition has no leader just now.
    LeaderNotAvailable = 5,
    /// This broker does not lead the partition.
    NotLeaderOrFollower = 6,
    /// The request took too long.
    RequestTimedOut = 7,
    /// The batch is larger than the topic allows.
    MessageTooLarge = 10,
    /// What is kept with a committed offset is too long.
    OffsetMetadataTooLarge = 12,
    /// The coordinator is loading.
    CoordinatorLoadInProgress = 14,
    /// There is no coordinator just now.
    CoordinatorNotAvailable = 15,
    /// This broker is not the coordinator.
    NotCoordinator = 16,
    /// The topic name or operation on a topic is not allowed.
    InvalidTopicException = 17,
    /// The record list is larger than a segment.
    RecordListTooLarge = 18,
    /// Fewer members in the ISR than `min.insync.replicas`.
    NotEnoughReplicas = 19,
    /// The ISR shrank below `min.insync.replicas` after the append.
    NotEnoughReplicasAfterAppend = 20,
    /// The number of acknowledgements is none of -1, 0, 1.
    InvalidRequiredAcks = 21,
    /// The generation of the group is another one.
    IllegalGeneration = 22,
    /// The member offers no protocol that all members of the group can do.
    InconsistentGroupProtocol = 23,
    /// The name of the group is not allowed.
    InvalidGroupId = 24,
    /// The group has no such member.
    UnknownMemberId = 25,
    /// The session timeout is outside what the broker allows.
    InvalidSessionTimeout = 26,
    /// The group is forming a new generation.
    RebalanceInProgress = 27,
    /// The committed offsets are too large to be kept.
    InvalidCommitOffsetSize = 28,
    /// Not authorised for the topic.
    TopicAuthorizationFailed = 29,
    /// Not authorised for the group.
    GroupAuthorizationFailed = 30,
    /// Not authorised for the cluster.
    ClusterAuthorizationFailed = 31,
    /// The timestamp is outside what the topic allows.
    InvalidTimestamp = 32,
    /// The version of the request is not supported.
    UnsupportedVersion = 35,
    /// The topic exists.
    TopicAlreadyExists = 36,
    /// The number of partitions is invalid.
    InvalidPartitions = 37,
    /// The replication factor is invalid.
    InvalidReplicationFactor = 38,
    /// The replica assignment is invalid.
    InvalidReplicaAssignment = 39,
    /// A configuration name or value is invalid.
    InvalidConfig = 40,
    /// This node is not the controller.
    NotController = 41,
    /// The request is malformed.
    InvalidRequest = 42,
    /// The message format does not support the request.
    UnsupportedForMessageFormat = 43,
    /// A policy forbids it.
    PolicyViolation = 44,
    /// The sequence number is not the expected one.
    OutOfOrderSequenceNumber = 45,
    /// The sequence number was seen before.
    DuplicateSequenceNumber = 46,
    /// The producer epoch is old.
    InvalidProducerEpoch = 47,
    /// The transaction state does not allow it.
    InvalidTxnState = 48,
    /// The producer id does not belong to the transactional id.
    InvalidProducerIdMapping = 49,
    /// The transaction timeout is too large.
    InvalidTransactionTimeout = 50,
    /// Another operation of the same transaction is under way.
    ConcurrentTransactions = 51,
    /// A newer coordinator has written to the partition.
    TransactionCoordinatorFenced = 52,
    /// Not authorised for the transactional id.
    TransactionalIdAuthorizationFailed = 53,
    /// No authorizer is configured.
    SecurityDisabled = 54,
    /// It was not tried, because a part of the same request was refused.
    OperationNotAttempted = 55,
    /// The disk failed.
    KafkaStorageError = 56,
    /// The producer id is not known to this partition.
    UnknownProducerId = 59,
    /// The group has members.
    NonEmptyGroup = 68,
    /// There is no such group.
    GroupIdNotFound = 69,
    /// A fetch session id is not known.
    FetchSessionIdNotFound = 70,
    /// A fetch session epoch is not the expected one.
    InvalidFetchSessionEpoch = 71,
    /// Topic deletion is switched off.
    TopicDeletionDisabled = 73,
    /// The leader epoch of the request is older than the leader's.
    FencedLeaderEpoch = 74,
    /// The leader epoch of the request is newer than the leader's.
    UnknownLeaderEpoch = 75,
    /// The codec is not supported by the version.
    UnsupportedCompressionType = 76,
    /// The broker epoch is old.
    StaleBrokerEpoch = 77,
    /// The log does not reach so far yet.
    OffsetNotAvailable = 78,
    /// The member is to join again under the id that it was given.
    MemberIdRequired = 79,
    /// The preferred leader is not available.
    PreferredLeaderNotAvailable = 80,
    /// The group has as many members as it may have.
    GroupMaxSizeReached = 81,
    /// Another member has taken the place of this static member.
    FencedInstanceId = 82,
    /// No eligible leader is available.
    EligibleLeadersNotAvailable = 83,
    /// The election is not needed.
    ElectionNotNeeded = 84,
    /// The group has subscribed to the topic.
    GroupSubscribedToTopic = 86,
    /// A record is invalid.
    InvalidRecord = 87,
    /// An open transaction may still change the offset.
    UnstableOffsetCommit = 88,
    /// The throttling quota is exceeded.
    ThrottlingQuotaExceeded = 89,
    /// The producer was fenced.
    ProducerFenced = 90,
    /// A resource is not there.
    ResourceNotFound = 91,
    /// The same resource was named twice.
    DuplicateResource = 92,
    /// The voters of the metadata quorum are inconsistent.
    InconsistentVoterSet = 94,
    /// The level of the feature does not allow it.
    InvalidUpdateVersion = 95,
    /// The levels of features could not be changed.
    FeatureUpdateFailed = 96,
    /// The topic id is not known.
    UnknownTopicId = 100,
    /// A broker with this id is registered already.
    DuplicateBrokerRegistration = 101,
    /// The broker id is not registered.
    BrokerIdNotRegistered = 102,
    /// The topic id does not match the one of the log.
    InconsistentTopicId = 103,
    /// The cluster id is another one.
    InconsistentClusterId = 104,
    /// The transactional id is not known.
    TransactionalIdNotFound = 105,
    /// A fetch session names topics by id and the request does not, or the other way round.
    FetchSessionTopicIdError = 106,
    /// The member's epoch is another one: it must give up all and join again.
    FencedMemberEpoch = 110,
    /// Another member has the instance id.
    UnreleasedInstanceId = 111,
    /// There is no such assignor, or it is not allowed.
    UnsupportedAssignor = 112,
    /// The member's epoch is another one: it must hear of the new one first.
    StaleMemberEpoch = 113,
    /// The request was meant for another kind of endpoint.
    MismatchedEndpointType = 114,
    /// The kind of endpoint is not supported.
    UnsupportedEndpointType = 115,
    /// Only to abort the transaction is left.
    TransactionAbortable = 120,
    /// The regular expression cannot be read.
    InvalidRegularExpression = 128,
}
