// SPDX-License-Identifier: Apache-2.0
//! A log on a model disk, and what a test does with both.
//!
//! Owns: [`Host`]. Invariants: after each call everything the log asked for was given to the disk.
//! Runs on: tests. Bounded by: the test.

use bytes::Bytes;
use furlong::log::{
    AppendError, AppendRules, Appended, LogConfig, LogEvent, LookupStart, PartitionLog, ReadError,
    ReadStart, RecoveryReport, TimestampedOffset,
};
use furlong::model::disk::DiskQueue;
use furlong::model::ids::{Offset, Uuid};
use furlong::model::storage::StorageRules;
use furlong::model::time::Now;
use furlong::model::topic_config::{
    CleanupPolicy, CompactionConfig, FlushMode, StoredCodec, TimestampType,
};
use furlong::wire::record::{BatchBuilder, BatchHeader, Compression, split_batches};

use crate::disk::ModelDisk;

pub const DIRECTORY: &str = "topic-0";
pub const TOPIC: Uuid = Uuid([7; 16]);
/// Wall clock at the start of every test.
pub const START_MS: i64 = 1_700_000_000_000;

pub fn config() -> LogConfig {
    LogConfig {
        cleanup_policy: CleanupPolicy {
            delete: true,
            compact: false,
        },
        retention_ms: None,
        retention_bytes: None,
        compaction: CompactionConfig::default(),
        segment_bytes: 1 << 30,
        segment_ms: 7 * 24 * 3_600_000,
        index_interval_bytes: 4096,
        segment_index_bytes: 10 << 20,
        max_message_bytes: 1 << 20,
        stored_codec: StoredCodec::Producer,
        timestamp_type: TimestampType::CreateTime,
        flush_mode: FlushMode::Always,
        timestamp_before_max_ms: u64::MAX,
        timestamp_after_max_ms: 3_600_000,
    }
}

/// A batch with these values, all at one timestamp.
pub fn batch_at(timestamp: i64, values: &[&[u8]]) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    for value in values {
        builder.append(timestamp, Some(b"k"), Some(value), &[]);
    }
    builder.build()
}

pub fn batch(values: &[&[u8]]) -> Bytes {
    batch_at(START_MS, values)
}

/// Storage on which one flush covers the device.
pub const STORAGE: StorageRules = StorageRules {
    device_flush: true,
    write_ahead: true,
    recovery_point_bytes: 3000,
};

/// Likewise, and no recovery point is ever noted.
pub const WITHOUT_POINTS: StorageRules = StorageRules {
    recovery_point_bytes: u64::MAX,
    ..STORAGE
};

/// Likewise, and no zeros are written ahead: every flush is that of a round.
pub const WITHOUT_ZEROS: StorageRules = StorageRules {
    write_ahead: false,
    ..WITHOUT_POINTS
};

/// The storage of a test: every fourth seed has one on which every file is flushed by itself.
fn storage(seed: u64) -> StorageRules {
    match seed % 4 {
        3 => StorageRules::default(),
        _ => STORAGE,
    }
}

pub struct Host {
    pub log: PartitionLog,
    pub disk: ModelDisk,
    pub storage: StorageRules,
    pub now: Now,
    pub epoch: i32,
    pub events: Vec<LogEvent>,
    queue: DiskQueue,
    next_read: u64,
}

impl Host {
    /// An open log on an empty disk.
    pub fn new(seed: u64, config: LogConfig) -> Host {
        Host::on(storage(seed), seed, config)
    }

    /// Likewise, on such storage.
    pub fn on(storage: StorageRules, seed: u64, config: LogConfig) -> Host {
        let mut host = Host {
            log: PartitionLog::new(3, DIRECTORY, TOPIC, config.clone(), storage),
            storage,
            disk: ModelDisk::new(seed),
            now: Now {
                monotonic_us: 1,
                wall_ms: START_MS,
            },
            epoch: 0,
            events: Vec::new(),
            queue: DiskQueue::new(),
            next_read: 0,
        };
        let report = host.reopen(config);
        assert!(report.created);
        host
    }

    /// A new process on the same disk.
    pub fn reopen(&mut self, config: LogConfig) -> RecoveryReport {
        self.start(config);
        self.settle();
        self.report()
    }

    pub fn start(&mut self, config: LogConfig) {
        self.log = PartitionLog::new(3, DIRECTORY, TOPIC, config, self.storage);
        self.log.set_retention_check_ms(30_000);
        self.events.clear();
        self.epoch += 1;
        self.log.handle_open(self.now, &mut self.queue);
        self.disk.submit(&mut self.queue);
    }

    /// Has the log give up cached bytes.
    pub fn shed(&mut self, bytes: usize) {
        self.log.handle_shed(bytes, &mut self.queue);
    }

    /// The report of an opening that is done.
    pub fn report(&self) -> RecoveryReport {
        let opened = self.events.iter().find_map(|event| match event {
            LogEvent::Opened { report } => Some(*report),
            _ => None,
        });
        opened.unwrap_or_else(|| panic!("the log did not open: {:?}", self.events))
    }

    /// Lets one request end.
    pub fn step(&mut self) {
        let completion = self.disk.complete_one();
        self.log
            .handle_disk(self.now, completion, &mut self.queue, &mut self.events);
        self.disk.submit(&mut self.queue);
    }

    /// Lets everything end.
    pub fn settle(&mut self) {
        while !self.disk.is_idle() {
            self.step();
        }
    }

    pub fn append(&mut self, records: &Bytes) -> Result<Appended, AppendError> {
        self.append_with(records, AppendRules::VERIFIED)
    }

    pub fn append_with(
        &mut self,
        records: &Bytes,
        rules: AppendRules,
    ) -> Result<Appended, AppendError> {
        let (now, epoch) = (self.now, self.epoch);
        let result = self
            .log
            .handle_append(now, epoch, records, rules, &mut self.queue);
        self.disk.submit(&mut self.queue);
        result
    }

    /// Starts a read; the number under which it is answered.
    pub fn start_read(&mut self, offset: Offset, max_bytes: usize, bound: Offset) -> u64 {
        self.next_read += 1;
        let read = self.next_read;
        let start = self
            .log
            .handle_read(read, offset, max_bytes, bound, true, &mut self.queue);
        self.disk.submit(&mut self.queue);
        let result = match start {
            Ok(ReadStart::Started) => return read,
            Ok(ReadStart::Empty) => Ok(Bytes::new()),
            Ok(ReadStart::Ready(bytes)) => Ok(bytes),
            Err(error) => Err(error),
        };
        self.events.push(LogEvent::ReadDone { read, result });
        read
    }

    pub fn read_result(&mut self, wanted: u64) -> Result<Bytes, ReadError> {
        let place = self
            .events
            .iter()
            .position(|event| matches!(event, LogEvent::ReadDone { read, .. } if *read == wanted));
        match self.events.remove(place.expect("the read is done")) {
            LogEvent::ReadDone { result, .. } => result,
            _ => unreachable!("just matched"),
        }
    }

    pub fn read(&mut self, offset: Offset, max_bytes: usize) -> Result<Bytes, ReadError> {
        let read = self.start_read(offset, max_bytes, Offset::MAX);
        self.settle();
        self.read_result(read)
    }

    /// Every batch of the log by base offset.
    pub fn read_all(&mut self) -> Vec<(Offset, Bytes)> {
        let mut all = Vec::new();
        let mut offset = self.log.log_start_offset();
        while offset < self.log.durable_end_offset() {
            let bytes = self.read(offset, 3000).expect("a good log reads");
            assert!(!bytes.is_empty(), "nothing at {offset}");
            for batch in split_batches(&bytes) {
                let batch = batch.expect("whole batches");
                let header = BatchHeader::parse(&batch).expect("a good header");
                assert!(
                    header.base_offset <= offset,
                    "the first may begin before the log"
                );
                assert!(header.base_offset == offset || all.is_empty());
                offset = header.last_offset() + 1;
                all.push((header.base_offset, batch));
            }
        }
        all
    }

    /// Deletes the records below `offset`; `RecordsDeleted` with the number 5 tells how it ended.
    pub fn delete_records(&mut self, offset: Offset) {
        let started = self.log.handle_delete_records(5, offset, &mut self.queue);
        self.disk.submit(&mut self.queue);
        let (waiter, result) = match started {
            Ok(None) => return,
            Ok(Some(start)) => (5, Ok(start)),
            Err(error) => (5, Err(error)),
        };
        self.events
            .push(LogEvent::RecordsDeleted { waiter, result });
    }

    pub fn lookup(
        &mut self,
        timestamp: Option<i64>,
        bound: Offset,
    ) -> Result<Option<TimestampedOffset>, ReadError> {
        let start = match timestamp {
            Some(timestamp) => {
                self.log
                    .handle_offset_for_timestamp(9, timestamp, bound, &mut self.queue)
            }
            None => self.log.handle_max_timestamp(9, bound, &mut self.queue),
        };
        self.disk.submit(&mut self.queue);
        match start? {
            LookupStart::Found(found) => return Ok(found),
            LookupStart::Started => self.settle(),
        }
        match self.events.pop() {
            Some(LogEvent::TimestampFound { lookup: 9, result }) => result,
            other => panic!("{other:?}"),
        }
    }

    pub fn stop(&mut self) {
        self.log
            .handle_stop(self.now, &mut self.queue, &mut self.events);
        self.disk.submit(&mut self.queue);
        self.settle();
        assert!(
            self.has(|event| matches!(event, LogEvent::Stopped)),
            "{:?}",
            self.events
        );
    }

    pub fn delete(&mut self) {
        self.log
            .handle_delete(self.now, &mut self.queue, &mut self.events);
        self.disk.submit(&mut self.queue);
        self.settle();
    }

    /// Lets time pass.
    pub fn wait_ms(&mut self, ms: i64) {
        self.now.wall_ms += ms;
        self.now.monotonic_us += u64::try_from(ms).expect("forward") * 1000;
        while self
            .log
            .next_deadline()
            .is_some_and(|at| at <= self.now.monotonic_us)
        {
            self.log
                .handle_timeout(self.now, &mut self.queue, &mut self.events);
            self.disk.submit(&mut self.queue);
            self.settle();
        }
    }

    /// Lets time pass, and nothing else happen yet.
    pub fn start_waiting_ms(&mut self, ms: i64) {
        self.now.wall_ms += ms;
        self.now.monotonic_us += u64::try_from(ms).expect("forward") * 1000;
        self.wake();
    }

    /// Calls the log if it wants to be called by now.
    pub fn wake(&mut self) -> bool {
        let deadline = self.log.next_deadline();
        let is_due = deadline.is_some_and(|at| at <= self.now.monotonic_us);
        if is_due {
            self.log
                .handle_timeout(self.now, &mut self.queue, &mut self.events);
            self.disk.submit(&mut self.queue);
        }
        is_due
    }

    pub fn has(&self, wanted: impl Fn(&LogEvent) -> bool) -> bool {
        self.events.iter().any(wanted)
    }
}
