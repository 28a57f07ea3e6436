// SPDX-License-Identifier: Apache-2.0
//! The world as one executor reaches it: its ring, files, sockets, other cores, the clock.
//!
//! Owns: every system call and every `unsafe` block of the shell. Invariants: no Kafka word; memory
//! that the kernel may still touch is owned by the operation until its completion; one executor
//! never waits for another.
//! Runs on: data and control executors, and one blocking thread beside each. Bounded by: `limits`.

pub mod block_device;
pub mod blocking;
pub mod cgroup;
pub mod clock;
mod connection;
mod device_flush;
pub mod device_health;
pub mod directory_lock;
pub mod disk;
mod disk_operation;
pub mod driver;
pub mod file_system;
pub mod files;
pub mod flush_file;
mod frame_memory;
mod frames;
pub mod http;
pub mod lent_memory;
pub mod listener;
pub mod machine;
pub mod memory_limit;
pub mod mesh;
pub mod mounts;
pub mod network;
pub mod placement;
pub mod priority;
pub mod probe;
pub mod process;
mod receive_gate;
pub mod ring;
mod send_queue;
mod slots;
pub mod storage_probe;
pub mod wake;
pub mod xfs_geometry;
pub mod zero_tail;
