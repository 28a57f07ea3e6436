// SPDX-License-Identifier: Apache-2.0
//! The form of a printed record, in the tokens of kcat.
//!
//! Owns: [`Template`]. Invariants: a token that is not known is an error, never printed as it is;
//! a template is read once, not for each record. Runs on: the caller's thread. Bounded by: the
//! command line.

use std::io::{self, Write};

use crate::model::topic_config::TimestampType;
use crate::wire::record::RecordView;

/// What is around a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    /// Its topic.
    pub(super) topic: &'a str,
    /// Its partition.
    pub(super) partition: i32,
    /// Whose clock its timestamp is of.
    pub(super) timestamp_type: TimestampType,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    Value,
    ValueLength,
    ValueLengthBinary,
    Key,
    KeyLength,
    Topic,
    Partition,
    Offset,
    Timestamp,
    Headers,
}

/// The form of a printed record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    parts: Vec<Part>,
}

impl Template {
    /// The value alone, or key, separator and value; then the delimiter.
    pub(super) fn of_value(key_separator: Option<Vec<u8>>, delimiter: Vec<u8>) -> Template {
        let mut parts = Vec::new();
        if let Some(separator) = key_separator {
            parts.extend([Part::Key, Part::Text(separator)]);
        }
        parts.extend([Part::Value, Part::Text(delimiter)]);
        Template { parts }
    }

    /// Reads tokens and escapes.
    ///
    /// # Errors
    /// Names what is not known.
    pub(super) fn parse(text: &str) -> Result<Template, String> {
        let mut parts = Vec::new();
        let mut plain = Vec::new();
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            let part = match letter {
                '%' => token(letters.next())?,
                '\\' => Part::Text(vec![escape(&mut letters)?]),
                other => Part::Text(other.to_string().into_bytes()),
            };
            match part {
                Part::Text(more) => plain.extend(more),
                part => {
                    parts.extend(text_of(&mut plain));
                    parts.push(part);
                }
            }
        }
        parts.extend(text_of(&mut plain));
        Ok(Template { parts })
    }

    /// Writes one record.
    pub(super) fn write(
        &self,
        place: &Place<'_>,
        record: &RecordView<'_>,
        null: &[u8],
        output: &mut impl Write,
    ) -> io::Result<()> {
        for part in &self.parts {
            match part {
                Part::Text(text) => output.write_all(text)?,
                Part::Value => output.write_all(record.value.unwrap_or(null))?,
                Part::ValueLength => write!(output, "{}", length(record.value))?,
                Part::ValueLengthBinary => {
                    // A record fits a batch, whose length has 32 bits.
                    let length = i32::try_from(length(record.value)).unwrap_or(i32::MAX);
                    output.write_all(&length.to_be_bytes())?;
                }
                Part::Key => output.write_all(record.key.unwrap_or(null))?,
                Part::KeyLength => write!(output, "{}", length(record.key))?,
                Part::Topic => output.write_all(place.topic.as_bytes())?,
                Part::Partition => write!(output, "{}", place.partition)?,
                Part::Offset => write!(output, "{}", record.offset)?,
                Part::Timestamp => write!(output, "{}", record.timestamp)?,
                Part::Headers => write_headers(record, output)?,
            }
        }
        Ok(())
    }
}

fn text_of(plain: &mut Vec<u8>) -> Option<Part> {
    match plain.is_empty() {
        true => None,
        false => Some(Part::Text(std::mem::take(plain))),
    }
}

fn token(letter: Option<char>) -> Result<Part, String> {
    Ok(match letter {
        Some('s') => Part::Value,
        Some('S') => Part::ValueLength,
        Some('R') => Part::ValueLengthBinary,
        Some('k') => Part::Key,
        Some('K') => Part::KeyLength,
        Some('t') => Part::Topic,
        Some('p') => Part::Partition,
        Some('o') => Part::Offset,
        Some('T') => Part::Timestamp,
        Some('h') => Part::Headers,
        Some('%') => Part::Text(b"%".to_vec()),
        Some(other) => {
            return Err(format!(
                "%{other} is no token; there are %s %S %R %k %K %t %p %o %T %h and %%"
            ));
        }
        None => return Err("a % at the end is no token; write %% for a %".to_owned()),
    })
}

fn escape(letters: &mut std::str::Chars<'_>) -> Result<u8, String> {
    match letters.next() {
        Some('n') => Ok(b'\n'),
        Some('r') => Ok(b'\r'),
        Some('t') => Ok(b'\t'),
        Some('0') => Ok(0),
        Some('\\') => Ok(b'\\'),
        Some('x') => {
            let digits = letters.as_str().get(..2).unwrap_or_default();
            let is_hex = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            if !is_hex {
                return Err(r"\x needs two hexadecimal digits, such as \x1f".to_owned());
            }
            letters.nth(1);
            Ok(u8::from_str_radix(digits, 16).unwrap_or_default())
        }
        other => {
            let other = other.map(String::from).unwrap_or_default();
            Err(format!(
                r"\{other} is no escape; there are \n \r \t \0 \\ and \xNN"
            ))
        }
    }
}

/// Bytes of a key or a value, -1 where there is none.
fn length(bytes: Option<&[u8]>) -> i64 {
    bytes.map_or(-1, |bytes| i64::try_from(bytes.len()).unwrap_or(i64::MAX))
}

fn write_headers(record: &RecordView<'_>, output: &mut impl Write) -> io::Result<()> {
    for (place, (name, value)) in record.headers.enumerate() {
        if place > 0 {
            output.write_all(b",")?;
        }
        output.write_all(name)?;
        output.write_all(b"=")?;
        output.write_all(value.unwrap_or(b"NULL"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::record::{BatchBuilder, Compression, records};
    use proptest::prelude::*;

    /// What a template makes of one record.
    fn printed(text: &str, key: Option<&[u8]>, value: Option<&[u8]>) -> Vec<u8> {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.append(1234, key, value, &[(b"h", Some(b"1")), (b"n", None)]);
        builder.offsets(77, 0);
        let batch = builder.build();
        let opened = records(&batch, 1 << 20).expect("a good batch");
        let record = opened
            .iter()
            .next()
            .expect("a record")
            .expect("a good record");
        let place = Place {
            topic: "garden",
            partition: 5,
            timestamp_type: TimestampType::CreateTime,
        };
        let mut output = Vec::new();
        let template = Template::parse(text).expect("a good template");
        template
            .write(&place, &record, b"NULL", &mut output)
            .expect("memory");
        output
    }

    #[test]
    fn every_token_prints_its_part() {
        for (text, expected) in [
            ("%t/%p/%o", &b"garden/5/77"[..]),
            ("%T %h", b"1234 h=1,n=NULL"),
            ("%k=%s", b"key=value"),
            ("%K:%S", b"3:5"),
            ("%R", b"\0\0\0\x05"),
            (r"a\tb\n\r\0\\\x41%%", b"a\tb\n\r\0\\A%"),
            (r"\xffé", b"\xff\xc3\xa9"),
            ("", b""),
        ] {
            assert_eq!(
                printed(text, Some(b"key"), Some(b"value")),
                expected,
                "{text}"
            );
        }
        assert_eq!(printed("%k %K %s %S", None, None), b"NULL -1 NULL -1");
        assert_eq!(printed("%R", None, None), b"\xff\xff\xff\xff");
        assert_eq!(printed("%s|%S", Some(b""), Some(b"")), b"|0");
    }

    #[test]
    fn what_is_no_token_is_named() {
        for (text, part) in [
            ("%q", "%q is no token"),
            ("50%", "write %% for a %"),
            (r"\q", r"\q is no escape"),
            ("\\", r"\ is no escape"),
            (r"\x4", "two hexadecimal digits"),
            (r"\xg1", "two hexadecimal digits"),
            (r"\x+1", "two hexadecimal digits"),
        ] {
            let sentence = Template::parse(text).expect_err(text);
            assert!(sentence.contains(part), "{text}: {sentence}");
        }
    }

    proptest! {
        #[test]
        fn text_without_tokens_prints_itself(text in "[^%\\\\]{0,40}") {
            prop_assert_eq!(printed(&text, None, None), text.as_bytes());
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,30}", like in "[%\\\\sSkKtpoThRx0-9a-f]{0,20}") {
            let _ = Template::parse(&text);
            let _ = Template::parse(&like);
        }

        #[test]
        fn values_are_printed_byte_by_byte(value in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(printed("%s", None, Some(&value)), value);
        }
    }
}
