// SPDX-License-Identifier: Apache-2.0
//! Moments as people write them: `2026-01-31T12:00:00Z`, `-15m`, milliseconds since 1970.
//!
//! Owns: [`parse_moment`], [`parse_duration`]. Invariants: what is not understood is an error that
//! shows how to write it; without a zone a date is UTC, so that the same words mean the same
//! everywhere.
//! Runs on: the command's thread. Bounded by: the text.

/// Units of a duration before now, and their milliseconds.
const UNITS: [(&str, i64); 6] = [
    ("ms", 1),
    ("s", 1000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    ("w", 7 * 86_400_000),
];

/// The moment that a text names, in milliseconds since 1970.
///
/// # Errors
/// How to write one.
pub fn parse_moment(text: &str, now_ms: i64) -> Result<i64, String> {
    let text = text.trim();
    let found = match text.strip_prefix('-') {
        _ if text == "now" => Some(now_ms),
        Some(before) => duration(before).and_then(|ms| now_ms.checked_sub(ms)),
        None => text
            .parse()
            .ok()
            .filter(|ms| *ms >= 0)
            .or_else(|| date(text)),
    };
    found.ok_or_else(|| {
        format!(
            "{text:?} is no moment; give 2026-01-31, 2026-01-31T12:00:00Z, a time before now like \
             -15m (ms, s, m, h, d, w), or milliseconds since 1970"
        )
    })
}

fn duration(text: &str) -> Option<i64> {
    let end = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (number, unit) = text.split_at(end);
    let (_, ms) = UNITS.iter().find(|(name, _)| *name == unit)?;
    number.parse::<i64>().ok()?.checked_mul(*ms)
}

/// The milliseconds of `15m` (ms, s, m, h, d, w), or of `P1DT2H3M4.5S` (ISO 8601).
///
/// # Errors
/// How to write one.
pub fn parse_duration(text: &str) -> Result<i64, String> {
    let text = text.trim();
    let found = match text.strip_prefix('P') {
        Some(rest) => iso_duration(rest),
        None => duration(text),
    };
    found.ok_or_else(|| {
        format!("{text:?} is no duration; give one like 15m (ms, s, m, h, d, w) or PT15M")
    })
}

/// What follows the `P`: days, then behind a `T` hours, minutes and seconds, each once.
fn iso_duration(text: &str) -> Option<i64> {
    let (days, clock) = match text.split_once('T') {
        Some((_, "")) => return None,
        Some((days, clock)) => (days, clock),
        None => (text, ""),
    };
    let mut total = iso_parts(days, &[('D', 86_400_000)])?;
    let units = [('H', 3_600_000), ('M', 60_000), ('S', 1000)];
    total = total.checked_add(iso_parts(clock, &units)?)?;
    (!text.is_empty()).then_some(total)
}

fn iso_parts(mut text: &str, units: &[(char, i64)]) -> Option<i64> {
    let mut total = 0i64;
    for (letter, ms) in units {
        let Some((number, rest)) = text.split_once(*letter) else {
            continue;
        };
        let (whole, thousandths) = match number.split_once('.') {
            Some((whole, fraction)) if *letter == 'S' && (1..=3).contains(&fraction.len()) => {
                (whole, self::number(&format!("{fraction:0<3}"), 999)?)
            }
            Some(_) => return None,
            None => (number, 0),
        };
        let part = self::number(whole, i64::MAX)?.checked_mul(*ms)?;
        total = total.checked_add(part)?.checked_add(thousandths)?;
        text = rest;
    }
    text.is_empty().then_some(total)
}

/// `YYYY-MM-DD`, then perhaps `T` or a blank and `HH:MM`, `:SS`, `.mmm`, then `Z` or `+HH:MM`.
fn date(text: &str) -> Option<i64> {
    let (day, time) = match text.find(['T', ' ']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let mut parts = day.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || year.len() != 4 {
        return None;
    }
    let days = days_since_1970(number(year, 9999)?, number(month, 12)?, number(day, 31)?)?;
    let within = time.map_or(Some(0), time_of_day)?;
    Some(days * 86_400_000 + within)
}

fn time_of_day(text: &str) -> Option<i64> {
    let (clock, zone_ms) = match text.strip_suffix('Z') {
        Some(clock) => (clock, 0),
        None => match text.rfind(['+', '-']) {
            Some(at) => (&text[..at], zone(&text[at..])?),
            None => (text, 0),
        },
    };
    let (clock, ms) = match clock.split_once('.') {
        None => (clock, 0),
        Some((clock, fraction)) if (1..=3).contains(&fraction.len()) => {
            (clock, number(&format!("{fraction:0<3}"), 999)?)
        }
        Some(_) => return None,
    };
    let mut parts = clock.split(':');
    let (hour, minute) = (number(parts.next()?, 23)?, number(parts.next()?, 59)?);
    let second = parts.next().map_or(Some(0), |second| number(second, 59))?;
    if parts.next().is_some() {
        return None;
    }
    Some(((hour * 60 + minute) * 60 + second) * 1000 + ms - zone_ms)
}

fn zone(text: &str) -> Option<i64> {
    let (hours, minutes) = text[1..].split_once(':')?;
    let ms = (number(hours, 23)? * 60 + number(minutes, 59)?) * 60_000;
    Some(if text.starts_with('-') { -ms } else { ms })
}

fn number(text: &str, max: i64) -> Option<i64> {
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|number| is_plain && *number <= max)
}

fn is_leap(year: i64) -> bool {
    (year % 4 == 0 && year % 100 != 0) || year % 400 == 0
}

/// Days from 1970-01-01 to a day of the Gregorian calendar; `None` if there is no such day.
fn days_since_1970(year: i64, month: i64, day: i64) -> Option<i64> {
    let february = if is_leap(year) { 29 } else { 28 };
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let month = usize::try_from(month.checked_sub(1)?).ok()?;
    if day < 1 || day > *lengths.get(month)? {
        return None;
    }
    // Leap days from the year 1 to the end of a year.
    let leaps = |year: i64| year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let years = (year - 1970) * 365 + leaps(year - 1) - leaps(1969);
    Some(years + lengths[..month].iter().sum::<i64>() + day - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: i64 = 1_800_000_000_000;

    #[test]
    fn people_write_moments_in_many_ways() {
        for (text, ms) in [
            ("0", 0),
            ("1700000000000", 1_700_000_000_000),
            ("now", NOW),
            ("-15m", NOW - 900_000),
            ("-250ms", NOW - 250),
            ("-2w", NOW - 14 * 86_400_000),
            ("1970-01-01", 0),
            ("1969-12-31", -86_400_000),
            ("2000-02-29", 951_782_400_000),
            ("2023-11-14T22:13:20Z", 1_700_000_000_000),
            ("2023-11-14 22:13:20.5", 1_700_000_000_500),
            ("2023-11-14T23:43:20+01:30", 1_700_000_000_000),
            ("2023-11-14T12:13:20-10:00", 1_700_000_000_000),
            ("2024-12-31T00:00", 1_735_603_200_000),
        ] {
            assert_eq!(parse_moment(text, NOW), Ok(ms), "{text}");
        }
    }

    #[test]
    fn durations_are_written_in_two_ways() {
        for (text, ms) in [
            ("15m", 900_000),
            ("2w", 14 * 86_400_000),
            ("0s", 0),
            ("PT15M", 900_000),
            ("P1D", 86_400_000),
            ("P1DT2H3M4.5S", 86_400_000 + 7_200_000 + 180_000 + 4500),
            ("PT0.02S", 20),
        ] {
            assert_eq!(parse_duration(text), Ok(ms), "{text}");
        }
        for text in [
            "", "P", "PT", "P1", "PT1X", "PT1M1H", "15", "-15m", "PT1.5M", "P1DT",
        ] {
            let sentence = parse_duration(text).expect_err(text);
            assert!(sentence.contains("15m"), "{sentence}");
        }
    }

    #[test]
    fn what_is_no_moment_says_how_to_write_one() {
        for text in [
            "",
            "-",
            "-5",
            "-5y",
            "-m",
            "2023-02-29",
            "2023-13-01",
            "2023-1-0",
            "23-01-01",
            "2023-01-01T25:00",
            "2023-01-01T10",
            "2023-01-01T10:00:60",
            "2023-01-01T10:00+5",
            "2023-01-01T10:00:00.1234",
            "yesterday",
            "-99999999999999999w",
        ] {
            let sentence = parse_moment(text, NOW).expect_err(text);
            assert!(sentence.contains("-15m"), "{sentence}");
        }
    }

    proptest! {
        #[test]
        fn days_follow_each_other(year in 1i64..9999, month in 1i64..=12, day in 1i64..=31) {
            if let Some(days) = days_since_1970(year, month, day) {
                let next = [(year, month, day + 1), (year, month + 1, 1), (year + 1, 1, 1)];
                let next = next.into_iter().find_map(|(y, m, d)| days_since_1970(y, m, d));
                prop_assert_eq!(next, Some(days + 1));
            }
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,30}", like in "[-0-9T:.+Z ]{0,30}") {
            let _ = parse_moment(&text, NOW);
            let _ = parse_moment(&like, NOW);
            let _ = (parse_duration(&text), parse_duration(&format!("P{like}")));
        }
    }
}
