// SPDX-License-Identifier: Apache-2.0
//! Results on standard output: tables for people, JSON for programs.
//!
//! Owns: [`print`], [`Table`], [`write_json`]. Invariants: output that nobody reads any more (a
//! closed pipe) ends the command in peace; a table has no trailing blanks.
//! Runs on: the command's thread. Bounded by: the result.

use std::io::{self, BufWriter, Write};

use serde_json::Value;

use super::CliError;

/// Writes to standard output.
pub fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), CliError> {
    is_read(write).map(|_| ())
}

/// Writes to standard output; false if nobody reads it any more.
pub fn is_read(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<bool, CliError> {
    let mut output = BufWriter::new(io::stdout().lock());
    match write(&mut output).and_then(|()| output.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(CliError::new(format!(
            "the output cannot be written: {error}"
        ))),
    }
}

/// Rows under a head, in columns as wide as needed.
#[derive(Clone, Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with this head.
    #[must_use]
    pub fn new(head: &[&str]) -> Table {
        Table {
            rows: vec![head.iter().map(|word| (*word).to_owned()).collect()],
        }
    }

    /// Adds a row.
    pub fn row<'a, const N: usize>(&mut self, cells: [impl Into<std::borrow::Cow<'a, str>>; N]) {
        debug_assert_eq!(N, self.rows[0].len(), "a cell for each column");
        let cells = cells.into_iter().map(|cell| cell.into().into_owned());
        self.rows.push(cells.collect());
    }

    /// Writes head and rows.
    pub fn write(&self, output: &mut dyn Write) -> io::Result<()> {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.rows[0].len()).map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(&format!("{cell:width$}  "));
            }
            writeln!(output, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Writes a value on several lines, as people read it, too.
pub fn write_json(value: &Value, output: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *output, value).map_err(io::Error::from)?;
    writeln!(output)
}

/// Writes a value on one line, for what goes on.
pub fn write_json_line(value: &Value, output: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer(&mut *output, value).map_err(io::Error::from)?;
    writeln!(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["NAME", "N"]);
        table.row(["a", "1"]);
        table.row(["äöü-long", ""]);
        let mut output = Vec::new();
        table.write(&mut output).expect("memory");
        assert_eq!(
            String::from_utf8(output).unwrap(),
            "NAME      N\na         1\näöü-long\n"
        );
    }
}
