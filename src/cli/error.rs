// SPDX-License-Identifier: Apache-2.0
//! Errors of the commands: sentences for the person at the terminal.
//!
//! Owns: [`CliError`], [`ClientError`].
//! Invariants: a sentence names what happened, to which topic, file or address, and what to do next
//! where that is known. Runs on: the command's threads. Bounded by: one sentence.

use crate::model::error_code::ErrorCode;
use std::fmt;
use std::io;

/// Why a command failed.
#[derive(Debug)]
pub struct CliError {
    sentence: String,
    is_usage: bool,
}

impl CliError {
    /// The operation failed.
    pub fn new(sentence: impl Into<String>) -> CliError {
        CliError {
            sentence: sentence.into(),
            is_usage: false,
        }
    }

    /// The command line asks for something that cannot be meant.
    pub fn usage(sentence: impl Into<String>) -> CliError {
        CliError {
            sentence: sentence.into(),
            is_usage: true,
        }
    }

    /// The exit code of the program: 1 failed, 2 not understood.
    #[must_use]
    pub fn exit_code(&self) -> i32 {
        if self.is_usage { 2 } else { 1 }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl std::error::Error for CliError {}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> CliError {
        CliError::new(error.to_string())
    }
}

/// Why a call to a broker failed.
#[derive(Debug)]
pub enum ClientError {
    /// No connection came about.
    Connect {
        /// Where to.
        address: String,
        /// What the system says.
        cause: io::Error,
    },
    /// An open connection broke.
    Lost {
        /// Where to.
        address: String,
        /// What happened.
        cause: String,
    },
    /// The two do not understand each other.
    Protocol {
        /// Where to.
        address: String,
        /// What is not understood.
        sentence: String,
    },
    /// The broker answered with an error code.
    Refused {
        /// What was refused.
        what: String,
        /// The code.
        code: i16,
        /// What the broker says about it.
        message: Option<String>,
    },
}

impl ClientError {
    /// Trying again, after asking for the leaders again, may help.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            ClientError::Connect { .. } | ClientError::Lost { .. } => true,
            ClientError::Protocol { .. } => false,
            ClientError::Refused { code, .. } => is_retriable(*code),
        }
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::Connect { address, cause } => write!(
                f,
                "no connection to {address}: {cause}; is the broker running, and is this the \
                 address to give to --bootstrap-server?"
            ),
            ClientError::Lost { address, cause } => {
                write!(f, "the connection to {address} broke: {cause}")
            }
            ClientError::Protocol { address, sentence } => write!(f, "{address}: {sentence}"),
            ClientError::Refused {
                what,
                code,
                message,
            } => f.write_str(&refusal(what, *code, message.as_deref())),
        }
    }
}

impl std::error::Error for ClientError {}

/// Codes that pass by themselves, or after the leaders were asked for again.
#[must_use]
pub fn is_retriable(code: i16) -> bool {
    use ErrorCode as E;
    ErrorCode::from_code(code).is_some_and(|code| {
        matches!(
            code,
            E::CorruptMessage
                | E::UnknownTopicOrPartition
                | E::LeaderNotAvailable
                | E::NotLeaderOrFollower
                | E::RequestTimedOut
                | E::CoordinatorLoadInProgress
                | E::CoordinatorNotAvailable
                | E::NotCoordinator
                | E::NotEnoughReplicas
                | E::NotEnoughReplicasAfterAppend
                | E::NotController
                | E::FencedLeaderEpoch
                | E::UnknownLeaderEpoch
                | E::OffsetNotAvailable
                | E::ThrottlingQuotaExceeded
        )
    })
}

/// What was refused and why: in the broker's words if it has some, else in ours.
#[must_use]
pub fn refusal(what: &str, code: i16, message: Option<&str>) -> String {
    match (message, ErrorCode::from_code(code)) {
        (Some(message), Some(known)) if !message.is_empty() => {
            format!("{what}: {message} ({known:?})")
        }
        _ => format!("{what}: {}", describe(code)),
    }
}

/// What a code means, in words, and what to do where a person can do something.
#[must_use]
pub fn describe(code: i16) -> String {
    use ErrorCode as E;
    let Some(known) = ErrorCode::from_code(code) else {
        return format!("error {code}, which this client does not know");
    };
    let words = match known {
        E::UnknownTopicOrPartition => {
            "there is no such topic or partition; `furlong topic list` names the topics"
        }
        E::TopicAlreadyExists => "the topic exists already",
        E::InvalidTopicException => {
            "the name is not allowed (1 to 249 letters, digits, '.', '_' and '-')"
        }
        E::MessageTooLarge => {
            "the batch is larger than the topic's max.message.bytes allows; send smaller records \
             or raise it"
        }
        E::InvalidPartitions => "the number of partitions is not allowed",
        E::InvalidReplicationFactor => {
            "the replication factor is not possible with the brokers there are"
        }
        E::InvalidConfig => "a setting is not known or its value is not allowed",
        E::KafkaStorageError => "the broker's disk failed; its log says how",
        E::NotEnoughReplicas | E::NotEnoughReplicasAfterAppend => {
            "too few replicas are in sync (min.insync.replicas)"
        }
        E::LeaderNotAvailable => "the partition has no leader just now",
        E::NotLeaderOrFollower => "the broker does not lead the partition",
        E::RequestTimedOut => "the broker did not finish in time",
        E::CorruptMessage => "the record batch is damaged",
        E::OffsetOutOfRange => "the offset is outside the log",
        E::UnsupportedVersion => "the broker does not support the version of the request",
        E::TopicDeletionDisabled => "the broker does not allow topics to be deleted",
        _ => return describe_group_code(known),
    };
    format!("{words} ({known:?})")
}

/// What codes of coordinators mean.
fn describe_group_code(known: ErrorCode) -> String {
    use ErrorCode as E;
    let words = match known {
        E::GroupIdNotFound => "there is no such group; `furlong group list` names the groups",
        E::NonEmptyGroup => "the group has members; stop them first",
        E::GroupSubscribedToTopic => {
            "a member of the group consumes the topic; stop it first, or it commits again"
        }
        E::UnknownMemberId => "the group does not know the member (any more)",
        E::IllegalGeneration => "the group has gone on to another generation",
        E::RebalanceInProgress => "the group divides its partitions just now; try again",
        E::InconsistentGroupProtocol => {
            "the members of the group share partitions in another way, or it is no group of \
             consumers; give the same --assignor as they"
        }
        E::GroupMaxSizeReached => "the group has as many members as the broker allows",
        E::UnreleasedInstanceId => {
            "a member with the name of --instance has not left; stop it, or wait for the end of \
             its session if it died"
        }
        E::FencedMemberEpoch | E::StaleMemberEpoch => "the member's epoch is another one by now",
        E::FencedInstanceId => "another process has taken the member's name",
        E::InvalidGroupId => "the name of the group is not allowed",
        E::CoordinatorNotAvailable => "there is no coordinator just now; try again",
        E::CoordinatorLoadInProgress => "the coordinator is still reading its log; try again",
        E::NotCoordinator => "the broker does not coordinate it any more; try again",
        E::TransactionalIdNotFound => {
            "there is no such transactional id; `furlong txn list` names them"
        }
        E::ConcurrentTransactions => "a transaction of it is being ended; try again",
        E::ProducerFenced | E::InvalidProducerEpoch => "a newer producer has taken its place",
        E::InvalidTxnState => "its transaction is not in a state that allows that",
        E::InvalidRegularExpression => "the pattern is no regular expression that the broker reads",
        E::TransactionCoordinatorFenced => "a newer coordinator has taken over",
        _ => return format!("{known:?} ({})", known.code()),
    };
    format!("{words} ({known:?})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_name_what_failed_and_what_to_do() {
        let refused = ClientError::Refused {
            what: "topic peas".into(),
            code: 36,
            message: Some("It is there since Monday.".into()),
        };
        assert_eq!(
            refused.to_string(),
            "topic peas: It is there since Monday. (TopicAlreadyExists)"
        );
        assert!(!refused.is_retriable());
        assert_eq!(
            describe(9999),
            "error 9999, which this client does not know"
        );
        assert!(is_retriable(6));
        assert!(!is_retriable(10));
        assert!(!is_retriable(9999));
    }
}
