// SPDX-License-Identifier: Apache-2.0
//! The assignor `range`: of each topic every member that wants it owns neighbouring partitions.
//!
//! Owns: the rule. Invariants: the shares of one topic differ by one at most, the larger ones come
//! first; members that want the same topics own the same indexes of topics of the same size (what
//! joins need). Static members come first, in the order of the names that their operators gave
//! them, so that they keep their place when they come back under another id. Runs on: the shard
//! that coordinates. Bounded by: members times the topics that they want.

use bytestring::ByteString;

use super::{Answer, Question};
use crate::model::ids::TopicId;

/// Assigns.
pub(super) fn assign(question: &Question<'_>) -> Answer {
    let mut order: Vec<(bool, &ByteString, &ByteString, usize)> = question
        .members
        .iter()
        .map(|(id, member)| match member.instance {
            Some(instance) => (false, instance, *id, member.wish),
            None => (true, *id, *id, member.wish),
        })
        .collect();
    order.sort_unstable();
    let ids = question.members.keys().map(|id| (*id).clone());
    let mut answer: Answer = ids.map(|id| (id, super::Assignment::default())).collect();
    for (topic, partitions) in &question.topics {
        let wants: Vec<bool> = question
            .wishes
            .iter()
            .map(|wish| wish.contains(topic))
            .collect();
        let owners: Vec<&ByteString> = order
            .iter()
            .filter(|(_, _, _, wish)| wants[*wish])
            .map(|(_, _, id, _)| *id)
            .collect();
        deal(&mut answer, *topic, *partitions, &owners);
    }
    answer
}

fn deal(answer: &mut Answer, topic: TopicId, partitions: i32, owners: &[&ByteString]) {
    let Ok(count) = i32::try_from(owners.len()) else {
        return;
    };
    if count == 0 {
        return;
    }
    let (share, mut larger) = (partitions / count, partitions % count);
    let mut next = 0;
    for owner in owners {
        let end = next + share + larger.min(1);
        larger = (larger - 1).max(0);
        if next == end {
            return;
        }
        if let Some(owned) = answer.get_mut(*owner) {
            for partition in next..end {
                owned.insert(topic, partition);
            }
        }
        next = end;
    }
}
