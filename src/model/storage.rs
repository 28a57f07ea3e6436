// SPDX-License-Identifier: Apache-2.0
//! What the storage under the data directory permits, as plain data.
//!
//! Owns: the vocabulary. Invariants: the default permits nothing; whoever does not know the storage
//! gets the slow rule that holds everywhere.
//! Runs on: every core (a value). Bounded by: its size.

use crate::limits::RECOVERY_POINT_BYTES;

/// What may be relied on when writes are made durable. Found out once, before anything is started,
/// and never changed while the broker runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// True if overwriting a block that was written before changes no metadata of its file: on ext4
    /// and XFS, and nowhere that copies on write. Then it pays to write zeros ahead of the log.
    pub write_ahead: bool,
    /// How many bytes a log grows before it notes up to where a recovery need not look, at least.
    /// They are what a start after a crash reads of each busy partition.
    pub recovery_point_bytes: u64,
}

impl Default for StorageRules {
    fn default() -> StorageRules {
        StorageRules {
            device_flush: false,
            write_ahead: false,
            recovery_point_bytes: RECOVERY_POINT_BYTES,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_not_permitted() {
        let unknown = StorageRules::default();
        assert!(!unknown.device_flush && !unknown.write_ahead);
    }
}
