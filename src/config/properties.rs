// SPDX-License-Identifier: Apache-2.0
//! The text form of settings: `key=value` lines as Java reads them (`java.util.Properties`).
//!
//! Owns: [`parse`], [`parse_assignment`]. Invariants: total on any text; what Java would read in
//! another way than it is written here is an error: a broken `\u` escape.
//! Runs on: any core. Bounded by: the text handed in.

use bytestring::ByteString;

use super::definition::ConfigError;

/// One setting of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// The line on which it begins, counted from 1.
    pub line: usize,
    /// Its name.
    pub name: ByteString,
    /// Its value.
    pub value: ByteString,
}

/// White space as Java's properties know it.
const BLANK: [char; 3] = [' ', '\t', '\u{c}'];

/// Reads a whole file. A line is a comment (`#` or `!` first), empty, or a name, a separator (`=`,
/// `:` or white space) and a value; a `\` at its end continues it on the next line. In names and
/// values `\t`, `\n`, `\r`, `\f` and `\uXXXX` stand for what they name; before any other letter a
/// `\` is dropped, and the letter loses its meaning. A name alone has the empty value.
///
/// # Errors
/// If a `\u` is not followed by four hexadecimal digits that name a letter.
pub fn parse(text: &str) -> Result<Vec<Property>, ConfigError> {
    let mut found = Vec::new();
    let mut lines = lines(text).enumerate();
    while let Some((index, first)) = lines.next() {
        let first = first.trim_start_matches(BLANK);
        if first.is_empty() || first.starts_with(['#', '!']) {
            continue;
        }
        let mut whole = first.to_owned();
        while continues(&whole) {
            whole.pop();
            match lines.next() {
                Some((_, next)) => whole.push_str(next.trim_start_matches(BLANK)),
                None => break,
            }
        }
        let line = index + 1;
        let (name, value) = split(&whole);
        found.push(Property {
            line,
            name: unescaped(name, line)?.into(),
            value: unescaped(value, line)?.into(),
        });
    }
    Ok(found)
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

/// The lines of a text that ends them with a line feed, a carriage return, or both.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.find(['\n', '\r']) else {
            rest = None;
            return Some(text);
        };
        let len = if text[end..].starts_with("\r\n") {
            2
        } else {
            1
        };
        rest = Some(&text[end + len..]);
        Some(&text[..end])
    })
}

/// True if a line ends in an odd number of backslashes.
fn continues(line: &str) -> bool {
    let trailing = line.bytes().rev().take_while(|byte| *byte == b'\\').count();
    trailing % 2 == 1
}

/// Name and value of a line, both still escaped: the name ends before the first separator that no
/// backslash hides; the separator is white space with at most one `=` or `:` in it.
fn split(line: &str) -> (&str, &str) {
    let mut is_hidden = false;
    let end = line.char_indices().find(|(_, letter)| {
        let ends = !is_hidden && (matches!(letter, '=' | ':') || BLANK.contains(letter));
        is_hidden = *letter == '\\' && !is_hidden;
        ends
    });
    let Some((end, _)) = end else {
        return (line, "");
    };
    let rest = line[end..].trim_start_matches(BLANK);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (&line[..end], rest.trim_start_matches(BLANK))
}

fn unescaped(text: &str, line: usize) -> Result<String, ConfigError> {
    let mut plain = String::with_capacity(text.len());
    // Java's letters of 16 bits: two of them may be one of ours.
    let mut units: Vec<u16> = Vec::new();
    let mut letters = text.chars();
    loop {
        let letter = letters.next();
        if letter == Some('\\') && letters.as_str().starts_with('u') {
            letters.next();
            units.push(unit(&mut letters).ok_or_else(|| broken(line))?);
            continue;
        }
        for decoded in char::decode_utf16(units.drain(..)) {
            plain.push(decoded.map_err(|_| broken(line))?);
        }
        match letter {
            None => return Ok(plain),
            Some('\\') => plain.extend(letters.next().map(|escaped| match escaped {
                't' => '\t',
                'n' => '\n',
                'r' => '\r',
                'f' => '\u{c}',
                other => other,
            })),
            Some(other) => plain.push(other),
        }
    }
}

/// The next four hexadecimal digits as a number.
fn unit(letters: &mut std::str::Chars<'_>) -> Option<u16> {
    let digits = letters.as_str().get(..4)?;
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    letters.nth(3);
    u16::from_str_radix(digits, 16).ok()
}

fn broken(line: usize) -> ConfigError {
    ConfigError::Conflict {
        sentence: format!(
            "Line {line} of the settings file has a \\u that is not followed by four hexadecimal \
             digits of a letter. Write a backslash itself as \\\\."
        )
        .into(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let found = parse(text).expect("well formed");
        let pair = |one: Property| (one.name.to_string(), one.value.to_string());
        found.into_iter().map(pair).collect()
    }

    fn one(text: &str) -> (String, String) {
        let mut found = pairs(text);
        assert_eq!(found.len(), 1, "{text:?}: {found:?}");
        found.remove(0)
    }

    #[test]
    fn a_file_is_read_as_java_reads_it() {
        let text = "# a comment\n! another\n\nnode.id=7\n  log.dirs = /a\\:b \nlisteners: \
         PLAINTEXT://:1\n\
                    long=one,\\\n   two\nempty=\nnode.id=8";
        let settings = pairs(text);
        let value = |name: &str| {
            let found = settings.iter().rfind(|(one, _)| one == name);
            found.map(|(_, value)| value.as_str())
        };
        assert_eq!(value("node.id"), Some("8"));
        assert_eq!(value("log.dirs"), Some("/a:b "));
        assert_eq!(value("listeners"), Some("PLAINTEXT://:1"));
        assert_eq!(value("long"), Some("one,two"));
        assert_eq!(value("empty"), Some(""));
        let lines: Vec<usize> = parse(text)
            .expect("good")
            .iter()
            .map(|one| one.line)
            .collect();
        assert_eq!(lines, [4, 5, 6, 7, 9, 10]);
    }

    #[test]
    fn every_separator_of_java_separates() {
        for text in [
            "a.b=c",
            "a.b:c",
            "a.b c",
            "a.b\tc",
            "a.b = c",
            "  a.b : c",
            "a.b   c",
        ] {
            assert_eq!(one(text), ("a.b".into(), "c".into()), "{text:?}");
        }
        assert_eq!(
            one("a = = b"),
            ("a".into(), "= b".into()),
            "one = belongs to it"
        );
        assert_eq!(one("a\\=b\\ c\\:d=e"), ("a=b c:d".into(), "e".into()));
        assert_eq!(one("alone"), ("alone".into(), String::new()));
        assert_eq!(one("=5"), (String::new(), "5".into()));
    }

    #[test]
    fn escapes_stand_for_letters() {
        assert_eq!(one(r"a=\t\n\r\f\z\\").1, "\t\n\r\u{c}z\\");
        assert_eq!(one(r"a=caf\u00e9 \uD83D\uDE00!").1, "caf\u{e9} \u{1f600}!");
        for text in [r"a=\u12", r"a=\u12g4", r"a=\ud83d", r"b=1"] {
            let broken = parse(&format!("x=1\n{text}"));
            assert_eq!(broken.is_err(), text != "b=1", "{text}");
        }
        let refusal = parse("x=1\na=\\uzzzz").expect_err("no digits").to_string();
        assert!(refusal.starts_with("Line 2 "), "{refusal}");
    }

    #[test]
    fn continuations_and_line_ends() {
        assert_eq!(one("a=b\\\r\n  \tc").1, "bc");
        assert_eq!(
            one("a=b\\\\").1,
            "b\\",
            "an even number of backslashes ends the line"
        );
        assert_eq!(one("a=b\\").1, "b", "the end of the text ends it, too");
        assert_eq!(one("a=b\\\n# no comment here").1, "b# no comment here");
        let two = [("a".into(), "1".into()), ("b".into(), "2".into())];
        assert_eq!(pairs("# never \\\na=1\rb=2\r\r"), two);
    }

    #[test]
    fn an_assignment_needs_a_name_and_a_sign() {
        assert!(parse_assignment("=5").is_err() && parse_assignment("five").is_err());
        let (name, value) = parse_assignment("a.b=c=d").expect("an assignment");
        assert_eq!((&*name, &*value), ("a.b", "c=d"));
    }

    /// A text written so that Java reads it back.
    fn escaped(text: &str) -> String {
        let mut written = String::new();
        for letter in text.chars() {
            match letter {
                '\n' => written.push_str("\\n"),
                '\r' => written.push_str("\\r"),
                '\u{c}' => written.push_str("\\f"),
                '\\' | '=' | ':' | ' ' | '\t' | '#' | '!' => written.extend(['\\', letter]),
                letter if letter > '\u{7f}' => {
                    for unit in letter.encode_utf16(&mut [0; 2]) {
                        written.push_str(&format!("\\u{unit:04X}"));
                    }
                }
                letter => written.push(letter),
            }
        }
        written
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,200}", lines in "[a-z=:#!\\\\\nu0 ]{0,200}") {
            let _ = parse(&text);
            let _ = parse(&lines);
        }

        #[test]
        fn what_is_written_is_read_back(
            written in prop::collection::vec((".{1,20}", ".{0,40}"), 0..8),
            separator in prop_oneof![Just("="), Just(":"), Just(" "), Just(" = ")],
        ) {
            let mut text = String::new();
            for (name, value) in &written {
                // A tab that is escaped by a backslash stays a tab, as every letter without a
                // meaning of its own.
                text.push_str(&format!("{}{separator}{}\n", escaped(name), escaped(value)));
            }
            prop_assert_eq!(pairs(&text), written);
        }
    }
}
