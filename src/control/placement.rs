// SPDX-License-Identifier: Apache-2.0
//! Where partitions go: which brokers hold them, which data shard of the leader owns them.
//!
//! Owns: [`Placement`]. Invariants: the broker, and on it the shard, with the fewest partitions
//! comes first, the lower number among equals; the same metadata gives the same placement.
//! Runs on: the control shard. Bounded by: brokers x `SHARDS_MAX`.

use std::collections::BTreeMap;

use crate::model::ids::{BrokerId, ShardId};
use crate::model::image::MetadataImage;

/// How many partitions each broker and shard has.
#[derive(Clone, Debug, Default)]
pub(super) struct Placement {
    brokers: BTreeMap<BrokerId, Load>,
}

#[derive(Clone, Debug)]
struct Load {
    replicas: usize,
    leaders: usize,
    shards: Vec<usize>,
}

impl Placement {
    /// Counts what an image holds.
    pub(super) fn of(image: &MetadataImage) -> Placement {
        let empty = |shard_count: u16| Load {
            replicas: 0,
            leaders: 0,
            shards: vec![0; usize::from(shard_count).max(1)],
        };
        let brokers = image.brokers.values();
        let mut placement = Placement {
            brokers: brokers
                .map(|broker| (broker.id, empty(broker.shard_count)))
                .collect(),
        };
        for partition in image.topics.values().flat_map(|topic| &topic.partitions) {
            placement.count(&partition.replicas, partition.leader, partition.shard);
        }
        placement
    }

    /// A broker with no partitions yet, to spread them again.
    pub(super) fn empty(broker: BrokerId, shard_count: u16) -> Placement {
        let shards = vec![0; usize::from(shard_count).max(1)];
        let load = Load {
            replicas: 0,
            leaders: 0,
            shards,
        };
        Placement {
            brokers: BTreeMap::from([(broker, load)]),
        }
    }

    fn count(&mut self, replicas: &[BrokerId], leader: Option<BrokerId>, shard: ShardId) {
        for replica in replicas {
            if let Some(load) = self.brokers.get_mut(replica) {
                load.replicas += 1;
            }
        }
        let Some(load) = leader.and_then(|leader| self.brokers.get_mut(&leader)) else {
            return;
        };
        load.leaders += 1;
        if let Some(count) = load.shards.get_mut(usize::from(shard.0)) {
            *count += 1;
        }
    }

    /// Brokers for one new partition, leader first; `count` must not exceed the number of brokers.
    pub(super) fn choose_replicas(&mut self, count: usize) -> Vec<BrokerId> {
        assert!(
            count <= self.brokers.len(),
            "the caller has checked the replication factor"
        );
        let leader = self
            .brokers
            .iter()
            .min_by_key(|(id, load)| (load.leaders, load.replicas, **id));
        let mut chosen: Vec<BrokerId> = leader.map(|(id, _)| *id).into_iter().take(count).collect();
        while chosen.len() < count {
            let others = self.brokers.iter().filter(|(id, _)| !chosen.contains(id));
            let next = others
                .min_by_key(|(id, load)| (load.replicas, **id))
                .map(|(id, _)| *id);
            chosen.extend(next);
        }
        for (place, broker) in chosen.iter().enumerate() {
            if let Some(load) = self.brokers.get_mut(broker) {
                load.replicas += 1;
                load.leaders += usize::from(place == 0);
            }
        }
        chosen
    }

    /// The data shard of this leader that owns one new partition.
    pub(super) fn choose_shard(&mut self, leader: BrokerId) -> ShardId {
        let Some(load) = self.brokers.get_mut(&leader) else {
            return ShardId(0);
        };
        let least = load
            .shards
            .iter()
            .enumerate()
            .min_by_key(|(index, count)| (**count, *index));
        let index = least.map_or(0, |(index, _)| index);
        load.shards[index] += 1;
        ShardId(u16::try_from(index).expect("the number of shards is a u16"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_filled_evenly() {
        let mut placement = Placement::empty(BrokerId(1), 3);
        let shards: Vec<u16> = (0..7)
            .map(|_| placement.choose_shard(BrokerId(1)).0)
            .collect();
        assert_eq!(shards, [0, 1, 2, 0, 1, 2, 0]);
    }

    #[test]
    fn leaders_and_replicas_are_spread_over_brokers() {
        let mut placement = Placement::default();
        for id in 1..=3 {
            let load = Load {
                replicas: 0,
                leaders: 0,
                shards: vec![0; 2],
            };
            placement.brokers.insert(BrokerId(id), load);
        }
        let mut leaders = BTreeMap::new();
        for _ in 0..9 {
            let replicas = placement.choose_replicas(2);
            assert_ne!(replicas[0], replicas[1]);
            *leaders.entry(replicas[0]).or_insert(0) += 1;
        }
        assert!(leaders.values().all(|count| *count == 3), "{leaders:?}");
        assert!(placement.brokers.values().all(|load| load.replicas == 6));
    }
}
