// SPDX-License-Identifier: Apache-2.0
//! The part of the world that lies between clients and machines.
//!
//! Invariants: a frame is handed to a machine only from the queue, never from inside of another
//! turn; what is sent on one connection arrives in order.

use furlong::model::peer::PeerAddress;

use super::{
    BytesMut, Client, ClientEffect, ConnectionId, Context, Event, Happening, NetworkEffect,
    Process, ToBroker, ToClient, World,
};

/// How long the kernel takes to take an answer over. Not drawn: old seeds keep their runs.
const SEND_US: u64 = 30;

impl World {
    pub(super) fn perform_network(&mut self, machine: usize, effect: NetworkEffect) {
        match effect {
            NetworkEffect::Listen => {
                let process = self.process.as_mut().expect("a living process");
                process.listening[machine] = true;
            }
            NetworkEffect::ReceiveNext {
                connection: ConnectionId(number),
            } => {
                if let Some(connection) = self.network.get(number) {
                    connection.grants += 1;
                    self.after(0, Happening::Feed { connection: number });
                }
            }
            NetworkEffect::Send {
                connection: ConnectionId(number),
                parts,
            } => {
                let mut frame = BytesMut::new();
                for part in parts {
                    frame.extend_from_slice(&part);
                }
                let announced = frame.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
                let len = u32::try_from(frame.len() - 4).expect("an answer is below 4 GiB");
                assert_eq!(announced, Some(len), "an answer with a wrong length");
                let happening = Happening::Sent {
                    incarnation: self.incarnation,
                    machine,
                    bytes: frame.len(),
                };
                self.after(SEND_US, happening);
                let frame = frame.freeze().slice(4..);
                self.send_to_client(number, ToClient::Frame(frame));
            }
            NetworkEffect::Close {
                connection: ConnectionId(number),
            } => {
                self.send_to_client(number, ToClient::Closed);
                let delay = self.draw_network();
                self.after(
                    delay,
                    Happening::ToBroker {
                        connection: number,
                        what: ToBroker::Hangup,
                    },
                );
            }
        }
    }

    fn draw_network(&mut self) -> u64 {
        let (low, high) = self.plan.network_us;
        self.streams.network.between(low, high)
    }

    fn send_to_client(&mut self, number: u64, what: ToClient) {
        let delay = self.draw_network();
        let now_us = self.now_us;
        let Some(connection) = self.network.get(number) else {
            return;
        };
        if connection.broker_gone || connection.client_gone {
            return;
        }
        connection.to_client_us = (now_us + delay).max(connection.to_client_us + 1);
        let arrival = connection.to_client_us;
        let happening = Happening::ToClient {
            connection: number,
            what,
        };
        self.at(arrival, happening);
    }

    pub(super) fn cut(&mut self, number: u64) {
        let (now_us, delay) = (self.now_us, self.draw_network());
        let Some(connection) = self.network.get(number) else {
            return;
        };
        let window = connection.to_client_us.saturating_sub(now_us);
        let kept = self.streams.network.below(window + 2);
        let cut_us = now_us
            + if self.streams.network.chance(500) {
                kept
            } else {
                delay
            };
        let lost = self
            .queue
            .range((cut_us, 0)..)
            .filter_map(|(key, happening)| match happening {
                Happening::ToClient { connection, .. } if *connection == number => Some(*key),
                _ => None,
            });
        for key in lost.collect::<Vec<_>>() {
            self.queue.remove(&key);
        }
        let happening = Happening::ToClient {
            connection: number,
            what: ToClient::Closed,
        };
        self.at(cut_us, happening);
    }

    pub(super) fn arrive_at_broker(&mut self, number: u64, what: ToBroker) {
        let now_us = self.now_us;
        match what {
            ToBroker::Connect => self.accept(number),
            ToBroker::Frame(frame) => {
                if let Some(connection) = self.network.get(number)
                    && !connection.broker_gone
                {
                    connection.waiting.push_back((now_us, frame));
                    self.feed(number);
                }
            }
            ToBroker::Hangup => self.hang_up(number),
        }
    }

    fn hang_up(&mut self, number: u64) {
        let Some(connection) = self.network.get(number) else {
            return;
        };
        if std::mem::replace(&mut connection.broker_gone, true) {
            return;
        }
        let machine = connection.shard;
        if let Some(machine) = machine {
            let connection = ConnectionId(number);
            self.turn(machine, Some(Event::Disconnected { connection }));
        }
        self.network.sweep();
    }

    fn accept(&mut self, number: u64) {
        let listening = self.process.as_ref().map(Process::listening);
        let listening = listening.unwrap_or_default();
        let incarnation = self.incarnation;
        let Some(connection) = self.network.get(number) else {
            return;
        };
        if listening.is_empty() {
            self.send_to_client(number, ToClient::Closed);
            if let Some(connection) = self.network.get(number) {
                connection.broker_gone = true;
            }
            return;
        }
        let machine = *self.streams.network.pick(&listening);
        connection.shard = Some(machine);
        connection.incarnation = incarnation;
        self.send_to_client(number, ToClient::Connected);
        let (connection, peer) = (ConnectionId(number), PeerAddress::UNKNOWN);
        self.turn(machine, Some(Event::Connected { connection, peer }));
    }

    /// Hands a waiting frame to the machine if it granted one.
    pub(super) fn feed(&mut self, number: u64) {
        let drop = self.plan.drops_per_million;
        let Some(connection) = self.network.get(number) else {
            return;
        };
        let Some(machine) = connection.shard.filter(|_| !connection.broker_gone) else {
            return;
        };
        if connection.grants == 0 || connection.waiting.is_empty() {
            return;
        }
        let (arrived_us, frame) = connection.waiting.pop_front().expect("not empty");
        connection.grants -= 1;
        if !self.healed && self.streams.network.below(1_000_000) < drop {
            self.stats.connections_dropped += 1;
            self.cut(number);
            self.hang_up(number);
            return;
        }
        let connection = ConnectionId(number);
        let event = Event::Frame {
            connection,
            frame,
            arrived_us,
        };
        self.turn(machine, Some(event));
    }

    pub(super) fn arrive_at_client(&mut self, number: u64, what: ToClient) {
        let Some(connection) = self.network.get(number) else {
            return;
        };
        if connection.client_gone {
            return;
        }
        let client = connection.client;
        match what {
            ToClient::Connected => {
                self.call_client(client, |client, context| client.connected(context));
            }
            ToClient::Frame(frame) => {
                self.call_client(client, |client, context| client.frame(context, frame));
            }
            ToClient::Closed => {
                connection.client_gone = true;
                self.network.sweep();
                self.call_client(client, |client, context| client.closed(context));
            }
        }
    }

    pub(super) fn call_client(
        &mut self,
        me: usize,
        call: impl FnOnce(&mut dyn Client, &mut Context<'_>),
    ) {
        let connection = self.network.of_client(me).unwrap_or(0);
        let incarnation = self.network.get(connection).map_or(0, |it| it.incarnation);
        let mut effects = Vec::new();
        let mut context = Context {
            me,
            now_us: self.now_us,
            wall_ms: self.wall_ms(),
            incarnation,
            connection,
            prng: &mut self.streams.workload,
            history: &mut self.history,
            stats: &mut self.stats,
            board: &mut self.board,
            effects: &mut effects,
        };
        call(self.clients[me].as_mut(), &mut context);
        for effect in effects {
            self.perform_client(me, effect);
        }
    }

    fn perform_client(&mut self, me: usize, effect: ClientEffect) {
        let current = self.network.of_client(me);
        match effect {
            ClientEffect::Connect => {
                assert_eq!(current, None, "a client connects twice");
                let connection = self.network.connect(me);
                self.send_to_broker(connection, ToBroker::Connect);
            }
            ClientEffect::Send(frame) => {
                if let Some(connection) = current {
                    self.send_to_broker(connection, ToBroker::Frame(frame.slice(4..)));
                }
            }
            ClientEffect::Close => {
                if let Some(number) = current {
                    let connection = self.network.get(number).expect("just found");
                    connection.client_gone = true;
                    self.send_to_broker(number, ToBroker::Hangup);
                }
            }
            ClientEffect::WakeAfter(delay) => {
                self.wake_tickets[me] += 1;
                let ticket = self.wake_tickets[me];
                self.after(delay, Happening::Wake { client: me, ticket });
            }
        }
    }

    fn send_to_broker(&mut self, number: u64, what: ToBroker) {
        let delay = self.draw_network();
        let now_us = self.now_us;
        let Some(connection) = self.network.get(number) else {
            return;
        };
        connection.to_broker_us = (now_us + delay).max(connection.to_broker_us + 1);
        let arrival = connection.to_broker_us;
        let happening = Happening::ToBroker {
            connection: number,
            what,
        };
        self.at(arrival, happening);
    }
}
