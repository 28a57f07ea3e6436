// SPDX-License-Identifier: Apache-2.0
//! How much of a file's disk is zeros at its end.
//!
//! Owns: nothing. Invariants: the file is only read.
//! Runs on: the command that checks a machine. Bounded by: one read buffer, and one more read than
//! the zeros are long.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use crate::limits::{BLOCK_BYTES, ZEROS_BYTES_MAX};

/// The unit in which the kernel counts the blocks of a file, in bytes.
const COUNTED_BYTES: u64 = 512;

/// Bytes of disk behind the block with the last byte that is not zero. Blocks that the file does
/// not have (a hole) are not among them.
///
/// # Errors
/// As the system says.
pub fn zero_tail_bytes(path: &Path) -> io::Result<u64> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let block = u64::try_from(BLOCK_BYTES).expect("a small constant");
    let used_end = last_used(&file, metadata.len())?.next_multiple_of(block);
    let allocated = metadata.blocks().saturating_mul(COUNTED_BYTES);
    Ok(allocated.saturating_sub(used_end))
}

/// The end of the last byte that is not zero.
fn last_used(file: &File, len_bytes: u64) -> io::Result<u64> {
    let step = u64::try_from(ZEROS_BYTES_MAX).expect("a small constant");
    let mut buffer = vec![0; ZEROS_BYTES_MAX];
    let mut end = len_bytes;
    while end > 0 {
        let start = end.saturating_sub(step);
        let len = usize::try_from(end - start).expect("no longer than the buffer");
        let part = &mut buffer[..len];
        match file.read_exact_at(part, start) {
            // It became shorter meanwhile.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => part.fill(0),
            other => other?,
        }
        if let Some(place) = part.iter().rposition(|byte| *byte != 0) {
            return Ok(start + u64::try_from(place).expect("a place in a small buffer") + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_behind_the_last_byte_are_counted_in_blocks() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("file");
        let mut contents = vec![1; 5000];
        std::fs::write(&path, &contents).expect("write");
        let exact = zero_tail_bytes(&path).expect("it can be read");
        assert!(exact < 4096, "{exact}");
        contents.resize(5000 + 3 * ZEROS_BYTES_MAX, 0);
        std::fs::write(&path, &contents).expect("write");
        let file = File::open(&path).expect("it is there");
        file.sync_all().expect("blocks are given at the latest now");
        let zeros = zero_tail_bytes(&path).expect("it can be read");
        let wanted = u64::try_from(3 * ZEROS_BYTES_MAX).expect("small") - 4096;
        assert!((wanted..wanted + 65_536).contains(&zeros), "{zeros}");
        let file = File::options().write(true).open(&path).expect("open");
        file.set_len(1 << 30).expect("a hole is made");
        let with_hole = zero_tail_bytes(&path).expect("it can be read");
        assert!(
            with_hole < wanted + 65_536,
            "a hole is no disk: {with_hole}"
        );
        std::fs::write(&path, [0; 100]).expect("write");
        assert!(zero_tail_bytes(&path).expect("it can be read") <= 4096);
    }
}
