// SPDX-License-Identifier: Apache-2.0
//! How what a dump finds is printed: lines in the words of Kafka's own tool, or a JSON object on
//! each line.
//!
//! Owns: [`Item`]. Invariants: both forms say the same, but that JSON loses nothing of a record's
//! bytes. Runs on: the caller's thread. Bounded by: one batch.

use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};

use super::index::Kind;
use crate::cli::arguments::Format;
use crate::cli::consume::json::{headers, write_bytes};
use crate::model::topic_config::TimestampType;
use crate::wire::record::{BatchHeader, RecordView};

/// One thing that was found.
pub(super) enum Item<'a> {
    /// A file begins.
    File { path: &'a Path, size_bytes: u64 },
    /// A batch of a log.
    Batch {
        header: &'a BatchHeader,
        position: u64,
        is_valid: bool,
    },
    /// A record of it.
    Record(&'a RecordView<'a>),
    /// Zeros at the end of a log.
    Zeros { position: u64, bytes: u64 },
    /// The end of a log.
    LogEnd {
        batches: u64,
        records: i64,
        next_offset: i64,
    },
    /// An entry of an index.
    Entry { kind: Kind, entry: (i64, i64) },
    /// The end of an index.
    IndexEnd {
        kind: Kind,
        entries: usize,
        last: Option<(i64, i64)>,
        zero_entries: usize,
        odd_bytes: usize,
    },
    /// A line of a checkpoint file.
    Line(&'a str),
    /// Something is wrong.
    Damage(&'a str),
    /// A directory without files.
    NoFiles(&'a Path),
}

/// Prints it.
pub(super) fn write(format: Format, item: &Item<'_>, output: &mut impl Write) -> io::Result<()> {
    match (format, item) {
        (Format::Table, item) => write_text(item, output),
        (Format::Json, Item::Record(record)) => write_record_object(record, output),
        (Format::Json, item) => writeln!(output, "{}", object(item)),
    }
}

fn write_text(item: &Item<'_>, output: &mut impl Write) -> io::Result<()> {
    match item {
        Item::File { path, size_bytes } => {
            writeln!(output, "Dumping {} ({size_bytes} bytes)", path.display())
        }
        Item::Batch {
            header,
            position,
            is_valid,
        } => write_batch(header, *position, *is_valid, output),
        Item::Record(record) => write_record(record, output),
        Item::Zeros { position, bytes } => {
            writeln!(output, "position: {position} {bytes} bytes of zeros")
        }
        Item::LogEnd {
            batches,
            records,
            next_offset,
        } => writeln!(
            output,
            "{batches} batches, {records} records, next offset {next_offset}"
        ),
        Item::Entry { kind, entry } => {
            let (first, second) = kind.names();
            writeln!(output, "{first}: {} {second}: {}", entry.0, entry.1)
        }
        Item::IndexEnd {
            kind,
            entries,
            last,
            zero_entries,
            odd_bytes,
        } => {
            write!(output, "{entries} entries")?;
            if let Some((a, b)) = last {
                let (first, second) = kind.names();
                write!(output, ", the last one {first} {a}, {second} {b}")?;
            }
            if *zero_entries > 0 {
                write!(output, ", then {zero_entries} entries of zeros")?;
            }
            if *odd_bytes > 0 {
                write!(output, ", {odd_bytes} bytes that are no entry")?;
            }
            writeln!(output)
        }
        Item::Line(line) => writeln!(output, "  {line}"),
        Item::Damage(sentence) => writeln!(output, "DAMAGED {sentence}"),
        Item::NoFiles(path) => writeln!(output, "{}: no files", path.display()),
    }
}

/// What is not a record, as an object.
fn object(item: &Item<'_>) -> Value {
    match item {
        Item::File { path, size_bytes } => {
            json!({"type": "file", "path": path.display().to_string(), "size": size_bytes})
        }
        Item::Batch {
            header,
            position,
            is_valid,
        } => batch_object(header, *position, *is_valid),
        Item::Record(_) => unreachable!("a record is written by its own function"),
        Item::Zeros { position, bytes } => {
            json!({"type": "zeros", "position": position, "size": bytes})
        }
        Item::LogEnd {
            batches,
            records,
            next_offset,
        } => json!({
            "type": "end", "batches": batches, "records": records, "nextOffset": next_offset,
        }),
        Item::Entry { kind, entry } => {
            let (first, second) = kind.names();
            json!({"type": "entry", first: entry.0, second: entry.1})
        }
        Item::IndexEnd {
            entries,
            zero_entries,
            odd_bytes,
            ..
        } => json!({
            "type": "end", "entries": entries, "zeroEntries": zero_entries, "oddBytes": odd_bytes,
        }),
        Item::Line(line) => json!({"type": "line", "text": line}),
        Item::Damage(sentence) => json!({"type": "damage", "message": sentence}),
        Item::NoFiles(path) => json!({"type": "empty", "path": path.display().to_string()}),
    }
}

fn time_name(header: &BatchHeader) -> &'static str {
    match header.attributes.timestamp_type() {
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    }
}

fn codec_name(header: &BatchHeader) -> &'static str {
    let codec = header.attributes.compression();
    codec.map_or("unknown", |codec| codec.name())
}

fn batch_object(header: &BatchHeader, position: u64, is_valid: bool) -> Value {
    json!({
        "type": "batch",
        "baseOffset": header.base_offset,
        "lastOffset": header.last_offset(),
        "count": header.record_count,
        "baseSequence": header.base_sequence,
        "lastSequence": header.last_sequence(),
        "producerId": header.producer_id,
        "producerEpoch": header.producer_epoch,
        "partitionLeaderEpoch": header.partition_leader_epoch,
        "isTransactional": header.attributes.is_transactional(),
        "isControl": header.attributes.is_control(),
        "position": position,
        "timestampType": time_name(header),
        "maxTimestamp": header.max_timestamp,
        "size": header.size_bytes(),
        "magic": header.magic,
        "compresscodec": codec_name(header),
        "crc": header.crc,
        "isvalid": is_valid,
    })
}

fn write_batch(
    header: &BatchHeader,
    position: u64,
    is_valid: bool,
    output: &mut impl Write,
) -> io::Result<()> {
    let (codec, time) = (codec_name(header), time_name(header));
    writeln!(
        output,
        "baseOffset: {} lastOffset: {} count: {} baseSequence: {} lastSequence: {} \
         producerId: {} producerEpoch: {} partitionLeaderEpoch: {} isTransactional: {} \
         isControl: {} position: {position} {time}: {} size: {} magic: {} compresscodec: {codec} \
         crc: {} isvalid: {is_valid}",
        header.base_offset,
        header.last_offset(),
        header.record_count,
        header.base_sequence,
        header.last_sequence(),
        header.producer_id,
        header.producer_epoch,
        header.partition_leader_epoch,
        header.attributes.is_transactional(),
        header.attributes.is_control(),
        header.max_timestamp,
        header.size_bytes(),
        header.magic,
        header.crc,
    )
}

fn write_record(record: &RecordView<'_>, output: &mut impl Write) -> io::Result<()> {
    let size =
        |bytes: Option<&[u8]>| bytes.map_or(-1, |bytes| i64::try_from(bytes.len()).unwrap_or(-1));
    write!(
        output,
        "| offset: {} CreateTime: {} keySize: {} valueSize: {}",
        record.offset,
        record.timestamp,
        size(record.key),
        size(record.value)
    )?;
    for (name, value) in record.headers {
        write!(output, " header: {}=", name.escape_ascii())?;
        write!(output, "{}", value.unwrap_or_default().escape_ascii())?;
    }
    if let Some(key) = record.key {
        write!(output, " key: {}", key.escape_ascii())?;
    }
    match record.value {
        Some(value) => writeln!(output, " payload: {}", value.escape_ascii()),
        None => writeln!(output),
    }
}

/// Like `furlong consume --format json` does it.
fn write_record_object(record: &RecordView<'_>, output: &mut impl Write) -> io::Result<()> {
    let (offset, timestamp) = (record.offset, record.timestamp);
    let headers = headers(record);
    write!(
        output,
        "{{\"type\":\"record\",\"offset\":{offset},\"ts\":{timestamp},\"headers\":{headers},"
    )?;
    write_bytes("key", record.key, output)?;
    output.write_all(b",")?;
    write_bytes("payload", record.value, output)?;
    output.write_all(b"}\n")
}
