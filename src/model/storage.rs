// SPDX-License-Identifier: Apache-2.0
//! What the storage under the data directory permits, as plain data.
//!
//! Owns: the vocabulary. Invariants: the default permits nothing; whoever does not know the storage
//! gets the slow rule that holds everywhere.
//! Runs on: every core (a value). Bounded by: its size.

/// What may be relied on when writes are made durable. Found out once, before anything is started,
/// and never changed while the broker runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StorageRules {
    /// True if one flush (`fdatasync`) of a clean file of the data directory makes every COMPLETED
    /// direct overwrite of initialised blocks durable, of every file on the device. Such an
    /// overwrite changes no metadata, so what is left to do is one flush of the device's cache, and
    /// that flush does not ask whose blocks they were.
    ///
    /// It holds only on ext4 with barriers and without `data=journal`, and on XFS that was made
    /// with `reflink=0` and has no realtime device. Anywhere else (copy on write, network, FUSE,
    /// overlay, memory) every file needs a flush of its own. It never holds for a file whose
    /// length, extents or name have changed since its own last flush: that is the log's business.
    pub device_flush: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_not_permitted() {
        assert!(!StorageRules::default().device_flush);
    }
}
