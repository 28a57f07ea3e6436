// SPDX-License-Identifier: Apache-2.0
//! Members of the new protocol, as tests play them: requests, and what a client believes.

use std::sync::Arc;

use super::*;
use crate::config::layers::BrokerLayers;
use crate::config::topic;
use crate::model::ids::{BrokerId, TopicId, Uuid};
use crate::model::image::{MetadataImage, PartitionImage, TopicImage};
use crate::wire::protocol::consumer_group_heartbeat::TopicPartitions;

/// The id of a topic: its name.
pub fn topic_id(name: &str) -> TopicId {
    let mut id = [0; 16];
    let length = name.len().min(16);
    id[..length].copy_from_slice(&name.as_bytes()[..length]);
    Uuid(id)
}

/// Metadata with these topics.
pub fn image(version: i64, topics: &[(&str, usize)]) -> MetadataImage {
    let file = Settings::new();
    let config = topic::effective(BrokerLayers::of_file(&file), &file).expect("defaults");
    let mut image = MetadataImage::empty();
    image.version = version;
    for (name, count) in topics {
        let partition = PartitionImage {
            leader: Some(BrokerId(0)),
            leader_epoch: 0,
            partition_epoch: 0,
            replicas: vec![BrokerId(0)],
            isr: vec![BrokerId(0)],
            shard: ShardId(0),
        };
        let topic = TopicImage {
            id: topic_id(name),
            name: ByteString::from(*name),
            partitions: vec![partition; *count],
            overrides: BTreeMap::new(),
            config: config.clone(),
        };
        image.topic_names.insert(topic.id, topic.name.clone());
        image.topics.insert(topic.name.clone(), Arc::new(topic));
    }
    image
}

/// A member that says everything: it joins, or repeats itself.
pub fn beat(id: &str, epoch: i32, topics: &[&str]) -> ConsumerGroupHeartbeatRequest {
    let topics = topics.iter().map(|name| ByteString::from(*name));
    ConsumerGroupHeartbeatRequest {
        rebalance_timeout_ms: REBALANCE_MS,
        subscribed_topic_names: Some(topics.collect()),
        topic_partitions: Some(Vec::new()),
        ..beat_of(id, epoch)
    }
}

/// A member that has nothing new to say.
pub fn beat_of(id: &str, epoch: i32) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        group_id: GROUP.into(),
        member_id: id.into(),
        member_epoch: epoch,
        ..ConsumerGroupHeartbeatRequest::default()
    }
}

/// A member that leaves.
pub fn leaves(id: &str, epoch: i32) -> ConsumerGroupHeartbeatRequest {
    beat_of(id, epoch)
}

/// The partitions of the topic `t` that an answer gives, if it gives any.
pub fn given(response: &ConsumerGroupHeartbeatResponse) -> Option<Vec<i32>> {
    let assignment = response.assignment.as_ref()?;
    let topics = assignment.topic_partitions.iter();
    let ours = topics.filter(|topic| topic.topic_id == topic_id("t"));
    Some(ours.flat_map(|topic| topic.partitions.clone()).collect())
}

impl Bench {
    /// The topics that there are from now on.
    pub fn set_topics(&mut self, topics: &[(&str, usize)]) {
        let version = self.image.version + 1;
        self.image = Arc::new(image(version, topics));
        self.coordinator.handle_image(Arc::clone(&self.image));
    }

    /// The settings that a group has of its own from now on.
    pub fn set_group_configs(&mut self, group: &str, settings: Settings) {
        let image = Arc::make_mut(&mut self.image);
        image.version += 1;
        Arc::make_mut(&mut image.group_configs).insert(group.into(), settings);
        self.coordinator.handle_image(Arc::clone(&self.image));
    }

    pub fn beat_as(&mut self, request: ConsumerGroupHeartbeatRequest, version: i16) -> u64 {
        let origin = Origin {
            client_id: "client".into(),
            client_host: "/127.0.0.1".into(),
        };
        self.call(GroupCall::Beat(request, version, origin))
    }

    /// The answer to a heartbeat, if it has come.
    pub fn beaten(&mut self, call: u64) -> Option<ConsumerGroupHeartbeatResponse> {
        match self.answer(call)? {
            GroupAnswer::Beat(response) => Some(response),
            other => panic!("a heartbeat was answered with {other:?}"),
        }
    }

    /// A heartbeat that is answered at once.
    pub fn ask_beat(
        &mut self,
        request: ConsumerGroupHeartbeatRequest,
    ) -> ConsumerGroupHeartbeatResponse {
        let call = self.beat_as(request, 1);
        self.beaten(call).expect("answered at once")
    }
}

/// What a client that wants the topic `t` believes. It gives up when it is told to.
#[derive(Clone, Debug, Default)]
pub struct Member {
    pub id: ByteString,
    pub epoch: i32,
    /// What it may use.
    pub owned: Vec<i32>,
    /// What it has to give up and has not given up yet.
    pub to_give_up: Vec<i32>,
    /// What it owns has changed since it said so last.
    pub has_news: bool,
}

impl Member {
    /// Joins and is answered at once.
    pub fn join(bench: &mut Bench, id: &str, topics: &[&str]) -> Member {
        let mut member = Member {
            id: id.into(),
            ..Member::default()
        };
        let response = bench.ask_beat(beat(id, 0, topics));
        assert_eq!(response.error_code, 0, "{response:?}");
        member.take(&response);
        member
    }

    /// Its next request.
    pub fn request(&self) -> ConsumerGroupHeartbeatRequest {
        let mut request = beat_of(&self.id, self.epoch);
        if self.has_news {
            request.topic_partitions = Some(vec![TopicPartitions {
                topic_id: topic_id("t"),
                partitions: [&self.owned[..], &self.to_give_up[..]].concat(),
            }]);
        }
        request
    }

    /// Is heard of, and hears.
    pub fn hear(&mut self, bench: &mut Bench) -> ConsumerGroupHeartbeatResponse {
        let response = bench.ask_beat(self.request());
        self.take(&response);
        response
    }

    /// Takes an answer.
    pub fn take(&mut self, response: &ConsumerGroupHeartbeatResponse) {
        if response.error_code != 0 {
            return;
        }
        self.epoch = response.member_epoch;
        self.has_news = false;
        if let Some(given) = given(response) {
            let had = [&self.owned[..], &self.to_give_up[..]].concat();
            self.to_give_up = had.into_iter().filter(|one| !given.contains(one)).collect();
            self.owned = given;
            self.has_news = true;
        }
    }

    /// Gives up what it has to.
    pub fn give_up(&mut self) {
        self.has_news |= !self.to_give_up.is_empty();
        self.to_give_up.clear();
    }
}
