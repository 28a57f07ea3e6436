// SPDX-License-Identifier: Apache-2.0
//! What can be wrong with a message, in each direction.
//!
//! Owns: the two error enums and their sentences.
//! Invariants: both are small and borrow nothing from the input, so a refused frame keeps no
//! memory.
//! Runs on: every core. Bounded by: their size.

use std::fmt;

/// Why bytes are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The bytes end in the middle of a value.
    Truncated {
        /// Bytes that the value needs.
        needed: usize,
        /// Bytes that are left.
        remaining: usize,
    },
    /// A varint goes on past its fifth byte or does not fit 32 bits.
    VarintTooLong,
    /// A length or count is below -1, or past what 32 bits with a sign can hold.
    LengthOutOfRange,
    /// A value is null in a version that does not allow it.
    Null {
        /// The field.
        field: &'static str,
    },
    /// A string is not UTF-8.
    NotUtf8 {
        /// The field.
        field: &'static str,
    },
    /// An array announces more elements than the remaining bytes can hold.
    CountBeyondBytes {
        /// The field.
        field: &'static str,
        /// The announced count.
        count: usize,
    },
    /// An array announces more elements than this broker accepts.
    CountBeyondLimit {
        /// The field.
        field: &'static str,
        /// The announced count.
        count: usize,
        /// The accepted count.
        limit: usize,
    },
    /// The decoded form would take more memory than the frame may cause.
    MemoryBeyondBudget {
        /// The field that was to be reserved.
        field: &'static str,
    },
    /// Tags repeat or do not rise.
    TagsNotRising {
        /// The offending tag.
        tag: u32,
    },
    /// A value does not fill the length that was announced for it, or bytes follow the message.
    TrailingBytes {
        /// Bytes left over.
        remaining: usize,
    },
    /// The version is outside what is described here.
    Version {
        /// The API key.
        api_key: i16,
        /// The version.
        version: i16,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            DecodeError::Truncated { needed, remaining } => {
                write!(f, "a value needs {needed} bytes and {remaining} are left")
            }
            DecodeError::VarintTooLong => f.write_str("a varint does not fit 32 bits"),
            DecodeError::LengthOutOfRange => f.write_str("a length is out of range"),
            DecodeError::Null { field } => {
                write!(f, "{field} is null where this version does not allow it")
            }
            DecodeError::NotUtf8 { field } => write!(f, "{field} is not UTF-8"),
            DecodeError::CountBeyondBytes { field, count } => {
                write!(
                    f,
                    "{field} announces {count} elements, more than the frame can hold"
                )
            }
            DecodeError::CountBeyondLimit {
                field,
                count,
                limit,
            } => {
                write!(
                    f,
                    "{field} announces {count} elements, {limit} are accepted"
                )
            }
            DecodeError::MemoryBeyondBudget { field } => {
                write!(
                    f,
                    "{field} would take more memory than a frame of this size may cause"
                )
            }
            DecodeError::TagsNotRising { tag } => {
                write!(f, "the tagged field {tag} is repeated or out of order")
            }
            DecodeError::TrailingBytes { remaining } => {
                write!(f, "{remaining} bytes are left over after a value")
            }
            DecodeError::Version { api_key, version } => {
                write!(f, "version {version} of API {api_key} is not known")
            }
        }
    }
}

impl std::error::Error for DecodeError {}

/// Why a value cannot be written in a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodeError {
    /// A field that this version does not have holds something other than its default, and it
    /// matters.
    NotExpressible {
        /// The field.
        field: &'static str,
        /// The version.
        version: i16,
    },
    /// A field is null and this version does not allow it.
    Null {
        /// The field.
        field: &'static str,
        /// The version.
        version: i16,
    },
    /// A string, array or message is longer than its length field can say.
    TooLong {
        /// The field.
        field: &'static str,
    },
    /// The version is outside what is described here.
    Version {
        /// The API key.
        api_key: i16,
        /// The version.
        version: i16,
    },
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            EncodeError::NotExpressible { field, version } => {
                write!(
                    f,
                    "version {version} has no field {field} and its value is not the default"
                )
            }
            EncodeError::Null { field, version } => {
                write!(f, "{field} is null, which version {version} does not allow")
            }
            EncodeError::TooLong { field } => write!(f, "{field} is too long for its length field"),
            EncodeError::Version { api_key, version } => {
                write!(f, "version {version} of API {api_key} is not known")
            }
        }
    }
}

impl std::error::Error for EncodeError {}
