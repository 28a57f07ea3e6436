// SPDX-License-Identifier: Apache-2.0
//! The shards of one broker in memory: frames in, frames out, over a disk that completes what it is
//! asked, as soon or as late as a test wants. Each test name states the rule it checks.

mod admin;
mod api_versions;
mod broker;
mod client;
mod compacted_offsets;
mod connections;
mod consumer_groups;
mod controller;
mod cross_shard;
mod delete_records;
mod describe;
mod disk_faults;
mod fetch;
mod fetch_sessions;
mod group_leadership;
mod groups;
mod hostile;
mod list_offsets;
mod log_dirs;
mod memory;
mod memory_disk;
mod metadata;
mod moves;
mod numbers;
mod participants;
mod partition;
mod pipelining;
mod produce;
mod quota_mutes;
mod quota_requests;
mod quotas;
mod random;
mod replicas;
mod slow_requests;
mod stages;
mod stop;
mod stored;
mod topics;
mod transactions;
