// SPDX-License-Identifier: Apache-2.0
//! The text form of settings: `key=value` lines as Kafka's `server.properties` has them.
//!
//! Owns: [`parse`], [`parse_assignment`]. Invariants: total on any text; a later line beats an
//! earlier one.
//! Runs on: any core. Bounded by: the text handed in.

use bytestring::ByteString;

use super::definition::ConfigError;
use super::layers::Settings;

/// Reads a whole file: comments (`#`, `!`), `key=value`, `key: value`, a `\` at the end of a line
/// continues it.
pub fn parse(text: &str) -> Result<Settings, ConfigError> {
    let mut settings = Settings::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, first)) = lines.next() {
        let first = first.trim_start();
        if first.is_empty() || first.starts_with(['#', '!']) {
            continue;
        }
        let mut whole = first.to_owned();
        while continues(&whole) {
            whole.pop();
            match lines.next() {
                Some((_, next)) => whole.push_str(next.trim_start()),
                None => break,
            }
        }
        let (name, value) = split(&whole).ok_or_else(|| ConfigError::Conflict {
            sentence: format!(
                "Line {} of the settings file is not of the form key=value.",
                index + 1
            )
            .into(),
        })?;
        settings.insert(name, value);
    }
    Ok(settings)
}

/// Reads one `key=value`, as a flag of the command line has it.
pub fn parse_assignment(text: &str) -> Result<(ByteString, ByteString), ConfigError> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().into(), value.trim().into()))
        }
        _ => Err(ConfigError::Conflict {
            sentence: "A setting is given as key=value, for example num.partitions=3.".into(),
        }),
    }
}

/// True if a line ends in an odd number of backslashes.
fn continues(line: &str) -> bool {
    let trailing = line.bytes().rev().take_while(|byte| *byte == b'\\').count();
    trailing % 2 == 1
}

fn split(line: &str) -> Option<(ByteString, ByteString)> {
    let (name, value) = line.split_once(['=', ':'])?;
    let name = name.trim();
    if name.is_empty() {
        return None;
    }
    Some((name.into(), unescaped(value.trim()).into()))
}

/// Removes the backslash of `\:`, `\=`, `\\` and the like; `\t`, `\n` and `\r` become what they
/// name.
fn unescaped(value: &str) -> String {
    let mut plain = String::with_capacity(value.len());
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            plain.push(letter);
            continue;
        }
        match letters.next() {
            Some('t') => plain.push('\t'),
            Some('n') => plain.push('\n'),
            Some('r') => plain.push('\r'),
            Some(other) => plain.push(other),
            None => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_file_is_read_as_java_reads_it() {
        let text = "# a comment\n! another\n\nnode.id=7\n  log.dirs = /a\\:b \nlisteners: \
         PLAINTEXT://:1\n\
                    long=one,\\\n   two\nempty=\nnode.id=8";
        let settings = parse(text).expect("well formed");
        let value = |name: &str| settings.get(name).map(|value| value.to_string());
        assert_eq!(value("node.id").as_deref(), Some("8"));
        assert_eq!(value("log.dirs").as_deref(), Some("/a:b"));
        assert_eq!(value("listeners").as_deref(), Some("PLAINTEXT://:1"));
        assert_eq!(value("long").as_deref(), Some("one,two"));
        assert_eq!(value("empty").as_deref(), Some(""));
    }

    #[test]
    fn a_line_without_a_value_is_named() {
        let refusal = parse("node.id=1\nnonsense").expect_err("no value");
        assert_eq!(
            refusal.to_string(),
            "Line 2 of the settings file is not of the form key=value."
        );
        assert!(parse("=5").is_err());
        assert!(parse_assignment("=5").is_err() && parse_assignment("five").is_err());
        let (name, value) = parse_assignment("a.b=c=d").expect("an assignment");
        assert_eq!((&*name, &*value), ("a.b", "c=d"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,200}", lines in "[a-z=:#!\\\\\n ]{0,200}") {
            let _ = parse(&text);
            let _ = parse(&lines);
        }
    }
}
