// SPDX-License-Identifier: Apache-2.0
//! A member of a group that its coordinator divides (KIP-848).
//!
//! Owns: [`ConsumerMember`]: the names of topics that the coordinator calls by their ids, commits
//! in the name of an epoch. Invariants: partitions are given up by saying so after the caller has
//! committed; nothing is committed under an epoch that the coordinator took back. Runs on: the
//! command's thread, heartbeats on one of their own. Bounded by: the partitions of one topic.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytestring::ByteString;

use super::pulse::Pulse;
use super::talk::{Share, Talk, Who};
use super::{JoinError, Membership, REBALANCE_MS, Verdict};
use crate::cli::client::cluster::Cluster;
use crate::cli::client::coordinator::{Coordinator, passes};
use crate::cli::client::offsets::{Committer, Place, commit, committed_of_member};
use crate::cli::client::{RETRY_FOR, Retry};
use crate::cli::error::ClientError;
use crate::cli::interrupt::Interrupt;
use crate::model::error_code::ErrorCode;
use crate::model::ids::Uuid;
use crate::wire::protocol::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;

/// How long to wait for an answer before signs of the person are looked at.
const GLANCE: Duration = Duration::from_millis(100);
/// When topics that were not known are asked for again.
const NAMES_AGAIN: Duration = Duration::from_secs(1);
/// The first version in which a member names itself (KIP-1082).
const NAMES_ITSELF_FROM: i16 = 1;
/// Beside two heartbeats, those of who gives up and of who gets.
const IDLE_BESIDE: Duration = Duration::from_secs(2);

/// Who a member is.
#[derive(Clone, Debug)]
pub struct ConsumerMemberOptions {
    /// The group.
    pub group: String,
    /// The topic that it wants.
    pub topic: String,
    /// What its operator calls it, if it is a static one.
    pub instance: Option<String>,
    /// How the coordinator is to divide, if it matters.
    pub assignor: Option<String>,
    /// What it calls itself: something that nobody else is called.
    pub id: String,
}

/// A member of a group of the new protocol.
#[derive(Debug)]
pub struct ConsumerMember {
    topic: String,
    coordinator: Coordinator,
    pulse: Pulse,
    interrupt: Interrupt,
    has_joined: bool,
    owned: BTreeSet<Place>,
    names: BTreeMap<Uuid, String>,
    /// When topics without a name were met last.
    nameless_since: Option<Instant>,
}

impl ConsumerMember {
    /// Somebody who has not joined yet. `cluster` is for the heartbeats.
    #[must_use]
    pub fn new(
        options: ConsumerMemberOptions,
        cluster: Cluster,
        interrupt: Interrupt,
    ) -> ConsumerMember {
        let talk = Talk::new(Who {
            group: options.group.as_str().into(),
            id: options.id.into(),
            instance: options.instance.map(ByteString::from),
            topic: options.topic.as_str().into(),
            assignor: options.assignor.map(ByteString::from),
            rebalance_timeout_ms: REBALANCE_MS,
        });
        let coordinator = Coordinator::of_group(&options.group);
        ConsumerMember {
            topic: options.topic,
            coordinator: Coordinator::of_group(&options.group),
            pulse: Pulse::start(talk, cluster, coordinator),
            interrupt,
            has_joined: false,
            owned: BTreeSet::new(),
            names: BTreeMap::new(),
            nameless_since: None,
        }
    }

    /// A broker that has the new protocol not at all, or in a form that was given up.
    fn check_broker(&self, cluster: &mut Cluster) -> Result<(), ClientError> {
        let newest = cluster.newest::<ConsumerGroupHeartbeatRequest>()?;
        match newest.is_some_and(|version| version >= NAMES_ITSELF_FROM) {
            true => Ok(()),
            false => Err(ClientError::Refused {
                what: self.coordinator.title(),
                code: ErrorCode::UnsupportedVersion.code(),
                message: Some(
                    "the broker does not divide groups itself (KIP-848); leave out \
                     --group-protocol consumer"
                        .to_owned(),
                ),
            }),
        }
    }

    /// Waits until the coordinator has said what this member may have.
    fn await_share(&mut self) -> Result<Share, JoinError> {
        let mut retry = Retry::lasting(RETRY_FOR);
        loop {
            if self.interrupt.has_come() {
                return Err(JoinError::Interrupted);
            }
            self.pulse.wait_until(GLANCE, |state| {
                state.talk.granted().is_some() || state.talk.is_silent()
            });
            if let Some(error) = self.pulse.failure() {
                return Err(error.into());
            }
            match self.pulse.look(|state| state.talk.verdict()) {
                Some(Verdict::Lost) if retry.pause() => {
                    self.was_lost();
                    continue;
                }
                Some(Verdict::Lost) => {
                    let code = ErrorCode::UnknownMemberId.code();
                    return Err(self.coordinator.refused(code, None).into());
                }
                Some(_) => {
                    let code = ErrorCode::FencedInstanceId.code();
                    return Err(self.coordinator.refused(code, None).into());
                }
                None => {}
            }
            if let Some(share) = self.pulse.look(|state| state.talk.granted().cloned()) {
                return Ok(share);
            }
        }
    }

    /// What of a share has a name.
    fn named(&mut self, cluster: &mut Cluster, share: &Share) -> Result<Share, ClientError> {
        if share.keys().any(|id| !self.names.contains_key(id)) {
            let answer = cluster.describe(Some(std::slice::from_ref(&self.topic)))?;
            for topic in answer.topics.iter().filter(|topic| topic.error_code == 0) {
                self.names.insert(topic.topic_id, self.topic.clone());
            }
        }
        let is_named = |(id, _): &(&Uuid, &Vec<i32>)| self.names.contains_key(id);
        let named = share.iter().filter(is_named);
        let named: Share = named.map(|(id, ones)| (*id, ones.clone())).collect();
        self.nameless_since = (named.len() < share.len()).then(Instant::now);
        Ok(named)
    }

    fn committer(&self) -> Committer {
        self.pulse.look(|state| {
            let who = state.talk.who();
            Committer {
                group: who.group.to_string(),
                generation: state.talk.epoch(),
                member: who.id.clone(),
                instance: who.instance.clone(),
            }
        })
    }

    /// What a code says of the member, which is noted.
    fn judge(&self, code: i16) -> Option<Verdict> {
        let verdict = match ErrorCode::from_code(code) {
            Some(ErrorCode::UnknownMemberId | ErrorCode::FencedMemberEpoch) => Verdict::Lost,
            Some(ErrorCode::FencedInstanceId) => Verdict::Fenced,
            _ => return None,
        };
        self.pulse.note(|talk| talk.lose(verdict));
        Some(verdict)
    }
}

/// The coordinator has gone on to another epoch; the next heartbeat's answer tells it.
fn is_stale(code: i16) -> bool {
    code == ErrorCode::StaleMemberEpoch.code()
}

impl Membership for ConsumerMember {
    fn owned(&self) -> &BTreeSet<Place> {
        &self.owned
    }

    fn verdict(&self) -> Option<Verdict> {
        let is_nameless = self.nameless_since;
        let has_names = is_nameless.is_some_and(|since| since.elapsed() >= NAMES_AGAIN);
        self.pulse.look(|state| {
            let talk = &state.talk;
            let has_more = talk.has_failed() || talk.has_news() || has_names;
            talk.verdict().or(has_more.then_some(Verdict::Rejoin))
        })
    }

    fn is_cooperative(&self) -> bool {
        true
    }

    fn was_lost(&mut self) {
        self.owned.clear();
        self.pulse.start_over();
    }

    fn join(&mut self, cluster: &mut Cluster) -> Result<(), JoinError> {
        if !self.has_joined {
            self.check_broker(cluster)?;
            self.has_joined = true;
            self.pulse.tell(|_| ());
        }
        let share = self.await_share()?;
        let named = self.named(cluster, &share)?;
        let place = |(id, partitions): (&Uuid, &Vec<i32>)| {
            let topic = self.names[id].clone();
            let places = partitions.iter().map(move |one| (topic.clone(), *one));
            places.collect::<Vec<_>>()
        };
        self.owned = named.iter().flat_map(place).collect();
        self.pulse.take_share(&share, named);
        Ok(())
    }

    fn has_more_to_divide(&self, _: &mut Cluster) -> bool {
        // The coordinator looks.
        false
    }

    fn committed(
        &mut self,
        cluster: &mut Cluster,
        places: &[Place],
    ) -> Result<Option<BTreeMap<Place, i64>>, ClientError> {
        let mut retry = Retry::lasting(RETRY_FOR);
        loop {
            let committer = self.committer();
            let code = match committed_of_member(cluster, &mut self.coordinator, &committer, places)
            {
                Ok(found) => {
                    let offsets = found.into_iter().map(|(place, one)| (place, one.offset));
                    return Ok(Some(offsets.collect()));
                }
                Err(ClientError::Refused { code, .. }) if is_stale(code) => {
                    if self.pulse.look(|state| state.talk.is_silent()) {
                        return Ok(None);
                    }
                    code
                }
                Err(ClientError::Refused { code, .. }) if self.judge(code).is_some() => {
                    return Ok(None);
                }
                Err(error) => return Err(error),
            };
            if !cluster.may_retry(&mut retry) {
                return Err(self.coordinator.refused(code, None));
            }
        }
    }

    fn commit(
        &mut self,
        cluster: &mut Cluster,
        offsets: &BTreeMap<Place, i64>,
        patience: Duration,
    ) -> Result<Option<Verdict>, ClientError> {
        let mut retry = Retry::lasting(patience);
        let is_ending = self.interrupt.has_come();
        let interrupt = self.interrupt.clone();
        let mut may_retry = || retry.pause() && (is_ending || !interrupt.has_come());
        loop {
            if let Some(verdict) = self.pulse.look(|state| state.talk.verdict()) {
                return Ok(Some(verdict));
            }
            // The epoch may have risen since the last try.
            let committer = self.committer();
            let refused = match commit(cluster, &mut self.coordinator, &committer, offsets) {
                Err(error) if error.is_retriable() && may_retry() => continue,
                outcome => outcome?,
            };
            let Some(code) = refused.values().next().copied() else {
                return Ok(None);
            };
            match self.judge(code) {
                Some(verdict) => return Ok(Some(verdict)),
                None if (is_stale(code) || passes(code)) && may_retry() => {}
                None => return Err(self.coordinator.refused(code, None)),
            }
        }
    }

    fn idle_patience(&self) -> Duration {
        self.pulse.look(|state| state.talk.interval()) * 2 + IDLE_BESIDE
    }

    fn leave(&mut self, cluster: &mut Cluster, patience: Duration) -> Result<(), ClientError> {
        if !self.has_joined {
            return Ok(());
        }
        let began = Instant::now();
        // A heartbeat that comes behind the goodbye would be one of a stranger.
        self.pulse.fall_silent(patience / 2);
        let is_out = self.pulse.look(|state| state.talk.is_silent());
        if is_out {
            return Ok(());
        }
        let goodbye = self.pulse.look(|state| state.talk.goodbye());
        let left = patience.saturating_sub(began.elapsed());
        let group = goodbye.group_id.to_string();
        let mut coordinator = Coordinator::of_group(&group).with_patience(left);
        let answer = coordinator.call(cluster, &goodbye, |answer| answer.error_code)?;
        match ErrorCode::from_code(answer.error_code) {
            // Who was thrown out meanwhile has left.
            Some(
                ErrorCode::None
                | ErrorCode::UnknownMemberId
                | ErrorCode::FencedMemberEpoch
                | ErrorCode::FencedInstanceId
                | ErrorCode::GroupIdNotFound,
            ) => Ok(()),
            _ => {
                let message = answer.error_message.as_deref();
                Err(coordinator.refused(answer.error_code, message))
            }
        }
    }
}
