// SPDX-License-Identifier: Apache-2.0
//! Crashes at any point: every durable batch is there afterwards, and nothing that was never sent.
//!
//! Owns: the properties. Invariants: none. Runs on: tests. Bounded by: the number of cases.

use bytes::Bytes;
use furlong::log::{AppendError, LogConfig, LogEvent};
use furlong::model::ids::Offset;
use furlong::wire::record::{BatchHeader, patch_offsets, split_batches};
use proptest::prelude::*;

use crate::host::{Host, START_MS, batch_at, config};

/// What was sent, by base offset, and how far it must be there.
#[derive(Default)]
struct Model {
    sent: Vec<(Offset, Bytes)>,
    durable_end: Offset,
    log_start: Offset,
}

impl Model {
    /// What the events promise.
    fn take_events(&mut self, host: &mut Host) {
        for event in std::mem::take(&mut host.events) {
            match event {
                LogEvent::DurableEnd { offset, .. } => {
                    assert!(offset > self.durable_end);
                    self.durable_end = offset;
                }
                LogEvent::AppendsLost { from, .. } => {
                    assert_eq!(from, self.durable_end);
                    self.sent.retain(|(base, _)| *base < from);
                }
                LogEvent::LogStartMoved { offset } => {
                    assert!(offset > self.log_start && offset <= self.durable_end);
                    self.log_start = offset;
                }
                LogEvent::RecordsDeleted { result, .. } => {
                    // What a client was told, no crash may take back.
                    let start = result.unwrap_or(0);
                    assert!(start <= self.log_start, "told before it was true");
                }
                LogEvent::Failed { sentence } => panic!("{sentence}"),
                _ => {}
            }
        }
    }

    fn check(&mut self, host: &mut Host) {
        let log_end = host.log.log_end_offset();
        assert_eq!(log_end, host.log.durable_end_offset());
        assert!(log_end >= self.durable_end, "durable records are gone");
        assert!(
            host.log.log_start_offset() >= self.log_start,
            "the log start fell"
        );
        self.log_start = host.log.log_start_offset();
        self.sent.retain(|(base, _)| *base < log_end);
        self.durable_end = log_end;
        check_sealed_files(host);
        let start = self.log_start;
        let expected: Vec<_> = self
            .sent
            .iter()
            .filter(|(_, batch)| last_offset(batch) >= start)
            .collect();
        let found = host.read_all();
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert_eq!(found, expected);
        }
    }
}

fn last_offset(batch: &Bytes) -> Offset {
    BatchHeader::parse(batch)
        .expect("a good header")
        .last_offset()
}

/// Every file but the last one is batches back to back and nothing else, as Kafka's tools need it.
fn check_sealed_files(host: &Host) {
    let names = host.disk.names();
    let logs: Vec<_> = names.iter().filter(|name| name.ends_with(".log")).collect();
    for log in &logs[..logs.len() - 1] {
        let stored = Bytes::from(host.disk.contents(log));
        assert!(
            split_batches(&stored).all(|batch| batch.is_ok()),
            "{log} is not exact"
        );
    }
}

fn small_segments() -> LogConfig {
    LogConfig {
        segment_bytes: 9000,
        index_interval_bytes: 300,
        retention_bytes: Some(60_000),
        ..config()
    }
}

fn append_some(host: &mut Host, model: &mut Model) {
    let count = 1 + host.disk.dice.below(3);
    let len = [1, 40, 700, 4000][host.disk.dice.below(4)] + host.disk.dice.below(90);
    let fill = u8::try_from(host.disk.dice.below(255)).expect("small") + 1;
    let values = vec![vec![fill; len / count]; count];
    let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
    let records = batch_at(START_MS + host.log.log_end_offset(), &values);
    match host.append(&records) {
        Ok(appended) => {
            let mut stored = records.to_vec();
            patch_offsets(&mut stored, appended.base_offset, host.epoch);
            model.sent.push((appended.base_offset, Bytes::from(stored)));
        }
        Err(AppendError::Busy) => {}
        Err(error) => panic!("{error}"),
    }
}

fn crash_or_kill(host: &mut Host) {
    if host.disk.dice.one_in(2) {
        host.disk.crash();
    } else {
        host.disk.kill();
    }
}

/// Plays a random life of a log with crashes and clean stops.
fn play(seed: u64, steps: usize) {
    let mut host = Host::new(seed, small_segments());
    let mut model = Model::default();
    for _ in 0..steps {
        match host.disk.dice.below(42) {
            0..16 => append_some(&mut host, &mut model),
            16..36 => {
                if !host.disk.is_idle() {
                    host.step();
                }
            }
            36 => {
                host.settle();
                let bound = host.log.durable_end_offset();
                host.log.handle_retention_bound(bound);
                host.wait_ms(31_000);
            }
            37 => {
                host.settle();
                model.take_events(&mut host);
                model.check(&mut host);
            }
            38 => {
                host.stop();
                model.take_events(&mut host);
                assert!(host.reopen(small_segments()).clean);
                model.check(&mut host);
            }
            39..41 => {
                let (start, end) = (host.log.log_start_offset(), host.log.durable_end_offset());
                host.log.handle_retention_bound(end);
                let more = usize::try_from(end - start).expect("forward") + 1;
                let offset = start + i64::try_from(host.disk.dice.below(more)).expect("small");
                host.delete_records(offset);
            }
            _ => {
                model.take_events(&mut host);
                crash_or_kill(&mut host);
                // Crashes may come during the recovery, too.
                while host.disk.dice.one_in(3) {
                    host.start(small_segments());
                    for _ in 0..host.disk.dice.below(12) {
                        if !host.disk.is_idle() {
                            host.step();
                        }
                    }
                    crash_or_kill(&mut host);
                }
                host.reopen(small_segments());
                model.check(&mut host);
            }
        }
        model.take_events(&mut host);
    }
    host.settle();
    model.take_events(&mut host);
    model.check(&mut host);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_life_keeps_what_was_durable(seed in any::<u64>()) {
        play(seed, 300);
    }
}
