// SPDX-License-Identifier: Apache-2.0
//! The parameters of one run, drawn from its seed: runs differ in kind, not only in order.
//!
//! Invariants: everything that a run varies is here, so that a failing run can be described in a
//! few lines.

use crate::client::member::{MemberPlan, STATIC_NAMES};
use crate::client::new_member::NewMemberPlan;
use crate::client::txn_producer::TxnPlan;
use crate::disk::DiskPlan;
use crate::history::groups::{MIXED_GROUP, NEW_GROUP};
use crate::prng::{Prng, Salt};

/// Shortest session timeout in milliseconds, as the broker is told.
pub const SESSION_MS_MIN: u64 = 100;

/// Session of members of the new protocol in microseconds, as the broker is told.
pub const NEW_SESSION_US: u64 = 1_500_000;

/// How long such a member may take to give partitions up, in microseconds.
pub const NEW_REBALANCE_US: u64 = 2 * NEW_SESSION_US;

/// Where the shell lies to the machines: the mutations that the checkers must notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// It does not.
    None,
    /// The disk says that a flush of a partition's log is done and makes nothing durable.
    FlushDoesNothing,
    /// The flush of a partition's file makes durable what a flush of the device would: overwrites,
    /// no length. It is what a log would do that takes the flush of the device for every round.
    FileFlushIsDeviceFlush,
    /// While a process recovers, the disk shows the logs as if the power had not failed: recovery
    /// finds no torn tail and cuts none, which is what it would do without that rule.
    TearsAreHidden,
    /// The published metadata names the leader epoch that a partition began with.
    EpochStaysAsItWas,
    /// A shard that takes a partition over does not hear which producers the old one refused.
    RefusedAreForgotten,
    /// A coordinator hears of each commit the offset that was committed before.
    CommitsAreOld,
    /// Commits of members that were rebalanced or thrown out reach the coordinator as those of a
    /// member.
    OutcastsCommit,
    /// A coordinator hears that members of the new protocol gave everything up.
    RevocationsAreDone,
    /// A member of the new protocol is told an epoch that was before.
    EpochsGoBack,
    /// Members of the new protocol are not told all that they may own.
    SharesAreCut,
    /// Members get each other's assignments.
    SharesAreMixed,
    /// A member is told a generation that was before.
    GenerationsGoBack,
    /// Who reads committed records is told as one who reads all.
    NothingIsIsolated,
    /// Shards are told that tombstones need not stay.
    TombstonesMayGo,
    /// Shards are told that records may be compacted at once.
    NoCompactionLag,
}

/// How one run is set up.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed of all streams.
    pub seed: u64,
    /// Data shards of the first start.
    pub shards: u16,
    /// How long the faulty part lasts in simulated microseconds.
    pub run_us: u64,
    /// The faulty part ends after so many events of machines.
    pub events_max: u64,
    /// The disk.
    pub disk: DiskPlan,
    /// Delay of a message between client and broker in microseconds, from and to.
    pub network_us: (u64, u64),
    /// Delay of a message between cores in microseconds, from and to.
    pub mesh_us: (u64, u64),
    /// How many of a million frames cost their connection.
    pub drops_per_million: u64,
    /// Longest life of a process in events; short lives are more likely.
    pub life_events_max: u64,
    /// How many of a thousand lives end with a graceful stop.
    pub graceful_per_mille: u64,
    /// How many of a thousand deaths are power cuts.
    pub power_cut_per_mille: u64,
    /// How often the disk is full.
    pub full_windows: u64,
    /// Producers with a producer id.
    pub idempotent_producers: u64,
    /// Producers without.
    pub plain_producers: u64,
    /// Consumers.
    pub consumers: u64,
    /// Topics that stay, at the beginning.
    pub topics: u64,
    /// Longest value of a record in bytes.
    pub value_bytes_max: u64,
    /// Longest pause of a busy client in microseconds.
    pub pause_us_max: u64,
    /// A client that sends rubbish.
    pub hostile: bool,
    /// Members of groups; without any nobody asks for a coordinator.
    pub members: Vec<MemberPlan>,
    /// Classic members of a group that members of the new protocol belong to as well.
    pub mixed_members: Vec<MemberPlan>,
    /// Members of groups of the new protocol.
    pub new_members: Vec<NewMemberPlan>,
    /// Writers of a compacted topic, and whether each has a producer id; without any there is no
    /// such topic.
    pub key_writers: Vec<bool>,
    /// Transactional producers; without any there is no topic for them.
    pub transactional: Vec<TxnPlan>,
    /// What the shell lies about.
    pub lie: Lie,
}

impl Plan {
    /// The plan of a seed.
    pub fn new(seed: u64, lie: Lie) -> Plan {
        let mut prng = Prng::new(seed, Salt::Plan);
        let new_members = draw_new_members(seed);
        let slow_disk = prng.chance(200);
        let disk = DiskPlan {
            latency_us: if slow_disk { (500, 20_000) } else { (10, 400) },
            slow_per_mille: *prng.pick(&[0, 5, 50]),
            errors_per_million: *prng.pick(&[0, 0, 100, 1000]),
            lie,
        };
        Plan {
            seed,
            shards: u16::try_from(prng.between(1, 4)).expect("up to four"),
            run_us: prng.between(5_000_000, 60_000_000),
            events_max: prng.between(2_000, 12_000),
            disk,
            network_us: *prng.pick(&[(20, 200), (20, 5_000), (1_000, 50_000)]),
            mesh_us: *prng.pick(&[(1, 5), (1, 200), (10, 5_000)]),
            drops_per_million: *prng.pick(&[0, 500, 10_000]),
            life_events_max: *prng.pick(&[300, 2_000, 10_000]),
            graceful_per_mille: *prng.pick(&[100, 300, 600]),
            power_cut_per_mille: *prng.pick(&[200, 500, 1000]),
            full_windows: *prng.pick(&[0, 0, 1, 4]),
            idempotent_producers: prng.between(1, 3),
            plain_producers: prng.between(0, 2),
            consumers: prng.between(1, 3),
            topics: prng.between(1, 4),
            value_bytes_max: *prng.pick(&[50, 1_000, 20_000]),
            pause_us_max: *prng.pick(&[2_000, 20_000, 500_000]),
            hostile: prng.chance(300),
            members: draw_members(seed),
            mixed_members: new_members.0,
            new_members: new_members.1,
            key_writers: draw_key_writers(seed),
            transactional: draw_transactional(seed),
            lie,
        }
    }
}

impl Plan {
    /// True if there are members of groups.
    pub fn has_groups(&self) -> bool {
        !self.members.is_empty() || !self.new_members.is_empty()
    }
}

/// The writers of a compacted topic: none in every other run, which goes on as if there were no
/// such topic.
fn draw_key_writers(seed: u64) -> Vec<bool> {
    let mut prng = Prng::new(seed, Salt::Keys);
    if prng.chance(500) {
        return Vec::new();
    }
    (0..prng.between(1, 3)).map(|_| prng.chance(500)).collect()
}

/// The transactional producers of a run: none in two of three.
fn draw_transactional(seed: u64) -> Vec<TxnPlan> {
    let mut prng = Prng::new(seed, Salt::Transactions);
    if prng.chance(666) {
        return Vec::new();
    }
    let producers = (0..prng.between(1, 3)).map(|_| TxnPlan {
        // Two may have one id, and fence each other.
        id: prng.below(2),
        is_new: prng.chance(600),
        timeout_ms: i32::try_from(prng.skewed(200, 5_000)).expect("seconds"),
        pause_us_max: prng.skewed(2_000, 200_000),
    });
    producers.collect()
}

/// The members of groups of the new protocol: none in two of three runs. In one of three of the
/// others there is a group with members of both protocols, behind the classic ones of it.
fn draw_new_members(seed: u64) -> (Vec<MemberPlan>, Vec<NewMemberPlan>) {
    let mut prng = Prng::new(seed, Salt::NewMembers);
    if prng.chance(666) {
        return (Vec::new(), Vec::new());
    }
    let is_mixed = prng.chance(333);
    let classic = (0..if is_mixed { prng.between(1, 2) } else { 0 }).map(|_| MemberPlan {
        group: MIXED_GROUP,
        instance: None,
        session_ms: i32::try_from(prng.between(1_000, 3_000)).expect("seconds"),
        comes_at_us: prng.skewed(1_000, 2_000_000),
        pause_us_max: prng.skewed(2_000, 200_000),
    });
    let classic = classic.collect();
    let count = if is_mixed {
        prng.between(1, 3)
    } else {
        prng.between(2, 5)
    };
    let members = (0..count).map(|number| {
        // Two members may have one name by mistake.
        let name = *prng.pick(&STATIC_NAMES);
        let late = prng.chance(400) && number > 0;
        NewMemberPlan {
            group: if is_mixed { MIXED_GROUP } else { NEW_GROUP },
            instance: prng.chance(300).then(|| name.to_owned()),
            assignor: *prng.pick(&[None, None, Some("uniform"), Some("range")]),
            comes_at_us: if late {
                prng.skewed(1_000, 10_000_000)
            } else {
                0
            },
            pause_us_max: prng.skewed(2_000, 200_000),
        }
    });
    (classic, members.collect())
}

/// The members of a run: none in every other one, which goes on as if there were no groups.
fn draw_members(seed: u64) -> Vec<MemberPlan> {
    let mut prng = Prng::new(seed, Salt::Groups);
    if prng.chance(500) {
        return Vec::new();
    }
    let session_ms = prng.skewed(SESSION_MS_MIN, 3_000);
    let count = prng.between(2, 5);
    let members = (0..count).map(|number| {
        let group = prng.index(2);
        // Two members may have one name by mistake.
        let name = *prng.pick(&STATIC_NAMES);
        let instance = prng.chance(400).then(|| name.to_owned());
        let late = prng.chance(400) && number > 0;
        let comes_at_us = if late {
            prng.skewed(1_000, 20_000_000)
        } else {
            0
        };
        MemberPlan {
            group,
            instance,
            session_ms: i32::try_from(session_ms).expect("seconds"),
            comes_at_us,
            pause_us_max: prng.skewed(2_000, 200_000),
        }
    });
    members.collect()
}
