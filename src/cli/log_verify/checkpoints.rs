// SPDX-License-Identifier: Apache-2.0
//! Checkpoints, producer states, markers: the small files beside the logs.
//!
//! Owns: [`Checkpoints`], [`verify_data_directory`]. Invariants: a file that cannot be read as what
//! its name says is told. Runs on: the caller's thread. Bounded by: one small file.

use super::{Report, read_small};
use crate::cli::CliError;
use crate::cli::batch_file::{BatchFile, Found};
use crate::control::snapshot::SnapshotId;
use crate::log::clean_marker::{CLEAN_SHUTDOWN, CleanMarker};
use crate::log::leader_epochs::{LEADER_EPOCH_CHECKPOINT, LeaderEpochs};
use crate::log::partition_metadata::{self, PARTITION_METADATA};
use crate::log::producer_snapshot;
use crate::log::recovery_point::{RECOVERY_POINT, claim_of};
use crate::log::segment::{FileKind, parse_file_name};
use crate::wire::checksum::crc32c;
use crate::wire::record::{BatchRules, validate_batch};
use std::fs::File;
use std::path::Path;

/// Where the checksum of a producer state lies, and where the bytes begin that it covers.
const SNAPSHOT_CRC: (usize, usize) = (2, 6);

/// The file that keeps where a log starts after its oldest records were removed by a client's word:
/// version 0, the offset, and CRC-32 (IEEE) of both lines in hexadecimal, a line each.
const LOG_START_OFFSET: &str = "log-start-offset";

/// Kafka's checkpoints in a data directory: lines of topic, partition and offset.
const OFFSET_CHECKPOINTS: &[&str] = &[
    "cleaner-offset-checkpoint",
    "log-start-offset-checkpoint",
    "recovery-point-offset-checkpoint",
    "replication-offset-checkpoint",
];

/// What the small files of a partition say.
#[derive(Debug, Default)]
pub(super) struct Checkpoints {
    /// The leader epochs, if there is a file and it can be read.
    pub(super) epochs: Option<LeaderEpochs>,
    /// The marker of a clean stop, if there is one.
    pub(super) marker: Option<CleanMarker>,
    /// Base offset of a segment, position and offset of the recovery point.
    pub(super) claim: Option<(i64, u64, i64)>,
    /// Where the log starts, if a file says so.
    pub(super) log_start: Option<i64>,
}

impl Checkpoints {
    /// Reads and judges the small files of a partition.
    pub(super) fn read(
        directory: &Path,
        files: &[String],
        report: &mut Report,
    ) -> Result<Checkpoints, CliError> {
        let mut found = Checkpoints::default();
        for name in files {
            let path = directory.join(name);
            match name.as_str() {
                LEADER_EPOCH_CHECKPOINT => {
                    found.epochs = LeaderEpochs::decode(&read_small(&path)?);
                    if found.epochs.is_none() {
                        report.problem(name, "it is no list of ascending leader epochs");
                    }
                }
                CLEAN_SHUTDOWN => {
                    found.marker = CleanMarker::decode(&read_small(&path)?);
                    if found.marker.is_none() {
                        report.note(name, "it is damaged; a start looks through the log instead");
                    }
                }
                RECOVERY_POINT => {
                    found.claim = claim_of(&read_small(&path)?);
                    if found.claim.is_none() {
                        report.note(name, "no slot of it is whole; a start reads more instead");
                    }
                }
                LOG_START_OFFSET => {
                    found.log_start = log_start(&read_small(&path)?);
                    if found.log_start.is_none() {
                        report
                            .problem(name, "it is damaged: records that were removed may be back");
                    }
                }
                PARTITION_METADATA => {
                    if partition_metadata::decode(&read_small(&path)?).is_none() {
                        report
                            .problem(name, "it does not say to which topic the directory belongs");
                    }
                }
                _ => verify_other(&path, name, report)?,
            }
        }
        Ok(found)
    }
}

fn verify_other(path: &Path, name: &str, report: &mut Report) -> Result<(), CliError> {
    if SnapshotId::parse(name).is_some() {
        return verify_metadata_snapshot(path, name, report);
    }
    match parse_file_name(name) {
        Some((offset, FileKind::Snapshot)) => {
            let file = read_small(path)?;
            if !has_sound_checksum(&file) {
                report.problem(
                    name,
                    "its checksum does not fit: the producer state is damaged",
                );
            } else if producer_snapshot::decode(&file, offset).is_none() {
                report.note(
                    name,
                    "it holds a producer state of a kind that is not known here",
                );
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn log_start(file: &[u8]) -> Option<i64> {
    let offset = std::str::from_utf8(file).ok()?.lines().nth(1)?;
    let head = format!("0\n{offset}\n");
    let whole = format!("{head}{:08x}\n", crc32fast::hash(head.as_bytes()));
    let offset = offset.parse().ok().filter(|offset| *offset >= 0);
    offset.filter(|_| whole.as_bytes() == file)
}

fn has_sound_checksum(file: &[u8]) -> bool {
    let (at, from) = SNAPSHOT_CRC;
    let stored = file.get(at..from).and_then(|four| four.try_into().ok());
    stored.map(u32::from_be_bytes) == file.get(from..).map(crc32c)
}

/// A snapshot of the metadata is a run of batches without anything behind it.
fn verify_metadata_snapshot(path: &Path, name: &str, report: &mut Report) -> Result<(), CliError> {
    let failed = |error| super::cannot_read(path, &error);
    let mut input = File::open(path).and_then(BatchFile::new).map_err(failed)?;
    loop {
        let position = input.position();
        let damage = match input.next().map_err(failed)? {
            Found::End => return Ok(()),
            Found::Zeros(zeros) => format!("{zeros} bytes of zeros"),
            Found::Damage(error) => error.to_string(),
            Found::Batch(batch) => match validate_batch(&batch, &BatchRules::BROKER) {
                Ok(_) => continue,
                Err(error) => error.to_string(),
            },
        };
        report.problem(name, format!("at position {position}: {damage}"));
        return Ok(());
    }
}

/// Judges the files beside the directories of partitions; nothing to say gives no report.
pub(super) fn verify_data_directory(
    directory: &Path,
    files: &[String],
) -> Result<Option<Report>, CliError> {
    let mut report = Report::of(directory);
    for name in files {
        if OFFSET_CHECKPOINTS.contains(&name.as_str()) {
            let text = read_small(&directory.join(name))?;
            if let Err(sentence) = offset_checkpoint(&String::from_utf8_lossy(&text)) {
                report.problem(name, sentence);
            }
        }
        if name == "meta.properties" {
            let text = read_small(&directory.join(name))?;
            let text = String::from_utf8_lossy(&text);
            let missing = ["version", "cluster.id", "node.id"]
                .into_iter()
                .find(|key| {
                    let has =
                        |line: &str| line.split_once('=').is_some_and(|(name, _)| name == *key);
                    !text.lines().any(has)
                });
            if let Some(key) = missing {
                report.problem(name, format!("it does not say {key}"));
            }
        }
    }
    Ok((!report.problems.is_empty()).then_some(report))
}

/// Version 0, the number of lines, then a topic, a partition and an offset on each.
fn offset_checkpoint(text: &str) -> Result<(), String> {
    let mut lines = text.lines();
    if lines.next() != Some("0") {
        return Err("its version is not 0".to_owned());
    }
    let count = lines.next().and_then(|line| line.parse::<usize>().ok());
    let is_entry = |line: &str| {
        let mut parts = line.split(' ');
        let (topic, partition, offset) = (parts.next(), parts.next(), parts.next());
        topic.is_some_and(|topic| !topic.is_empty())
            && partition.is_some_and(|partition| partition.parse::<u32>().is_ok())
            && offset.is_some_and(|offset| offset.parse::<u64>().is_ok())
            && parts.next().is_none()
    };
    let entries: Vec<&str> = lines.collect();
    if let Some(odd) = entries.iter().find(|line| !is_entry(line)) {
        return Err(format!(
            "\"{}\" is no topic, partition and offset",
            odd.escape_debug()
        ));
    }
    match count == Some(entries.len()) {
        true => Ok(()),
        false => Err(format!(
            "it has {} lines and says another number",
            entries.len()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_of_a_log_is_read_with_its_checksum() {
        // CRC-32 of "0\n7\n", worked out by another program.
        let file = b"0\n7\nac2aeb41\n";
        assert_eq!(log_start(file), Some(7));
        for place in 0..file.len() {
            let mut bad = file.to_vec();
            bad[place] ^= 1;
            assert_eq!(log_start(&bad), None, "byte {place}");
        }
        assert_eq!(log_start(b""), None);
    }

    #[test]
    fn checkpoints_of_offsets_are_read() {
        assert_eq!(offset_checkpoint("0\n2\na 0 5\nb-c 12 0\n"), Ok(()));
        for (text, part) in [
            ("1\n0\n", "version"),
            ("0\n2\na 0 5\n", "another number"),
            ("0\nx\n", "another number"),
            ("0\n1\na 0 -5\n", "\"a 0 -5\""),
            ("0\n1\na 0 5 6\n", "no topic"),
            ("0\n1\n 0 5\n", "no topic"),
        ] {
            let sentence = offset_checkpoint(text).expect_err(text);
            assert!(sentence.contains(part), "{text:?}: {sentence}");
        }
    }
}
