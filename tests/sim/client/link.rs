// SPDX-License-Identifier: Apache-2.0
//! One connection as its client keeps it: the versions to speak, and what was asked and not
//! answered.
//!
//! Invariants: answers come in the order of the requests; the first request of the first connection
//! asks for the versions, later ones draw a version from what both sides speak.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};
use furlong::wire::protocol::api_versions::ApiVersionsRequest;
use furlong::wire::protocol::{Message, Request, decode_response, encode_request};

use super::{ClientEffect, Context};

/// A request without an answer for so long costs the connection.
pub const PATIENCE_US: u64 = 60_000_000;

struct Asked<T> {
    correlation: i32,
    version: i16,
    at_us: u64,
    tag: Option<T>,
}

/// An answer, or what else a frame turned out to be.
pub enum Answer<T> {
    /// The answer to the request with this tag, still encoded.
    To(T, i16, Bytes),
    /// The versions: requests can be sent from now on.
    Ready,
    /// It made no sense; the violation is noted.
    Nonsense,
}

/// The client's side of a connection. `T` says what a request was for.
pub struct Link<T> {
    versions: BTreeMap<i16, (i16, i16)>,
    asked: VecDeque<Asked<T>>,
    correlation: i32,
    is_up: bool,
    is_connecting: bool,
}

impl<T> Link<T> {
    /// Not connected.
    pub fn new() -> Link<T> {
        Link {
            versions: BTreeMap::new(),
            asked: VecDeque::new(),
            correlation: 0,
            is_up: false,
            is_connecting: false,
        }
    }

    /// True if requests can be sent.
    pub fn is_ready(&self) -> bool {
        self.is_up && !self.versions.is_empty()
    }

    /// Requests without an answer.
    pub fn in_flight(&self) -> usize {
        self.asked.len()
    }

    /// Connects unless that is under way. Gives true if requests can be sent.
    pub fn connect(&mut self, context: &mut Context<'_>) -> bool {
        if !self.is_up && !self.is_connecting {
            self.is_connecting = true;
            context.effects.push(ClientEffect::Connect);
        }
        self.is_ready()
    }

    /// The connection is up: asks for the versions once.
    pub fn connected(&mut self, context: &mut Context<'_>) {
        (self.is_up, self.is_connecting) = (true, false);
        if self.versions.is_empty() {
            let version = i16::try_from(context.prng.below(5)).expect("up to four");
            let body = ApiVersionsRequest {
                client_software_name: "sim".into(),
                client_software_version: "1".into(),
            };
            self.send(context, version, &body, None);
        }
    }

    /// The connection is gone. Gives what was not answered, in order.
    pub fn closed(&mut self) -> Vec<T> {
        (self.is_up, self.is_connecting) = (false, false);
        self.asked.drain(..).filter_map(|asked| asked.tag).collect()
    }

    /// True if an answer has been due for too long.
    pub fn is_overdue(&self, now_us: u64) -> bool {
        let oldest = self.asked.front();
        oldest.is_some_and(|asked| asked.at_us + PATIENCE_US < now_us)
    }

    /// How long to sleep where the connection says so: it is not up, or an answer is awaited (its
    /// coming wakes).
    pub fn idle_us(&self, context: &mut Context<'_>, in_flight_max: usize) -> Option<u64> {
        if !self.is_ready() {
            return Some(context.prng.skewed(500, 100_000));
        }
        (self.asked.len() >= in_flight_max).then_some(PATIENCE_US / 10)
    }

    /// A version of a request that both sides speak, at most `at_most`.
    pub fn version<R: Request>(&self, context: &mut Context<'_>, at_most: i16) -> i16 {
        self.version_between::<R>(context, 0, at_most)
    }

    /// A version of a request that both sides speak, in these bounds.
    pub fn version_between<R: Request>(
        &self,
        context: &mut Context<'_>,
        at_least: i16,
        at_most: i16,
    ) -> i16 {
        let (mine_low, mine_high) = (*R::VERSIONS.start(), *R::VERSIONS.end());
        let Some((low, high)) = self.versions.get(&R::API_KEY) else {
            context.violation(&format!("API {} is not advertised", R::API_KEY));
            return mine_low;
        };
        let low = mine_low.max(*low).max(at_least);
        let high = mine_high.min(*high).min(at_most);
        assert!(low <= high, "API {}: {low}..={high}", R::API_KEY);
        // The newest version is what most clients speak; the others come up as well.
        if context.prng.chance(400) {
            return high;
        }
        let span = u64::try_from(high - low).expect("not negative");
        low + i16::try_from(context.prng.below(span + 1)).expect("a small number")
    }

    /// Sends a request; its answer comes back with the tag. No answer is awaited without one, if
    /// acks=0 asks for none.
    pub fn request<R: Request>(
        &mut self,
        context: &mut Context<'_>,
        version: i16,
        body: &R,
        tag: T,
    ) {
        self.send(context, version, body, Some(tag));
    }

    /// Sends a request that is never answered.
    pub fn request_unanswered<R: Request>(
        &mut self,
        context: &mut Context<'_>,
        version: i16,
        body: &R,
    ) {
        self.send(context, version, body, None);
        self.asked.pop_back();
    }

    fn send<R: Request>(
        &mut self,
        context: &mut Context<'_>,
        version: i16,
        body: &R,
        tag: Option<T>,
    ) {
        self.correlation = self.correlation.wrapping_add(1);
        let parts = encode_request(self.correlation, "sim", version, body);
        let parts = parts.expect("a request of a client can be said in a version it chose");
        let mut frame = BytesMut::new();
        for part in parts {
            frame.extend_from_slice(&part);
        }
        self.asked.push_back(Asked {
            correlation: self.correlation,
            version,
            at_us: context.now_us,
            tag,
        });
        context.effects.push(ClientEffect::Send(frame.freeze()));
    }

    /// Finds out what a frame answers.
    pub fn frame(&mut self, context: &mut Context<'_>, frame: Bytes) -> Answer<T> {
        let Some(asked) = self.asked.pop_front() else {
            context.violation("an answer to nothing");
            return Answer::Nonsense;
        };
        let correlation = frame.first_chunk().map(|bytes| i32::from_be_bytes(*bytes));
        if correlation != Some(asked.correlation) {
            let due = asked.correlation;
            context.violation(&format!(
                "the answer {correlation:?} came where {due} was due"
            ));
            return Answer::Nonsense;
        }
        let Some(tag) = asked.tag else {
            return self.take_versions(context, asked.version, frame);
        };
        Answer::To(tag, asked.version, frame)
    }

    fn take_versions(
        &mut self,
        context: &mut Context<'_>,
        version: i16,
        frame: Bytes,
    ) -> Answer<T> {
        let Some(body) = decode::<ApiVersionsRequest>(context, version, frame) else {
            return Answer::Nonsense;
        };
        let all = body.api_keys.iter();
        self.versions = all
            .map(|api| (api.api_key, (api.min_version, api.max_version)))
            .collect();
        if body.error_code != 0 || self.versions.is_empty() {
            context.violation("ApiVersions is refused");
            return Answer::Nonsense;
        }
        Answer::Ready
    }
}

/// Decodes an answer; one that cannot be decoded is a violation.
pub fn decode<R: Request>(
    context: &mut Context<'_>,
    version: i16,
    frame: Bytes,
) -> Option<R::Response> {
    match decode_response::<R>(frame, version) {
        Ok((_, body)) => Some(body),
        Err(error) => {
            let key = <R as Message>::API_KEY;
            context.violation(&format!("the answer of API {key} v{version}: {error}"));
            None
        }
    }
}
