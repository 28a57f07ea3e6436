// SPDX-License-Identifier: Apache-2.0
//! Broken brokers, which the power-cut rig must find out (`tests/crash/mutations`).
//!
//! Owns: the list of what may be broken, and in the rig's own build which of it is.
//! Invariants: only a build with `--cfg furlong_mutations` can be broken; in every other one the
//! question is a constant, and the compiler removes what depends on it.
//! Runs on: every core. Bounded by: one choice for a process, made before anything else runs.

/// What one broken broker does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// Answers before the flush that it should wait for.
    FlushSkipped,
    /// Takes every block of a file for initialised, so that one flush of the device covers it.
    DeviceFlushAlways,
    /// Forgets that the zeros ahead of the data changed the file's metadata.
    MetadataForgotten,
    /// Forgets blocks that files share on XFS.
    ReflinkForgotten,
    /// Allows one flush for the whole device on any file system.
    AnyFileSystem,
}

/// True if this process was told to do wrong in this way: never in a build that is not the rig's.
#[cfg(not(furlong_mutations))]
#[must_use]
pub const fn is_broken(_mutation: Mutation) -> bool {
    false
}

#[cfg(furlong_mutations)]
pub use chosen::{choose, is_broken};

#[cfg(furlong_mutations)]
mod chosen {
    use std::sync::OnceLock;

    use super::Mutation;

    const NAMES: [(&str, Mutation); 5] = [
        ("flush_skipped", Mutation::FlushSkipped),
        ("device_flush_always", Mutation::DeviceFlushAlways),
        ("metadata_forgotten", Mutation::MetadataForgotten),
        ("reflink_forgotten", Mutation::ReflinkForgotten),
        ("any_file_system", Mutation::AnyFileSystem),
    ];

    static CHOSEN: OnceLock<Mutation> = OnceLock::new();

    /// Breaks this process in the way of that name; false if there is none, or it is broken
    /// already.
    pub fn choose(name: &str) -> bool {
        let found = NAMES.iter().find(|(known, _)| *known == name);
        found.is_some_and(|(_, mutation)| CHOSEN.set(*mutation).is_ok())
    }

    /// True if this process was told to do wrong in this way.
    #[must_use]
    pub fn is_broken(mutation: Mutation) -> bool {
        CHOSEN.get() == Some(&mutation)
    }
}
