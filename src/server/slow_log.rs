// SPDX-License-Identifier: Apache-2.0
//! Slow requests as lines.
//!
//! Owns: the form of such a line. Invariants: one request, one line; each stage is a field of its
//! own, so that a program can add them up.
//! Runs on: the main thread. Bounded by: what the shards tell.

use std::net::SocketAddr;

use tracing::warn;

use crate::model::ids::ShardId;
use crate::shard::slow_requests::SlowRequest;
use crate::shard::stage::Stage;

/// Says of a request that it took long, where it comes from, and which stage took how long.
pub fn tell(shard: ShardId, slow: &SlowRequest, peer: Option<SocketAddr>) {
    let api = slow.api.name();
    let ms = slow.total_us / 1000;
    warn!(
        shard = %shard,
        api,
        client = slow.client.as_deref(),
        peer = peer.map(|peer| peer.to_string()),
        partition = slow.partition.as_deref(),
        more_partitions = (slow.more_partitions > 0).then_some(slow.more_partitions),
        answered = slow.is_answered,
        total_us = slow.total_us,
        queue_us = slow.took_us(Stage::Queue),
        hop_us = slow.took_us(Stage::Hop),
        room_us = slow.took_us(Stage::Room),
        read_us = slow.took_us(Stage::Read),
        gather_us = slow.took_us(Stage::Gather),
        write_us = slow.took_us(Stage::Write),
        flush_us = slow.took_us(Stage::Flush),
        answer_us = slow.took_us(Stage::Answer),
        "slow request: {api} took {ms} ms"
    );
}

/// Says how many more there were than were told.
pub fn tell_untold(shard: ShardId, count: u64) {
    warn!(shard = %shard, count, "{count} more requests were slow");
}
