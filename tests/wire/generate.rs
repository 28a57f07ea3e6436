// SPDX-License-Identifier: Apache-2.0
//! Bytes of valid messages, made from the layouts by a second encoder that shares no code with the
//! first.
//!
//! Owns: the generator. Invariants: the same seed gives the same bytes; what is written is the
//! shortest form, with tagged fields only where they differ from their default.

use furlong::wire::protocol::describe::{Field, Kind, Layout};
use proptest::test_runner::Config as ProptestConfig;

/// Settings of a property that tries every message of every version in each of its cases. Seeds
/// that failed are printed, not kept in files.
pub fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// A stream of numbers that a seed determines.
pub struct Dice(u64);

impl Dice {
    /// A stream for `seed`.
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).expect("64 bits");
        usize::try_from(self.next() % bound).expect("below a usize")
    }

    /// True once in `n`.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// Where the values come from.
pub enum Source {
    /// Anything that is valid, with a liking for edges.
    Dice(Dice),
    /// Every field set, none at its default: numbers count up, strings are the names of their
    /// fields.
    Counter(u8),
}

/// Writes one message of `version`.
pub fn message(source: &mut Source, layout: &Layout, version: i16, flexible: bool) -> Vec<u8> {
    let mut generator = Generator {
        source,
        version,
        flexible,
        out: Vec::new(),
    };
    generator.fields(layout, false);
    generator.out
}

struct Generator<'a> {
    source: &'a mut Source,
    version: i16,
    flexible: bool,
    out: Vec<u8>,
}

impl Generator<'_> {
    fn fields(&mut self, layout: &Layout, distinct: bool) {
        let version = self.version;
        for field in layout.fields.iter().filter(|f| f.rules.in_body(version)) {
            let nullable = field.rules.is_nullable(version);
            self.value(field, &field.kind, nullable, distinct);
        }
        if !self.flexible {
            return;
        }
        let covered = |f: &&Field| f.rules.tag_number().is_some() && f.rules.covers(version);
        let mut tagged: Vec<&Field> = layout.fields.iter().filter(covered).collect();
        if let Source::Dice(dice) = &mut self.source {
            tagged.retain(|_| dice.one_in(2));
        }
        self.varint(tagged.len());
        for field in tagged {
            let tag = field
                .rules
                .tag_number()
                .expect("only tagged fields are left");
            let tag = usize::try_from(tag).expect("64 bits");
            let outer = std::mem::take(&mut self.out);
            self.value(field, &field.kind, false, true);
            let value = std::mem::replace(&mut self.out, outer);
            self.varint(tag);
            self.varint(value.len());
            self.out.extend(value);
        }
    }

    /// A value; where it must be `distinct` it is neither null, nor empty, nor zero, nor any
    /// default there is.
    fn value(&mut self, field: &Field, kind: &Kind, nullable: bool, distinct: bool) {
        match kind {
            Kind::Bool => {
                let value = distinct || self.number(false) & 1 == 1;
                self.out.push(u8::from(value));
            }
            Kind::Int8 => self.integer::<1>(distinct),
            Kind::Int16 | Kind::Uint16 => self.integer::<2>(distinct),
            Kind::Int32 => self.integer::<4>(distinct),
            Kind::Int64 => self.integer::<8>(distinct),
            Kind::Float64 => self.out.extend(1.5f64.to_be_bytes()),
            Kind::Uuid => {
                let fill = self.number(distinct).to_be_bytes();
                self.out.extend(fill);
                self.out.extend(fill);
            }
            Kind::String => match self.text(field, nullable, distinct) {
                None => self.length(None, 2),
                Some(text) => {
                    self.length(Some(text.len()), 2);
                    self.out.extend(text.as_bytes());
                }
            },
            Kind::Bytes => {
                let lengths = [0, 1, 40, 127, 128, 511, 512, 513, 3000];
                let length = self.pick(&lengths, 5, nullable && !distinct);
                self.length(length, 4);
                let fill = self.number(false).to_be_bytes();
                self.out
                    .extend(fill.iter().cycle().take(length.unwrap_or(0)));
            }
            Kind::Array(element) => {
                let counts: &[usize] = if matches!(element, Kind::Struct(_)) {
                    &[0, 1, 1, 2, 3]
                } else {
                    &[0, 1, 2, 126, 127, 128, 300]
                };
                let count = self.pick(counts, 2, nullable && !distinct);
                let count = count.map(|count| count.max(usize::from(distinct)));
                self.length(count, 4);
                for _ in 0..count.unwrap_or(0) {
                    self.value(field, element, false, false);
                }
            }
            Kind::Struct(layout) => self.fields(layout, distinct),
            Kind::NullableStruct(layout) => {
                self.out.push(1);
                self.fields(layout, distinct);
            }
        }
    }

    fn integer<const N: usize>(&mut self, distinct: bool) {
        let bytes = self.number(distinct).to_be_bytes();
        self.out.extend(&bytes[8 - N..]);
    }

    fn number(&mut self, distinct: bool) -> i64 {
        match &mut self.source {
            Source::Counter(count) => {
                *count = *count % 120 + 2;
                i64::from(*count)
            }
            Source::Dice(dice) if distinct => signed(dice.below(100) + 2),
            Source::Dice(dice) => match dice.below(8) {
                0 => 0,
                1 => -1,
                2 => i64::MAX,
                3 => i64::MIN,
                4 => signed(dice.below(1000)),
                _ => dice.next().cast_signed(),
            },
        }
    }

    fn text(&mut self, field: &Field, nullable: bool, distinct: bool) -> Option<String> {
        match &mut self.source {
            Source::Counter(_) => Some(field.name.to_owned()),
            Source::Dice(dice) => {
                if nullable && !distinct && dice.one_in(4) {
                    return None;
                }
                let letters = ['a', 'Z', '0', '-', '_', '.', 'é', '漢', '🦀', ' '];
                let length = [0, 1, 5, 20, 126, 127, 128, 300][dice.below(8)];
                let length = length.max(usize::from(distinct));
                Some(
                    (0..length)
                        .map(|_| letters[dice.below(letters.len())])
                        .collect(),
                )
            }
        }
    }

    /// One of `choices`, the one at `usual` when counting; now and then nothing where `nullable`.
    fn pick(&mut self, choices: &[usize], usual: usize, nullable: bool) -> Option<usize> {
        match &mut self.source {
            Source::Counter(_) => Some(choices[usual.min(choices.len() - 1)]),
            Source::Dice(dice) => {
                let null = nullable && dice.one_in(4);
                (!null).then(|| choices[dice.below(choices.len())])
            }
        }
    }

    fn length(&mut self, length: Option<usize>, classic_bytes: usize) {
        if self.flexible {
            self.varint(length.map_or(0, |length| length + 1));
        } else {
            let signed = length.map_or(-1, signed);
            self.out.extend(&signed.to_be_bytes()[8 - classic_bytes..]);
        }
    }

    fn varint(&mut self, mut value: usize) {
        while value > 127 {
            self.out
                .push(u8::try_from(value % 128 + 128).expect("below 256"));
            value /= 128;
        }
        self.out.push(u8::try_from(value).expect("below 128"));
    }
}

fn signed(number: usize) -> i64 {
    i64::try_from(number).expect("lengths and choices are small")
}
