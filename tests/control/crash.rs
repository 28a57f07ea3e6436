// SPDX-License-Identifier: Apache-2.0
//! Crashes anywhere: what was answered stays, nothing is handed out twice.

use std::collections::BTreeMap;

use furlong::control::request::{ControlAnswer, ControlRequest, MorePartitions, TopicSelector};
use furlong::model::ids::TopicId;

use crate::host::{Host, create, settings};

/// What the answers so far have promised.
#[derive(Default)]
struct Promises {
    topics: BTreeMap<String, TopicId>,
    deleted: Vec<TopicId>,
    /// How many partitions a topic has at least.
    partitions: BTreeMap<TopicId, usize>,
    next_producer_id: i64,
    broker_epoch: i64,
    leader_epochs: BTreeMap<(TopicId, usize), i32>,
}

impl Promises {
    fn take(&mut self, request: &ControlRequest, answer: &ControlAnswer) {
        match answer {
            ControlAnswer::CreateTopics(outcomes) => {
                for (name, made) in outcomes {
                    if let Ok(made) = made {
                        assert!(
                            !self.deleted.contains(&made.id),
                            "an id is never used again"
                        );
                        self.topics.insert(name.to_string(), made.id);
                    }
                }
            }
            ControlAnswer::DeleteTopics(outcomes) => {
                for deleted in outcomes
                    .iter()
                    .filter_map(|(_, deleted)| deleted.as_ref().ok())
                {
                    self.topics.remove(&*deleted.name);
                    self.deleted.push(deleted.id);
                }
            }
            ControlAnswer::ProducerIds { first, count } => {
                assert!(
                    *first >= self.next_producer_id,
                    "producer ids handed out twice"
                );
                self.next_producer_id = first + count;
            }
            ControlAnswer::CreatePartitions(outcomes) => {
                let ControlRequest::CreatePartitions { topics, .. } = request else {
                    panic!("an answer to another request");
                };
                if let (more, [(name, Ok(()))]) = (&topics[0], &outcomes[..]) {
                    let count = usize::try_from(more.count).expect("small");
                    self.partitions.insert(self.topics[&**name], count);
                }
            }
            ControlAnswer::AlterConfigs(_)
            | ControlAnswer::AlterQuotas(_)
            | ControlAnswer::Throttled { .. }
            | ControlAnswer::MovePartition(_)
            | ControlAnswer::Quorum { .. }
            | ControlAnswer::Unavailable => {}
        }
    }

    /// Holds them against what a start made of the disk. A request that was under way may have been
    /// carried out or not.
    fn check(&mut self, host: &Host, unanswered: &[ControlRequest]) {
        let image = host.image();
        for (name, id) in &self.topics {
            let may_be_gone = unanswered.iter().any(|request| deletes(request, name));
            let found = image.topics.get(name.as_str()).map(|topic| topic.id);
            assert!(found == Some(*id) || may_be_gone, "{name} was made");
        }
        for id in &self.deleted {
            assert!(
                image.topic_by_id(*id).is_none(),
                "a deleted topic came back"
            );
        }
        for (id, count) in &self.partitions {
            let topic = image.topic_by_id(*id);
            let is_kept = topic.is_none_or(|topic| topic.partitions.len() >= *count);
            assert!(is_kept, "partitions were added");
        }
        let broker_epoch = image.brokers[&crate::host::NODE].epoch;
        assert!(
            broker_epoch > self.broker_epoch,
            "each start registers anew"
        );
        self.broker_epoch = broker_epoch;
        for topic in image.topics.values() {
            for (index, partition) in topic.partitions.iter().enumerate() {
                let before = self
                    .leader_epochs
                    .insert((topic.id, index), partition.leader_epoch);
                assert!(before.is_none_or(|before| partition.leader_epoch > before));
            }
        }
        self.topics = image
            .topics
            .iter()
            .map(|(name, topic)| (name.to_string(), topic.id))
            .collect();
    }
}

fn deletes(request: &ControlRequest, name: &str) -> bool {
    match request {
        ControlRequest::DeleteTopics { topics } => topics
            .iter()
            .any(|one| *one == TopicSelector::Name(name.into())),
        _ => false,
    }
}

fn request(host: &mut Host) -> ControlRequest {
    let name = ["a", "b", "c", "d"][host.disk.dice.below(4)];
    match host.disk.dice.below(7) {
        0..=1 => create(name, 3),
        2 => ControlRequest::DeleteTopics {
            topics: vec![TopicSelector::Name(name.into())],
        },
        3..=4 => ControlRequest::CreatePartitions {
            topics: vec![MorePartitions {
                name: name.into(),
                count: 4 + i32::try_from(host.disk.dice.below(6)).expect("small"),
                assignments: None,
            }],
            validate_only: false,
        },
        _ => ControlRequest::AllocateProducerIds,
    }
}

fn run(seed: u64) {
    let file = settings(&[("metadata.log.max.record.bytes.between.snapshots", "2000")]);
    let mut host = Host::new(seed, 2, file);
    let mut promises = Promises::default();
    host.start();
    promises.check(&host, &[]);
    for _ in 0..6 {
        let mut asked = BTreeMap::new();
        for number in 0..12 {
            let request = request(&mut host);
            asked.insert(number, request.clone());
            host.send(0, number, request);
            for _ in 0..host.disk.dice.below(12) {
                host.step();
            }
        }
        for (number, answer) in std::mem::take(&mut host.answers) {
            let request = asked.remove(&number).expect("an answer to a request");
            promises.take(&request, &answer);
        }
        let unanswered: Vec<ControlRequest> = asked.into_values().collect();
        let shards = if host.disk.dice.one_in(4) { 3 } else { 2 };
        if host.disk.dice.one_in(4) {
            host.restart(shards);
        } else {
            crash_while_starting(&mut host, shards);
        }
        promises.check(&host, &unanswered);
    }
}

/// Loses power, sometimes again and again before the start is over.
fn crash_while_starting(host: &mut Host, shards: u16) {
    while host.disk.dice.one_in(3) {
        host.disk.crash();
        host.renew(shards);
        host.event(furlong::shard::contract::Event::Start);
        for _ in 0..host.disk.dice.below(40) {
            host.step();
        }
    }
    host.crash(shards);
}

#[test]
fn what_was_answered_survives_a_crash_anywhere() {
    for seed in 0..100 {
        run(seed);
    }
}
