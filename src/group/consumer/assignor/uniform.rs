// SPDX-License-Identifier: Apache-2.0
//! The assignor `uniform`: everybody owns as many partitions as everybody else, as far as wishes
//! allow, and keeps what it was to own before.
//!
//! First everybody keeps what it had and still wants. Then what nobody has is dealt, topics that
//! few want first, each partition to the member that has least. Then the one that has most gives to
//! the one that has least among those who want a topic of its own, as long as they are two or more
//! apart. A gift never makes a giver of its receiver, so where all want the same no smaller number
//! of partitions could have moved.
//!
//! Owns: the rule. Invariants: no partition could move to somebody who has two or more less.
//! Runs on: the shard that coordinates. Bounded by: a partition is dealt once, in the logarithm of
//! the members; a gift costs the topics of its giver times the different wishes, and at most
//! `ASSIGNOR_MOVES_PER_PARTITION_MAX` gifts for each partition are made.

use std::collections::{BTreeMap, BTreeSet};

use bytestring::ByteString;

use super::{Answer, Question};
use crate::group::consumer::assignment::Assignment;
use crate::limits::ASSIGNOR_MOVES_PER_PARTITION_MAX;
use crate::model::ids::TopicId;

/// What has been dealt so far. Members are numbered in the order of their ids.
struct Deal<'a, 'q> {
    question: &'q Question<'a>,
    ids: Vec<&'a ByteString>,
    wish_of: Vec<usize>,
    owned: Vec<Assignment>,
    load: Vec<usize>,
    /// The members of each wish, those that have least first.
    poorest: Vec<BTreeSet<(usize, usize)>>,
    /// The wishes that contain each topic.
    wanted_by: BTreeMap<TopicId, Vec<usize>>,
}

/// Assigns.
pub(super) fn assign(question: &Question<'_>) -> Answer {
    let mut deal = Deal::new(question);
    let free = deal.keep();
    deal.hand_out(free);
    deal.even_out();
    let owned = deal.ids.into_iter().cloned().zip(deal.owned);
    owned.collect()
}

impl<'a, 'q> Deal<'a, 'q> {
    fn new(question: &'q Question<'a>) -> Deal<'a, 'q> {
        let members = question.members.values();
        let wish_of: Vec<usize> = members.map(|member| member.wish).collect();
        let mut poorest = vec![BTreeSet::new(); question.wishes.len()];
        for (member, wish) in wish_of.iter().enumerate() {
            poorest[*wish].insert((0, member));
        }
        let mut wanted_by: BTreeMap<TopicId, Vec<usize>> = BTreeMap::new();
        for (wish, topics) in question.wishes.iter().enumerate() {
            for topic in topics.iter().filter(|_| !poorest[wish].is_empty()) {
                wanted_by.entry(*topic).or_default().push(wish);
            }
        }
        Deal {
            question,
            ids: question.members.keys().copied().collect(),
            owned: vec![Assignment::default(); wish_of.len()],
            load: vec![0; wish_of.len()],
            wish_of,
            poorest,
            wanted_by,
        }
    }

    fn give(&mut self, member: usize, topic: TopicId, partition: i32) {
        self.owned[member].insert(topic, partition);
        self.weigh(member, self.load[member] + 1);
    }

    fn weigh(&mut self, member: usize, load: usize) {
        let poorest = &mut self.poorest[self.wish_of[member]];
        poorest.remove(&(self.load[member], member));
        poorest.insert((load, member));
        self.load[member] = load;
    }

    /// Everybody keeps what it had and still wants; gives what nobody has, topic by topic.
    fn keep(&mut self) -> BTreeMap<TopicId, BTreeSet<i32>> {
        let topics = self.question.topics.iter();
        let wanted = topics.filter(|(topic, _)| self.wanted_by.contains_key(*topic));
        let mut free: BTreeMap<TopicId, BTreeSet<i32>> = wanted
            .map(|(topic, count)| (*topic, (0..*count).collect()))
            .collect();
        let question = self.question;
        for (member, candidate) in question.members.values().enumerate() {
            let wish = &question.wishes[candidate.wish];
            for (topic, partition) in candidate.before.into_iter().flat_map(Assignment::iter) {
                let is_free = wish.contains(&topic)
                    && free
                        .get_mut(&topic)
                        .is_some_and(|left| left.remove(&partition));
                if is_free {
                    self.give(member, topic, partition);
                }
            }
        }
        free
    }

    /// Deals what nobody has: first the topics that the fewest members want.
    fn hand_out(&mut self, free: BTreeMap<TopicId, BTreeSet<i32>>) {
        let choice = |topic: &TopicId| -> usize {
            let wishes = self.wanted_by.get(topic).into_iter().flatten();
            wishes.map(|wish| self.poorest[*wish].len()).sum()
        };
        let mut order: Vec<(usize, TopicId)> =
            free.keys().map(|topic| (choice(topic), *topic)).collect();
        order.sort_unstable();
        for (_, topic) in order {
            for partition in free.get(&topic).into_iter().flatten() {
                if let Some((_, member)) = self.poorest_for(topic) {
                    self.give(member, topic, *partition);
                }
            }
        }
    }

    /// Who has least of those who want a topic.
    fn poorest_for(&self, topic: TopicId) -> Option<(usize, usize)> {
        let wishes = self.wanted_by.get(&topic)?.iter();
        wishes
            .filter_map(|wish| self.poorest[*wish].first().copied())
            .min()
    }

    fn all(&self) -> BTreeSet<(usize, usize)> {
        let loads = self.load.iter().copied();
        loads.zip(0..self.load.len()).collect()
    }

    fn even_out(&mut self) {
        let partitions: usize = self.load.iter().sum();
        let mut moves_left = partitions.saturating_mul(ASSIGNOR_MOVES_PER_PARTITION_MAX);
        let mut givers = self.all();
        let mut has_moved = false;
        loop {
            // Who cannot give now may be able to once others have given: another round follows.
            let Some((load, giver)) = givers.pop_last() else {
                if !has_moved {
                    return;
                }
                has_moved = false;
                givers = self.all();
                continue;
            };
            let Some((topic, partition, receiver)) = self.gift_of(giver) else {
                continue;
            };
            if moves_left == 0 {
                return;
            }
            moves_left -= 1;
            has_moved = true;
            self.owned[giver].remove(topic, partition);
            self.weigh(giver, load - 1);
            let had = self.load[receiver];
            self.give(receiver, topic, partition);
            if givers.remove(&(had, receiver)) {
                givers.insert((had + 1, receiver));
            }
            givers.insert((load - 1, giver));
        }
    }

    /// What a member can give, and to whom: to the one that has least.
    fn gift_of(&self, giver: usize) -> Option<(TopicId, i32, usize)> {
        let mut best: Option<(usize, usize, TopicId)> = None;
        for topic in self.owned[giver].topic_ids() {
            let Some((load, receiver)) = self.poorest_for(topic) else {
                continue;
            };
            let is_better = best.is_none_or(|(least, _, _)| load < least);
            if load + 2 <= self.load[giver] && is_better {
                best = Some((load, receiver, topic));
            }
        }
        let (_, receiver, topic) = best?;
        let partition = self.owned[giver].last_of(topic)?;
        Some((topic, partition, receiver))
    }
}
