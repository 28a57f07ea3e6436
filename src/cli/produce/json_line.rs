// SPDX-License-Identifier: Apache-2.0
//! A record as one JSON object, in the form that `furlong consume --format json` writes.
//!
//! Owns: [`JsonLine`]. Invariants: a word that is not understood is an error, so that no part of a
//! record is lost in silence. Runs on: the caller's thread. Bounded by: one line.

use serde_json::Value;

use super::lines::Header;
use crate::cli::base64;

/// What one line says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct JsonLine {
    /// Where it goes, if it says so.
    pub(super) partition: Option<usize>,
    /// Milliseconds since 1970, if it says so.
    pub(super) timestamp: Option<i64>,
    /// The key.
    pub(super) key: Option<Vec<u8>>,
    /// The value.
    pub(super) value: Option<Vec<u8>>,
    /// The headers.
    pub(super) headers: Vec<Header>,
}

impl JsonLine {
    /// Reads a line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(line: &[u8]) -> Result<JsonLine, String> {
        let value: Value =
            serde_json::from_slice(line).map_err(|error| format!("it is no JSON: {error}"))?;
        let Value::Object(fields) = value else {
            return Err("it is no JSON object".to_owned());
        };
        let mut found = JsonLine::default();
        for (name, value) in &fields {
            found.take(name, value)?;
        }
        Ok(found)
    }

    fn take(&mut self, name: &str, value: &Value) -> Result<(), String> {
        match name {
            "key" => self.key = text(name, value)?,
            "key_base64" => self.key = bytes(name, value)?,
            "payload" => self.value = text(name, value)?,
            "payload_base64" => self.value = bytes(name, value)?,
            "headers" => self.headers = headers(value)?,
            "partition" => {
                let number = value
                    .as_u64()
                    .and_then(|number| usize::try_from(number).ok());
                self.partition = Some(number.ok_or("partition is no number of a partition")?);
            }
            "ts" => self.timestamp = Some(value.as_i64().ok_or("ts is no whole number")?),
            // What a record has only once it is stored.
            "topic" | "offset" | "tstype" => {}
            _ => {
                return Err(format!(
                    "it has \"{name}\"; known are key, payload, headers, partition and ts"
                ));
            }
        }
        Ok(())
    }
}

fn text(name: &str, value: &Value) -> Result<Option<Vec<u8>>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.as_bytes().to_vec())),
        _ => Err(format!("{name} is neither text nor null")),
    }
}

fn bytes(name: &str, value: &Value) -> Result<Option<Vec<u8>>, String> {
    let decoded = value.as_str().and_then(base64::decode);
    decoded
        .map(Some)
        .ok_or_else(|| format!("{name} is no text in base64"))
}

/// Names and values in turn; a value that is no text is an object with `base64` in it.
fn headers(value: &Value) -> Result<Vec<Header>, String> {
    let wrong = || "headers is no list of names and values in turn".to_owned();
    let parts = value.as_array().ok_or_else(wrong)?;
    let (pairs, rest) = parts.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(wrong());
    }
    let header = |[name, value]: &[Value; 2]| {
        let name = name.as_str().ok_or_else(wrong)?.as_bytes().to_vec();
        let value = match value.get("base64") {
            Some(encoded) => bytes("the base64 of a header", encoded)?,
            None => text("the value of a header", value)?,
        };
        Ok((name, value))
    };
    pairs.iter().map(header).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_a_record_has() {
        let line = br#"{"topic":"t","partition":3,"offset":9,"tstype":"create","ts":17,"key":null,
            "headers":["a","1","b",null,"c",{"base64":"AP8="}],"payload_base64":"AAE="}"#;
        let parsed = JsonLine::parse(line).expect("good");
        assert_eq!(
            parsed,
            JsonLine {
                partition: Some(3),
                timestamp: Some(17),
                key: None,
                value: Some(vec![0, 1]),
                headers: vec![
                    (b"a".to_vec(), Some(b"1".to_vec())),
                    (b"b".to_vec(), None),
                    (b"c".to_vec(), Some(vec![0, 255])),
                ],
            }
        );
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for (line, part) in [
            ("peas", "no JSON"),
            ("[1]", "no JSON object"),
            (r#"{"value":"x"}"#, "known are key, payload"),
            (r#"{"key":5}"#, "neither text nor null"),
            (r#"{"key_base64":"?"}"#, "base64"),
            (r#"{"headers":["a"]}"#, "in turn"),
            (r#"{"headers":[5,"a"]}"#, "in turn"),
            (r#"{"partition":-1}"#, "partition"),
            (r#"{"ts":"noon"}"#, "ts is no whole number"),
        ] {
            let sentence = JsonLine::parse(line.as_bytes()).expect_err(line);
            assert!(sentence.contains(part), "{line}: {sentence}");
        }
    }
}
