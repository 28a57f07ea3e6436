// SPDX-License-Identifier: Apache-2.0
//! A client that sends rubbish: damaged and cut requests, unknown APIs, lengths and counts that
//! lie.
//!
//! Invariants: nothing that it sends may change what is stored (it damages only requests that
//! read).

use bytes::Bytes;
use furlong::wire::protocol::fetch::{FetchPartition, FetchRequest, FetchTopic};
use furlong::wire::protocol::metadata::MetadataRequest;
use furlong::wire::protocol::{Request, encode_request};

use super::{Client, ClientEffect, Context};

/// Bytes in front of the body: length, key, version, correlation, client id.
const HEAD_BYTES: usize = 4 + 2 + 2 + 4 + 2 + 3;

/// The hostile client.
#[derive(Default)]
pub struct Hostile {
    is_up: bool,
    is_connecting: bool,
}

fn encoded<R: Request>(version: i16, body: &R) -> Vec<u8> {
    let parts = encode_request(7, "sim", version, body).expect("a right request");
    parts.concat()
}

impl Hostile {
    fn rubbish(context: &mut Context<'_>) -> Vec<u8> {
        let fetch = FetchRequest {
            topics: vec![FetchTopic {
                topic: "stay-0".into(),
                partitions: vec![FetchPartition::default()],
                ..FetchTopic::default()
            }],
            ..FetchRequest::default()
        };
        let mut frame = if context.prng.chance(500) {
            encoded(4, &fetch)
        } else {
            encoded(4, &MetadataRequest::default())
        };
        match context.prng.below(4) {
            0 => {
                let len = 4 + context.prng.index(frame.len() - 3);
                frame.truncate(len);
            }
            1 => {
                for _ in 0..context.prng.between(1, 8) {
                    let at = HEAD_BYTES + context.prng.index(frame.len() - HEAD_BYTES);
                    frame[at] = u8::try_from(context.prng.below(256)).expect("a byte");
                }
            }
            2 => {
                let key = i16::try_from(context.prng.between(200, 30_000)).expect("small");
                frame[4..6].copy_from_slice(&key.to_be_bytes());
            }
            _ => {
                let len = context.prng.index(40);
                frame.truncate(4);
                frame.resize(4 + len, 0xff);
            }
        }
        frame
    }
}

impl Client for Hostile {
    fn wake(&mut self, context: &mut Context<'_>) {
        if self.is_up {
            let frame = Hostile::rubbish(context);
            context.stats.hostile_frames += 1;
            context.effects.push(ClientEffect::Send(Bytes::from(frame)));
        } else if !self.is_connecting {
            self.is_connecting = true;
            context.effects.push(ClientEffect::Connect);
        }
        let pause = context.prng.skewed(1_000, 3_000_000);
        context.effects.push(ClientEffect::WakeAfter(pause));
    }

    fn connected(&mut self, _: &mut Context<'_>) {
        (self.is_up, self.is_connecting) = (true, false);
    }

    fn frame(&mut self, _: &mut Context<'_>, _: Bytes) {}

    fn closed(&mut self, _: &mut Context<'_>) {
        (self.is_up, self.is_connecting) = (false, false);
    }
}
