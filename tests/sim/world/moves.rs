// SPDX-License-Identifier: Apache-2.0
//! A person who moves partitions from shard to shard now and then, as the admin port does it.
//!
//! Invariants: the draws are of a stream of their own; what was asked of a process dies with it.

use furlong::control::request::{ControlAnswer, ControlRequest};
use furlong::group::OFFSETS_TOPIC;
use furlong::model::ids::ShardId;
use furlong::shard::mesh_message::MeshMessage;

use super::{Happening, World};
use crate::boot::GROUP_PARTITIONS;

/// Longest time between two moves in microseconds.
const PAUSE_US_MAX: u64 = 1_000_000;

/// Moves that were asked for.
#[derive(Default)]
pub(super) struct Moves {
    asked: u64,
    /// Number and new shard of the one that is not answered, and whether it keeps groups.
    under_way: Option<(u64, ShardId, bool)>,
}

impl World {
    /// Lets the next move come in a while.
    pub(super) fn plan_move(&mut self) {
        let pause = self.streams.moves.skewed(1_000, PAUSE_US_MAX);
        self.after(pause, Happening::Move);
    }

    /// Asks for a move of some partition to some shard.
    pub(super) fn ask_move(&mut self) {
        self.plan_move();
        let serves = self.process.as_ref().is_some_and(|it| it.is_ready);
        if self.healed || !serves {
            return;
        }
        let Some((topic, partition)) = self.draw_moved() else {
            return;
        };
        let moves = &mut self.streams.moves;
        // One in a while is to a shard that is not there.
        let shards = u64::from(self.plan.shards) + u64::from(moves.chance(20));
        let to = ShardId(u16::try_from(moves.below(shards)).expect("few shards"));
        let body = ControlRequest::MovePartition {
            topic: topic.as_str().into(),
            partition,
            to,
        };
        self.moves.asked += 1;
        let request = self.moves.asked;
        let keeps_groups = topic == OFFSETS_TOPIC;
        self.moves.under_way = Some((request, to, keeps_groups));
        let happening = Happening::Mesh {
            incarnation: self.incarnation,
            to: self.machine_of(ShardId::CONTROL),
            from: ShardId::MAIN,
            sent_us: self.now_us,
            message: Box::new(MeshMessage::ControlRequest { request, body }),
        };
        self.after(1, happening);
    }

    /// Some partition; where there are groups, half of the time one that keeps them.
    fn draw_moved(&mut self) -> Option<(String, i32)> {
        let moves = &mut self.streams.moves;
        if self.plan.has_groups() && moves.chance(500) {
            let partition = i32::try_from(moves.below(GROUP_PARTITIONS)).expect("few");
            return Some((OFFSETS_TOPIC.to_owned(), partition));
        }
        let topic = self.board.pick_topic(moves)?;
        let partitions = u64::try_from(topic.partitions.max(1)).expect("not negative");
        let partition = i32::try_from(moves.below(partitions)).expect("few partitions");
        Some((topic.name.clone(), partition))
    }

    /// A machine says something to the main thread.
    pub(super) fn take_told(&mut self, message: MeshMessage) {
        let MeshMessage::ControlAnswer { request, body } = message else {
            panic!("the main thread is told {message:?}");
        };
        let asked = self
            .moves
            .under_way
            .take_if(|(number, ..)| *number == request);
        match (asked, body) {
            (Some((_, to, keeps_groups)), ControlAnswer::MovePartition(Ok(from))) if from != to => {
                self.stats.moves += 1;
                self.stats.group_moves += u64::from(keeps_groups);
            }
            (_, ControlAnswer::MovePartition(Ok(_))) => {}
            _ => self.stats.moves_refused += 1,
        }
    }

    /// The process is gone, and what was asked of it.
    pub(super) fn forget_moves(&mut self) {
        if self.moves.under_way.take().is_some() {
            self.stats.moves_cut += 1;
        }
    }
}
