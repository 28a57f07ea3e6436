// SPDX-License-Identifier: Apache-2.0
//! A member of a classic group: joins, takes its share (or divides, if it leads), commits, leaves.
//!
//! Owns: [`Member`]: id, generation, the way of dividing; [`Membership`], which members of the new
//! protocol have as well. Invariants: offsets are committed in the
//! name of the generation in which their partitions were had; who was thrown out has nothing until
//! it has joined again. Runs on: the command's thread, heartbeats on one of their own.
//! Bounded by: the members and topics of one group.

pub mod consumer;
mod heart;
mod pulse;
mod talk;
pub(in crate::cli) mod wish;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use bytestring::ByteString;

use self::heart::Heart;
pub use self::heart::Verdict;
use super::assign::{Assignor, assign};
use super::cluster::Cluster;
use super::coordinator::{Coordinator, passes};
use super::offsets::{Committer, Place, commit, committed};
use super::{RETRY_FOR, Retry};
use crate::cli::error::ClientError;
use crate::cli::interrupt::Interrupt;
use crate::model::error_code::ErrorCode;
use crate::wire::protocol::join_group::{
    JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse,
};
use crate::wire::protocol::leave_group::{LeaveGroupRequest, MemberIdentity};
use crate::wire::protocol::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};

/// Between two heartbeats.
const INTERVAL: Duration = Duration::from_secs(3);
/// Without a heartbeat for so long the coordinator takes the member for dead, in milliseconds.
const SESSION_MS: i32 = 45_000;
/// For so long the group waits for this member in a rebalance, in milliseconds.
const REBALANCE_MS: i32 = 60_000;
/// For so long a member waits for the others, which may have asked for more patience than it has.
const JOIN_PATIENCE: Duration = Duration::from_secs(330);
/// For so long a member that ends tries to commit and to say so, both together.
pub const LEAVE_PATIENCE: Duration = Duration::from_secs(5);

/// A member without partitions that is to end at the end of the topic waits for some this long:
/// a cooperative group gives it none in the round in which it comes.
const IDLE_FOR: Duration = Duration::from_secs(7);

/// What a member of a group does, by whichever protocol.
pub trait Membership {
    /// What it got last. In the eager way that is no more than a memory once the group rebalances.
    fn owned(&self) -> &BTreeSet<Place>;

    /// What heartbeats have heard.
    fn verdict(&self) -> Option<Verdict>;

    /// It keeps what it has while the group rebalances.
    fn is_cooperative(&self) -> bool;

    /// It is a member no longer: what it had is another's.
    fn was_lost(&mut self);

    /// Joins, and is told what it has from now on. The caller compares that with what it had.
    fn join(&mut self, cluster: &mut Cluster) -> Result<(), JoinError>;

    /// The group must divide anew, and this member has to see to it.
    fn has_more_to_divide(&self, cluster: &mut Cluster) -> bool;

    /// What the group committed for these partitions; `None` if the member was lost meanwhile.
    fn committed(
        &mut self,
        cluster: &mut Cluster,
        places: &[Place],
    ) -> Result<Option<BTreeMap<Place, i64>>, ClientError>;

    /// Commits how far partitions were dealt with; tries again for this long, or until the signal
    /// comes. Who ends because it has come has this to do all the same.
    ///
    /// # Errors
    /// `Err` if it failed; `Ok(Some(..))` if the member must join again first.
    fn commit(
        &mut self,
        cluster: &mut Cluster,
        offsets: &BTreeMap<Place, i64>,
        patience: Duration,
    ) -> Result<Option<Verdict>, ClientError>;

    /// How long a member without partitions waits for some before it takes the group for full.
    fn idle_patience(&self) -> Duration;

    /// Leaves, so that the others need not wait for its session to end.
    fn leave(&mut self, cluster: &mut Cluster, patience: Duration) -> Result<(), ClientError>;
}

/// Who a member is.
#[derive(Clone, Debug)]
pub struct MemberOptions {
    /// The group.
    pub group: String,
    /// The topic that it wants.
    pub topic: String,
    /// What its operator calls it, if it is a static one.
    pub instance: Option<String>,
    /// How it can divide.
    pub assignor: Assignor,
}

/// Why a member has no share.
#[derive(Debug)]
pub enum JoinError {
    /// It was told to stop.
    Interrupted,
    /// It failed.
    Failed(ClientError),
}

impl From<ClientError> for JoinError {
    fn from(error: ClientError) -> JoinError {
        JoinError::Failed(error)
    }
}

/// A member of a group.
#[derive(Debug)]
pub struct Member {
    options: MemberOptions,
    coordinator: Coordinator,
    heart: Heart,
    interrupt: Interrupt,
    id: ByteString,
    instance: Option<ByteString>,
    generation: i32,
    owned: BTreeSet<Place>,
    /// How many partitions the topics had when this member divided them; empty if it does not lead.
    counts: BTreeMap<String, i32>,
}

impl Member {
    /// Somebody who has not joined yet. `cluster` is for the heartbeats.
    #[must_use]
    pub fn new(options: MemberOptions, cluster: Cluster, interrupt: Interrupt) -> Member {
        Member {
            coordinator: Coordinator::of_group(&options.group),
            heart: Heart::start(cluster, &options.group),
            instance: options.instance.as_deref().map(ByteString::from),
            options,
            interrupt,
            id: ByteString::new(),
            generation: -1,
            owned: BTreeSet::new(),
            counts: BTreeMap::new(),
        }
    }

    /// One round of joining and taking the share; false if another is needed.
    fn join_once(&mut self, cluster: &mut Cluster) -> Result<bool, ClientError> {
        let joined = self.ask_to_join(cluster)?;
        match ErrorCode::from_code(joined.error_code) {
            Some(ErrorCode::None) => {}
            Some(ErrorCode::MemberIdRequired) => {
                self.id = joined.member_id;
                return Ok(false);
            }
            Some(ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration) => {
                self.was_lost();
                return Ok(false);
            }
            Some(ErrorCode::RebalanceInProgress) => return Ok(false),
            _ => return Err(self.coordinator.refused(joined.error_code, None)),
        }
        self.id = joined.member_id.clone();
        self.generation = joined.generation_id;
        let assignments = self.divide(cluster, &joined)?;
        self.take_share(cluster, &joined, assignments)
    }

    fn ask_to_join(&mut self, cluster: &mut Cluster) -> Result<JoinGroupResponse, ClientError> {
        let request = JoinGroupRequest {
            group_id: self.options.group.as_str().into(),
            session_timeout_ms: SESSION_MS,
            rebalance_timeout_ms: REBALANCE_MS,
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
            protocol_type: wish::PROTOCOL_TYPE.into(),
            protocols: vec![JoinGroupRequestProtocol {
                name: self.options.assignor.name().into(),
                metadata: self.subscription()?,
            }],
            reason: None,
        };
        let coordinator = &mut self.coordinator;
        let connection = coordinator.connection(cluster)?;
        connection.set_patience(JOIN_PATIENCE)?;
        let stream = connection.stream();
        let answer = self.interrupt.breaking(stream, || {
            coordinator.call_once(cluster, &request, |answer| answer.error_code)
        })?;
        coordinator
            .connection(cluster)?
            .set_patience(super::RESPONSE_TIMEOUT)?;
        Ok(answer)
    }

    fn subscription(&self) -> Result<Bytes, ClientError> {
        let owned: Vec<Place> = self.owned.iter().cloned().collect();
        let options = &self.options;
        wish::subscription(options.assignor, &options.topic, &owned, self.generation)
            .map_err(|error| self.unreadable(&format!("the subscription: {error}")))
    }

    fn unreadable(&self, what: &str) -> ClientError {
        ClientError::Protocol {
            address: self.coordinator.title(),
            sentence: what.to_owned(),
        }
    }

    /// The shares of all members, if this one is to divide.
    fn divide(
        &mut self,
        cluster: &mut Cluster,
        joined: &JoinGroupResponse,
    ) -> Result<Vec<SyncGroupRequestAssignment>, ClientError> {
        self.counts.clear();
        if joined.leader != self.id || joined.skip_assignment {
            return Ok(Vec::new());
        }
        let mut wishes = Vec::new();
        for member in &joined.members {
            let read = wish::of_member(self.options.assignor, member);
            wishes.push(read.map_err(|error| {
                self.unreadable(&format!("what member {} says: {error}", member.member_id))
            })?);
        }
        let topics: BTreeSet<String> = wishes.iter().flat_map(|one| one.topics.clone()).collect();
        self.counts = counts(cluster, &topics)?;
        let shares = assign(self.options.assignor, &wishes, &self.counts);
        let mut assignments = Vec::new();
        for (member, places) in shares {
            let assignment = wish::assignment(&places)
                .map_err(|error| self.unreadable(&format!("the assignment: {error}")))?;
            assignments.push(SyncGroupRequestAssignment {
                member_id: member.into(),
                assignment,
            });
        }
        Ok(assignments)
    }

    fn take_share(
        &mut self,
        cluster: &mut Cluster,
        joined: &JoinGroupResponse,
        assignments: Vec<SyncGroupRequestAssignment>,
    ) -> Result<bool, ClientError> {
        let request = SyncGroupRequest {
            group_id: self.options.group.as_str().into(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
            protocol_type: Some(wish::PROTOCOL_TYPE.into()),
            protocol_name: joined.protocol_name.clone(),
            assignments,
        };
        let coordinator = &mut self.coordinator;
        let connection = coordinator.connection(cluster)?;
        connection.set_patience(JOIN_PATIENCE)?;
        let stream = connection.stream();
        let answer = self.interrupt.breaking(stream, || {
            coordinator.call_once(cluster, &request, |answer| answer.error_code)
        })?;
        coordinator
            .connection(cluster)?
            .set_patience(super::RESPONSE_TIMEOUT)?;
        match (answer.error_code, Verdict::of(answer.error_code)) {
            (0, _) => {}
            (_, Some(Verdict::Rejoin)) => return Ok(false),
            (_, Some(Verdict::Lost)) => {
                self.was_lost();
                return Ok(false);
            }
            (code, _) => return Err(self.coordinator.refused(code, None)),
        }
        let got = wish::share(&answer.assignment)
            .map_err(|error| self.unreadable(&format!("the assignment: {error}")))?;
        self.owned = wish::places(&got.assigned_partitions).into_iter().collect();
        Ok(true)
    }
}

impl Membership for Member {
    fn owned(&self) -> &BTreeSet<Place> {
        &self.owned
    }

    fn verdict(&self) -> Option<Verdict> {
        self.heart.verdict()
    }

    fn is_cooperative(&self) -> bool {
        self.options.assignor.is_cooperative()
    }

    fn was_lost(&mut self) {
        self.owned.clear();
        self.generation = -1;
        self.id = ByteString::new();
    }

    fn join(&mut self, cluster: &mut Cluster) -> Result<(), JoinError> {
        self.heart.pause();
        let mut retry = Retry::lasting(RETRY_FOR);
        loop {
            if self.interrupt.has_come() {
                return Err(JoinError::Interrupted);
            }
            let began = Instant::now();
            let outcome = self.join_once(cluster);
            if began.elapsed() >= RETRY_FOR {
                // It was the others that took the time.
                retry = Retry::lasting(RETRY_FOR);
            }
            match outcome {
                Ok(true) => break,
                // The coordinator has said what to do differently.
                Ok(false) => {}
                Err(_) if self.interrupt.has_come() => return Err(JoinError::Interrupted),
                Err(error) if error.is_retriable() && retry.pause() => {}
                Err(error) => return Err(error.into()),
            }
        }
        let (group, instance) = (&self.options.group, self.instance.as_ref());
        self.heart
            .beat_for(group, self.generation, &self.id, instance);
        Ok(())
    }

    fn has_more_to_divide(&self, cluster: &mut Cluster) -> bool {
        if self.counts.is_empty() {
            return false;
        }
        let topics: BTreeSet<String> = self.counts.keys().cloned().collect();
        // Who cannot ask now asks again later.
        counts(cluster, &topics).is_ok_and(|counts| counts != self.counts)
    }

    fn committed(
        &mut self,
        cluster: &mut Cluster,
        places: &[Place],
    ) -> Result<Option<BTreeMap<Place, i64>>, ClientError> {
        let (coordinator, group) = (&mut self.coordinator, &self.options.group);
        let found = committed(cluster, coordinator, group, Some(places), true)?;
        let offsets = found.into_iter().map(|(place, one)| (place, one.offset));
        Ok(Some(offsets.collect()))
    }

    fn commit(
        &mut self,
        cluster: &mut Cluster,
        offsets: &BTreeMap<Place, i64>,
        patience: Duration,
    ) -> Result<Option<Verdict>, ClientError> {
        let committer = Committer {
            group: self.options.group.clone(),
            generation: self.generation,
            member: self.id.clone(),
            instance: self.instance.clone(),
        };
        let mut retry = Retry::lasting(patience);
        let is_ending = self.interrupt.has_come();
        let mut may_retry = || retry.pause() && (is_ending || !self.interrupt.has_come());
        loop {
            let refused = match commit(cluster, &mut self.coordinator, &committer, offsets) {
                Err(error) if error.is_retriable() && may_retry() => continue,
                outcome => outcome?,
            };
            let Some(code) = refused.values().next().copied() else {
                return Ok(None);
            };
            match Verdict::of(code) {
                Some(verdict) => return Ok(Some(verdict)),
                None if passes(code) && may_retry() => {}
                None => return Err(self.coordinator.refused(code, None)),
            }
        }
    }

    fn idle_patience(&self) -> Duration {
        IDLE_FOR
    }

    // A static member stays: its next process goes on where this one ended (KIP-345).
    fn leave(&mut self, cluster: &mut Cluster, patience: Duration) -> Result<(), ClientError> {
        self.heart.pause();
        if self.id.is_empty() || self.instance.is_some() {
            return Ok(());
        }
        let group = self.options.group.as_str();
        let mut coordinator = Coordinator::of_group(group).with_patience(patience);
        // The first connection may be one to a broker that has gone since.
        coordinator.place(cluster)?;
        let knows_many = coordinator
            .connection(cluster)?
            .version_of::<LeaveGroupRequest>()?
            >= 3;
        let mut request = LeaveGroupRequest {
            group_id: group.into(),
            ..LeaveGroupRequest::default()
        };
        match knows_many {
            false => request.member_id = self.id.clone(),
            true => {
                request.members = vec![MemberIdentity {
                    member_id: self.id.clone(),
                    group_instance_id: None,
                    reason: Some("the consumer ends".into()),
                }]
            }
        }
        let answer = coordinator.call(cluster, &request, |answer| answer.error_code)?;
        self.was_lost();
        // Who was thrown out meanwhile has left.
        match (answer.error_code, Verdict::of(answer.error_code)) {
            (0, _) | (_, Some(_)) => Ok(()),
            (code, None) => Err(coordinator.refused(code, None)),
        }
    }
}

/// How many partitions topics have; those that are not there are left out.
fn counts(
    cluster: &mut Cluster,
    topics: &BTreeSet<String>,
) -> Result<BTreeMap<String, i32>, ClientError> {
    let names: Vec<String> = topics.iter().cloned().collect();
    let answer = cluster.describe(Some(&names))?;
    let there = answer.topics.iter().filter(|topic| topic.error_code == 0);
    let count = |topic: &crate::wire::protocol::metadata::MetadataResponseTopic| {
        let name = topic.name.as_deref().unwrap_or_default().to_owned();
        (
            name,
            i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX),
        )
    };
    Ok(there.map(count).collect())
}
