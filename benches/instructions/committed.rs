// SPDX-License-Identifier: Apache-2.0
//! The counts that are committed, and what is said when a new one differs.
//!
//! Owns: the form of `benches/instructions.tsv`. Invariants: every case has a line and every line a
//! case; a count may differ by [`DIFFERENCE_MAX_PERCENT`], up or down. Runs on: the program's one
//! thread. Bounded by: the file.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A count further off than this must be committed, with the reason.
pub const DIFFERENCE_MAX_PERCENT: f64 = 5.0;

/// One line of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Instructions of one step.
    pub instructions: u64,
    /// Why it is not what it was before.
    pub reason: String,
}

/// Reads the file: name, instructions, reason, with tabs between them; `#` begins a comment.
///
/// # Errors
///
/// The line that is not of this form.
pub fn parse(text: &str) -> Result<BTreeMap<String, Committed>, String> {
    let mut lines = BTreeMap::new();
    for line in text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let mut fields = line.split('\t');
        let parsed = match (fields.next(), fields.next(), fields.next(), fields.next()) {
            (Some(name), Some(count), Some(reason), None) if !reason.is_empty() => count
                .parse()
                .ok()
                .map(|instructions| (name, instructions, reason)),
            _ => None,
        };
        let (name, instructions, reason) =
            parsed.ok_or_else(|| format!("not name, count and reason: {line}"))?;
        let reason = reason.to_owned();
        let committed = Committed {
            instructions,
            reason,
        };
        if lines.insert(name.to_owned(), committed).is_some() {
            return Err(format!("{name} is there twice"));
        }
    }
    Ok(lines)
}

/// What is wrong with these counts, a sentence each.
pub fn complaints(committed: &BTreeMap<String, Committed>, counted: &[(&str, u64)]) -> Vec<String> {
    let mut complaints = Vec::new();
    for (name, instructions) in counted {
        let Some(before) = committed.get(*name) else {
            complaints.push(format!(
                "{name}: {instructions} instructions, and none committed"
            ));
            continue;
        };
        let percent = difference_percent(before.instructions, *instructions);
        if percent.abs() > DIFFERENCE_MAX_PERCENT {
            complaints.push(format!(
                "{name}: {instructions} instructions, committed are {} ({percent:+.1} %)",
                before.instructions
            ));
        }
    }
    for name in committed.keys() {
        if !counted.iter().any(|(counted, _)| counted == name) {
            complaints.push(format!("{name}: is committed, and there is no such case"));
        }
    }
    complaints
}

/// By how much a count differs from the one before it.
pub fn difference_percent(before: u64, now: u64) -> f64 {
    let as_float = |count: u64| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    (as_float(now) / as_float(before) - 1.0) * 100.0
}

/// The file with these counts. A line keeps its count and reason while it is near enough.
pub fn updated(
    head: &str,
    committed: &BTreeMap<String, Committed>,
    counted: &[(&str, u64)],
    reason: &str,
) -> String {
    let mut text = head.to_owned();
    for (name, instructions) in counted {
        let kept = committed.get(*name).filter(|before| {
            difference_percent(before.instructions, *instructions).abs() <= DIFFERENCE_MAX_PERCENT
        });
        let line = kept.cloned().unwrap_or_else(|| Committed {
            instructions: *instructions,
            reason: reason.to_owned(),
        });
        writeln!(text, "{name}\t{}\t{}", line.instructions, line.reason).expect("memory");
    }
    text
}

/// Shows that the comparison finds what it is there for; run before every comparison, because a
/// program of this kind has no test harness.
pub fn self_test() {
    let text = "# head\na\t1000\tfirst\nb\t2000\tfirst\n";
    let committed = parse(text).expect("sound");
    assert!(complaints(&committed, &[("a", 1049), ("b", 1901)]).is_empty());
    let found = complaints(&committed, &[("a", 1051), ("b", 1899)]);
    assert_eq!(found.len(), 2, "{found:?}");
    let found = complaints(&committed, &[("a", 1000), ("c", 1)]);
    assert_eq!(found.len(), 2, "a new case and a lost one: {found:?}");
    assert!(parse("a\tmany\twhy").is_err() && parse("a\t1\t").is_err() && parse("a\t1").is_err());
    assert!(parse("a\t1\tx\na\t1\tx").is_err());
    let new = updated(
        "# head\n",
        &committed,
        &[("a", 1001), ("b", 3000)],
        "slower codec",
    );
    assert_eq!(new, "# head\na\t1000\tfirst\nb\t3000\tslower codec\n");
}
