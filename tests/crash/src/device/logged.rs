// SPDX-License-Identifier: Apache-2.0
//! A disk that logs every write and every flush in their order, and can say what a power cut at any
//! point of that log would leave.
//!
//! The model: a write that was answered before a flush arrived is on the medium once the flush is
//! answered. Of the writes after the last flush each may be there whole, in part (any of its
//! sectors of 512 bytes), or not at all, independently of the others: so a later one may be there
//! and an earlier one not. Requests are taken one at a time, so "before" is their order in the log.

use super::image::Image;
use crate::prng::Prng;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

const SECTOR_BYTES: usize = 512;

#[derive(Clone)]
enum Entry {
    Write { at: usize, data: Box<[u8]> },
    Zeros { at: usize, len_bytes: usize },
    Flush,
}

struct State {
    /// What the disk answers to reads.
    now: Image,
    /// What it was when the log began.
    base: Image,
    entries: Vec<Entry>,
}

/// A disk with its log.
pub struct LoggedDisk {
    state: Mutex<State>,
    len: AtomicUsize,
    log_bytes: AtomicU64,
}

/// How the writes after the last flush fare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// None of them is there.
    Lost,
    /// All of them are: what a plain crash leaves.
    Kept,
    /// Each one may be there or not, whole.
    Some,
    /// Each one may be there or not, or in part.
    Torn,
}

impl Fate {
    /// One of the four.
    pub fn draw(prng: &mut Prng) -> Fate {
        match prng.below(10) {
            0..2 => Fate::Lost,
            2 => Fate::Kept,
            3..6 => Fate::Some,
            _ => Fate::Torn,
        }
    }
}

impl LoggedDisk {
    /// A disk of zeros.
    pub fn new(len_bytes: usize) -> LoggedDisk {
        LoggedDisk {
            state: Mutex::new(State {
                now: Image::zeroed(len_bytes),
                base: Image::zeroed(len_bytes),
                entries: Vec::new(),
            }),
            len: AtomicUsize::new(0),
            log_bytes: AtomicU64::new(0),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    /// Puts other contents into the disk and begins its log anew.
    pub fn load(&self, image: &Image) {
        let mut state = self.state();
        state.now = image.clone();
        self.begin(&mut state);
    }

    /// Begins the log anew: all that was written up to now counts as flushed.
    pub fn begin_log(&self) {
        self.begin(&mut self.state());
    }

    fn begin(&self, state: &mut State) {
        state.base = state.now.clone();
        state.entries.clear();
        self.len.store(0, Ordering::SeqCst);
        self.log_bytes.store(0, Ordering::SeqCst);
    }

    /// Entries of the log so far. Whoever has seen something happen and asks afterwards knows that
    /// it happened before the entry with this number was made.
    pub fn position(&self) -> usize {
        self.len.load(Ordering::SeqCst)
    }

    /// Bytes that the log holds.
    pub fn log_bytes(&self) -> u64 {
        self.log_bytes.load(Ordering::SeqCst)
    }

    /// Its length.
    pub fn len_bytes(&self) -> usize {
        self.state().now.len_bytes()
    }

    /// Takes a write; false if it is past the end.
    #[must_use]
    pub fn write(&self, at: usize, data: &[u8]) -> bool {
        let mut state = self.state();
        if !state.now.write(at, data) {
            return false;
        }
        if data.iter().all(|byte| *byte == 0) {
            let len_bytes = data.len();
            state.entries.push(Entry::Zeros { at, len_bytes });
        } else {
            let len = u64::try_from(data.len()).expect("64 bits");
            self.log_bytes.fetch_add(len, Ordering::SeqCst);
            let data = data.into();
            state.entries.push(Entry::Write { at, data });
        }
        self.len.store(state.entries.len(), Ordering::SeqCst);
        true
    }

    /// Takes a flush.
    pub fn flush(&self) {
        let mut state = self.state();
        state.entries.push(Entry::Flush);
        self.len.store(state.entries.len(), Ordering::SeqCst);
    }

    /// Answers a read.
    pub fn read(&self, at: usize, buffer: &mut [u8]) {
        self.state().now.read(at, buffer);
    }

    /// Numbers of the flushes in the log.
    pub fn flushes(&self) -> Vec<usize> {
        let state = self.state();
        let numbered = state.entries.iter().enumerate();
        let flushes = numbered.filter(|(_, entry)| matches!(entry, Entry::Flush));
        flushes.map(|(number, _)| number).collect()
    }

    /// The positions from `first` on where the most writes wait for a flush: a twentieth of all, at
    /// least one. Little is at stake at most other moments, since some flush was a moment ago.
    pub fn exposed(&self, first: usize) -> Vec<usize> {
        let state = self.state();
        let mut waiting = 0;
        let mut positions = vec![(0, 0)];
        for (number, entry) in state.entries.iter().enumerate() {
            waiting = match entry {
                Entry::Flush => 0,
                Entry::Write { .. } | Entry::Zeros { .. } => waiting + 1,
            };
            positions.push((waiting, number + 1));
        }
        positions.retain(|(_, position)| *position >= first);
        positions.sort_unstable_by(|one, other| other.cmp(one));
        positions.truncate((positions.len() / 20).max(1));
        positions
            .into_iter()
            .map(|(_, position)| position)
            .collect()
    }

    /// The disk at the moment when the first `position` entries were made.
    pub fn past(&self, position: usize) -> Past {
        let state = self.state();
        let made = &state.entries[..position];
        let durable = made.iter().rposition(|entry| matches!(entry, Entry::Flush));
        let durable = durable.map_or(0, |flush| flush + 1);
        let mut image = state.base.clone();
        for entry in &made[..durable] {
            apply(&mut image, entry, &mut |_| true);
        }
        Past {
            durable: image,
            unflushed: made[durable..].to_vec(),
        }
    }
}

/// A disk at a moment of its past: what is on the medium, and what may be.
pub struct Past {
    durable: Image,
    unflushed: Vec<Entry>,
}

impl Past {
    /// What a power cut at that moment leaves. Writes are torn in pieces of `tear_bytes`.
    pub fn cut(&self, fate: Fate, tear_bytes: usize, prng: &mut Prng) -> Cut {
        assert!(tear_bytes.is_multiple_of(SECTOR_BYTES), "whole sectors");
        let mut cut = Cut {
            image: self.durable.clone(),
            kept: 0,
            torn: 0,
            dropped: 0,
        };
        for entry in &self.unflushed {
            let mut sector = prng.clone();
            match (fate, prng.below(3)) {
                (Fate::Kept, _) | (Fate::Some | Fate::Torn, 0) => {
                    cut.kept += 1;
                    apply(&mut cut.image, entry, &mut |_| true);
                }
                (Fate::Torn, 1) => {
                    cut.torn += 1;
                    let mut piece = None;
                    apply(&mut cut.image, entry, &mut |at| {
                        let (this, wanted) = (at / tear_bytes, piece.map(|(number, _)| number));
                        if wanted != Some(this) {
                            piece = Some((this, sector.percent(50)));
                        }
                        piece.is_some_and(|(_, there)| there)
                    });
                }
                _ => cut.dropped += 1,
            }
        }
        cut
    }
}

/// What a power cut left.
pub struct Cut {
    /// The contents of the disk.
    pub image: Image,
    /// How many writes after the last flush are there.
    pub kept: usize,
    /// How many are there in part.
    pub torn: usize,
    /// How many are not there.
    pub dropped: usize,
}

/// Writes those sectors of an entry that `is_there` says.
fn apply(image: &mut Image, entry: &Entry, is_there: &mut dyn FnMut(usize) -> bool) {
    const ZEROS: [u8; SECTOR_BYTES] = [0; SECTOR_BYTES];
    let (at, len_bytes) = match entry {
        Entry::Write { at, data } => (*at, data.len()),
        Entry::Zeros { at, len_bytes } => (*at, *len_bytes),
        Entry::Flush => return,
    };
    for start in (0..len_bytes).step_by(SECTOR_BYTES) {
        let end = (start + SECTOR_BYTES).min(len_bytes);
        if is_there(at + start) {
            let piece = match entry {
                Entry::Write { data, .. } => &data[start..end],
                _ => &ZEROS[..end - start],
            };
            assert!(image.write(at + start, piece), "it was written once");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk() -> LoggedDisk {
        let disk = LoggedDisk::new(1 << 20);
        assert!(disk.write(0, &[1; 4096]));
        disk.flush();
        assert!(disk.write(0, &[2; 4096]));
        assert!(disk.write(8192, &[3; 4096]));
        disk
    }

    fn contents(cut: &Cut, at: usize) -> Vec<u8> {
        let mut found = vec![0; 4096];
        cut.image.read(at, &mut found);
        found
    }

    #[test]
    fn flushed_writes_stay_and_others_may_go() {
        let disk = disk();
        assert_eq!((disk.position(), disk.flushes()), (4, vec![1]));
        let mut prng = Prng::new(1, 1);
        let lost = disk.past(4).cut(Fate::Lost, 512, &mut prng);
        assert_eq!((contents(&lost, 0), lost.dropped), (vec![1; 4096], 2));
        let kept = disk.past(4).cut(Fate::Kept, 512, &mut prng);
        assert_eq!((contents(&kept, 0), kept.kept), (vec![2; 4096], 2));
        let early = disk.past(1).cut(Fate::Lost, 512, &mut prng);
        assert_eq!(contents(&early, 0), vec![0; 4096], "no flush was made yet");
    }

    #[test]
    fn most_is_exposed_where_most_waits_for_a_flush() {
        let disk = disk();
        assert_eq!(disk.exposed(0), vec![4]);
        disk.flush();
        assert!(disk.write(0, &[4; 4096]));
        assert_eq!(disk.exposed(0), vec![4], "two waited there, here one does");
        assert_eq!(disk.exposed(5), vec![6]);
    }

    #[test]
    fn every_fate_is_met_and_tears_are_in_whole_pieces() {
        let disk = disk();
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let cut = disk.past(4).cut(Fate::Torn, 512, &mut Prng::new(seed, 2));
            let (first, second) = (contents(&cut, 0), contents(&cut, 8192));
            for piece in first.chunks(512).chain(second.chunks(512)) {
                assert!(piece.iter().all(|byte| *byte == piece[0]), "a whole sector");
            }
            let newer = |found: &[u8], byte| found.iter().filter(|b| **b == byte).count() / 512;
            seen.insert((newer(&first, 2).min(2), newer(&second, 3).min(2)));
        }
        assert!(
            seen.contains(&(0, 2)),
            "a later one without an earlier one: {seen:?}"
        );
        assert!(seen.len() > 4, "{seen:?}");
    }

    #[test]
    fn a_log_begun_anew_takes_everything_for_flushed() {
        let disk = disk();
        disk.begin_log();
        let cut = disk.past(0).cut(Fate::Lost, 512, &mut Prng::new(1, 1));
        assert_eq!(contents(&cut, 0), vec![2; 4096]);
    }
}
