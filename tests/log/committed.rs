// SPDX-License-Identifier: Apache-2.0
//! What a consumer of committed records is given, found out as Kafka's clients do it.
//!
//! Owns: nothing. Invariants: batches up to the last stable offset, without those of transactions
//! that the log told to be aborted. Runs on: tests. Bounded by: one log.

use bytes::Bytes;
use furlong::model::ids::Offset;
use furlong::wire::record::{BatchHeader, EndMarker, split_batches};

use crate::host::Host;

/// Bytes that are read at once.
const READ_BYTES: usize = 700;

/// Settled, with everything durable committed.
pub fn settle(host: &mut Host) {
    host.settle();
    let end = host.log.durable_end_offset();
    host.log.handle_retention_bound(end);
}

/// The offset up to which consumers of committed records read.
pub fn stable(host: &Host) -> Offset {
    host.log.last_stable_offset(host.log.durable_end_offset())
}

/// The batches that such a consumer takes up.
pub fn batches(host: &mut Host) -> Vec<(BatchHeader, Bytes)> {
    let mut seen = Vec::new();
    let mut offset = host.log.log_start_offset();
    let end = stable(host);
    while offset < end {
        let read = host.start_read(offset, READ_BYTES, end);
        host.settle();
        let bytes = host.read_result(read).expect("a good log reads");
        if bytes.is_empty() {
            break;
        }
        let mut told = host.log.aborted_within(offset, &bytes);
        assert!(told.is_sorted_by_key(|one| one.first_offset));
        told.reverse();
        let mut aborted: Vec<i64> = Vec::new();
        for batch in split_batches(&bytes) {
            let batch = batch.expect("whole batches");
            let header = BatchHeader::parse(&batch).expect("a good header");
            while let Some(next) = told.pop_if(|one| one.first_offset <= header.last_offset()) {
                aborted.push(next.producer_id);
            }
            offset = header.last_offset() + 1;
            if header.attributes.is_control() {
                // Compaction may have emptied the batch of a marker.
                if let Some(marker) = EndMarker::of_batch(&batch) {
                    assert_eq!(
                        marker.coordinator_epoch, 2,
                        "as all of these tests write it"
                    );
                    aborted.retain(|id| *id != header.producer_id || marker.is_commit);
                }
                continue;
            }
            let is_aborted = aborted.contains(&header.producer_id);
            if !(header.attributes.is_transactional() && is_aborted) {
                seen.push((header, batch));
            }
        }
    }
    seen
}
