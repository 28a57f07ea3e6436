// SPDX-License-Identifier: Apache-2.0
//! Settings in a TOML file: tables become the parts of Kafka's dotted names.
//!
//! Owns: [`parse`]. Invariants: total on any text; a name that is given twice, once dotted and once
//! by tables, is an error; a kind of value that no setting has is an error.
//! Runs on: the start of the process. Bounded by: the text handed in.

use bytestring::ByteString;
use toml::{Table, Value};

use super::definition::ConfigError;
use super::layers::Settings;

/// Reads a whole file: `[log.retention]` with `ms = 5` under it, `log.retention.ms = 5` and
/// `"log.retention.ms" = 5` are the same. An array is a list with commas. Where one setting's name
/// continues another's (`max.connections`, `max.connections.per.ip`), both are written with quotes.
///
/// # Errors
/// A sentence that names the line, or the setting.
pub fn parse(text: &str) -> Result<Settings, ConfigError> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map_or(1, |span| {
            1 + text[..span.start]
                .bytes()
                .filter(|byte| *byte == b'\n')
                .count()
        });
        conflict(format!(
            "Line {line} of the settings file is no TOML: {}.",
            error.message()
        ))
    })?;
    let mut settings = Settings::new();
    flatten("", table, &mut settings)?;
    Ok(settings)
}

fn flatten(above: &str, table: Table, settings: &mut Settings) -> Result<(), ConfigError> {
    for (key, value) in table {
        let name = match above {
            "" => key,
            above => format!("{above}.{key}"),
        };
        let text = match value {
            Value::Table(below) => {
                flatten(&name, below, settings)?;
                continue;
            }
            Value::Array(parts) => {
                let parts: Option<Vec<String>> = parts.into_iter().map(scalar).collect();
                parts.map(|parts| parts.join(","))
            }
            other => scalar(other),
        };
        let text = text.ok_or_else(|| {
            conflict(format!(
                "The setting {name} cannot be a date or a list of lists in the settings file: \
                 write it as text, a number, true or false, or a list of those."
            ))
        })?;
        if settings
            .insert(ByteString::from(name.as_str()), text.into())
            .is_some()
        {
            return Err(conflict(format!(
                "The settings file gives {name} more than once."
            )));
        }
    }
    Ok(())
}

fn scalar(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(is) => Some(is.to_string()),
        Value::Datetime(_) | Value::Array(_) | Value::Table(_) => None,
    }
}

fn conflict(sentence: String) -> ConfigError {
    ConfigError::Conflict {
        sentence: sentence.into(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refusal(text: &str) -> String {
        parse(text).expect_err("it must be refused").to_string()
    }

    #[test]
    fn tables_dots_and_quotes_mean_the_same() {
        let settings = parse(
            "node.id = 3\n\"log.dirs\" = \"/data\"\nlisteners = [\"PLAINTEXT://a:1\", \
             \"CONTROLLER://a:2\"]\n[log.retention]\nms = 86_400_000\n[log.cleaner]\n\
             min.cleanable.ratio = 0.5\nenable = true\n",
        )
        .expect("good TOML");
        let expected = [
            ("listeners", "PLAINTEXT://a:1,CONTROLLER://a:2"),
            ("log.cleaner.enable", "true"),
            ("log.cleaner.min.cleanable.ratio", "0.5"),
            ("log.dirs", "/data"),
            ("log.retention.ms", "86400000"),
            ("node.id", "3"),
        ];
        let found: Vec<(&str, &str)> = settings
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_no_setting_is_named() {
        assert!(refusal("node.id = 1\nlog.dirs = \n").starts_with("Line 2 of the settings file"));
        assert!(refusal("a = 1979-05-27").contains("The setting a cannot be a date"));
        assert!(refusal("a = [[1]]").contains("list of lists"));
        assert!(refusal("a.b = 1\n\"a.b\" = 2").contains("gives a.b more than once"));
        for text in [
            "x = 1\nx = 2",
            "[a",
            "a = {b = }",
            "a = 99999999999999999999",
        ] {
            assert!(refusal(text).ends_with('.'), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,200}", like in "[a-c.=\"\\[\\]{}\n0-9 ]{0,100}") {
            let _ = parse(&text);
            let _ = parse(&like);
        }

        #[test]
        fn plain_names_and_texts_are_read_back(
            name in "[a-z]{1,8}(\\.[a-z]{1,8}){0,4}",
            value in "[a-zA-Z0-9 ,:/._-]{0,40}",
        ) {
            let settings = parse(&format!("{name} = \"{value}\"")).expect("good TOML");
            prop_assert_eq!(settings.len(), 1);
            prop_assert_eq!(settings.get(&*name).map(|found| &**found), Some(&*value));
        }
    }
}
