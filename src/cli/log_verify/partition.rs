// SPDX-License-Identifier: Apache-2.0
//! The directory of one partition.
//!
//! Owns: [`verify_partition`]. Invariants: every file in the directory is judged or named as one
//! that is not known. Runs on: the caller's thread. Bounded by: the segments of one partition.

use super::Report;
use super::checkpoints::Checkpoints;
use super::segment::{SegmentEnd, SegmentFacts, verify_segment};
use crate::cli::CliError;
use crate::log::segment::{FileKind, file_name, parse_file_name};
use std::path::Path;

/// Judges everything in the directory of a partition.
pub(super) fn verify_partition(directory: &Path, files: &[String]) -> Result<Report, CliError> {
    let mut report = Report::of(directory);
    let checkpoints = Checkpoints::read(directory, files, &mut report)?;
    let bases: Vec<i64> = files
        .iter()
        .filter_map(|name| parse_file_name(name))
        .filter(|(_, kind)| *kind == FileKind::Log)
        .map(|(base, _)| base)
        .collect();
    let last = bases.last().copied();
    let mut next_offset = None;
    let mut end = None;
    for base_offset in &bases {
        if next_offset.is_some_and(|next| *base_offset < next) {
            let name = file_name(*base_offset, FileKind::Log);
            report.problem(&name, "it begins before the end of the segment before it");
        }
        let claim = checkpoints.claim.filter(|(base, ..)| base == base_offset);
        let facts = SegmentFacts {
            base_offset: *base_offset,
            is_last: Some(*base_offset) == last,
            is_clean: checkpoints.marker.is_some(),
            epochs: checkpoints.epochs.as_ref(),
            claim: claim.map(|(_, position, offset)| (position, offset)),
        };
        let found = verify_segment(directory, files, facts, &mut report)?;
        next_offset = Some(found.next_offset);
        end = Some((*base_offset, found));
    }
    if let (Some(first), Some(next)) = (bases.first(), next_offset) {
        let first = checkpoints
            .log_start
            .map_or(*first, |start| start.max(*first));
        report.offsets = Some((first, next));
    }
    if let Some((base_offset, found)) = end {
        check_end(&checkpoints, base_offset, found, &mut report);
    }
    judge_names(files, &bases, next_offset, &mut report);
    Ok(report)
}

/// The marker of a clean stop against what lies there.
fn check_end(checkpoints: &Checkpoints, base: i64, found: SegmentEnd, report: &mut Report) {
    if let Some(marker) = checkpoints.marker {
        let says = (marker.segment_base, marker.log_end, marker.segment_bytes);
        let is = (base, found.next_offset, found.file_bytes);
        if says != is {
            report.problem(
                "clean-shutdown",
                format!(
                    "it says that segment {} ends at offset {} with {} bytes; the last one is {}, \
                     which ends at offset {} with {} bytes",
                    says.0, says.1, says.2, is.0, is.1, is.2
                ),
            );
        } else if found.batches_end != found.file_bytes {
            report.problem("clean-shutdown", "bytes lie behind the last batch");
        }
    }
    if let Some(start) = checkpoints
        .log_start
        .filter(|start| *start > found.next_offset)
    {
        let end = found.next_offset;
        report.problem(
            "log-start-offset",
            format!("it says that the log starts at {start}, and it ends at {end}"),
        );
    }
    let lost = checkpoints.claim.filter(|(claimed, ..)| *claimed > base);
    if let Some((claimed, ..)) = lost {
        report.problem(
            "recovery-point",
            format!("it names the segment {claimed}, which is not there"),
        );
    }
}

/// Files without their log, producer states from behind the end, and names that nobody knows.
fn judge_names(files: &[String], bases: &[i64], next_offset: Option<i64>, report: &mut Report) {
    for name in files {
        let Some((offset, kind)) = parse_file_name(name) else {
            let is_known = [
                "checkpoint",
                "partition.metadata",
                "clean-shutdown",
                "recovery-point",
                "log-start-offset",
                "compaction-swap",
            ]
            .iter()
            .any(|known| name.ends_with(known));
            if !is_known && !name.ends_with(".deleted") {
                report.note(name, "this name is not known");
            }
            continue;
        };
        match kind {
            FileKind::Index | FileKind::TimeIndex | FileKind::TxnIndex
                if !bases.contains(&offset) =>
            {
                report.note(name, "its log is not there");
            }
            FileKind::Snapshot if next_offset.is_some_and(|next| offset > next) => {
                report.problem(name, "it is of an offset behind the end of the log");
            }
            _ => {}
        }
    }
}
