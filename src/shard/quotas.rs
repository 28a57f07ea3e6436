// SPDX-License-Identifier: Apache-2.0
//! The quotas of this shard's clients: who is counted where, and who has to wait.
//!
//! Owns: [`ShardQuotas`]. Invariants: without a quota nothing is counted and nothing kept; a client
//! is answered first and held back afterwards (KIP-219): its answer says for how long, and until
//! then no frame of its connection is granted. What a produce request brings is counted when it
//! comes, so that no frame follows it while it is under way; what a fetch takes, when it is
//! answered, and what would be too much is not sent: the answer is empty. A fetch reads what there
//! is room for, or else a part that is worth waiting for. Fetches and changes of metadata of
//! clients with such a quota are answered before the next frame comes.
//! Runs on: its shard. Bounded by: `QUOTA_METERS_PER_SHARD_MAX`, one entry per connection.

use std::sync::Arc;

use bytes::BytesMut;
use bytestring::ByteString;

use super::api::{APIS, Answer};
use super::contract::{Effects, MeshEffect};
use super::machine::Shard;
use super::mesh_message::MeshMessage;
use super::request_table::Call;
use super::timers::Timer;
use crate::config::quotas::QuotaWindows;
use crate::control::request::{ControlRequest, MutationAsker};
use crate::limits::QUOTA_EXCHANGE_MS;
use crate::model::ids::{ConnectionId, ShardId};
use crate::model::number_map::NumberMap;
use crate::model::quota::{ClientQuotas, QuotaKind};
use crate::model::time::MonotonicUs;
use crate::quota::lookup::{find, has_any};
use crate::quota::{MeterId, MeterKey, MeterUse, Meters};
use crate::wire::protocol::ApiKey;

/// The quotas that are counted where a client is connected.
pub const COUNTED: [QuotaKind; 3] = [
    QuotaKind::ProducerByteRate,
    QuotaKind::ConsumerByteRate,
    QuotaKind::RequestPercentage,
];

/// Microseconds of a second are one percent of a core: so many to a percent.
const US_PER_PERCENT: u64 = 10_000;

/// How often clients were held back, and for how long together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThrottleCount {
    /// Requests.
    pub requests: u64,
    /// Milliseconds that their answers named.
    pub ms: u64,
}

/// Where a connection is counted.
#[derive(Clone, Copy, Debug)]
struct ConnectionMeters {
    /// Of the quotas and of the meters.
    version: (u64, u64),
    /// By place of the kind.
    meters: [Option<MeterId>; COUNTED.len()],
}

/// The quotas of a shard.
#[derive(Debug)]
pub struct ShardQuotas {
    /// Somebody has a quota that is counted here.
    is_active: bool,
    /// Request time is to be told.
    counts_time: bool,
    /// The controller is to be told who asks for changes.
    counts_mutations: bool,
    quotas: Arc<ClientQuotas>,
    /// Changes with the quotas.
    version: u64,
    windows: QuotaWindows,
    has_others: bool,
    meters: Meters,
    by_connection: NumberMap<ConnectionMeters>,
    /// Whose request is being handled: the connection and its shard.
    charged: Option<(ShardId, ConnectionId)>,
    is_exchange_due: bool,
    counts: [ThrottleCount; QuotaKind::ALL.len()],
}

impl ShardQuotas {
    /// No quota, on a shard that may have others beside it.
    #[must_use]
    pub fn new(windows: QuotaWindows, has_others: bool) -> ShardQuotas {
        ShardQuotas {
            is_active: false,
            counts_time: false,
            counts_mutations: false,
            quotas: Arc::default(),
            version: 0,
            windows,
            has_others,
            meters: Meters::new(windows, has_others),
            by_connection: NumberMap::default(),
            charged: None,
            is_exchange_due: false,
            counts: [ThrottleCount::default(); QuotaKind::ALL.len()],
        }
    }

    /// True if somebody has a quota that is counted here.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.is_active
    }

    /// True if somebody has a quota of request time.
    #[must_use]
    pub fn counts_time(&self) -> bool {
        self.counts_time
    }

    /// How often clients were held back, by quota.
    pub fn counts(&self) -> impl Iterator<Item = (QuotaKind, ThrottleCount)> {
        QuotaKind::ALL.into_iter().zip(self.counts)
    }

    /// How many entities are counted.
    #[must_use]
    pub fn meter_count(&self) -> usize {
        self.meters.len()
    }

    /// A connection has gone, or its client has another name.
    pub fn forget(&mut self, connection: ConnectionId) {
        if self.is_active {
            self.by_connection.remove(connection.0);
        }
    }

    /// What is being handled is for a connection of a shard: its first part counts, since a shard's
    /// own parts are handled with the frame.
    pub fn charge(&mut self, shard: ShardId, connection: ConnectionId) {
        if self.counts_time && self.charged.is_none() {
            self.charged = Some((shard, connection));
        }
    }

    /// Other quotas are in force. False if they are the same.
    fn set(&mut self, quotas: &Arc<ClientQuotas>) -> bool {
        if Arc::ptr_eq(&self.quotas, quotas) || self.quotas == *quotas {
            return false;
        }
        self.quotas = Arc::clone(quotas);
        self.version += 1;
        self.is_active = COUNTED.into_iter().any(|kind| has_any(quotas, kind));
        self.counts_time = has_any(quotas, QuotaKind::RequestPercentage);
        self.counts_mutations = has_any(quotas, QuotaKind::ControllerMutationRate);
        if !self.is_active {
            self.meters = Meters::new(self.windows, self.has_others);
            self.by_connection = NumberMap::default();
        }
        true
    }

    fn known(&self, connection: ConnectionId) -> Option<&ConnectionMeters> {
        let version = (self.version, self.meters.generation());
        let known = self.by_connection.get(connection.0)?;
        (known.version == version).then_some(known)
    }

    /// Finds out where a connection is counted.
    fn resolve(
        &mut self,
        now_us: MonotonicUs,
        connection: ConnectionId,
        user: &ByteString,
        client_id: &ByteString,
    ) -> ConnectionMeters {
        loop {
            let version = (self.version, self.meters.generation());
            let mut meters = [None; COUNTED.len()];
            for (place, kind) in COUNTED.into_iter().enumerate() {
                let Some(found) = find(&self.quotas, kind, user, client_id) else {
                    continue;
                };
                let millionths = match kind {
                    QuotaKind::RequestPercentage => {
                        found.value.millionths().saturating_mul(US_PER_PERCENT)
                    }
                    _ => found.value.millionths(),
                };
                let scope = found.scope;
                let key = MeterKey { kind, scope };
                meters[place] = Some(self.meters.find(now_us, key, millionths));
            }
            // Making room for one may have moved another.
            if version.1 == self.meters.generation() {
                let found = ConnectionMeters { version, meters };
                self.by_connection.insert(connection.0, found);
                return found;
            }
        }
    }

    fn note(&mut self, kind: QuotaKind, ms: u64) {
        let count = &mut self.counts[kind.place()];
        count.requests += 1;
        count.ms = count.ms.saturating_add(ms);
    }
}

/// A wait in whole milliseconds, as the wire can say it.
fn wire_ms(wait_us: u64) -> i32 {
    i32::try_from(wait_us.div_ceil(1000)).unwrap_or(i32::MAX)
}

impl Shard {
    /// Takes over the quotas of an image.
    pub(super) fn settle_quotas(&mut self) {
        let quotas = Arc::clone(&self.image.quotas);
        if self.quotas.set(&quotas) {
            self.connections.handle_mutes_over();
        }
    }

    /// Where a connection is counted for a quota, if it has one.
    fn meter(&mut self, connection: ConnectionId, kind: QuotaKind) -> Option<MeterId> {
        if let Some(known) = self.quotas.known(connection) {
            return known.meters[kind.place()];
        }
        let user = self.connections.principal_of(connection);
        let client_id = self.connections.client_of(connection)?.into();
        let quotas = &mut self.quotas;
        let found = quotas.resolve(self.now_us, connection, &user, &client_id);
        found.meters[kind.place()]
    }

    /// Counts a use, and tells the other shards of it now or soon.
    fn count_use(&mut self, id: MeterId, amount: u64, effects: &mut Effects) {
        let is_due = self.quotas.meters.record(self.now_us, id, amount);
        if is_due {
            self.tell_quota_uses(effects);
        } else if self.quotas.meters.has_untold() && !self.quotas.is_exchange_due {
            self.quotas.is_exchange_due = true;
            let at = self.now_us + QUOTA_EXCHANGE_MS * 1000;
            self.timers.insert(at, Timer::Quotas);
        }
    }

    /// The time has come to tell the other shards.
    pub(super) fn handle_quota_timer(&mut self, effects: &mut Effects) {
        self.quotas.is_exchange_due = false;
        self.tell_quota_uses(effects);
    }

    fn tell_quota_uses(&mut self, effects: &mut Effects) {
        let uses: Arc<[MeterUse]> = self.quotas.meters.take_untold().into();
        if uses.is_empty() {
            return;
        }
        let own = self.config.shard;
        for to in (0..self.config.shard_count).map(ShardId) {
            if to != own {
                let uses = Arc::clone(&uses);
                let message = Box::new(MeshMessage::QuotaUses { uses });
                effects.mesh.push(MeshEffect { to, message });
            }
        }
    }

    /// Another shard tells what its clients have used, or what this one's have used there.
    pub(super) fn handle_quota_message(&mut self, message: MeshMessage, effects: &mut Effects) {
        match message {
            MeshMessage::QuotaUses { uses } if self.quotas.is_active => {
                self.quotas.meters.handle_told(self.now_us, &uses);
            }
            MeshMessage::TimeSpent {
                connection,
                took_us,
            } => self.count_time(connection, took_us, effects),
            _ => {}
        }
    }

    /// A produce request has come: if it is too much, no further frame comes before its answer.
    pub(super) fn count_produce(&mut self, call: &Call, effects: &mut Effects) {
        let connection = call.slot.connection;
        let Some(id) = self.meter(connection, QuotaKind::ProducerByteRate) else {
            return;
        };
        let bytes = self.connections.frame_bytes_of(call.slot);
        let bytes = u64::try_from(bytes).expect("a usize fits 64 bits");
        self.count_use(id, bytes, effects);
        if self.quotas.meters.wait_us(self.now_us, id) > 0 {
            self.connections.handle_mute_until_answered(connection);
        }
    }

    /// A produce request is about to be answered: for how long its client is held back.
    pub(super) fn throttle_produce(&mut self, call: &Call) -> i32 {
        let connection = call.slot.connection;
        let bytes = self.meter(connection, QuotaKind::ProducerByteRate);
        let bytes_us = bytes.map_or(0, |id| self.quotas.meters.wait_us(self.now_us, id));
        let time_us = self.time_wait_us(connection);
        self.hold_back(connection, QuotaKind::ProducerByteRate, bytes_us, time_us)
    }

    /// A fetch has come: how many bytes it may bring at most. If that is bounded, no further frame
    /// comes before its answer, which may say that its client is held back.
    pub(super) fn fetch_allowance(&mut self, connection: ConnectionId) -> usize {
        let Some(id) = self.meter(connection, QuotaKind::ConsumerByteRate) else {
            return usize::MAX;
        };
        self.connections.handle_mute_until_answered(connection);
        let helping = self.quotas.meters.helping(self.now_us, id).max(1);
        usize::try_from(helping).unwrap_or(usize::MAX)
    }

    /// A fetch is about to be answered with so many bytes: 0 if it may, or for how long its client
    /// is held back, which gets nothing then.
    pub(super) fn throttle_fetch(
        &mut self,
        call: &Call,
        bytes: usize,
        effects: &mut Effects,
    ) -> i32 {
        let connection = call.slot.connection;
        let bytes = u64::try_from(bytes).expect("a usize fits 64 bits");
        let meter = self.meter(connection, QuotaKind::ConsumerByteRate);
        let time_us = self.time_wait_us(connection);
        let meters = &mut self.quotas.meters;
        let bytes_us = meter.map_or(0, |id| match bytes {
            0 => 0,
            bytes => meters.wait_for_us(self.now_us, id, bytes),
        });
        let ms = self.hold_back(connection, QuotaKind::ConsumerByteRate, bytes_us, time_us);
        if let (Some(id), 0) = (meter, ms) {
            self.count_use(id, bytes, effects);
        }
        ms
    }

    /// What was handled before this took so long.
    pub(super) fn handle_spent(&mut self, took_us: u64, effects: &mut Effects) {
        let Some((shard, connection)) = self.quotas.charged.take() else {
            return;
        };
        if shard == self.config.shard {
            return self.count_time(connection, took_us, effects);
        }
        let message = MeshMessage::TimeSpent {
            connection,
            took_us,
        };
        self.send(shard, message, effects);
    }

    /// Handling a request of this connection has taken so long.
    pub(super) fn count_time(
        &mut self,
        connection: ConnectionId,
        took_us: u64,
        effects: &mut Effects,
    ) {
        if !self.quotas.counts_time {
            return;
        }
        if let Some(id) = self.meter(connection, QuotaKind::RequestPercentage) {
            self.count_use(id, took_us, effects);
        }
    }

    /// How long a client has to wait for the time that its requests took: one window at most, as in
    /// Kafka, since it cannot know beforehand how long a request takes.
    fn time_wait_us(&mut self, connection: ConnectionId) -> u64 {
        if !self.quotas.counts_time {
            return 0;
        }
        let Some(id) = self.meter(connection, QuotaKind::RequestPercentage) else {
            return 0;
        };
        let most_us = self.quotas.meters.windows().length_us;
        self.quotas.meters.wait_us(self.now_us, id).min(most_us)
    }

    /// Holds a client back for the longer of two waits. Gives it in milliseconds.
    fn hold_back(
        &mut self,
        connection: ConnectionId,
        kind: QuotaKind,
        wait_us: u64,
        time_us: u64,
    ) -> i32 {
        let (kind, wait_us) = match time_us > wait_us {
            true => (QuotaKind::RequestPercentage, time_us),
            false => (kind, wait_us),
        };
        let ms = wire_ms(wait_us);
        self.mute_for_ms(connection, kind, ms);
        ms
    }

    /// Mutes a connection, unless it need not wait.
    fn mute_for_ms(&mut self, connection: ConnectionId, kind: QuotaKind, ms: i32) {
        let Some(told_ms) = u64::try_from(ms).ok().filter(|ms| *ms > 0) else {
            return;
        };
        self.quotas.note(kind, told_ms);
        let until_us = self.now_us.saturating_add(told_ms.saturating_mul(1000));
        self.connections.handle_mute(connection, until_us);
    }

    /// An answer is about to leave to which no handler has added how long its client is held back.
    pub(super) fn throttle_answer(&mut self, call: &Call, answer: &mut Answer) {
        let key = APIS[call.api].key;
        // Those two say it themselves; and whoever asks for versions does not know the broker yet.
        if matches!(key, ApiKey::Produce | ApiKey::Fetch | ApiKey::ApiVersions) {
            return;
        }
        let time_us = self.time_wait_us(call.slot.connection);
        let ms = wire_ms(time_us);
        if ms > 0 {
            write_throttle_time(call, answer, ms);
            self.mute_for_ms(call.slot.connection, QuotaKind::RequestPercentage, ms);
        }
    }

    /// A request that makes or takes away partitions, as the controller is asked it: with who asks,
    /// if anybody has a quota of that. `strict_from` is the first version of the API that can say
    /// that the quota is used up. No frame comes before the answer to a client with such a quota.
    pub(super) fn metered(
        &mut self,
        call: &Call,
        strict_from: i16,
        request: ControlRequest,
    ) -> ControlRequest {
        if !self.quotas.counts_mutations {
            return request;
        }
        let connection = call.slot.connection;
        let client_id = self.connections.client_of(connection).unwrap_or_default();
        let client_id = ByteString::from(client_id);
        let user = self.connections.principal_of(connection);
        let kind = QuotaKind::ControllerMutationRate;
        if find(&self.quotas.quotas, kind, &user, &client_id).is_some() {
            self.connections.handle_mute_until_answered(connection);
        }
        ControlRequest::Metered {
            asker: MutationAsker {
                user,
                client_id,
                is_strict: call.version >= strict_from,
            },
            request: Box::new(request),
        }
    }

    /// An answer of the controller says that its client is held back for so long.
    pub(super) fn throttle_mutation(&mut self, call: &Call, answer: &mut Answer, ms: i32) {
        if ms > 0 {
            write_throttle_time(call, answer, ms);
            let kind = QuotaKind::ControllerMutationRate;
            self.mute_for_ms(call.slot.connection, kind, ms);
        }
    }
}

/// Bytes of an answer before its body: length, correlation id, and the tagged fields of a header
/// that can have some.
const HEADER_BYTES: usize = 8;

/// Writes a throttle time into an answer that has one where its body begins. All messages but those
/// of Produce and ApiVersions do, from the version on in which they have one at all.
fn write_throttle_time(call: &Call, answer: &mut Answer, ms: i32) {
    let key = APIS[call.api].key;
    if !key.begins_with_throttle_time(call.version) {
        return;
    }
    let Some(first) = answer.parts.first_mut() else {
        return;
    };
    let at = HEADER_BYTES + usize::from(call.version >= key.flexible_from());
    let mut bytes = BytesMut::from(&**first);
    if let Some(place) = bytes.get_mut(at..at + 4) {
        let before = i32::from_be_bytes(place.try_into().expect("four bytes"));
        place.copy_from_slice(&before.max(ms).to_be_bytes());
        *first = bytes.freeze();
    }
}

const _: () = assert!(COUNTED[0].place() == 0 && COUNTED[1].place() == 1);
const _: () = assert!(COUNTED[2].place() == 2);
