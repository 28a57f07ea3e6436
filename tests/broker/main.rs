// SPDX-License-Identifier: Apache-2.0
//! The real program as a process: how it starts and stops, what survives kill -9, what bad input
//! does to it. Each test has its own broker on a port of the kernel's choosing, in a temporary
//! directory, killed by its id.

mod admin;
mod client;
mod commands;
mod compaction;
mod connections;
mod consumer_protocol;
mod cores;
mod durability;
mod file_systems;
mod flush_modes;
mod flush_trace;
mod group_commands;
mod hostile;
mod idle_partitions;
mod life;
mod memory;
mod probe;
mod process;
mod quotas;
mod recovery;
mod settings;
mod slow_requests;
mod survival;
mod transactions;
mod txn_commands;
mod volume;
