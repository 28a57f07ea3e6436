// SPDX-License-Identifier: Apache-2.0
//! The heartbeats of a member of the new protocol, on a thread of their own (KIP-848).
//!
//! Owns: the thread, its own connection, the lock around the [`Talk`]. Invariants: one request is
//! under way at a time, and an answer to what was said before the member was lost is dropped; the
//! thread ends with its [`Pulse`]. Runs on: its own thread. Bounded by: one request under way.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::talk::{Share, Talk};
use crate::cli::client::RETRY_FOR;
use crate::cli::client::cluster::Cluster;
use crate::cli::client::coordinator::Coordinator;
use crate::cli::error::ClientError;
use crate::model::error_code::ErrorCode;
use crate::wire::protocol::consumer_group_heartbeat::ConsumerGroupHeartbeatResponse;

/// Pause after a heartbeat that was not answered, or not as it should.
const AGAIN: Duration = Duration::from_millis(500);

/// What the thread and the command both see.
#[derive(Debug)]
pub(super) struct State {
    pub(super) talk: Talk,
    /// Why the last heartbeat had no answer, if so, and since when there was none.
    pub(super) trouble: Option<(Instant, ClientError)>,
    speaks: bool,
    /// Something is to be said now.
    is_due: bool,
    is_calling: bool,
    is_over: bool,
    /// Counts how often the member has started over.
    round: u64,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for this long, or until it is so.
    fn wait_until<'a>(
        &self,
        state: MutexGuard<'a, State>,
        patience: Duration,
        is_so: impl Fn(&State) -> bool,
    ) -> MutexGuard<'a, State> {
        let waiting = self
            .changed
            .wait_timeout_while(state, patience, |state| !is_so(state));
        waiting.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// The heartbeats of one member.
#[derive(Debug)]
pub(super) struct Pulse {
    shared: Arc<Shared>,
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.shared.lock().is_over = true;
        self.shared.changed.notify_all();
    }
}

impl Pulse {
    /// Starts the thread; nothing is said yet.
    pub(super) fn start(talk: Talk, cluster: Cluster, coordinator: Coordinator) -> Pulse {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                talk,
                trouble: None,
                speaks: false,
                is_due: false,
                is_calling: false,
                is_over: false,
                round: 0,
            }),
            changed: Condvar::new(),
        });
        let ours = Arc::clone(&shared);
        std::thread::spawn(move || beat(&ours, cluster, coordinator));
        Pulse { shared }
    }

    /// Looks at what was said and heard.
    pub(super) fn look<T>(&self, at: impl FnOnce(&State) -> T) -> T {
        at(&self.shared.lock())
    }

    /// Changes it, and says so at once.
    pub(super) fn tell<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.shared.lock();
        let result = change(&mut state);
        state.speaks = true;
        state.is_due = true;
        drop(state);
        self.shared.changed.notify_all();
        result
    }

    /// The same; what was said before and is not answered yet does not count any more.
    pub(super) fn start_over(&self) {
        self.tell(|state| {
            state.round += 1;
            state.trouble = None;
            state.talk.start_over();
        });
    }

    /// It was told elsewhere that something is so; nothing needs to be said.
    pub(super) fn note(&self, change: impl FnOnce(&mut Talk)) {
        change(&mut self.shared.lock().talk);
    }

    /// What cannot pass, or has lasted for too long.
    pub(super) fn failure(&self) -> Option<ClientError> {
        let mut state = self.shared.lock();
        if let Some(error) = state.talk.take_failure() {
            return Some(error);
        }
        let lasts = |(since, _): &mut (Instant, ClientError)| since.elapsed() >= RETRY_FOR;
        state.trouble.take_if(lasts).map(|(_, error)| error)
    }

    /// The member has taken this of a share, which may have changed since; says so at once.
    pub(super) fn take_share(&self, share: &Share, taken: Share) {
        self.tell(|state| {
            let is_newest = state.talk.granted() == Some(share);
            state.talk.take(taken, is_newest);
        });
    }

    /// Waits for this long, or until it is so.
    pub(super) fn wait_until(&self, patience: Duration, is_so: impl Fn(&State) -> bool) {
        let state = self.shared.lock();
        drop(self.shared.wait_until(state, patience, is_so));
    }

    /// Says nothing more, and waits for this long for what is under way.
    pub(super) fn fall_silent(&self, patience: Duration) {
        let mut state = self.shared.lock();
        state.speaks = false;
        drop(
            self.shared
                .wait_until(state, patience, |state| !state.is_calling),
        );
    }
}

fn beat(shared: &Shared, mut cluster: Cluster, mut coordinator: Coordinator) {
    let mut pause = AGAIN;
    loop {
        let may_speak = |state: &State| state.speaks && !state.talk.is_silent();
        let state = shared.lock();
        let mut state = shared.wait_until(state, pause, |state| {
            state.is_over || (state.is_due && may_speak(state))
        });
        if state.is_over {
            return;
        }
        if !may_speak(&state) {
            continue;
        }
        let (said, round) = (state.talk.request(), state.round);
        state.is_due = false;
        state.is_calling = true;
        drop(state);
        let answer = coordinator.call_once(&mut cluster, &said, |answer| answer.error_code);
        let mut state = shared.lock();
        state.is_calling = false;
        if state.round == round {
            pause = match answer {
                Ok(answer) => {
                    let is_well = answer.error_code == ErrorCode::None.code();
                    state.trouble = trouble_of(&state, &coordinator, &answer);
                    state.talk.hear(&said, answer);
                    match is_well {
                        true => state.talk.interval(),
                        false => AGAIN,
                    }
                }
                Err(error) => {
                    state.note_loss(error);
                    AGAIN
                }
            };
        }
        drop(state);
        shared.changed.notify_all();
    }
}

/// Since when the coordinator has nothing but trouble to tell, if so.
fn trouble_of(
    state: &State,
    coordinator: &Coordinator,
    answer: &ConsumerGroupHeartbeatResponse,
) -> Option<(Instant, ClientError)> {
    let code = answer.error_code;
    (code != ErrorCode::None.code()).then(|| {
        let message = answer.error_message.as_deref();
        (state.troubled_since(), coordinator.refused(code, message))
    })
}

impl State {
    fn troubled_since(&self) -> Instant {
        self.trouble
            .as_ref()
            .map_or_else(Instant::now, |(since, _)| *since)
    }

    fn note_loss(&mut self, error: ClientError) {
        self.talk.miss();
        match error.is_retriable() {
            true => self.trouble = Some((self.troubled_since(), error)),
            false => self.talk.give_up(error),
        }
    }
}
