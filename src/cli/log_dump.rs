// SPDX-License-Identifier: Apache-2.0
//! `furlong log dump`: what stands in the files of a partition.
//!
//! Owns: reading `.log`, `.index`, `.timeindex` and checkpoint files, outside of any broker.
//! Invariants: reads only; a damaged batch is named with its position and fails the command; the
//! names of the fields are those of Kafka's own tool.
//! Runs on: the caller's thread. Bounded by: one batch (`limits::RECORD_BATCH_BYTES_MAX`), one
//! checkpoint file (`limits::SMALL_FILE_BYTES_MAX`).

mod form;
mod index;

use form::{Item, write};
use index::Kind;

use super::CliError;
use super::arguments::FormatArguments;
use super::batch_file::{BatchFile, Found, is_zero};
use crate::limits::{DECOMPRESSED_BYTES_MAX, SMALL_FILE_BYTES_MAX};
use crate::wire::record::{BatchHeader, BatchRules, records, validate_batch};
use bytes::Bytes;
use clap::Args;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Arguments of `furlong log dump`.
#[derive(Clone, Debug, Args)]
pub struct DumpArguments {
    /// A .log, .index, .timeindex or checkpoint file, or a partition's directory
    #[arg(value_name = "FILE|DIRECTORY", required = true)]
    paths: Vec<PathBuf>,
    /// Prints the records of each batch, too
    #[arg(short = 'r', long)]
    records: bool,
    /// Prints the entries of index files, too
    #[arg(short = 'i', long)]
    entries: bool,
    #[command(flatten)]
    format: FormatArguments,
}

/// What a dump found wrong.
#[derive(Debug, Default)]
struct Findings {
    damaged: Vec<String>,
}

enum DumpError {
    Input(PathBuf, io::Error),
    Output(io::Error),
}

impl From<io::Error> for DumpError {
    fn from(error: io::Error) -> DumpError {
        DumpError::Output(error)
    }
}

/// Carries out the command.
pub fn run(arguments: &DumpArguments) -> Result<(), CliError> {
    let mut output = io::BufWriter::new(io::stdout().lock());
    let mut findings = Findings::default();
    let result = arguments
        .paths
        .iter()
        .try_for_each(|path| dump_path(path, arguments, &mut output, &mut findings))
        .and_then(|()| Ok(output.flush()?));
    match result {
        Err(DumpError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(DumpError::Output(error)) => Err(CliError::new(format!(
            "the output cannot be written: {error}"
        ))),
        Err(DumpError::Input(path, error)) => Err(CliError::new(format!(
            "{} cannot be read: {error}",
            path.display()
        ))),
        Ok(()) if findings.damaged.is_empty() => Ok(()),
        Ok(()) => Err(CliError::new(findings.damaged.join("\n"))),
    }
}

fn dump_path(
    path: &Path,
    arguments: &DumpArguments,
    output: &mut impl Write,
    findings: &mut Findings,
) -> Result<(), DumpError> {
    let unreadable = |error| DumpError::Input(path.to_path_buf(), error);
    if !fs::metadata(path).map_err(unreadable)?.is_dir() {
        return dump_file(path, arguments, output, findings);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if entry.file_type().map_err(unreadable)?.is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    if files.is_empty() {
        write(arguments.format.format, &Item::NoFiles(path), output)?;
    }
    files
        .iter()
        .try_for_each(|file| dump_file(file, arguments, output, findings))
}

fn dump_file(
    path: &Path,
    arguments: &DumpArguments,
    output: &mut impl Write,
    findings: &mut Findings,
) -> Result<(), DumpError> {
    let unreadable = |error| DumpError::Input(path.to_path_buf(), error);
    let file = File::open(path).map_err(unreadable)?;
    let format = arguments.format.format;
    let size_bytes = file.metadata().map_err(unreadable)?.len();
    write(format, &Item::File { path, size_bytes }, output)?;
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("log") => {
            let mut dump = LogDump {
                path,
                position: 0,
                input: BatchFile::new(file).map_err(unreadable)?,
                arguments,
            };
            dump.run(output, findings)
        }
        Some("index") => dump_index(Kind::Offset, path, file, arguments, output, findings),
        Some("timeindex") => dump_index(Kind::Time, path, file, arguments, output, findings),
        _ if is_text(path) => {
            for line in String::from_utf8_lossy(&read_small(path, file)?).lines() {
                write(format, &Item::Line(line), output)?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn dump_index(
    kind: Kind,
    path: &Path,
    file: File,
    arguments: &DumpArguments,
    output: &mut impl Write,
    findings: &mut Findings,
) -> Result<(), DumpError> {
    let bytes = read_small(path, file)?;
    let damage = index::dump(kind, &bytes, base_offset_of(path), arguments, output)?;
    if let Some(sentence) = damage {
        let whole = format!("{}: {sentence}", path.display());
        write(arguments.format.format, &Item::Damage(&whole), output)?;
        findings.damaged.push(whole);
    }
    Ok(())
}

fn is_text(path: &Path) -> bool {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    name.ends_with("checkpoint") || name == "partition.metadata" || name == "meta.properties"
}

/// The base offset in the name of a segment's file; 0 where the name is another.
fn base_offset_of(path: &Path) -> i64 {
    path.file_stem()
        .and_then(|stem| stem.to_str())
        .and_then(|stem| stem.parse().ok())
        .unwrap_or(0)
}

fn read_small(path: &Path, file: File) -> Result<Vec<u8>, DumpError> {
    let bound = u64::try_from(SMALL_FILE_BYTES_MAX).expect("a usize of 64 bits");
    let mut bytes = Vec::new();
    let read = file.take(bound).read_to_end(&mut bytes);
    read.map_err(|error| DumpError::Input(path.to_path_buf(), error))?;
    Ok(bytes)
}

/// The batches of one log file.
struct LogDump<'a> {
    path: &'a Path,
    /// Where the batch lies that is looked at.
    position: u64,
    input: BatchFile,
    arguments: &'a DumpArguments,
}

impl LogDump<'_> {
    fn run(&mut self, output: &mut impl Write, findings: &mut Findings) -> Result<(), DumpError> {
        let (mut batches, mut count, mut next_offset) = (0u64, 0i64, None);
        loop {
            self.position = self.input.position();
            let next = self.input.next();
            let next = next.map_err(|error| DumpError::Input(self.path.to_path_buf(), error))?;
            let batch = match next {
                Found::Batch(batch) => batch,
                Found::End => break,
                Found::Zeros(zeros) => {
                    let (position, bytes) = (self.position, zeros);
                    self.write(&Item::Zeros { position, bytes }, output)?;
                    break;
                }
                Found::Damage(error) => {
                    self.damage(&error.to_string(), output, findings)?;
                    break;
                }
            };
            let valid = validate_batch(&batch, &BatchRules::STORED);
            let header = BatchHeader::parse(&batch).expect("its header was read before");
            if next_offset.is_some_and(|next| header.base_offset < next) {
                let sentence = format!("base offset {} goes backwards", header.base_offset);
                self.damage(&sentence, output, findings)?;
            }
            next_offset = Some(header.last_offset().saturating_add(1));
            let item = Item::Batch {
                header: &header,
                position: self.position,
                is_valid: valid.is_ok(),
            };
            self.write(&item, output)?;
            if let Err(error) = valid {
                self.damage(&error.to_string(), output, findings)?;
            } else if self.arguments.records {
                self.dump_records(&batch, output, findings)?;
            }
            batches += 1;
            count += i64::from(header.record_count);
        }
        let end = Item::LogEnd {
            batches,
            records: count,
            next_offset: next_offset.unwrap_or_else(|| base_offset_of(self.path)),
        };
        Ok(self.write(&end, output)?)
    }

    fn write(&self, item: &Item<'_>, output: &mut impl Write) -> io::Result<()> {
        write(self.arguments.format.format, item, output)
    }

    fn damage(
        &self,
        sentence: &str,
        output: &mut impl Write,
        findings: &mut Findings,
    ) -> Result<(), DumpError> {
        let whole = format!(
            "{} at position {}: {sentence}",
            self.path.display(),
            self.position
        );
        self.write(&Item::Damage(&whole), output)?;
        findings.damaged.push(whole);
        Ok(())
    }

    fn dump_records(
        &self,
        batch: &Bytes,
        output: &mut impl Write,
        findings: &mut Findings,
    ) -> Result<(), DumpError> {
        match records(batch, DECOMPRESSED_BYTES_MAX) {
            Ok(opened) => {
                for record in &opened {
                    match record {
                        Ok(record) => self.write(&Item::Record(&record), output)?,
                        Err(error) => self.damage(&error.to_string(), output, findings)?,
                    }
                }
                Ok(())
            }
            Err(error) => self.damage(&error.to_string(), output, findings),
        }
    }
}

#[cfg(test)]
mod tests;
