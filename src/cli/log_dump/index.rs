// SPDX-License-Identifier: Apache-2.0
//! The entries of index files.
//!
//! Owns: reading `.index` (relative offset, position) and `.timeindex` (timestamp, relative
//! offset).
//! Invariants: an index whose entries do not rise is called damaged; zeros at its end are space
//! that was prepared. Runs on: the caller's thread. Bounded by: one index file.

use std::io::{self, Write};

use super::DumpArguments;
use super::form::{Item, write};

/// Which index a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Offsets to positions in the log file.
    Offset,
    /// Timestamps to offsets.
    Time,
}

impl Kind {
    fn entry_bytes(self) -> usize {
        match self {
            Kind::Offset => 8,
            Kind::Time => 12,
        }
    }

    pub(super) fn names(self) -> (&'static str, &'static str) {
        match self {
            Kind::Offset => ("offset", "position"),
            Kind::Time => ("timestamp", "offset"),
        }
    }

    fn read(self, entry: &[u8], base_offset: i64) -> (i64, i64) {
        let short = |four: &[u8]| i64::from(i32::from_be_bytes(four.try_into().expect("4 bytes")));
        match self {
            Kind::Offset => (
                base_offset.saturating_add(short(&entry[..4])),
                short(&entry[4..]),
            ),
            Kind::Time => {
                let timestamp = i64::from_be_bytes(entry[..8].try_into().expect("8 bytes"));
                (timestamp, base_offset.saturating_add(short(&entry[8..])))
            }
        }
    }
}

/// Prints an index; gives a sentence if its entries do not rise.
pub(super) fn dump(
    kind: Kind,
    bytes: &[u8],
    base_offset: i64,
    arguments: &DumpArguments,
    output: &mut impl Write,
) -> io::Result<Option<String>> {
    let format = arguments.format.format;
    let (first, second) = kind.names();
    let whole = bytes.len() - bytes.len() % kind.entry_bytes();
    let mut entries: Vec<&[u8]> = bytes[..whole].chunks_exact(kind.entry_bytes()).collect();
    let all = entries.len();
    // The first entry of an index may be all zeros in earnest.
    while entries.len() > 1 && entries.last().is_some_and(|last| super::is_zero(last)) {
        entries.pop();
    }
    let mut before = None;
    let mut damage = None;
    for (place, entry) in entries.iter().enumerate() {
        let (a, b) = kind.read(entry, base_offset);
        if arguments.entries {
            let entry = (a, b);
            write(format, &Item::Entry { kind, entry }, output)?;
        }
        if before.is_some_and(|(c, d)| a < c || b < d) && damage.is_none() {
            damage = Some(format!(
                "entry {place} ({first} {a}, {second} {b}) goes backwards"
            ));
        }
        before = Some((a, b));
    }
    let end = Item::IndexEnd {
        kind,
        entries: entries.len(),
        last: before,
        zero_entries: all - entries.len(),
        odd_bytes: bytes.len() - whole,
    };
    write(format, &end, output)?;
    Ok(damage)
}
