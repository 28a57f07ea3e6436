// SPDX-License-Identifier: Apache-2.0
//! Why bytes are not a metadata record.
//!
//! Owns: [`SchemaError`]. Invariants: each is a sentence. Runs on: any core. Bounded by: its
//! variants.

use std::fmt;

/// Why bytes are not a metadata record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaError {
    /// The bytes do not begin as a metadata record does.
    NotARecord,
    /// An offset or length points outside the bytes.
    OutOfBounds,
    /// A release with another schema wrote it.
    UnknownVersion {
        /// Version that it carries.
        version: u8,
    },
    /// A release with more kinds of records wrote it.
    UnknownKind {
        /// Kind that it carries.
        kind: u8,
    },
    /// A field that this kind of record must have is missing.
    Missing {
        /// Its name.
        field: &'static str,
    },
    /// A field has a value that it cannot have.
    Invalid {
        /// Its name.
        field: &'static str,
    },
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SchemaError::NotARecord => f.write_str("the bytes are not a metadata record"),
            SchemaError::OutOfBounds => {
                f.write_str("the metadata record is damaged: an offset points outside of it")
            }
            SchemaError::UnknownVersion { version } => write!(
                f,
                "the metadata record has version {version}, which a newer release wrote"
            ),
            SchemaError::UnknownKind { kind } => write!(
                f,
                "the metadata record is of kind {kind}, which a newer release wrote"
            ),
            SchemaError::Missing { field } => {
                write!(f, "the metadata record has no field {field}")
            }
            SchemaError::Invalid { field } => {
                write!(f, "the metadata record has an impossible {field}")
            }
        }
    }
}

impl std::error::Error for SchemaError {}
