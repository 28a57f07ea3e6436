// SPDX-License-Identifier: Apache-2.0
//! A control shard on a model disk, with data shards that do nothing but apply images.
//!
//! Owns: [`Host`]. Invariants: what the machine asks for is given to the disk at once, and ends in
//! any order; a data shard applies images in the order in which they came, when it is its turn.
//! Runs on: tests. Bounded by: the test.

use std::collections::VecDeque;
use std::sync::Arc;

use furlong::config::layers::Settings;
use furlong::config::server::BrokerDefaults;
use furlong::control::request::{ControlAnswer, ControlRequest, NewTopic};
use furlong::model::ids::{BrokerId, ShardId, Uuid};
use furlong::model::image::MetadataImage;
use furlong::model::time::Now;
use furlong::shard::contract::{Effects, Event, Machine, ProcessEffect};
use furlong::shard::control_shard::{ControlShard, ControlShardConfig};
use furlong::shard::mesh_message::MeshMessage;

use crate::disk::ModelDisk;

pub const NODE: BrokerId = BrokerId(1);

/// The settings of a test, in text form.
pub fn settings(pairs: &[(&'static str, &str)]) -> Settings {
    let pair = |(name, value): &(&'static str, &str)| ((*name).into(), (*value).into());
    pairs.iter().map(pair).collect()
}

/// A data shard of the test.
#[derive(Default)]
pub struct DataShard {
    pub inbox: VecDeque<Arc<MetadataImage>>,
    pub applied: Option<Arc<MetadataImage>>,
    pub is_serving: bool,
}

pub struct Host {
    pub shard: ControlShard,
    pub disk: ModelDisk,
    pub now: Now,
    pub data: Vec<DataShard>,
    pub answers: Vec<(u64, ControlAnswer)>,
    pub process: Vec<ProcessEffect>,
    pub starts: u8,
    pub cluster_id: Uuid,
    file: Settings,
    effects: Effects,
}

impl Host {
    /// A control shard on an empty disk, not started.
    pub fn new(seed: u64, shard_count: u16, file: Settings) -> Host {
        let mut host = Host {
            shard: ControlShard::new(config(1, shard_count, Uuid([1; 16]), file.clone())),
            disk: ModelDisk::new(seed),
            now: Now {
                monotonic_us: 1,
                wall_ms: 1_700_000_000_000,
            },
            data: Vec::new(),
            answers: Vec::new(),
            process: Vec::new(),
            starts: 0,
            cluster_id: Uuid([1; 16]),
            file,
            effects: Effects::default(),
        };
        host.renew(shard_count);
        host
    }

    /// A new process on the same disk, not started.
    pub fn renew(&mut self, shard_count: u16) {
        self.starts += 1;
        let file = self.file.clone();
        self.shard = ControlShard::new(config(self.starts, shard_count, self.cluster_id, file));
        self.data = (0..shard_count).map(|_| DataShard::default()).collect();
        self.answers.clear();
        self.process.clear();
    }

    /// A started control shard on an empty disk.
    pub fn serving(seed: u64, file: &[(&'static str, &str)]) -> Host {
        let mut host = Host::new(seed, 2, settings(file));
        host.start();
        host
    }

    /// Starts and goes on until it serves.
    pub fn start(&mut self) {
        self.event(Event::Start);
        self.settle();
        assert!(self.is_ready(), "{:?}", self.process);
    }

    /// Stops in order and starts again.
    pub fn restart(&mut self, shard_count: u16) {
        self.event(Event::Stop);
        self.settle();
        assert_eq!(self.process.last(), Some(&ProcessEffect::Stopped));
        self.renew(shard_count);
        self.start();
    }

    /// Loses power, or only the process, and starts again.
    pub fn crash(&mut self, shard_count: u16) {
        if self.disk.dice.one_in(2) {
            self.disk.crash();
        } else {
            self.disk.kill();
        }
        self.renew(shard_count);
        self.start();
    }

    pub fn is_ready(&self) -> bool {
        self.process.contains(&ProcessEffect::Ready)
    }

    pub fn fatal(&self) -> Option<&str> {
        self.process.iter().find_map(|effect| match effect {
            ProcessEffect::Fatal { sentence } => Some(&**sentence),
            _ => None,
        })
    }

    pub fn notices(&self) -> usize {
        let is_notice = |effect: &&ProcessEffect| matches!(effect, ProcessEffect::Notice { .. });
        self.process.iter().filter(is_notice).count()
    }

    pub fn event(&mut self, event: Event) {
        let mut effects = std::mem::take(&mut self.effects);
        self.shard.handle_event(self.now, event, &mut effects);
        self.perform(&mut effects);
        self.effects = effects;
    }

    fn perform(&mut self, effects: &mut Effects) {
        assert!(
            effects.network.is_empty(),
            "the control shard has no clients"
        );
        self.disk.submit(&mut effects.disk);
        self.process.append(&mut effects.process);
        for effect in effects.mesh.drain(..) {
            let to = &mut self.data[usize::from(effect.to.0)];
            match *effect.message {
                MeshMessage::Image(image) => to.inbox.push_back(image),
                MeshMessage::Serve => {
                    assert!(!to.is_serving && to.applied.is_none());
                    assert_eq!(to.inbox.len(), 1, "the first image comes before");
                    to.is_serving = true;
                }
                MeshMessage::ControlAnswer { request, body } => self.answers.push((request, body)),
                other => panic!("not for a data shard: {other:?}"),
            }
        }
    }

    /// Lets one thing happen: a disk request ends, a data shard applies an image, or time passes as
    /// far as the machine asks. False if nothing is left to happen.
    pub fn step(&mut self) -> bool {
        let waiting: Vec<usize> = (0..self.data.len())
            .filter(|shard| !self.data[*shard].inbox.is_empty())
            .collect();
        if !waiting.is_empty() && (self.disk.is_idle() || self.disk.dice.one_in(2)) {
            let shard = waiting[self.disk.dice.below(waiting.len())];
            self.apply(shard);
        } else if !self.disk.is_idle() {
            self.now.monotonic_us += 50;
            let completion = self.disk.complete_one();
            self.event(Event::Disk(completion));
        } else {
            return self.time_out();
        }
        true
    }

    fn apply(&mut self, shard: usize) {
        let Some(image) = self.data[shard].inbox.pop_front() else {
            return;
        };
        let version = image.version;
        let before = self.data[shard].applied.replace(image);
        assert!(before.is_none_or(|before| before.version < version));
        self.event(Event::Mesh {
            from: shard_id(shard),
            sent_us: self.now.monotonic_us,
            message: Box::new(MeshMessage::ImageApplied { version }),
        });
    }

    fn time_out(&mut self) -> bool {
        let due = self.shard.next_deadline();
        if due.is_none_or(|due| due > self.now.monotonic_us) {
            return false;
        }
        let mut effects = std::mem::take(&mut self.effects);
        self.shard.handle_timeout(self.now, &mut effects);
        self.perform(&mut effects);
        self.effects = effects;
        true
    }

    /// Goes on until nothing is left to happen.
    pub fn settle(&mut self) {
        let mut steps = 0;
        while self.step() {
            steps += 1;
            assert!(steps < 1_000_000, "it goes on for ever");
        }
    }

    /// Asks from a data shard.
    pub fn send(&mut self, shard: usize, request: u64, body: ControlRequest) {
        self.event(Event::Mesh {
            from: shard_id(shard),
            sent_us: self.now.monotonic_us,
            message: Box::new(MeshMessage::ControlRequest { request, body }),
        });
    }

    /// Asks and waits for the answer.
    pub fn ask(&mut self, body: ControlRequest) -> ControlAnswer {
        self.send(0, 77, body);
        self.settle();
        let (request, answer) = self.answers.pop().expect("an answer came");
        assert_eq!(request, 77);
        answer
    }

    /// Makes a topic of this many partitions.
    pub fn create(&mut self, name: &str, partitions: i32) -> ControlAnswer {
        self.ask(create(name, partitions))
    }

    /// The image that a data shard has.
    pub fn image(&self) -> Arc<MetadataImage> {
        Arc::clone(
            self.data[0]
                .applied
                .as_ref()
                .expect("an image was published"),
        )
    }
}

pub fn create(name: &str, partitions: i32) -> ControlRequest {
    ControlRequest::CreateTopics {
        topics: vec![NewTopic {
            name: name.into(),
            num_partitions: partitions,
            replication_factor: -1,
            assignments: Vec::new(),
            configs: Vec::new(),
        }],
        validate_only: false,
    }
}

fn shard_id(shard: usize) -> ShardId {
    ShardId(u16::try_from(shard).expect("few shards"))
}

fn config(start: u8, shard_count: u16, cluster_id: Uuid, file: Settings) -> ControlShardConfig {
    ControlShardConfig {
        node_id: NODE,
        cluster_id,
        directory_id: Uuid([3; 16]),
        incarnation_id: Uuid([start; 16]),
        host: "localhost".into(),
        port: 9092,
        rack: None,
        shard_count,
        connections_max: 1000,
        defaults: BrokerDefaults::of(file).expect("valid settings"),
        entropy: [start; 32],
    }
}
