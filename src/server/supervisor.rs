// SPDX-License-Identifier: Apache-2.0
//! The main thread while the broker runs: it waits for what machines and signals report.
//!
//! Owns: the order of a stop. Invariants: data shards stop first, all at once, and the control
//! shard once the last of them has; a fatal report ends the process without waiting for anybody; a
//! second signal, half a second later or more, does too. Runs on: the main thread. Bounded by: one
//! report at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use tracing::{debug, info, warn};

use super::admin::Readiness;
use super::executors::Executors;
use super::findings;
use super::machine_loop::Report;
use super::slow_log;
use super::start_progress::StartWatch;
use crate::control::request::{ControlAnswer, ControlRequest};
use crate::io::process::StopSignals;
use crate::io::ring::Registered;
use crate::model::ids::ShardId;
use crate::shard::contract::ProcessEffect;
use crate::shard::mesh_message::MeshMessage;

/// Signals that come within this time after the first are the same wish to stop.
const ONE_WISH: Duration = Duration::from_millis(500);

/// Reports stop signals from a thread of its own, which ends with the process.
///
/// # Errors
/// A sentence, when no thread can be had.
pub fn report_signals(signals: StopSignals, executors: &Executors) -> Result<(), String> {
    let reporter = executors.reporter();
    let body = move || {
        while let Ok(signal) = signals.wait() {
            if reporter.send(Report::Signal(signal)).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new()
        .name("furlong-signals".into())
        .spawn(body)
        .map(|_| ())
        .map_err(|error| format!("cannot start a thread: {error}"))
}

fn tell_detail(shard: ShardId, sentence: &str) {
    debug!(shard = %shard, "shard {shard}: {sentence}");
}

/// Supervises the executors until all have stopped. Prints `ready` once the control shard says so
/// and every data shard takes connections: who reads the line may connect.
///
/// # Errors
/// The sentence of what went wrong. The process must then end without waiting for executors.
pub fn supervise(
    mut executors: Executors,
    mut watch: StartWatch,
    ready: &str,
    readiness: &Readiness,
) -> Result<(), String> {
    let mut running: BTreeSet<ShardId> = (0..executors.shard_count()).map(ShardId).collect();
    let mut silent = running.clone();
    let mut ready = Some(ready);
    let mut buffers = Vec::new();
    let mut questions = Questions::default();
    let (mut is_ready, mut stopping) = (false, None::<Instant>);
    loop {
        if is_ready
            && silent.is_empty()
            && let Some(ready) = ready.take()
        {
            info!("{}", watch.summary());
            readiness.set(true);
            announce(ready);
        }
        match executors.next_report() {
            Report::NoRing(shard, error) => {
                let sentence = format!("the executor of shard {shard} gets no ring: {error}");
                return Err(sentence);
            }
            // One wish can come as two signals: some programs tell the process and then its group.
            Report::Signal(_) if stopping.is_some_and(|since| since.elapsed() < ONE_WISH) => {}
            Report::Signal(_) if stopping.is_some() => {
                return Err("asked twice to stop: left before everything was in order".into());
            }
            Report::Signal(_) => {
                stopping = Some(Instant::now());
                readiness.set(false);
                running.iter().for_each(|shard| executors.stop(*shard));
            }
            Report::Figures(asker) => executors.ask_figures(&asker),
            Report::Ask(request, asker) => questions.ask(request, asker, &mut executors),
            Report::Message(message) => questions.take(*message),
            Report::Buffers(registered) => {
                buffers.push(registered);
                tell_buffers(&buffers, &executors);
            }
            Report::Effect(_, ProcessEffect::Ready) => is_ready = true,
            Report::Effect(shard, ProcessEffect::Recovering { progress }) => {
                if let Some(line) = watch.take(shard, progress) {
                    info!("{line}");
                }
            }
            Report::Listening(shard) => {
                silent.remove(&shard);
            }
            Report::Effect(shard, ProcessEffect::Notice { sentence }) => {
                warn!(shard = %shard, "shard {shard}: {sentence}");
            }
            Report::Effect(shard, ProcessEffect::Detail { sentence }) => {
                tell_detail(shard, &sentence)
            }
            Report::Slow(shard, slow, peer) => slow_log::tell(shard, &slow, peer),
            // Where its client is, its loop has looked up.
            Report::Effect(shard, ProcessEffect::Slow(slow)) => slow_log::tell(shard, &slow, None),
            Report::Effect(shard, ProcessEffect::SlowUntold { count }) => {
                slow_log::tell_untold(shard, count);
            }
            Report::Effect(_, ProcessEffect::Fatal { sentence }) => return Err(sentence.into()),
            Report::Effect(ShardId::CONTROL, ProcessEffect::Stopped) => {
                executors.join();
                return Ok(());
            }
            Report::Effect(shard, ProcessEffect::Stopped) => {
                running.remove(&shard);
                if running.is_empty() {
                    executors.stop(ShardId::CONTROL);
                }
            }
        }
    }
}

/// What a person asked of the controller and is not answered yet.
#[derive(Default)]
struct Questions {
    asked: u64,
    askers: BTreeMap<u64, Sender<ControlAnswer>>,
}

impl Questions {
    fn ask(
        &mut self,
        body: ControlRequest,
        asker: Sender<ControlAnswer>,
        executors: &mut Executors,
    ) {
        self.asked += 1;
        let request = self.asked;
        self.askers.insert(request, asker);
        executors.tell_control(MeshMessage::ControlRequest { request, body });
    }

    fn take(&mut self, message: MeshMessage) {
        if let MeshMessage::ControlAnswer { request, body } = message
            && let Some(asker) = self.askers.remove(&request)
        {
            // Whoever asked may no longer wait.
            let _ = asker.send(body);
        }
    }
}

/// Says what the executors lent to the kernel, once the last of them has told.
fn tell_buffers(buffers: &[Registered], executors: &Executors) {
    if buffers.len() == usize::from(executors.shard_count()) {
        info!("{}", findings::of_buffers(buffers, executors.lent_bytes()));
    }
}

fn announce(ready: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody listening is no reason to stop.
    let _ = writeln!(out, "{ready}");
    let _ = out.flush();
}
