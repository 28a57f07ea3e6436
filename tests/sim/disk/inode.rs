// SPDX-License-Identifier: Apache-2.0
//! The bytes of one file: what a reader sees, what would survive a power cut, and the changes
//! between the two.
//!
//! Invariants: `current` is `durable` with every pending change applied in order; a power cut
//! leaves, for every sector, one of the versions it has had since the last flush, and as length one
//! of the lengths since then.

use std::collections::BTreeSet;

use furlong::limits::BLOCK_BYTES;

use crate::prng::Prng;
use crate::stats::Stats;

/// Sectors are written whole or not at all; larger writes are not.
pub const SECTOR_BYTES: usize = 512;

/// One change of a file.
#[derive(Clone, Debug)]
pub enum Change {
    /// Bytes at a position; a write past the end extends.
    Write { position: usize, bytes: Vec<u8> },
    /// A cut or an extension with zeros.
    SetLength { len: usize },
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Change::Write { position, bytes } => {
                let end = position + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*position..end].copy_from_slice(bytes);
            }
            Change::SetLength { len } => content.resize(*len, 0),
        }
    }

    fn len_after(&self, len_before: usize) -> usize {
        match self {
            Change::Write { position, bytes } => len_before.max(position + bytes.len()),
            Change::SetLength { len } => *len,
        }
    }
}

/// How much of a write survived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Kept,
    Lost,
    /// The first sectors only.
    Prefix(usize),
    /// Each sector by its own draw.
    Scattered,
}

impl Fate {
    fn draw(prng: &mut Prng, sectors: usize) -> Fate {
        match prng.below(10) {
            0..=3 => Fate::Kept,
            4..=5 => Fate::Lost,
            6..=7 => Fate::Prefix(prng.index(sectors + 1)),
            _ => Fate::Scattered,
        }
    }

    fn keeps(self, sector: usize, prng: &mut Prng) -> bool {
        match self {
            Fate::Kept => true,
            Fate::Lost => false,
            Fate::Prefix(count) => sector < count,
            Fate::Scattered => prng.chance(500),
        }
    }
}

/// One file.
#[derive(Clone, Debug, Default)]
pub struct Inode {
    /// What a reader sees.
    pub current: Vec<u8>,
    durable: Vec<u8>,
    /// The blocks that were written and flushed with the file. What else lies inside its length is
    /// a hole, and to write there changes metadata.
    made: BTreeSet<usize>,
    pending: Vec<(u64, Change)>,
    /// What it would be if no power cut had taken anything.
    untorn: Option<Vec<u8>>,
}

impl Inode {
    /// A file that is durable as it stands.
    pub fn durable(contents: Vec<u8>) -> Inode {
        Inode {
            current: contents.clone(),
            durable: contents,
            made: BTreeSet::new(),
            pending: Vec::new(),
            untorn: None,
        }
    }

    /// Its bytes, or those that a disk shows which hides what a power cut took.
    pub fn seen(&self, hides_tears: bool) -> &[u8] {
        match &self.untorn {
            Some(untorn) if hides_tears => untorn,
            _ => &self.current,
        }
    }

    /// A change has completed: readers see it.
    pub fn change(&mut self, sequence: u64, change: Change) {
        change.apply(&mut self.current);
        if let Some(untorn) = &mut self.untorn {
            change.apply(untorn);
        }
        self.pending.push((sequence, change));
    }

    /// A flush ended: changes that had completed before `asked` are durable.
    pub fn flush(&mut self, asked: u64) {
        let mut rest = Vec::new();
        for (sequence, change) in self.pending.drain(..) {
            if sequence < asked {
                change.apply(&mut self.durable);
                match change {
                    Change::SetLength { len } => {
                        self.made.retain(|block| *block < len.div_ceil(BLOCK_BYTES));
                    }
                    Change::Write { position, bytes } => {
                        let end = position + bytes.len();
                        let blocks = position / BLOCK_BYTES..end.div_ceil(BLOCK_BYTES);
                        self.made.extend(blocks);
                    }
                }
            } else {
                rest.push((sequence, change));
            }
        }
        self.pending = rest;
    }

    /// The device flushed its cache: bytes that had been written before `asked` are durable in the
    /// blocks that were there before. Lengths are not.
    pub fn flush_overwrites(&mut self, asked: u64) {
        let mut is_resized = false;
        for (sequence, change) in std::mem::take(&mut self.pending) {
            is_resized |= matches!(change, Change::SetLength { .. });
            match change {
                Change::Write { position, bytes } if sequence < asked && !is_resized => {
                    for (place, block) in bytes.chunks(BLOCK_BYTES).enumerate() {
                        let position = position + place * BLOCK_BYTES;
                        let bytes = block.to_vec();
                        let write = Change::Write { position, bytes };
                        if self.made.contains(&(position / BLOCK_BYTES)) {
                            write.apply(&mut self.durable);
                        } else {
                            self.pending.push((sequence, write));
                        }
                    }
                }
                other => self.pending.push((sequence, other)),
            }
        }
    }

    /// True if there is something that a power cut could take.
    pub fn is_dirty(&self) -> bool {
        !self.pending.is_empty()
    }

    /// A change was under way when the process died: it may have happened in whole, in part, or not
    /// at all.
    pub fn interrupt(&mut self, sequence: u64, change: Change, prng: &mut Prng) {
        match change {
            Change::SetLength { .. } => {
                if prng.chance(500) {
                    self.change(sequence, change);
                }
            }
            Change::Write { position, bytes } => {
                let fate = Fate::draw(prng, bytes.len().div_ceil(SECTOR_BYTES));
                for (sector, part) in bytes.chunks(SECTOR_BYTES).enumerate() {
                    if fate.keeps(sector, prng) {
                        let position = position + sector * SECTOR_BYTES;
                        let bytes = part.to_vec();
                        self.change(sequence, Change::Write { position, bytes });
                    }
                }
            }
        }
    }

    /// The power failed (or the device gave up its cache): pending changes are lost, kept or torn.
    ///
    /// Lengths are metadata and are journaled in order: a prefix of the changes of length survives.
    /// Data is not ordered: each sector of each write survives or not.
    pub fn power_cut(&mut self, prng: &mut Prng, stats: &mut Stats) {
        let pending: Vec<Change> = self.pending.drain(..).map(|(_, change)| change).collect();
        let mut len_if_all = self.durable.len();
        let resizes = pending
            .iter()
            .filter(|change| {
                let before = len_if_all;
                len_if_all = change.len_after(before);
                before != len_if_all
            })
            .count();
        let mut resizes_kept = match prng.below(3) {
            0 => 0,
            1 => resizes,
            _ => prng.index(resizes + 1),
        };
        let mut len_if_all = self.durable.len();
        for change in pending {
            let before = len_if_all;
            len_if_all = change.len_after(before);
            let resized = before == len_if_all || resizes_kept > 0;
            if before != len_if_all {
                resizes_kept = resizes_kept.saturating_sub(1);
            }
            match change {
                Change::SetLength { len } if resized && before != len_if_all => {
                    self.durable.resize(len, 0);
                }
                Change::SetLength { .. } => {}
                Change::Write { position, bytes } => {
                    if resized && before != len_if_all {
                        self.durable.resize(len_if_all, 0);
                    }
                    let limit = if resized { usize::MAX } else { before };
                    self.keep_some(position, &bytes, limit, prng, stats);
                }
            }
        }
        self.untorn = Some(std::mem::replace(&mut self.current, self.durable.clone()));
    }

    fn keep_some(
        &mut self,
        position: usize,
        bytes: &[u8],
        limit: usize,
        prng: &mut Prng,
        stats: &mut Stats,
    ) {
        let fate = Fate::draw(prng, bytes.len().div_ceil(SECTOR_BYTES));
        let (mut kept, mut lost) = (0, 0);
        for (sector, part) in bytes.chunks(SECTOR_BYTES).enumerate() {
            let start = position + sector * SECTOR_BYTES;
            let end = start + part.len();
            if end <= limit.min(self.durable.len()) && fate.keeps(sector, prng) {
                self.durable[start..end].copy_from_slice(part);
                kept += 1;
            } else {
                lost += 1;
            }
        }
        match (kept, lost) {
            (0, _) => stats.writes_lost += 1,
            (_, 0) => stats.writes_kept += 1,
            _ => stats.writes_torn += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prng::Salt;

    fn write(position: usize, byte: u8, len: usize) -> Change {
        Change::Write {
            position,
            bytes: vec![byte; len],
        }
    }

    #[test]
    fn a_flush_covers_what_had_completed_when_it_was_asked() {
        let mut lost = false;
        for seed in 0..50 {
            let mut inode = Inode::default();
            inode.change(1, write(0, 1, 4096));
            inode.change(3, write(4096, 2, 4096));
            inode.flush(2);
            assert!(inode.is_dirty());
            inode.power_cut(&mut Prng::new(seed, Salt::Disk), &mut Stats::default());
            assert_eq!(inode.current[..4096], [1; 4096]);
            lost |= inode.current.len() == 4096 || inode.current[4096..].contains(&0);
        }
        assert!(lost, "an unflushed write always survived");
    }

    #[test]
    fn a_flush_of_the_device_covers_no_hole() {
        let mut lost = false;
        for seed in 0..50 {
            let mut inode = Inode::default();
            inode.change(1, write(0, 1, 4096));
            inode.change(2, write(8192, 1, 4096));
            inode.flush(3);
            for position in [0, 4096, 8192] {
                inode.change(4, write(position, 2, 4096));
            }
            inode.flush_overwrites(5);
            inode.power_cut(&mut Prng::new(seed, Salt::Disk), &mut Stats::default());
            assert_eq!(inode.current[..4096], [2; 4096]);
            assert_eq!(inode.current[8192..], [2; 4096]);
            lost |= inode.current[4096..8192].contains(&0);
        }
        assert!(lost, "a write into a hole always survived");
    }

    #[test]
    fn a_sector_is_one_of_its_versions_and_all_of_them_come_up() {
        let mut met = [false; 3];
        let (mut torn, mut stats) = (false, Stats::default());
        for seed in 0..200 {
            let mut inode = Inode::durable(vec![0; 4096]);
            inode.change(1, write(0, 1, 4096));
            inode.change(2, write(0, 2, 4096));
            inode.power_cut(&mut Prng::new(seed, Salt::Disk), &mut stats);
            for sector in inode.current.chunks(SECTOR_BYTES) {
                assert!(sector.iter().all(|byte| *byte == sector[0]));
                met[usize::from(sector[0])] = true;
            }
            torn |= inode.current.iter().any(|byte| *byte != inode.current[0]);
        }
        assert_eq!(met, [true; 3]);
        assert!(torn && stats.writes_torn > 0 && stats.writes_lost > 0);
    }

    #[test]
    fn a_cut_that_was_not_flushed_may_come_back_but_brings_no_later_bytes() {
        let (mut cut, mut back) = (false, false);
        for seed in 0..200 {
            let mut inode = Inode::durable(vec![7; 8192]);
            inode.change(1, Change::SetLength { len: 4096 });
            inode.change(2, write(4096, 9, 4096));
            inode.power_cut(&mut Prng::new(seed, Salt::Disk), &mut Stats::default());
            assert_eq!(inode.current[..4096], [7; 4096]);
            let tail = &inode.current[4096..];
            back |= tail.contains(&7);
            cut |= tail.is_empty() || !tail.contains(&7);
            assert!(!(tail.contains(&7) && tail.contains(&9)));
        }
        assert!(cut && back);
    }
}
