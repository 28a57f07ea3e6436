// SPDX-License-Identifier: Apache-2.0
//! A full disk: produce fails clearly, reading goes on, and once space is free all works again
//! (FAULTS F5).
//!
//! Owns: nothing. Invariants: none. Runs on: tests. Bounded by: each test.

use bytes::Bytes;
use furlong::log::{AppendError, LogConfig, LogEvent};
use furlong::model::ids::Offset;
use furlong::wire::record::{BatchBuilder, Compression};
use proptest::prelude::*;

use crate::host::{Host, START_MS, batch, config};

fn lost(host: &Host) -> Option<Offset> {
    host.events.iter().find_map(|event| match event {
        LogEvent::AppendsLost { from, .. } => Some(*from),
        _ => None,
    })
}

fn send(sequence: i32, len: usize) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.producer(5, 0, sequence);
    builder.append(
        START_MS + i64::from(sequence),
        None,
        Some(&vec![5; len]),
        &[],
    );
    builder.build()
}

#[test]
fn what_was_not_durable_is_taken_back() {
    let mut host = Host::new(2, config());
    host.append(&batch(&[&[1; 3000]])).expect("a good batch");
    host.settle();
    host.disk.capacity = 12_000;
    host.append(&batch(&[&[2; 9000]])).expect("accepted");
    assert_eq!(host.log.log_end_offset(), 2);
    host.settle();
    assert_eq!(lost(&host), Some(1));
    assert_eq!(
        (host.log.log_end_offset(), host.log.durable_end_offset()),
        (1, 1)
    );
    assert_eq!(host.read_all().len(), 1);
    host.events.clear();
    host.disk.capacity = usize::MAX;
    host.append(&batch(&[b"small"])).expect("accepted");
    host.settle();
    assert_eq!((lost(&host), host.log.durable_end_offset()), (None, 2));
    assert_eq!(host.read_all().len(), 2);
    host.disk.crash();
    host.reopen(config());
    assert_eq!(host.read_all().len(), 2);
}

#[test]
fn while_it_is_cut_back_appends_are_busy_and_reads_go_on() {
    let mut host = Host::new(2, config());
    host.append(&batch(&[&[1; 3000]])).expect("a good batch");
    host.settle();
    host.disk.capacity = 5000;
    host.append(&batch(&[&[2; 9000]])).expect("accepted");
    host.step();
    assert_eq!(host.append(&batch(&[b"x"])), Err(AppendError::Busy));
    assert!(host.read(0, 5000).is_ok_and(|bytes| !bytes.is_empty()));
}

#[test]
fn a_full_disk_at_a_roll_keeps_the_old_segment() {
    for seed in 0..60 {
        let small = LogConfig {
            segment_bytes: 700,
            ..config()
        };
        let mut host = Host::new(seed, small.clone());
        host.append(&send(0, 500)).expect("in order");
        host.settle();
        // Room for some of the small files of the roll, not for all.
        host.disk.capacity = 4096 + 60 + usize::try_from(seed).expect("small") * 4;
        host.append(&send(1, 500)).expect("accepted");
        host.append(&send(2, 100)).expect("accepted");
        host.settle();
        assert!(
            !host.has(|event| matches!(event, LogEvent::Failed { .. })),
            "{:?}",
            host.events
        );
        let durable = host.log.durable_end_offset();
        host.disk.capacity = usize::MAX;
        if lost(&host).is_some() {
            assert_eq!(durable, 1);
            assert_eq!(
                host.append(&send(2, 100)),
                Err(AppendError::OutOfOrderSequence)
            );
            assert!(
                !host
                    .append(&send(1, 500))
                    .expect("in order again")
                    .duplicate
            );
            host.settle();
        }
        let count = usize::try_from(host.log.durable_end_offset()).expect("small");
        assert_eq!(host.read_all().len(), count);
        host.disk.crash();
        host.reopen(small);
        assert_eq!(host.read_all().len(), count);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    /// A producer that sends again what was lost has each record once, in order.
    #[test]
    fn any_full_disk_loses_nothing_durable(seed in any::<u64>()) {
        let small = LogConfig { segment_bytes: 3000, index_interval_bytes: 100, ..config() };
        let mut host = Host::new(seed, small.clone());
        let mut next = 0;
        for _ in 0..80 {
            match host.disk.dice.below(10) {
                0..5 => {
                    let len = 1 + host.disk.dice.below(1500);
                    if host.append(&send(next, len)).is_ok() {
                        next += 1;
                    }
                }
                5..8 => if !host.disk.is_idle() { host.step() },
                8 => host.disk.capacity = 4096 * (1 + host.disk.dice.below(12)),
                _ => host.disk.capacity = usize::MAX,
            }
            if let Some(from) = lost(&host) {
                prop_assert_eq!(from, host.log.durable_end_offset());
                next = i32::try_from(from).expect("small");
                host.events.clear();
            }
            let failed = host.has(|event| matches!(event, LogEvent::Failed { .. }));
            prop_assert!(!failed);
        }
        host.disk.capacity = usize::MAX;
        host.settle();
        let durable = host.log.durable_end_offset();
        prop_assert_eq!(host.log.log_end_offset(), durable);
        prop_assert_eq!(host.read_all().len(), usize::try_from(durable).expect("small"));
        host.disk.crash();
        host.reopen(small);
        prop_assert_eq!(host.log.log_end_offset(), durable);
    }
}
