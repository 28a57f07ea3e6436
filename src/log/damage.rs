// SPDX-License-Identifier: Apache-2.0
//! Places of a segment that no batch can be read from, and what a person is told about them.
//!
//! A damaged segment is quarantined: nothing of it is cut or overwritten, reads in the damage are
//! answered with an error, and everything before and behind it is served.
//!
//! Owns: [`Damage`], [`Damages`]. Invariants: ascending, and apart from each other. Runs on: the
//! core of the partition. Bounded by: `DAMAGES_PER_SEGMENT_MAX`.

use crate::limits::DAMAGES_PER_SEGMENT_MAX;
use crate::model::ids::Offset;

/// One place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damage {
    /// Where it begins in the file.
    pub(super) position: u64,
    /// Where the next good batch begins, or the file ends.
    pub(super) end: u64,
    /// The offset after the last good batch before it.
    pub(super) first_offset: Offset,
    /// The offset of the first good batch behind it.
    pub(super) next_offset: Offset,
}

impl Damage {
    /// What a person is told.
    fn sentence(&self, path: &str) -> Box<str> {
        let (position, end) = (self.position, self.end);
        let (first, next) = (self.first_offset, self.next_offset);
        let lost = if first + 1 == next {
            format!("the record at offset {first}")
        } else {
            format!("the records at offsets {first} to {}", next - 1)
        };
        format!(
            "{path} is damaged from byte {position} to byte {end}: {lost} cannot be read. Nothing \
             was cut, and everything before and behind is served. Check the device; stop the \
             broker and restore the file from a copy, or let consumers go on at offset {next}."
        )
        .into()
    }
}

/// What is known of one segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Damages {
    places: Vec<Damage>,
    /// Places past the bound, of which only the number is kept.
    further: u32,
}

impl Damages {
    /// Takes note of a place behind all others.
    pub(super) fn push(&mut self, damage: Damage) {
        assert!(damage.position < damage.end && damage.first_offset <= damage.next_offset);
        let last_end = self.places.last().map_or(0, |last| last.end);
        assert!(damage.position >= last_end);
        if self.places.len() < DAMAGES_PER_SEGMENT_MAX {
            self.places.push(damage);
        } else {
            self.further = self.further.saturating_add(1);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// How many places there are.
    pub(super) fn count(&self) -> u32 {
        let kept = u32::try_from(self.places.len()).expect("the bound fits 32 bits");
        kept.saturating_add(self.further)
    }

    /// Where a walk that met damage at `position` goes on to find `offset`, if it lies behind.
    pub(super) fn around(&self, position: u64, offset: Offset) -> Option<u64> {
        let is_at = |damage: &&Damage| (damage.position..damage.end).contains(&position);
        let damage = self.places.iter().find(is_at)?;
        (offset >= damage.next_offset).then_some(damage.end)
    }

    /// What a person is told, a sentence for each place that is kept.
    pub(super) fn sentences(&self, path: &str) -> Vec<Box<str>> {
        let mut sentences: Vec<_> = self.places.iter().map(|one| one.sentence(path)).collect();
        if self.further > 0 {
            let further = self.further;
            sentences.push(format!("{path} is damaged in {further} further places.").into());
        }
        sentences
    }
}

/// Damage that a read met in a segment that is still written to.
#[derive(Debug, Default)]
pub(super) struct DamageMet {
    /// The segment that was told of.
    pub(super) segment: Option<Offset>,
    /// What is to be told.
    pub(super) sentence: Option<Box<str>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn damage(position: u64, first_offset: Offset) -> Damage {
        Damage {
            position,
            end: position + 100,
            first_offset,
            next_offset: first_offset + 3,
        }
    }

    #[test]
    fn who_wants_what_lies_behind_is_led_around() {
        let mut damages = Damages::default();
        assert!(damages.is_empty());
        damages.push(damage(1000, 10));
        damages.push(damage(5000, 50));
        assert_eq!(damages.around(1000, 13), Some(1100));
        assert_eq!(damages.around(5099, 99), Some(5100));
        assert_eq!(damages.around(1000, 12), None, "it lies in the damage");
        assert_eq!(damages.around(1100, 99), None, "no damage is there");
    }

    #[test]
    fn a_sentence_names_file_bytes_offsets_and_what_to_do() {
        let mut damages = Damages::default();
        damages.push(damage(1000, 10));
        let one = Damage {
            next_offset: 51,
            ..damage(5000, 50)
        };
        damages.push(one);
        let sentences = damages.sentences("t-0/7.log");
        for word in [
            "t-0/7.log",
            "byte 1000",
            "byte 1100",
            "10 to 12",
            "offset 13",
        ] {
            assert!(sentences[0].contains(word), "{}", sentences[0]);
        }
        assert!(
            sentences[1].contains("record at offset 50"),
            "{}",
            sentences[1]
        );
    }

    #[test]
    fn past_the_bound_only_the_number_is_kept() {
        let mut damages = Damages::default();
        for place in 0..DAMAGES_PER_SEGMENT_MAX + 2 {
            let place = u64::try_from(place).expect("small");
            damages.push(damage(place * 200, 0));
        }
        let bound = u32::try_from(DAMAGES_PER_SEGMENT_MAX).expect("small");
        assert_eq!(damages.count(), bound + 2);
        let sentences = damages.sentences("f");
        assert_eq!(sentences.len(), DAMAGES_PER_SEGMENT_MAX + 1);
        assert!(sentences[DAMAGES_PER_SEGMENT_MAX].contains("2 further"));
    }
}
