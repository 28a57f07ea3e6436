// SPDX-License-Identifier: Apache-2.0
//! The heartbeats of a member, on a thread of their own.
//!
//! Owns: the thread, its own connection, what the coordinator said last. Invariants: a verdict is
//! about the generation that it was asked for, so an answer that comes late harms nobody; the
//! thread ends with its [`Heart`]. Runs on: its own thread. Bounded by: one request under way.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytestring::ByteString;

use super::INTERVAL;
use crate::cli::client::cluster::Cluster;
use crate::cli::client::coordinator::Coordinator;
use crate::model::error_code::ErrorCode;
use crate::wire::protocol::heartbeat::HeartbeatRequest;

/// Pause after a heartbeat that found no coordinator.
const AGAIN: Duration = Duration::from_millis(500);

/// What the coordinator wants of the member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is to join again, for the group rebalances.
    Rejoin,
    /// It is a member no longer, or was not in this generation.
    Lost,
    /// Another process has its name (KIP-345).
    Fenced,
}

impl Verdict {
    /// What a code of a heartbeat, a commit or an assignment says; `None` if all is well or passes.
    #[must_use]
    pub fn of(code: i16) -> Option<Verdict> {
        match ErrorCode::from_code(code) {
            Some(ErrorCode::RebalanceInProgress) => Some(Verdict::Rejoin),
            Some(ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration) => Some(Verdict::Lost),
            Some(ErrorCode::FencedInstanceId) => Some(Verdict::Fenced),
            _ => None,
        }
    }
}

#[derive(Debug, Default)]
struct State {
    /// What is said in heartbeats; none while the member joins.
    beating: Option<HeartbeatRequest>,
    verdict: Option<Verdict>,
    is_over: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The heartbeats of one member.
#[derive(Debug)]
pub(super) struct Heart {
    shared: Arc<Shared>,
}

impl Drop for Heart {
    fn drop(&mut self) {
        self.shared.lock().is_over = true;
        self.shared.changed.notify_all();
    }
}

impl Heart {
    /// Starts the thread; nothing is said yet.
    pub(super) fn start(cluster: Cluster, group: &str) -> Heart {
        let shared = Arc::new(Shared::default());
        let ours = Arc::clone(&shared);
        let coordinator = Coordinator::of_group(group);
        std::thread::spawn(move || beat(&ours, cluster, coordinator));
        Heart { shared }
    }

    /// Speaks for a member of a generation from now on.
    pub(super) fn beat_for(
        &self,
        group: &str,
        generation_id: i32,
        member_id: &ByteString,
        instance: Option<&ByteString>,
    ) {
        let mut state = self.shared.lock();
        state.verdict = None;
        state.beating = Some(HeartbeatRequest {
            group_id: group.into(),
            generation_id,
            member_id: member_id.clone(),
            group_instance_id: instance.cloned(),
        });
        self.shared.changed.notify_all();
    }

    /// Says nothing until told to.
    pub(super) fn pause(&self) {
        self.shared.lock().beating = None;
    }

    /// What the coordinator said of the generation that was spoken for last.
    pub(super) fn verdict(&self) -> Option<Verdict> {
        self.shared.lock().verdict
    }
}

fn beat(shared: &Shared, mut cluster: Cluster, mut coordinator: Coordinator) {
    let mut pause = INTERVAL;
    loop {
        let state = shared.lock();
        let waiting = shared
            .changed
            .wait_timeout_while(state, pause, |state| !state.is_over);
        let (state, _) = waiting.unwrap_or_else(PoisonError::into_inner);
        if state.is_over {
            return;
        }
        let Some(request) = state.beating.clone() else {
            pause = INTERVAL;
            continue;
        };
        drop(state);
        let answer = coordinator.call_once(&mut cluster, &request, |answer| answer.error_code);
        pause = match answer {
            Ok(answer) => {
                let mut state = shared.lock();
                if state.beating.as_ref() == Some(&request) {
                    state.verdict = state.verdict.or(Verdict::of(answer.error_code));
                }
                match answer.error_code == ErrorCode::None.code() {
                    true => INTERVAL,
                    false => AGAIN,
                }
            }
            Err(_) => AGAIN,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_meanings() {
        for (code, verdict) in [
            (0, None),
            (14, None),
            (15, None),
            (16, None),
            (22, Some(Verdict::Lost)),
            (25, Some(Verdict::Lost)),
            (27, Some(Verdict::Rejoin)),
            (82, Some(Verdict::Fenced)),
        ] {
            assert_eq!(Verdict::of(code), verdict, "{code}");
        }
    }
}
