// SPDX-License-Identifier: Apache-2.0
//! `furlong log verify`: is everything in these files as it must be?
//!
//! Owns: the arguments, finding partitions, the report. Invariants: reads only; what a start would
//! repair by itself without losing anything acknowledged is a note, everything else a problem, and
//! one problem fails the command. Runs on: the caller's thread. Bounded by: one batch and the
//! indexes of one segment.

mod checkpoints;
mod indexes;
mod partition;
mod segment;

use super::CliError;
use super::arguments::{Format, FormatArguments};
use super::output::{print, write_json};
use crate::limits::SMALL_FILE_BYTES_MAX;
use clap::Args;
use partition::verify_partition;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Arguments of `furlong log verify`.
#[derive(Clone, Debug, Args)]
pub struct VerifyArguments {
    /// Directories of partitions, or data directories. A broker that writes there makes it look
    /// torn at its end: stop it first
    #[arg(value_name = "DIRECTORY", required = true)]
    directories: Vec<PathBuf>,
    #[command(flatten)]
    format: FormatArguments,
}

/// What was found in one directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Report {
    directory: PathBuf,
    segments: u64,
    batches: u64,
    records: u64,
    bytes: u64,
    /// First offset, and the offset after the last one.
    offsets: Option<(i64, i64)>,
    problems: Vec<String>,
    notes: Vec<String>,
}

impl Report {
    fn of(directory: &Path) -> Report {
        Report {
            directory: directory.to_path_buf(),
            ..Report::default()
        }
    }

    fn problem(&mut self, file: &str, sentence: impl Into<String>) {
        self.problems.push(format!("{file}: {}", sentence.into()));
    }

    fn note(&mut self, file: &str, sentence: impl Into<String>) {
        self.notes.push(format!("{file}: {}", sentence.into()));
    }

    fn write(&self, output: &mut dyn Write) -> io::Result<()> {
        let name = self.directory.display();
        let state = match self.problems.len() {
            0 => "sound".to_owned(),
            1 => "1 problem".to_owned(),
            count => format!("{count} problems"),
        };
        match self.offsets {
            None => writeln!(output, "{name}: {state}")?,
            Some((first, next)) => writeln!(
                output,
                "{name}: {state} ({} segments, {} batches, {} records, {} bytes, first offset \
                 {first}, next offset {next})",
                self.segments, self.batches, self.records, self.bytes
            )?,
        }
        for problem in &self.problems {
            writeln!(output, "  PROBLEM {problem}")?;
        }
        for note in &self.notes {
            writeln!(output, "  note {note}")?;
        }
        Ok(())
    }

    fn object(&self) -> Value {
        json!({
            "directory": self.directory.display().to_string(),
            "segments": self.segments,
            "batches": self.batches,
            "records": self.records,
            "bytes": self.bytes,
            "first_offset": self.offsets.map(|(first, _)| first),
            "next_offset": self.offsets.map(|(_, next)| next),
            "problems": self.problems,
            "notes": self.notes,
        })
    }
}

/// Carries out the command.
pub fn run(arguments: &VerifyArguments) -> Result<(), CliError> {
    let mut reports = Vec::new();
    for directory in &arguments.directories {
        reports.extend(verify(directory)?);
    }
    print(|output| match arguments.format.format {
        Format::Table => reports.iter().try_for_each(|report| report.write(output)),
        Format::Json => write_json(&reports.iter().map(Report::object).collect(), output),
    })?;
    let problems: usize = reports.iter().map(|report| report.problems.len()).sum();
    match problems {
        0 => Ok(()),
        count => Err(CliError::new(format!(
            "problems were found: {count}; `furlong log dump` shows what stands in a file. Keep a \
             copy of it before a broker starts on it"
        ))),
    }
}

/// Checks the partition in a directory, or all partitions below it.
fn verify(directory: &Path) -> Result<Vec<Report>, CliError> {
    let (files, folders) = list(directory)?;
    let is_partition = files.iter().any(|name| name.ends_with(".log"));
    if is_partition {
        return Ok(vec![verify_partition(directory, &files)?]);
    }
    let mut reports = Vec::new();
    let top = checkpoints::verify_data_directory(directory, &files)?;
    for name in folders {
        let below = directory.join(&name);
        let (files, _) = list(&below)?;
        // Topics that were deleted, and what belongs to others.
        if !name.ends_with("-delete") && files.iter().any(|name| name.ends_with(".log")) {
            reports.push(verify_partition(&below, &files)?);
        }
    }
    if reports.is_empty() {
        return Err(CliError::new(format!(
            "{} holds no log of a partition, nor does a directory in it",
            directory.display()
        )));
    }
    reports.extend(top);
    Ok(reports)
}

/// Names of files and of directories, sorted.
fn list(directory: &Path) -> Result<(Vec<String>, Vec<String>), CliError> {
    let failed = |error| cannot_read(directory, &error);
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        match entry.file_type().map_err(failed)?.is_dir() {
            true => folders.push(name),
            false => files.push(name),
        }
    }
    files.sort();
    folders.sort();
    Ok((files, folders))
}

fn cannot_read(path: &Path, error: &io::Error) -> CliError {
    CliError::new(format!("{} cannot be read: {error}", path.display()))
}

/// All bytes of a file that is small.
fn read_small(path: &Path) -> Result<Vec<u8>, CliError> {
    let bound = u64::try_from(SMALL_FILE_BYTES_MAX).expect("a usize of 64 bits");
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(bound).read_to_end(&mut bytes));
    read.map_err(|error| cannot_read(path, &error))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
