// SPDX-License-Identifier: Apache-2.0
//! Committed offsets as a file: CSV as Kafka's own tool writes and reads it, or JSON.
//!
//! ```text
//! topic,partition,offset              one group
//! "group",topic,partition,offset      several groups
//! ```
//!
//! Owns: [`parse`], [`csv_line`]. Invariants: a line that is not understood is an error with its
//! number, never passed over; a partition that comes twice is one, too. Runs on: the command's
//! thread. Bounded by: `OFFSETS_FILE_BYTES_MAX`.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::cli::client::offsets::Place;

/// Largest file of offsets that is read: some 30 bytes for each of a million partitions.
pub(super) const OFFSETS_FILE_BYTES_MAX: u64 = 64 << 20;

/// One line for a partition; with the group, if several are written.
pub(super) fn csv_line(group: Option<&str>, (topic, partition): &Place, offset: i64) -> String {
    match group {
        None => format!("{topic},{partition},{offset}"),
        Some(group) => format!("{},{topic},{partition},{offset}", quoted(group)),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// The offsets that a file has for a group.
///
/// # Errors
/// Which line is wrong, and why.
pub(super) fn parse(text: &str, group: &str) -> Result<BTreeMap<Place, i64>, String> {
    let text = text.trim_start_matches('\u{feff}');
    let rows = match text.trim_start().starts_with(['[', '{']) {
        true => json_rows(text)?,
        false => csv_rows(text)?,
    };
    let mut offsets = BTreeMap::new();
    for row in rows {
        if row.group.as_deref().is_some_and(|of| of != group) {
            continue;
        }
        let (topic, partition) = row.place.clone();
        if offsets.insert(row.place, row.offset).is_some() {
            return Err(format!(
                "partition {partition} of topic {topic} comes twice"
            ));
        }
    }
    match offsets.is_empty() {
        true => Err(format!("there is no offset for group {group} in it")),
        false => Ok(offsets),
    }
}

struct Row {
    group: Option<String>,
    place: Place,
    offset: i64,
}

fn csv_rows(text: &str) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_end();
        if line.is_empty() {
            continue;
        }
        let row = cells(line).and_then(|cells| csv_row(&cells));
        rows.push(row.ok_or_else(|| {
            format!(
                "line {} is no topic,partition,offset and no group,topic,partition,offset: {line}",
                number + 1
            )
        })?);
    }
    Ok(rows)
}

fn csv_row(cells: &[String]) -> Option<Row> {
    let (group, rest) = match cells {
        [_, _, _] => (None, cells),
        [group, rest @ ..] if rest.len() == 3 => (Some(group.clone()), rest),
        _ => return None,
    };
    let topic = rest[0].clone();
    row(
        group,
        topic,
        rest[1].trim().parse().ok()?,
        rest[2].trim().parse().ok()?,
    )
}

fn row(group: Option<String>, topic: String, partition: i64, offset: i64) -> Option<Row> {
    let partition = i32::try_from(partition)
        .ok()
        .filter(|number| *number >= 0)?;
    (offset >= 0 && !topic.is_empty()).then_some(Row {
        group,
        place: (topic, partition),
        offset,
    })
}

/// The cells of one line; those in quotes may hold commas, and quotes twice.
fn cells(line: &str) -> Option<Vec<String>> {
    let mut cells = Vec::new();
    let mut rest = line;
    loop {
        let cell = match rest.strip_prefix('"') {
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                let (cell, behind) = rest.split_at(end);
                rest = behind;
                cell.to_owned()
            }
            Some(inner) => {
                let (cell, behind) = quoted_cell(inner)?;
                rest = behind;
                cell
            }
        };
        cells.push(cell);
        match rest.strip_prefix(',') {
            Some(next) => rest = next,
            None => return rest.is_empty().then_some(cells),
        }
    }
}

/// A cell behind its first quote, and what follows its last one.
fn quoted_cell(text: &str) -> Option<(String, &str)> {
    let mut cell = String::new();
    let mut rest = text;
    loop {
        let (before, behind) = rest.split_once('"')?;
        cell.push_str(before);
        match behind.strip_prefix('"') {
            Some(next) => {
                cell.push('"');
                rest = next;
            }
            None => return Some((cell, behind)),
        }
    }
}

/// An array of objects, or one object after the other.
fn json_rows(text: &str) -> Result<Vec<Row>, String> {
    let mut objects = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
        match value.map_err(|error| format!("it is no JSON: {error}"))? {
            Value::Array(list) => objects.extend(list),
            other => objects.push(other),
        }
    }
    let one = |value: &Value| {
        let group = value.get("group").and_then(Value::as_str);
        let topic = value.get("topic")?.as_str()?;
        let (partition, offset) = (value.get("partition")?, value.get("offset")?);
        row(
            group.map(str::to_owned),
            topic.to_owned(),
            partition.as_i64()?,
            offset.as_i64()?,
        )
    };
    let named = |value: &Value| {
        one(value).ok_or_else(|| {
            format!("an object has no topic, partition and offset (numbers from 0): {value}")
        })
    };
    objects.iter().map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place(topic: &str, partition: i32) -> Place {
        (topic.to_owned(), partition)
    }

    #[test]
    fn the_forms_of_one_group_and_of_several() {
        let expected = BTreeMap::from([(place("a", 0), 5), (place("b", 2), 7)]);
        for text in [
            "a,0,5\nb,2,7\n",
            "\"g\",a,0,5\r\n\"g\",b,2,7\r\n\"other\",a,0,9\r\n",
            "g,\"a\",\"0\",5\n\ng,b,2,7",
            r#"[{"topic":"a","partition":0,"offset":5},{"topic":"b","partition":2,"offset":7}]"#,
            "{\"group\":\"g\",\"topic\":\"a\",\"partition\":0,\"offset\":5}\n\
             {\"group\":\"g\",\"topic\":\"b\",\"partition\":2,\"offset\":7}\n\
             {\"group\":\"h\",\"topic\":\"b\",\"partition\":2,\"offset\":8}\n",
        ] {
            assert_eq!(parse(text, "g").as_ref(), Ok(&expected), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, words) in [
            ("a,0,5\nb,2\n", "line 2"),
            ("a,0,x", "line 1"),
            ("a,-1,5", "line 1"),
            ("a,0,-5", "line 1"),
            ("\"a,0,5", "line 1"),
            ("\"g\"x,a,0,5", "line 1"),
            ("a,0,5\na,0,6", "partition 0 of topic a comes twice"),
            ("", "no offset for group g"),
            ("h,a,0,5", "no offset for group g"),
            ("[{\"topic\":\"a\"}]", "no topic, partition and offset"),
            ("[{\"topic\":", "it is no JSON"),
        ] {
            let sentence = parse(text, "g").expect_err(text);
            assert!(sentence.contains(words), "{text}: {sentence}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            group in "[a\",\\PC]{1,9}",
            offsets in prop::collection::btree_map(("[a-z._-]{1,9}", 0i32..), 0i64.., 1..9),
        ) {
            let line = |(place, offset): (&Place, &i64)| csv_line(Some(&group), place, *offset);
            let lines = offsets.iter().map(line);
            let text = lines.collect::<Vec<_>>().join("\n");
            prop_assert_eq!(parse(&text, &group), Ok(offsets.clone()));
            let lines = offsets.iter().map(|(place, offset)| csv_line(None, place, *offset));
            let text = lines.collect::<Vec<_>>().join("\n");
            prop_assert_eq!(parse(&text, &group), Ok(offsets));
        }

        #[test]
        fn no_text_panics(text in "[\\PC\n\",]{0,60}") {
            let _ = parse(&text, "g");
        }
    }
}
