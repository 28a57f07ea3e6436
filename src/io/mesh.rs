// SPDX-License-Identifier: Apache-2.0
//! Messages between cores: one lane for each ordered pair, one writer and one reader each.
//!
//! Owns: this core's ends of its lanes. Invariants: messages of a pair arrive in order; a sender
//! never waits for a receiver; what a full lane refuses stays with its sender. Runs on: one
//! executor.
//! Bounded by: `MESH_LANE_MESSAGES_MAX` a lane; `is_congested` says when to take no new work.

use std::collections::VecDeque;
use std::sync::Arc;

use rtrb::{Consumer, Producer, RingBuffer};

use super::wake::Waker;
use crate::limits::{
    MESH_LANE_MESSAGES_MAX, MESH_MESSAGES_PER_TURN_MAX, MESH_OUTBOX_MESSAGES_SOFT_MAX,
};

struct Outbound<T> {
    lane: Producer<T>,
    outbox: VecDeque<T>,
    waker: Arc<Waker>,
    touched: bool,
}

/// One core's ends of all its lanes. Cores are numbered from 0 without gaps.
pub struct MeshPort<T> {
    inbound: Vec<Consumer<T>>,
    outbound: Vec<Outbound<T>>,
}

/// Makes the ports of all cores. The lane of a core to itself exists and works like any other.
#[must_use]
pub fn mesh<T: Send>(wakers: &[Arc<Waker>]) -> Vec<MeshPort<T>> {
    let mut ports: Vec<MeshPort<T>> = wakers
        .iter()
        .map(|_| MeshPort {
            inbound: Vec::with_capacity(wakers.len()),
            outbound: Vec::with_capacity(wakers.len()),
        })
        .collect();
    for from in 0..wakers.len() {
        for (to, waker) in wakers.iter().enumerate() {
            let (lane, reader) = RingBuffer::new(MESH_LANE_MESSAGES_MAX);
            ports[from].outbound.push(Outbound {
                lane,
                outbox: VecDeque::new(),
                waker: Arc::clone(waker),
                touched: false,
            });
            ports[to].inbound.push(reader);
        }
    }
    ports
}

impl<T> MeshPort<T> {
    /// Sends a message; it is seen after `flush` at the latest.
    pub fn send(&mut self, to: usize, message: T) {
        let outbound = &mut self.outbound[to];
        outbound.touched = true;
        outbound.outbox.push_back(message);
    }

    /// Moves what was sent into the lanes and wakes those who sleep.
    pub fn flush(&mut self) {
        for outbound in &mut self.outbound {
            if !outbound.touched && outbound.outbox.is_empty() {
                continue;
            }
            outbound.touched = false;
            while let Some(message) = outbound.outbox.pop_front() {
                if let Err(rtrb::PushError::Full(message)) = outbound.lane.push(message) {
                    outbound.outbox.push_front(message);
                    break;
                }
            }
            outbound.waker.wake();
        }
    }

    /// Takes what has arrived, a bounded number from each core: `(from, message)`.
    pub fn receive(&mut self, messages: &mut VecDeque<(usize, T)>) {
        for (from, lane) in self.inbound.iter_mut().enumerate() {
            for _ in 0..MESH_MESSAGES_PER_TURN_MAX {
                match lane.pop() {
                    Ok(message) => messages.push_back((from, message)),
                    Err(rtrb::PopError::Empty) => break,
                }
            }
        }
    }

    /// True if a message waits here.
    #[must_use]
    pub fn has_message(&self) -> bool {
        self.inbound.iter().any(|lane| !lane.is_empty())
    }

    /// True if something is kept back because a lane was full: the core must not park.
    #[must_use]
    pub fn has_backlog(&self) -> bool {
        self.outbound
            .iter()
            .any(|outbound| !outbound.outbox.is_empty())
    }

    /// True if so much is kept back that no new work should be taken.
    #[must_use]
    pub fn is_congested(&self) -> bool {
        self.outbound
            .iter()
            .any(|outbound| outbound.outbox.len() >= MESH_OUTBOX_MESSAGES_SOFT_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(count: usize) -> Vec<MeshPort<usize>> {
        let wakers: Vec<_> = (0..count).map(|_| Waker::new().expect("eventfd")).collect();
        mesh(&wakers)
    }

    #[test]
    fn messages_of_a_pair_arrive_in_order_even_past_a_full_lane() {
        let mut ports = ports(2);
        let count = MESH_LANE_MESSAGES_MAX * 2 + 10;
        for number in 0..count {
            ports[0].send(1, number);
        }
        let mut seen = VecDeque::new();
        ports[0].flush();
        assert!(ports[0].has_backlog());
        assert!(ports[0].is_congested());
        while ports[0].has_backlog() || ports[1].has_message() {
            ports[1].receive(&mut seen);
            ports[0].flush();
        }
        assert_eq!(seen.len(), count);
        assert!(seen.iter().map(|(_, number)| *number).eq(0..count));
        assert!(seen.iter().all(|(from, _)| *from == 0));
    }

    #[test]
    fn one_turn_takes_a_bounded_number() {
        let mut ports = ports(1);
        for number in 0..MESH_MESSAGES_PER_TURN_MAX + 1 {
            ports[0].send(0, number);
        }
        ports[0].flush();
        let mut seen = VecDeque::new();
        ports[0].receive(&mut seen);
        assert_eq!(seen.len(), MESH_MESSAGES_PER_TURN_MAX);
        assert!(ports[0].has_message());
    }

    #[test]
    fn a_message_between_threads_is_never_missed() {
        let mut ports = ports(2);
        let mut receiver = ports.pop().expect("two");
        let mut sender = ports.pop().expect("two");
        let thread = std::thread::spawn(move || {
            for number in 0..10_000 {
                sender.send(1, number);
                sender.flush();
            }
            while sender.has_backlog() {
                sender.flush();
            }
        });
        let mut seen = VecDeque::new();
        while seen.len() < 10_000 {
            receiver.receive(&mut seen);
        }
        thread.join().expect("sender");
        assert!(seen.iter().map(|(_, number)| *number).eq(0..10_000));
    }
}
