// SPDX-License-Identifier: Apache-2.0
//! All measurements of a run: a table for each place and condition, every value as JSON.

use std::fmt::Write as _;
use std::path::Path;

use crate::figures::Figures;

/// What is said of one way of writing: p10, p50 and p99 in microseconds, commits and MB a
/// second.
type Values = [Vec<f64>; 5];

/// The names of these, as in the JSON.
const UNITS: [&str; 5] = ["p10 us", "p50 us", "p99 us", "commits/s", "MB/s"];

/// Everything, in the order in which it was first seen.
#[derive(Default)]
pub struct Report {
    /// Tables by place and condition.
    tables: Vec<(String, Vec<Row>)>,
}

struct Row {
    what: String,
    cells: Vec<(String, Values)>,
}

impl Report {
    /// Adds the lines of one measurement.
    pub fn add(&mut self, place: &str, condition: &str, lines: &str) {
        let title = format!("{place}, {condition}");
        let table = entry(&mut self.tables, &title);
        for line in lines.lines() {
            let parts: Vec<&str> = line.split('|').collect();
            let [what, how, values @ ..] = &parts[..] else {
                panic!("not a measurement: {line}");
            };
            let at = table.iter().position(|row| row.what == *what);
            let at = at.unwrap_or_else(|| {
                table.push(Row {
                    what: (*what).to_owned(),
                    cells: Vec::new(),
                });
                table.len() - 1
            });
            let cell = entry(&mut table[at].cells, how);
            for (known, value) in cell.iter_mut().zip(values) {
                known.push(value.parse().expect("a number"));
            }
        }
    }

    /// Markdown: medians of p50 and p99 in microseconds, their ranges below; of what grows, MB/s
    /// too.
    pub fn tables(&self) -> String {
        let mut out = String::new();
        for (title, rows) in &self.tables {
            let mut last = Vec::new();
            for row in rows {
                let names: Vec<&str> = row.cells.iter().map(|(name, _)| name.as_str()).collect();
                if names != last {
                    let head = names.join(" | ");
                    let lines = "---|".repeat(names.len() + 1);
                    writeln!(out, "\n| {title} | {head} |\n|{lines}").expect("a string grows");
                    last = names;
                }
                let cells: Vec<String> = row.cells.iter().map(|(_, values)| cell(values)).collect();
                writeln!(out, "| {} | {} |", row.what, cells.join(" | ")).expect("a string grows");
            }
        }
        out
    }

    /// Every value of every round.
    pub fn append_json(&self, path: &Path, facts: &str) {
        let mut figures = Figures::default();
        for (title, rows) in &self.tables {
            for row in rows {
                for (how, values) in &row.cells {
                    let name = format!("lab: {title}: {}: {how}", row.what);
                    for (unit, values) in UNITS.into_iter().zip(values) {
                        values.iter().for_each(|v| figures.add(&name, unit, *v));
                    }
                }
            }
        }
        figures.append_json(path, facts);
    }
}

fn entry<'a, T: Default>(list: &'a mut Vec<(String, T)>, name: &str) -> &'a mut T {
    let at = list.iter().position(|(known, _)| known == name);
    let at = at.unwrap_or_else(|| {
        list.push((name.to_owned(), T::default()));
        list.len() - 1
    });
    &mut list[at].1
}

fn cell(values: &Values) -> String {
    let [_, p50, p99, _, mb] = values.each_ref().map(|values| {
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        (
            sorted[sorted.len() / 2],
            sorted[0],
            sorted[sorted.len() - 1],
        )
    });
    format!(
        "{:.0} ({:.0}-{:.0}) / {:.0} ({:.0}-{:.0}), {:.0} MB/s",
        p50.0, p50.1, p50.2, p99.0, p99.1, p99.2, mb.0
    )
}
