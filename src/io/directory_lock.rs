// SPDX-License-Identifier: Apache-2.0
//! One process for each data directory.
//!
//! Owns: the lock on the file `.lock`. Invariants: held until the process ends, however it ends;
//! the file names the process that holds it. Runs on: boot. Bounded by: one file.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

/// The lock; dropping it gives the directory free.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}

/// Why there is no lock.
#[derive(Debug)]
pub enum LockError {
    /// Another process holds it, with this id if the file says so.
    Held(Option<u32>),
    /// The file cannot be used.
    Io(io::Error),
}

impl DirectoryLock {
    /// Locks a directory.
    ///
    /// # Errors
    /// See [`LockError`].
    pub fn acquire(directory: &Path) -> Result<DirectoryLock, LockError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(directory.join(".lock"))
            .map_err(LockError::Io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LockError::Held(holder(&mut file))),
            Err(TryLockError::Error(error)) => return Err(LockError::Io(error)),
        }
        write_holder(&mut file).map_err(LockError::Io)?;
        Ok(DirectoryLock { _file: file })
    }
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn write_holder(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_locked_once_and_the_second_learns_by_whom() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let lock = DirectoryLock::acquire(directory.path()).expect("free");
        match DirectoryLock::acquire(directory.path()) {
            Err(LockError::Held(Some(process))) => assert_eq!(process, std::process::id()),
            other => panic!("{other:?}"),
        }
        drop(lock);
        DirectoryLock::acquire(directory.path()).expect("free again");
    }
}
