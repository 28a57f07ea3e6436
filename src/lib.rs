// SPDX-License-Identifier: Apache-2.0
//! Furlong: a Kafka-compatible log broker for Linux. This page is the map of its code.
//!
//! The tree has two halves. The **pure half** decides: machines that take an event and the time,
//! and emit effects; no clock, no file, no socket, no thread, no `async`, nothing random. The
//! **shell** (the feature `shell`) touches the world: it takes events from the kernel, calls a
//! machine, performs the effects and brings the completions back, and decides nothing about Kafka.
//! Ordering lives in the pure half: the answer to a produce request is *made* in the handler of the
//! completion that makes it true, so the shell has no order to get wrong.
//!
//! Layers import only the layers above them in this list, and neighbours of one layer do not see
//! each other; `tests/tidy.rs` holds the table.
//!
//! # Layer 0: words
//! * `limits.rs`: every bound of the broker by name. *No queue, buffer or count grows past a name
//!   from here.*
//! * `model/`: words that every layer shares: identifiers, time, aligned buffers, disk requests,
//!   error codes, the metadata image. *Plain data; nothing here acts.*
//! * `config/`: settings of the server and of topics, from text to validated structs. *A setting
//!   that was not understood never takes effect in silence.*
//!
//! # Layer 1: bytes
//! * `wire/`: bytes to types and back: checksums, record batches, one description per Kafka
//!   message, the schema of the metadata records. *Decoding is total and bounded: any bytes give a
//!   value or an error, and nothing is reserved for a count that the remaining bytes cannot hold.*
//!
//! # Layer 2: one matter each
//! * `log/`: one partition's log: segments, indexes, leader epochs, producer state, recovery,
//!   retention, compaction. *An offset never changes its record, and nothing below the durable end
//!   is ever cut.*
//! * `replication/`: who has what, and from that the high watermark. *The high watermark never
//!   falls and never passes what the in-sync replicas have made durable.*
//! * `group/`: consumer groups: members, generations, assignments, committed offsets. *No partition
//!   has two owners in one generation, and whatever a client is told of a group is in the log.*
//! * `txn/`: transactions: who may produce in which, and how they end. *What a client was told of a
//!   transaction is in the log, and once its outcome is there, it ends so everywhere.*
//! * `quota/`: who may use how much: which quota is whose, what was used, how long to wait. *A wait
//!   is never longer than what was used takes at the pace of its quota.*
//! * `control/`: the metadata machine: requests become records, replayed records become the image.
//!   *State changes only by replaying a committed record.*
//!
//! # Layer 3: one replica
//! * `partition/`: log and replication joined for one replica of one partition. *A produce is
//!   answered only when its acknowledgement has become true.*
//!
//! # Layer 4: one core
//! * `shard/`: all that one core owns: connections, partitions, and `shard/api`, one file per Kafka
//!   API. *Answers of a connection leave in the order of its requests.*
//!
//! # The shell
//! * `io/`: the ring, files, sockets, the lanes between cores, the clock. *It knows no word of
//!   Kafka, and a buffer that the kernel owns is never freed.*
//! * `server/`: the phases of a start and the loop that drives a machine on its core. *The only
//!   place that sees both a machine and the world.*
//! * `cli/`: the commands, over a client of our own wire module. *A failed command says what to do
//!   and exits with a code other than 0.*
//! * `main.rs`: the command line becomes a command; nothing else.

#[cfg(feature = "shell")]
pub mod cli;
pub mod config;
pub mod control;
pub mod group;
#[cfg(feature = "shell")]
pub mod io;
pub mod limits;
pub mod log;
pub mod model;
pub mod partition;
pub mod quota;
pub mod replication;
#[cfg(feature = "shell")]
pub mod server;
pub mod shard;
pub mod txn;
pub mod wire;
