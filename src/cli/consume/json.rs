// SPDX-License-Identifier: Apache-2.0
//! A record as one JSON object on a line, with the names that kcat uses.
//!
//! Owns: [`write`] and its parts. Invariants: nothing of a record is lost: what is no text is
//! written in base64, under a name that says so. Runs on: the caller's thread. Bounded by: one
//! record.

use std::io::{self, Write};

use serde_json::Value;

use super::template::Place;
use crate::cli::base64;
use crate::model::topic_config::TimestampType;
use crate::wire::record::RecordView;

/// Writes one record.
pub(super) fn write(
    place: &Place<'_>,
    record: &RecordView<'_>,
    output: &mut impl Write,
) -> io::Result<()> {
    let tstype = match place.timestamp_type {
        TimestampType::CreateTime => "create",
        TimestampType::LogAppendTime => "logappend",
    };
    write!(
        output,
        "{{\"topic\":{},\"partition\":{},\"offset\":{},\"tstype\":\"{tstype}\",\"ts\":{},\
         \"headers\":{},",
        Value::from(place.topic),
        place.partition,
        record.offset,
        record.timestamp,
        headers(record),
    )?;
    write_bytes("key", record.key, output)?;
    output.write_all(b",")?;
    write_bytes("payload", record.value, output)?;
    output.write_all(b"}\n")
}

/// Names and values of a record's headers, in turn.
pub(in crate::cli) fn headers(record: &RecordView<'_>) -> Value {
    let flat = record.headers.flat_map(|(name, value)| {
        let name = String::from_utf8_lossy(name).into_owned();
        let value = match value.map(std::str::from_utf8) {
            None => Value::Null,
            Some(Ok(text)) => Value::from(text),
            Some(Err(_)) => {
                let encoded = base64::encode(value.unwrap_or_default());
                Value::Object(
                    [("base64".to_owned(), encoded.into())]
                        .into_iter()
                        .collect(),
                )
            }
        };
        [Value::from(name), value]
    });
    Value::Array(flat.collect())
}

/// A key or a value: as text, where it is text.
pub(in crate::cli) fn write_bytes(
    name: &str,
    bytes: Option<&[u8]>,
    output: &mut impl Write,
) -> io::Result<()> {
    match bytes.map(std::str::from_utf8) {
        None => write!(output, "\"{name}\":null"),
        Some(Ok(text)) => write!(output, "\"{name}\":{}", Value::from(text)),
        Some(Err(_)) => {
            let encoded = base64::encode(bytes.unwrap_or_default());
            write!(output, "\"{name}_base64\":\"{encoded}\"")
        }
    }
}
