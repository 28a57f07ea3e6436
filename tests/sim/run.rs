// SPDX-License-Identifier: Apache-2.0
//! One run: faults and work, then healing, a last restart, the last reads and the checkers.
//!
//! Invariants: a run depends on its seed alone; it ends, whatever the broker does.

use crate::boot::Boot;
use crate::check;
use crate::client::Client;
use crate::client::admin::Admin;
use crate::client::consumer::Consumer;
use crate::client::group_admin::GroupAdmin;
use crate::client::hostile::Hostile;
use crate::client::key_reader::KeyReader;
use crate::client::key_writer::KeyWriter;
use crate::client::member::Member;
use crate::client::new_member::NewMember;
use crate::client::payload::{Sizes, batch_bytes_max};
use crate::client::producer::{Producer, ProducerPlan};
use crate::client::txn_producer::TxnProducer;
use crate::client::txn_reader::TxnReader;
use crate::client::verifier::Verifier;
use crate::history::groups::{CLASSIC_GROUPS, GroupIndex, MIXED_GROUP, NEW_GROUP};
use crate::plan::{Lie, Plan};
use crate::prng::{Prng, Salt};
use crate::stats::Stats;
use crate::world::World;

/// What is left of the world must come to rest in this time after it was healed.
const HEALING_US_MAX: u64 = 300_000_000;

/// What a run gave.
pub struct Outcome {
    /// What it met.
    pub stats: Stats,
    /// What was wrong, a sentence each.
    pub violations: Vec<String>,
    /// Stands for all that clients saw: equal for equal runs.
    pub fingerprint: u64,
}

/// Groups that an administrator looks after.
fn groups(plan: &Plan) -> Vec<GroupIndex> {
    let mut groups = Vec::new();
    if !plan.members.is_empty() {
        groups.extend(CLASSIC_GROUPS);
    }
    if !plan.new_members.is_empty() {
        groups.extend([NEW_GROUP, MIXED_GROUP]);
    }
    groups
}

fn clients(plan: &Plan) -> Vec<Box<dyn Client>> {
    let mut prng = Prng::new(plan.seed, Salt::Plan);
    prng.draw();
    let mut clients: Vec<Box<dyn Client>> = vec![
        Box::new(Admin::new(
            plan.topics,
            (!plan.key_writers.is_empty(), !plan.transactional.is_empty()),
            plan.pause_us_max,
            batch_bytes_max(plan.value_bytes_max),
        )),
        Box::new(Verifier::new()),
    ];
    for number in 0..plan.idempotent_producers + plan.plain_producers {
        clients.push(Box::new(Producer::new(ProducerPlan {
            idempotent: number < plan.idempotent_producers,
            in_flight_max: *prng.pick(&[1, 3, 8]),
            sizes: Sizes {
                value_bytes_max: plan.value_bytes_max,
                records_max: *prng.pick(&[1, 5, 30]),
            },
            pause_us_max: plan.pause_us_max,
        })));
    }
    for _ in 0..plan.consumers {
        clients.push(Box::new(Consumer::new(plan.pause_us_max)));
    }
    if plan.hostile {
        clients.push(Box::<Hostile>::default());
    }
    for member in plan.members.iter().chain(&plan.mixed_members) {
        clients.push(Box::new(Member::new(member.clone())));
    }
    for member in &plan.new_members {
        clients.push(Box::new(NewMember::new(member.clone())));
    }
    let groups = groups(plan);
    if !groups.is_empty() {
        clients.push(Box::new(GroupAdmin::new(groups, plan.pause_us_max)));
    }
    for is_idempotent in &plan.key_writers {
        clients.push(Box::new(KeyWriter::new(*is_idempotent, plan.pause_us_max)));
    }
    if !plan.key_writers.is_empty() {
        for number in 0..2 {
            clients.push(Box::new(KeyReader::new(number, plan.pause_us_max)));
        }
    }
    for producer in &plan.transactional {
        clients.push(Box::new(TxnProducer::new(producer.clone())));
    }
    if !plan.transactional.is_empty() {
        for number in 0..2 {
            clients.push(Box::new(TxnReader::new(number, plan.pause_us_max)));
        }
    }
    clients
}

/// Runs one seed to its end.
pub fn run(seed: u64, lie: Lie, boot: Boot) -> Outcome {
    run_plan(Plan::new(seed, lie), boot)
}

/// Runs a plan to its end.
pub fn run_plan(plan: Plan, boot: Boot) -> Outcome {
    let clients = clients(&plan);
    let mut world = World::new(plan, boot, clients);
    while world.now_us < world.plan.run_us && world.stats.events < world.plan.events_max {
        if !world.step() {
            break;
        }
    }
    world.heal();
    let limit_us = world.now_us + HEALING_US_MAX;
    while !world.is_done() {
        if world.now_us > limit_us || !world.step() {
            let sentence = world.describe_unrest();
            world.history.violation(sentence);
            break;
        }
    }
    let violations = check::check(&world.history);
    Outcome {
        violations,
        fingerprint: world.fingerprint(),
        stats: world.stats,
    }
}
