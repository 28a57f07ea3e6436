// SPDX-License-Identifier: Apache-2.0
//! The phases of a start, each a function that returns what the next ones need.
//!
//! Owns: the order of a start. Invariants: nothing is started before everything that can be refused
//! has been asked for; a refusal is a sentence that says what to do.
//! Runs on: the main thread. Bounded by: one start.

use std::fs::{self, File};
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::identity::Identity;
use crate::config::server::ServerConfig;
use crate::io::cgroup::Limits;
use crate::io::directory_lock::{DirectoryLock, LockError};
use crate::io::file_system::DeviceFlush;
use crate::io::files::Files;
use crate::io::flush_file;
use crate::io::http::HttpListener;
use crate::io::memory_limit::MemoryLimit;
use crate::io::placement::{CpuMask, Placement};
use crate::io::storage_probe::{DirectIo, Storage};
use crate::io::{listener, probe, process};
use crate::limits::{DESCRIPTORS_PER_CONNECTION, SHARDS_MAX};
use crate::model::cores::ranges;
use crate::model::memory_budget::{MemoryBudget, default_total_bytes, least_total_bytes};
use crate::model::storage::StorageRules;

/// The data directory, ours for as long as this value lives.
pub struct DataDirectory {
    /// As the settings name it.
    pub path: PathBuf,
    /// Operations on names below it.
    pub files: Files,
    /// Who it belongs to.
    pub identity: Identity,
    /// What it is on.
    pub storage: Storage,
    /// What may be relied on there.
    pub rules: StorageRules,
    /// The file whose flush is the device's, where the rules allow it.
    pub flush_file: Option<File>,
    _lock: DirectoryLock,
}

/// The sockets, bound and not yet listening.
pub struct Sockets {
    /// One for each data shard.
    pub listeners: Vec<OwnedFd>,
    /// Where they are bound; the port is the one that clients use.
    pub address: SocketAddr,
}

/// Phase 1: what the machine must give whatever the settings say.
///
/// # Errors
/// A sentence.
pub fn check_machine() -> Result<(), String> {
    // A lower limit than wished for shows as refused connections, with a sentence, later.
    let _ = process::raise_descriptor_limit();
    probe::io_uring()
}

/// How many connections clients may have, so that logs never want for a descriptor because of them.
#[must_use]
pub fn connections_max() -> usize {
    let limit = process::limit(libc::RLIMIT_NOFILE);
    // Where the system does not say, the bound of each shard is left.
    let descriptors = limit.map_or(u64::MAX, |limit| limit.soft);
    usize::try_from(descriptors / DESCRIPTORS_PER_CONNECTION).unwrap_or(usize::MAX)
}

/// Phase 2: which core does what.
///
/// # Errors
/// A sentence.
pub fn place(config: &ServerConfig) -> Result<(CpuMask, Placement), String> {
    let cpus = CpuMask::of_process()
        .map_err(|error| format!("the system does not say which cores may be used: {error}"))?;
    let quota = Limits::of_process().cpus;
    let placement = Placement::choose(cpus.cpus(), quota, &config.cores).map_err(|foreign| {
        format!(
            "the setting cores names CPUs that this process may not use ({}); it may use {} \
             (taskset, cpuset)",
            ranges(&foreign),
            ranges(cpus.cpus())
        )
    })?;
    if placement.data.len() > SHARDS_MAX {
        return Err(format!(
            "the setting cores is too large; at most {SHARDS_MAX} are served"
        ));
    }
    Ok((cpus, placement))
}

/// How much memory each data shard may hold, and a sentence that says where that comes from.
///
/// # Errors
/// A sentence, when it is too little to serve with.
pub fn divide_memory(
    config: &ServerConfig,
    limit: &MemoryLimit,
    shard_count: u16,
) -> Result<(MemoryBudget, String), String> {
    let (total, source) = match config.memory_bytes_max {
        Some(bytes) => (bytes, "the setting memory.max.bytes".to_owned()),
        None => {
            let total = default_total_bytes(limit.bytes, shard_count);
            let has = limit.bytes >> 20;
            let source = format!(
                "of the {has} MiB that {} allows; --memory changes it",
                limit.source
            );
            (total, source)
        }
    };
    let budget = MemoryBudget::of_shard(total, shard_count).ok_or_else(|| {
        let least = least_total_bytes(shard_count) >> 20;
        format!(
            "--memory (memory.max.bytes) is too little for {shard_count} shards: give at least \
             {least} MiB, or fewer --cores"
        )
    })?;
    let mut notice = format!(
        "memory: {} MiB for buffers ({source}), {} MiB for each of {shard_count} shards",
        total >> 20,
        budget.total_bytes() >> 20
    );
    if total > limit.bytes {
        notice.push_str(&format!(
            "; that is more than {}, {} MiB: the process may be ended for it",
            limit.source,
            limit.bytes >> 20
        ));
    }
    Ok((budget, notice))
}

/// Phase 3: the data directory is made if it is missing, locked, and known.
///
/// # Errors
/// A sentence.
pub fn open_data_directory(config: &ServerConfig) -> Result<DataDirectory, String> {
    let path = PathBuf::from(&config.data_directory);
    let name = path.display();
    fs::create_dir_all(&path)
        .map_err(|error| format!("cannot make the data directory {name}: {error}"))?;
    let lock = DirectoryLock::acquire(&path).map_err(|error| match error {
        LockError::Held(Some(process)) => format!(
            "the data directory {name} is locked by process {process}; stop that process, or \
            choose \
             another directory with --data"
        ),
        LockError::Held(None) => format!(
            "the data directory {name} is locked by another process; stop it, or choose another \
             directory with --data"
        ),
        LockError::Io(error) => format!("cannot lock the data directory {name}: {error}"),
    })?;
    let mut storage = Storage::probe(&path)
        .map_err(|error| format!("cannot write in the data directory {name}: {error}"))?;
    let files = Files::new(path.clone(), storage.direct != DirectIo::Refused);
    let identity = Identity::of_directory(&files, config.node_id)
        .map_err(|sentence| format!("the data directory {name}: {sentence}"))?;
    files
        .remove_left_overs()
        .map_err(|error| format!("cannot tidy the data directory {name}: {error}"))?;
    if storage.device_flush.is_allowed() && !config.flush_device {
        storage.device_flush = DeviceFlush::Refused("log.flush.device is false".to_owned());
    }
    let found = storage.rules();
    let rules = StorageRules {
        write_ahead: found.write_ahead && config.write_ahead,
        ..found
    };
    let flush_file = open_flush_file(&path, rules)?;
    Ok(DataDirectory {
        path,
        files,
        identity,
        storage,
        rules,
        flush_file,
        _lock: lock,
    })
}

fn open_flush_file(path: &Path, rules: StorageRules) -> Result<Option<File>, String> {
    if !rules.device_flush {
        return Ok(None);
    }
    let opened = flush_file::open(path);
    let opened = opened.map_err(|error| {
        let name = path.join(flush_file::NAME);
        format!(
            "cannot open {}, the file for flushes of the device: {error}",
            name.display()
        )
    })?;
    Ok(Some(opened))
}

/// Phase 4: the sockets.
///
/// # Errors
/// A sentence.
pub fn bind(config: &ServerConfig, count: usize) -> Result<Sockets, String> {
    let (host, port) = (config.listen.host.as_str(), config.listen.port);
    let host = if host.is_empty() { "0.0.0.0" } else { host };
    let wanted = (host, port)
        .to_socket_addrs()
        .map_err(|error| format!("cannot find the address {host}: {error}"))?
        .next()
        .ok_or_else(|| format!("the name {host} has no address"))?;
    let bound = listener::bind_shared(wanted, count);
    let (listeners, address) = bound.map_err(|error| match error.raw_os_error() {
        Some(libc::EADDRINUSE) => format!(
            "{wanted} is in use by another process (`ss -ltnp` names it); stop it, or choose \
            another \
             address with --listen"
        ),
        Some(libc::EADDRNOTAVAIL) => {
            format!(
                "{} is no address of this machine; choose one with --listen",
                wanted.ip()
            )
        }
        Some(libc::EACCES) => {
            format!("port {port} is reserved for the system; choose one above 1023 with --listen")
        }
        _ => format!("cannot listen on {wanted}: {error}"),
    })?;
    Ok(Sockets { listeners, address })
}

/// Phase 5: the admin port. `Ok(None)` with the second part a notice, if there is none.
///
/// # Errors
/// A sentence, when the address was asked for and cannot be had.
pub fn bind_admin(config: &ServerConfig) -> Result<(Option<HttpListener>, String), String> {
    let Some(wanted) = &config.admin else {
        let notice = "no admin port: the setting admin.listener is empty".to_owned();
        return Ok((None, notice));
    };
    let (host, port) = (wanted.host.as_str(), wanted.port);
    let bound = HttpListener::bind(host, port).and_then(|listener| {
        let address = listener.address()?;
        Ok((listener, address))
    });
    match bound {
        Ok((listener, address)) => {
            let notice = format!("figures on http://{address}/metrics");
            Ok((Some(listener), notice))
        }
        Err(error) => {
            let sentence = format!(
                "cannot listen for the admin port on {host}:{port}: {error}; choose another \
                 address with --set admin.listener=HOST:PORT, or none with --set admin.listener="
            );
            if config.admin_is_set {
                return Err(sentence);
            }
            Ok((None, sentence))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::http::HttpListener;
    use crate::io::memory_limit::MemorySource;

    fn config(flags: &[&str]) -> ServerConfig {
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        ServerConfig::parse("", &flags).expect("good settings")
    }

    #[test]
    fn settings_take_back_what_the_storage_allows() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let dirs = format!("log.dirs={}", directory.path().display());
        let found = open_data_directory(&config(&[&dirs])).expect("free");
        let allowed = found.rules;
        drop(found);
        let off = ["log.flush.device=false", "log.write.ahead=false", &dirs];
        let data = open_data_directory(&config(&off)).expect("free");
        assert!(!data.rules.device_flush && !data.rules.write_ahead);
        assert!(data.flush_file.is_none());
        let reason = DeviceFlush::Refused("log.flush.device is false".to_owned());
        assert_eq!(data.storage.device_flush == reason, allowed.device_flush);
    }

    #[test]
    fn an_admin_port_in_use_is_refused_if_it_was_asked_for() {
        let (first, notice) = bind_admin(&config(&["admin.listener=127.0.0.1:0"])).expect("free");
        let address = first.expect("bound").address().expect("bound");
        assert_eq!(notice, format!("figures on http://{address}/metrics"));
        let other = HttpListener::bind("127.0.0.1", 0).expect("free");
        let taken = other.address().expect("bound");
        let asked = config(&[&format!("admin.listener={taken}")]);
        let sentence = bind_admin(&asked).map(|_| ()).expect_err("taken");
        assert!(
            sentence.contains("--set admin.listener=HOST:PORT"),
            "{sentence}"
        );
        let by_default = ServerConfig {
            admin_is_set: false,
            ..asked
        };
        let (none, notice) = bind_admin(&by_default).expect("it serves without");
        assert!(none.is_none() && notice == sentence);
        let (none, _) = bind_admin(&config(&["admin.listener="])).expect("none is wanted");
        assert!(none.is_none());
    }

    #[test]
    fn a_directory_in_use_says_by_whom() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("deep").join("data");
        let config = config(&[&format!("log.dirs={}", path.display())]);
        let first = open_data_directory(&config).expect("free");
        assert!(path.join("meta.properties").is_file());
        assert_eq!(first.flush_file.is_some(), first.rules.device_flush);
        assert_eq!(
            path.join(flush_file::NAME).exists(),
            first.rules.device_flush
        );
        let sentence = open_data_directory(&config)
            .map(|_| ())
            .expect_err("locked");
        let process = std::process::id();
        assert!(
            sentence.contains(&format!("locked by process {process}")),
            "{sentence}"
        );
        drop(first);
        open_data_directory(&config).expect("free again");
    }

    #[test]
    fn a_directory_that_cannot_be_is_a_sentence() {
        let config = config(&["log.dirs=/dev/null/data"]);
        let sentence = open_data_directory(&config)
            .map(|_| ())
            .expect_err("no directory");
        assert!(sentence.contains("/dev/null/data"), "{sentence}");
    }

    #[test]
    fn a_port_in_use_is_a_sentence() {
        let any = config(&["listeners=PLAINTEXT://127.0.0.1:0"]);
        let sockets = bind(&any, 2).expect("a free port");
        listener::listen(&sockets.listeners[0]).expect("listen");
        let taken = format!("listeners=PLAINTEXT://{}", sockets.address);
        let sentence = bind(&config(&[&taken]), 2).map(|_| ()).expect_err("in use");
        assert!(sentence.contains("is in use"), "{sentence}");
        let foreign = config(&["listeners=PLAINTEXT://192.0.2.1:9092"]);
        let sentence = bind(&foreign, 1).map(|_| ()).expect_err("not ours");
        assert!(
            sentence.contains("no address of this machine"),
            "{sentence}"
        );
    }

    #[test]
    fn the_memory_is_divided_and_its_source_is_told() {
        let limit = MemoryLimit {
            bytes: 1 << 30,
            source: MemorySource::Cgroup("/cg/memory.max".into()),
        };
        let (budget, notice) = divide_memory(&config(&[]), &limit, 2).expect("enough");
        assert_eq!(budget.total_bytes(), 256 << 20);
        assert!(
            notice.contains("/cg/memory.max") && notice.contains("512 MiB"),
            "{notice}"
        );
        let set = config(&["memory.max.bytes=134217728"]);
        let (budget, notice) = divide_memory(&set, &limit, 2).expect("enough");
        assert_eq!(budget.total_bytes(), 64 << 20);
        assert!(notice.contains("memory.max.bytes"), "{notice}");
        assert!(!notice.contains("more than"), "{notice}");
        let sentence = divide_memory(&set, &limit, 64).expect_err("2 MiB each");
        assert!(sentence.contains("at least 1024 MiB"), "{sentence}");
        let large = config(&["memory.max.bytes=2147483648"]);
        let (_, notice) = divide_memory(&large, &limit, 2).expect("it is asked for");
        assert!(
            notice.contains("more than the limit in /cg/memory.max"),
            "{notice}"
        );
    }

    #[test]
    fn this_machine_can_serve() {
        check_machine().expect("io_uring");
        let (_, placement) = place(&config(&["cores=2"])).expect("cores");
        assert_eq!(placement.data.len(), 2);
    }
}
