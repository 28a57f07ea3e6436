// SPDX-License-Identifier: Apache-2.0
//! Which cores a person wants data to be served on.
//!
//! Owns: [`CoreChoice`]. Invariants: a list names each core once, ascending.
//! Runs on: every core. Bounded by: `SHARDS_MAX`.

use std::fmt;

use crate::limits::{CPU_NUMBER_MAX, SHARDS_MAX};

/// Which cores are used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CoreChoice {
    /// All that the process may use.
    #[default]
    All,
    /// So many of them.
    Count(u16),
    /// These.
    These(Vec<usize>),
}

impl CoreChoice {
    /// Reads `0` for all, `4` for four cores, or a list like `0-3,6` of their numbers (`3-3` for
    /// the core 3 alone).
    #[must_use]
    pub fn parse(text: &str) -> Option<CoreChoice> {
        let text = text.trim();
        if !text.contains([',', '-']) {
            let count: u16 = text.parse().ok()?;
            return match count {
                0 => Some(CoreChoice::All),
                count if usize::from(count) <= SHARDS_MAX => Some(CoreChoice::Count(count)),
                _ => None,
            };
        }
        let mut cores = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let first: usize = first.trim().parse().ok()?;
            let last: usize = last.trim().parse().ok()?;
            if first > last || last > CPU_NUMBER_MAX {
                return None;
            }
            cores.extend(first..=last);
        }
        cores.sort_unstable();
        cores.dedup();
        (cores.len() <= SHARDS_MAX).then_some(CoreChoice::These(cores))
    }
}

/// Numbers as a list like `0-3,6`.
#[must_use]
pub fn ranges(numbers: &[usize]) -> String {
    let mut parts: Vec<(usize, usize)> = Vec::new();
    for number in numbers {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => parts.push((*number, *number)),
        }
    }
    let texts = parts.iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    texts.collect::<Vec<String>>().join(",")
}

impl fmt::Display for CoreChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CoreChoice::All => f.write_str("0"),
            CoreChoice::Count(count) => count.fmt(f),
            CoreChoice::These(cores) => f.write_str(&ranges(cores)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_and_a_list_are_told_apart() {
        let these = |cores: &[usize]| Some(CoreChoice::These(cores.to_vec()));
        assert_eq!(CoreChoice::parse("0"), Some(CoreChoice::All));
        assert_eq!(CoreChoice::parse(" 4 "), Some(CoreChoice::Count(4)));
        assert_eq!(CoreChoice::parse("0,2"), these(&[0, 2]));
        assert_eq!(CoreChoice::parse("6, 0-3 ,2"), these(&[0, 1, 2, 3, 6]));
        assert_eq!(CoreChoice::parse("3-3"), these(&[3]));
        for nonsense in [
            "",
            "x",
            "-1",
            "1.5",
            "3-1",
            "0-",
            ",",
            "0-99999999",
            "257",
            "0-256",
        ] {
            assert_eq!(CoreChoice::parse(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn a_list_is_written_as_it_is_read() {
        assert_eq!(ranges(&[]), "");
        let cores = vec![0, 1, 2, 3, 6, 8, 9];
        assert_eq!(ranges(&cores), "0-3,6,8-9");
        let choice = CoreChoice::These(cores);
        assert_eq!(CoreChoice::parse(&choice.to_string()), Some(choice));
    }
}
