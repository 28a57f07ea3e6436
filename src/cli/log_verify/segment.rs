// SPDX-License-Identifier: Apache-2.0
//! The batches of one segment, with its indexes.
//!
//! Owns: [`verify_segment`]. Invariants: every byte of the log file is looked at; every record is
//! opened. Runs on: the caller's thread. Bounded by: one batch, opened
//! (`limits::DECOMPRESSED_BYTES_MAX`).

use super::indexes::IndexCheck;
use super::{Report, cannot_read, read_small};
use crate::cli::CliError;
use crate::cli::batch_file::{BatchFile, Found};
use crate::limits::DECOMPRESSED_BYTES_MAX;
use crate::log::leader_epochs::LeaderEpochs;
use crate::log::segment::{FileKind, file_name};
use crate::wire::record::{BatchHeader, BatchRules, records, validate_batch};
use bytes::Bytes;
use std::fs::File;
use std::path::Path;

/// What is known of a segment before it is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct SegmentFacts<'a> {
    /// Its base offset.
    pub(super) base_offset: i64,
    /// Is it the one that is written to?
    pub(super) is_last: bool,
    /// Was the log stopped in order?
    pub(super) is_clean: bool,
    /// The epochs of the checkpoint, if it can be read.
    pub(super) epochs: Option<&'a LeaderEpochs>,
    /// A position and the offset of the batch that must start there: what a recovery relies on.
    pub(super) claim: Option<(u64, i64)>,
}

/// What a segment turned out to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct SegmentEnd {
    /// The offset after its last record.
    pub(super) next_offset: i64,
    /// Bytes up to the end of its last batch.
    pub(super) batches_end: u64,
    /// Bytes of its file.
    pub(super) file_bytes: u64,
}

/// Reads a segment and judges it.
pub(super) fn verify_segment(
    directory: &Path,
    files: &[String],
    facts: SegmentFacts<'_>,
    report: &mut Report,
) -> Result<SegmentEnd, CliError> {
    let name = |kind| file_name(facts.base_offset, kind);
    let log = name(FileKind::Log);
    let path = directory.join(&log);
    let failed = |error| cannot_read(&path, &error);
    let input = File::open(&path).and_then(BatchFile::new).map_err(failed)?;
    let mut indexes = IndexCheck::new();
    for kind in [FileKind::Index, FileKind::TimeIndex] {
        let file = name(kind);
        if !files.contains(&file) {
            // The one that is written to has its indexes in memory until it is sealed or stopped.
            if !facts.is_last || facts.is_clean {
                report.note(&file, "it is missing; a start makes it anew");
            }
            continue;
        }
        let bytes = read_small(&directory.join(&file))?;
        match kind {
            FileKind::Index => indexes.take_offsets(facts.base_offset, &bytes),
            _ => indexes.take_times(facts.base_offset, &bytes),
        }
    }
    let mut walk = Walk {
        facts,
        log,
        input,
        indexes,
        next_offset: facts.base_offset,
        gaps: (0, 0),
        epoch: -1,
        is_claim_met: false,
    };
    walk.run(report).map_err(failed)?;
    walk.finish(report)
}

struct Walk<'a> {
    facts: SegmentFacts<'a>,
    log: String,
    input: BatchFile,
    indexes: IndexCheck,
    next_offset: i64,
    /// How many gaps the offsets have, and the offset behind the first one.
    gaps: (u64, i64),
    epoch: i32,
    is_claim_met: bool,
}

impl Walk<'_> {
    fn run(&mut self, report: &mut Report) -> std::io::Result<()> {
        report.segments += 1;
        loop {
            let position = self.input.position();
            self.meet_claim(position);
            let at = format!("at position {position}");
            match self.input.next()? {
                Found::Batch(batch) => self.see(position, &batch, report),
                Found::End => return Ok(()),
                Found::Zeros(zeros) => {
                    let sentence = format!("{zeros} bytes of zeros {at}, behind the last batch");
                    match self.facts.is_last && !self.facts.is_clean {
                        true => report.note(&self.log, format!("{sentence}; a start cuts them")),
                        false => report.problem(&self.log, sentence),
                    }
                    return Ok(());
                }
                Found::Damage(error) => {
                    let left = self.input.size() - position;
                    let sentence = format!("{at}, {left} bytes before the end: {error}");
                    // Only the end of what is written to can be torn.
                    match self.facts.is_last && !self.facts.is_clean && !self.is_claimed(position) {
                        true => report.note(
                            &self.log,
                            format!(
                                "{sentence}. A start cuts it, if it was torn by a crash; nothing \
                                 of a torn batch was acknowledged"
                            ),
                        ),
                        false => report.problem(&self.log, sentence),
                    }
                    return Ok(());
                }
            }
        }
    }

    /// True if the recovery point says that all was durable up to behind this position.
    fn is_claimed(&self, position: u64) -> bool {
        self.facts
            .claim
            .is_some_and(|(claimed, _)| claimed > position)
    }

    fn meet_claim(&mut self, position: u64) {
        if self.facts.claim == Some((position, self.next_offset)) {
            self.is_claim_met = true;
        }
    }

    fn see(&mut self, position: u64, batch: &Bytes, report: &mut Report) {
        let header = BatchHeader::parse(batch).expect("its header was read before");
        report.batches += 1;
        report.bytes += u64::try_from(batch.len()).expect("a usize of 64 bits");
        report.records += u64::try_from(header.record_count).unwrap_or(0);
        let at = format!("at position {position} (offset {})", header.base_offset);
        let mut problem = |sentence: String| report.problem(&self.log, format!("{at}: {sentence}"));
        if let Err(error) = validate_batch(batch, &BatchRules::STORED) {
            problem(error.to_string());
        } else if let Err(error) = open(batch) {
            problem(error);
        }
        if header.base_offset < self.next_offset {
            problem(format!(
                "it goes backwards; offset {} comes next",
                self.next_offset
            ));
        }
        if header.last_offset() - self.facts.base_offset > i64::from(i32::MAX) {
            problem("it is too far from the base offset for the indexes".to_owned());
        }
        if header.base_offset > self.next_offset {
            self.gaps = match self.gaps {
                (0, _) => (1, header.base_offset),
                (count, first) => (count + 1, first),
            };
        }
        let epoch = header.partition_leader_epoch;
        if epoch < self.epoch {
            problem(format!(
                "leader epoch {epoch} follows on epoch {}",
                self.epoch
            ));
        }
        if let Some(sentence) = self.epoch_lie(&header) {
            problem(sentence);
        }
        self.epoch = self.epoch.max(epoch);
        self.indexes.see(position, &header);
        self.next_offset = self.next_offset.max(header.last_offset().saturating_add(1));
    }

    /// What the checkpoint of leader epochs says of a batch, if it is something else.
    fn epoch_lie(&self, header: &BatchHeader) -> Option<String> {
        let epoch = header.partition_leader_epoch;
        let epochs = self.facts.epochs?;
        let known = epochs.epoch_of(header.base_offset);
        // The epochs of records that were trimmed are forgotten before the records are.
        let is_trimmed = epochs.latest().is_some();
        // Epochs that began in the last segment come back from its batches.
        let may_lag = self.facts.is_last && !self.facts.is_clean;
        let is_right = match known {
            Some(known) => known == epoch || (may_lag && known < epoch),
            None => epoch < 0 || may_lag || is_trimmed,
        };
        let known = known.map_or("none".to_owned(), |known| known.to_string());
        (!is_right).then(|| {
            format!("its leader epoch is {epoch}, and leader-epoch-checkpoint says {known}")
        })
    }

    fn finish(self, report: &mut Report) -> Result<SegmentEnd, CliError> {
        if let (count @ 1.., first) = self.gaps {
            report.note(
                &self.log,
                format!(
                    "{count} gaps in the offsets, as compaction leaves them; the first before \
                     {first}"
                ),
            );
        }
        let [offsets, times] = self.indexes.finish(self.next_offset);
        for (kind, lie) in [(FileKind::Index, offsets), (FileKind::TimeIndex, times)] {
            if let Some(sentence) = lie {
                report.problem(&file_name(self.facts.base_offset, kind), sentence);
            }
        }
        if let Some((position, offset)) = self.facts.claim
            && !self.is_claim_met
        {
            report.problem(
                "recovery-point",
                format!(
                    "it says that offset {offset} starts at position {position} of {}, and it \
                     does not",
                    self.log
                ),
            );
        }
        Ok(SegmentEnd {
            next_offset: self.next_offset,
            batches_end: self.input.position(),
            file_bytes: self.input.size(),
        })
    }
}

/// Opens every record of a batch.
fn open(batch: &Bytes) -> Result<(), String> {
    let opened = records(batch, DECOMPRESSED_BYTES_MAX).map_err(|error| error.to_string())?;
    for record in &opened {
        record.map_err(|error| error.to_string())?;
    }
    Ok(())
}
