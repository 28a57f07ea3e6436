// SPDX-License-Identifier: Apache-2.0
//! The file `clean-shutdown`: the log was stopped in order, and nothing needs to be scanned. Text:
//! ```text
//! 0                    version
//! 1200 1534 90211      base offset of the last segment, log end offset, exact length of its file
//! 3f20a1c4             CRC-32 (IEEE) of the two lines above, hexadecimal
//! ```
//!
//! Owns: the layout. Invariants: written last at a stop, removed durably before anything is
//! appended again; it counts only if it fits what lies in the directory. Runs on: the core of the
//! partition. Bounded by: three lines.

use crate::model::ids::Offset;

/// File name.
pub const CLEAN_SHUTDOWN: &str = "clean-shutdown";

/// What a clean stop left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanMarker {
    /// Base offset of the last segment.
    pub segment_base: Offset,
    /// Log end offset.
    pub log_end: Offset,
    /// Exact length of the last segment's file.
    pub segment_bytes: u64,
}

impl CleanMarker {
    /// The contents of the file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let head = format!(
            "0\n{} {} {}\n",
            self.segment_base, self.log_end, self.segment_bytes
        );
        let crc = crc32fast::hash(head.as_bytes());
        format!("{head}{crc:08x}\n").into_bytes()
    }

    /// Reads the file; `None` if it is damaged.
    #[must_use]
    pub fn decode(file: &[u8]) -> Option<CleanMarker> {
        let text = std::str::from_utf8(file).ok()?;
        let (_, after_version) = text.split_once('\n')?;
        let mut fields = after_version.lines().next()?.split(' ');
        let marker = CleanMarker {
            segment_base: fields.next()?.parse().ok()?,
            log_end: fields.next()?.parse().ok()?,
            segment_bytes: fields.next()?.parse().ok()?,
        };
        // One text for each marker: comparing it checks version, form and checksum at once.
        (marker.encode() == file).then_some(marker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_comes_back_and_damage_is_refused() {
        let marker = CleanMarker {
            segment_base: 1200,
            log_end: 1534,
            segment_bytes: 90_211,
        };
        let file = marker.encode();
        assert!(file.starts_with(b"0\n1200 1534 90211\n"));
        assert_eq!(CleanMarker::decode(&file), Some(marker));
        for place in 0..file.len() {
            let mut bad = file.clone();
            bad[place] ^= 1;
            assert_eq!(CleanMarker::decode(&bad), None, "byte {place}");
            assert_eq!(CleanMarker::decode(&file[..place]), None, "cut at {place}");
        }
    }
}
