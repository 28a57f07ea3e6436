// SPDX-License-Identifier: Apache-2.0
//! Rounds of the control shard: a request is planned, its records are appended as one batch, and
//! replayed once they are committed.
//!
//! Owns: the verbs of a round. Invariants: see the folder; a request that finds the log busy keeps
//! its place. Runs on: the control shard.
//! Bounded by: `PLANS_PER_TURN_MAX` for one event, `CONTROL_REQUESTS_PENDING_MAX`.

use std::sync::Arc;

use bytes::Bytes;

use super::super::contract::{Effects, ProcessEffect};
use super::{Asker, ControlShard, Phase, Round, Waiting, send_answer};
use crate::control::batches;
use crate::control::quorum::MetadataQuorum;
use crate::control::request::{ControlAnswer, ControlRequest};
use crate::limits::CONTROL_REQUESTS_PENDING_MAX;
use crate::log::config::AppendRules;
use crate::log::event::AppendError;
use crate::model::disk::DiskError;
use crate::model::ids::ShardId;
use crate::model::time::Now;

/// Requests that one event plans at most before others get their turn.
const PLANS_PER_TURN_MAX: usize = 64;

impl ControlShard {
    pub(super) fn begin_round(
        &mut self,
        now: Now,
        values: Vec<Bytes>,
        asker: Asker,
        effects: &mut Effects,
    ) -> Result<(), AppendError> {
        assert!(self.round.is_none(), "one plan is under way at a time");
        let epoch = self.quorum.leader_epoch().expect("the log is open");
        let batch = batches::build(&values, now.wall_ms);
        let disk = &mut effects.disk;
        let appended = self
            .log
            .handle_append(now, epoch, &batch, AppendRules::INTERNAL, disk)?;
        let version = self.controller.state().version();
        assert_eq!(
            appended.base_offset, version,
            "all of the log is replayed before more is added"
        );
        let end_offset = appended.last_offset + 1;
        self.round = Some(Round {
            end_offset,
            values,
            asker,
        });
        Ok(())
    }

    pub(super) fn count_replayed(&mut self, bytes: u64, effects: &mut Effects) {
        let epoch = self.quorum.leader_epoch().unwrap_or(0);
        let state = self.controller.state();
        if let Some(sentence) =
            self.snapshots
                .handle_replayed(bytes, state, epoch, &mut effects.disk)
        {
            effects.process.push(ProcessEffect::Notice { sentence });
        }
    }

    /// Replays the round under way if it is committed.
    pub(super) fn handle_committed(&mut self, now: Now, effects: &mut Effects) {
        let committed_end = self.quorum.committed_end();
        let Some(round) = self
            .round
            .take_if(|round| round.end_offset <= committed_end)
        else {
            return;
        };
        let mut bytes = 0u64;
        for value in &round.values {
            bytes += u64::try_from(value.len()).expect("memory is smaller than 64 bits");
            let offset = self.controller.state().version();
            if let Err(error) = self.controller.handle_committed_value(offset, value) {
                return self.fail(error.to_string(), effects);
            }
        }
        let version = self.controller.state().version();
        assert_eq!(version, round.end_offset, "a round is replayed whole");
        if let Asker::Request {
            from,
            request,
            answer,
        } = round.asker
        {
            self.waiting.push_back(Waiting {
                version,
                to: from,
                request,
                answer,
            });
        }
        self.count_replayed(bytes, effects);
        self.publish(now, effects);
        self.plan_pending(now, effects);
    }

    /// The disk was full: what was under way is gone.
    pub(super) fn handle_lost(&mut self, now: Now, error: DiskError, effects: &mut Effects) {
        match self.round.take().map(|round| round.asker) {
            Some(Asker::Registration) => {
                self.fail(
                    format!("The broker cannot register: {error}. Free some space."),
                    effects,
                );
            }
            Some(Asker::Request { from, request, .. }) => {
                send_answer(from, request, ControlAnswer::Unavailable, effects);
                self.plan_pending(now, effects);
            }
            None => self.plan_pending(now, effects),
        }
    }

    pub(super) fn handle_request(
        &mut self,
        now: Now,
        from: ShardId,
        request: u64,
        body: ControlRequest,
        effects: &mut Effects,
    ) {
        let is_over = matches!(self.phase, Phase::Stopping { .. } | Phase::Ended);
        if is_over || self.pending.len() >= CONTROL_REQUESTS_PENDING_MAX {
            return send_answer(from, request, ControlAnswer::Unavailable, effects);
        }
        if body == ControlRequest::DescribeQuorum {
            return send_answer(from, request, self.describe_quorum(), effects);
        }
        self.pending.push_back((from, request, body));
        self.plan_pending(now, effects);
    }

    /// Plans requests until one needs a round.
    pub(super) fn plan_pending(&mut self, now: Now, effects: &mut Effects) {
        for _ in 0..PLANS_PER_TURN_MAX {
            if self.round.is_some() || !matches!(self.phase, Phase::Running { .. }) {
                return;
            }
            let Some((from, request, body)) = self.pending.pop_front() else {
                return;
            };
            let (asker, asked) = match &body {
                ControlRequest::Metered { asker, request } => (Some(asker), &**request),
                other => (None, other),
            };
            let quotas = Arc::clone(&self.controller.state().image().quotas);
            let mutations = &mut self.mutations;
            let mut metered = asker.and_then(|asker| mutations.handle_asker(now, &quotas, asker));
            let allowance = metered.as_ref().map(|one| one.allowance);
            let mut plan = self
                .controller
                .handle_request_within(asked, allowance.unwrap_or_default());
            if let Some(metered) = &mut metered {
                metered.allowance = plan.allowance;
                plan.answer = mutations.handle_planned(now, metered, plan.answer);
            }
            if plan.values.is_empty() {
                let version = self.controller.state().version();
                let waiting = Waiting {
                    version,
                    to: from,
                    request,
                    answer: plan.answer,
                };
                self.waiting.push_back(waiting);
                self.send_answers(effects);
                continue;
            }
            let asker = Asker::Request {
                from,
                request,
                answer: plan.answer,
            };
            match self.begin_round(now, plan.values, asker, effects) {
                Ok(()) => return,
                // The log says when it takes appends again; the request waits.
                Err(AppendError::Busy) => {
                    metered
                        .iter()
                        .for_each(|one| self.mutations.handle_dropped(one));
                    return self.pending.push_front((from, request, body));
                }
                Err(_) => send_answer(from, request, ControlAnswer::Unavailable, effects),
            }
        }
        self.is_more_to_do = true;
    }
}
