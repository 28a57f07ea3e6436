// SPDX-License-Identifier: Apache-2.0
//! The file whose flush stands for the flush of a whole device.
//!
//! Owns: the name `device-flush`. Invariants: the file is empty and stays so, and its name and
//! itself are durable before it is used; therefore its fdatasync finds nothing of its own to write
//! and is the device's flush alone. Opened for reading only, so that nobody can write to it by
//! mistake.
//! Runs on: boot; each user has a descriptor of its own. Bounded by: one empty file.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::Path;

/// Its name in the data directory. No directory of a partition can have it: those end in a number.
pub const NAME: &str = "device-flush";

/// Opens the file, which is made if it is missing.
///
/// # Errors
/// As the system says; `InvalidData` if something else has the name.
pub fn open(directory: &Path) -> io::Result<File> {
    let path = directory.join(NAME);
    match OpenOptions::new().write(true).create_new(true).open(&path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let file = File::open(&path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() != 0 {
        return Err(io::Error::new(
            ErrorKind::InvalidData,
            format!(
                "{} is not the empty file that it must be; move it away",
                path.display()
            ),
        ));
    }
    file.sync_all()?;
    File::open(directory)?.sync_all()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_file_is_made_once_and_stays_empty() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for _ in 0..2 {
            let file = open(directory.path()).expect("it opens");
            file.sync_data()
                .expect("a file that is open for reading can be flushed");
            assert_eq!(file.metadata().expect("length").len(), 0);
        }
        assert_eq!(fs::read_dir(directory.path()).expect("list").count(), 1);
    }

    #[test]
    fn something_else_with_its_name_is_refused() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::write(directory.path().join(NAME), "x").expect("write");
        let error = open(directory.path()).expect_err("not empty");
        assert!(error.to_string().contains("move it away"), "{error}");
        fs::remove_file(directory.path().join(NAME)).expect("remove");
        fs::create_dir(directory.path().join(NAME)).expect("directory");
        open(directory.path()).expect_err("a directory");
    }
}
