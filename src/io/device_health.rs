// SPDX-License-Identifier: Apache-2.0
//! Whether a flush has failed, for all executors together.
//!
//! A flush that fails may have cost what any file of the device had in its cache, and the next one
//! succeeds without it. So from the first failure on, whichever executor it met, no flush counts.
//! (A flush of another executor that the device carried out after the failed one, and whose end was
//! taken in before the failure was, still counts: the kernel tells each ring by itself.)
//!
//! Owns: the flag. Invariants: once set it stays, for the life of the process. Runs on: every
//! executor. Bounded by: one flag.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::model::disk::DiskError;

/// One flag, shared.
#[derive(Clone, Debug, Default)]
pub struct DeviceHealth {
    has_failed: Arc<AtomicBool>,
}

impl DeviceHealth {
    /// Takes in how a flush ended; what its asker is to be told.
    ///
    /// # Errors
    /// The flush's own error, or that of a device on which one has failed before.
    pub fn judge(&self, result: Result<(), DiskError>) -> Result<(), DiskError> {
        match result {
            Err(error) => {
                self.has_failed.store(true, Ordering::SeqCst);
                Err(error)
            }
            Ok(()) if self.has_failed.load(Ordering::SeqCst) => Err(DiskError::Io(libc::EIO)),
            Ok(()) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_one_failure_no_flush_counts_on_any_executor() {
        let health = DeviceHealth::default();
        let other = health.clone();
        assert_eq!(other.judge(Ok(())), Ok(()));
        let error = DiskError::Io(libc::ENOSPC);
        assert_eq!(health.judge(Err(error)), Err(error));
        assert_eq!(other.judge(Ok(())), Err(DiskError::Io(libc::EIO)));
        assert_eq!(health.judge(Ok(())), Err(DiskError::Io(libc::EIO)));
    }
}
