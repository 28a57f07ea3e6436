// SPDX-License-Identifier: Apache-2.0
//! `furlong serve`: the phases of a start in their order, then supervision until the stop.
//!
//! Owns: the machines' settings, narrowed from the server's. Invariants: the data directory stays
//! locked until every machine has stopped; a panic on any thread ends the process at once, because
//! a shard without its machine must not go on answering. Runs on: the main thread.
//! Bounded by: one process.

use std::sync::Arc;

use tracing::{error, info, warn};

use super::admin::{self, Readiness};
use super::boot::{self, DataDirectory, Sockets};
use super::collector::Collector;
use super::executors::{Executors, Launch};
use super::findings::{self, Weight};
use super::identity;
use super::logging;
use super::options::ServeArguments;
use super::start_progress::StartWatch;
use super::storage_findings::of_storage;
use super::supervisor;
use crate::config::server::ServerConfig;
use crate::io::cgroup::Limits;
use crate::io::machine::Machine;
use crate::io::memory_limit::MemoryLimit;
use crate::io::placement::{CpuMask, Placement};
use crate::io::priority::{self, Nice};
use crate::io::process::StopSignals;
use crate::model::ids::ShardId;
use crate::model::memory_budget::MemoryBudget;
use crate::model::storage::StorageRules;
use crate::shard::control_shard::{ControlShard, ControlShardConfig};
use crate::shard::machine::{Shard, ShardConfig};

/// Serves until a signal asks to stop.
///
/// # Errors
/// A sentence that says what went wrong and what to do. Executors may still run then: the caller
/// ends the process without waiting for them.
pub fn serve(arguments: &ServeArguments) -> Result<(), String> {
    #[cfg(furlong_mutations)]
    if !crate::model::mutation::choose(&std::env::var("BROKEN_BROKER").unwrap_or_default()) {
        return Err("this build is for tests/crash/mutations, which sets BROKEN_BROKER".to_owned());
    }
    let config = arguments.settings()?;
    logging::set_up(arguments.log_format, arguments.log_level)?;
    boot::check_machine()?;
    let signals = StopSignals::block().map_err(|error| format!("cannot take signals: {error}"))?;
    let (cpus, placement) = boot::place(&config)?;
    let shard_count = u16::try_from(placement.data.len()).map_err(|_| "too many shards")?;
    // Before any other thread is started: they inherit the priority. Before the storage is
    // tried out: its flushes wait for a CPU as those of commits do.
    let nice = priority::raise_nice(config.nice)
        .map_err(|error| format!("the system does not say how this process ranks: {error}"))?;
    priority::raise_io_priority();
    let limit = MemoryLimit::of_process(&Limits::of_process());
    let (memory, memory_notice) = boot::divide_memory(&config, &limit, shard_count)?;
    let mut directory = boot::open_data_directory(&config)?;
    let Sockets { listeners, address } = boot::bind(&config, placement.data.len())?;
    let (admin_listener, admin_notice) = boot::bind_admin(&config)?;
    config.notices.iter().for_each(|notice| warn!("{notice}"));
    info!("{}; {memory_notice}", placement.sentence());
    if admin_listener.is_none() && config.admin.is_some() {
        warn!("{admin_notice}");
    } else {
        info!("{admin_notice}");
    }
    tell(&cpus, &placement, nice, &directory);
    end_on_panic();
    let clean_file = directory.flush_file.take().map(Into::into);
    let launch = Launch {
        cpus,
        placement,
        files: directory.files.clone(),
        clean_file,
        listeners,
        frame_bytes_max: usize::try_from(config.frame_bytes_max).unwrap_or(usize::MAX),
        memory,
    };
    let control = control_settings(&config, &directory, address.port(), shard_count)?;
    let data = data_settings(&config, shard_count, directory.rules, memory);
    let make_data = move |shard| {
        Shard::new(ShardConfig {
            shard,
            ..data.clone()
        })
    };
    let executors = Executors::start(launch, make_data, move || ControlShard::new(control))?;
    supervisor::report_signals(signals, &executors)?;
    let readiness = Readiness::default();
    if let Some(listener) = admin_listener {
        let collector = Collector::new(executors.reporter(), usize::from(shard_count) + 1);
        admin::serve(listener, collector, readiness.clone())?;
    }
    let path = directory.path.display();
    let ready = format!("furlong is serving on {address} (data in {path}, {shard_count} shards)");
    let watch = StartWatch::new(&address.to_string());
    supervisor::supervise(executors, watch, &ready, &readiness)
}

/// Says what was found, a line each.
fn tell(cpus: &CpuMask, placement: &Placement, nice: Nice, directory: &DataDirectory) {
    let machine = Machine::inspect(cpus);
    let mut found = findings::of_machine(&machine, placement.data.len());
    found.extend(findings::of_priority(nice, machine.autogrouped));
    found.extend(of_storage(&directory.path, &directory.storage));
    // What matters most stands last, where it is seen.
    found.sort_by_key(|finding| finding.weight);
    for finding in found {
        match finding.weight {
            Weight::Fact => info!("{finding}"),
            Weight::Warning => warn!("{finding}"),
            Weight::Obstacle => error!("{finding}"),
        }
    }
}

/// A path from the root, as clients see it.
fn absolute(path: &str) -> Arc<str> {
    let absolute = std::path::absolute(path);
    let text = absolute.map_or_else(|_| path.to_owned(), |path| path.display().to_string());
    text.into()
}

/// What every data shard is told; each gets its own number.
fn data_settings(
    config: &ServerConfig,
    shard_count: u16,
    storage: StorageRules,
    memory: MemoryBudget,
) -> ShardConfig {
    ShardConfig {
        shard: ShardId(0),
        shard_count,
        node_id: config.node_id,
        data_directory: absolute(&config.data_directory),
        auto_create_topics: config.auto_create_topics,
        retention_check_ms: config.retention_check_ms,
        connection_idle_ms: config.connection_idle_ms,
        cleaner: config
            .cleaner
            .divided(shard_count)
            .within(memory.compaction_bytes_max()),
        storage,
        memory,
        settings: Arc::new(config.defaults.file.clone()),
    }
}

/// What the control shard is told.
fn control_settings(
    config: &ServerConfig,
    directory: &DataDirectory,
    bound_port: u16,
    shard_count: u16,
) -> Result<ControlShardConfig, String> {
    let advertised = &config.advertised;
    let port = if advertised.port == 0 {
        bound_port
    } else {
        advertised.port
    };
    Ok(ControlShardConfig {
        node_id: config.node_id,
        cluster_id: directory.identity.cluster_id,
        directory_id: directory.identity.directory_id,
        incarnation_id: identity::random_id()?,
        rack: config.rack.clone(),
        host: advertised.host.as_str().into(),
        port,
        shard_count,
        connections_max: boot::connections_max(),
        defaults: config.defaults.clone(),
        entropy: identity::random_bytes()?,
    })
}

/// Ends the process when a thread panics. The message of the panic comes first.
fn end_on_panic() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |information| {
        before(information);
        error!(
            "this is a fault of the program, and it ends here. What was acknowledged is \
            on \
             disk; the next start recovers it."
        );
        std::process::abort();
    }));
}
