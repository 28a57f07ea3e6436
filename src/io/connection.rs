// SPDX-License-Identifier: Apache-2.0
//! One accepted connection: what it has received, what it still has to send, and how far it is from
//! its end.
//!
//! Owns: the socket and all memory that its operations name. Invariants: at most one receive and
//! one send under way; a frame is delivered only against a credit; no receive is started while a
//! whole frame waits for a credit; the value is dropped only once nothing is under way. Runs on:
//! one executor.
//! Bounded by: one frame waiting and `OUTBOUND_BYTES_PER_CONNECTION_MAX` going out.

use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;

use bytes::Bytes;
use io_uring::{opcode, types};

use super::clock;
use super::frame_memory::FrameMemory;
use super::frames::{BadLength, FrameReceiver};
use super::receive_gate::ReceiveGate;
use super::ring::{Completed, Kind, Ring, Tag};
use super::send_queue::SendQueue;
use crate::limits::{
    FETCH_RESPONSE_BYTES_MAX, OUTBOUND_BYTES_PER_CONNECTION_MAX, PROGRESS_TOLD_MS,
};
use crate::model::ids::ConnectionId;
use crate::model::time::MonotonicUs;

/// Wait for data before the first try (`IORING_RECVSEND_POLL_FIRST`).
const POLL_FIRST: u16 = 1;

/// Past this many unsent bytes no further frame is delivered: a slow reader is slowed down before
/// it is cut off.
const OUTBOUND_BYTES_SOFT_MAX: usize = FETCH_RESPONSE_BYTES_MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Frames come and answers go.
    Open,
    /// The machine wants it closed once everything is sent.
    Draining,
    /// Over; only operations under way keep it here.
    Ended,
}

/// One connection.
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    index: u32,
    socket: TcpStream,
    receiver: FrameReceiver,
    outbound: SendQueue,
    /// Memory taken from the gate for the frame that is being received.
    received_bytes: usize,
    /// Likewise for the frame that was delivered last, until the machine wants the next one.
    delivered_bytes: usize,
    /// When the frame that is being received grew last.
    grew_at: MonotonicUs,
    /// When the last bytes came. No more come while a whole frame waits.
    received_us: MonotonicUs,
    /// When the machine was told last that something comes or goes.
    told_at: MonotonicUs,
    credits: usize,
    more_waits: bool,
    receiving: bool,
    sending: bool,
    phase: Phase,
}

impl Connection {
    pub(super) fn new(
        id: ConnectionId,
        index: u32,
        socket: TcpStream,
        frame_bytes_max: usize,
    ) -> Connection {
        Connection {
            id,
            index,
            socket,
            receiver: FrameReceiver::new(frame_bytes_max),
            outbound: SendQueue::new(),
            received_bytes: 0,
            delivered_bytes: 0,
            grew_at: 0,
            received_us: 0,
            told_at: 0,
            credits: 0,
            more_waits: true,
            receiving: false,
            sending: false,
            phase: Phase::Open,
        }
    }

    /// True once it may be dropped.
    pub(super) fn is_over(&self) -> bool {
        self.phase == Phase::Ended && !self.receiving && !self.sending
    }

    /// True once no event may name it.
    pub(super) fn has_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// The machine has dealt with the frame before and wants the next one. Gives the memory of the
    /// one before, and the memory that is still taken.
    pub(super) fn add_credit(&mut self) -> (usize, usize) {
        self.credits += 1;
        let delivered = std::mem::take(&mut self.delivered_bytes);
        (delivered, self.received_bytes)
    }

    /// True if responses are still taken.
    pub(super) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Queues a response. False if the peer has let too much pile up and the connection has to end.
    pub(super) fn queue(&mut self, parts: &mut Vec<Bytes>) -> bool {
        assert!(self.is_open(), "the caller looked");
        self.outbound.push(parts);
        self.outbound.queued_bytes() <= OUTBOUND_BYTES_PER_CONNECTION_MAX
    }

    /// When the frame that waits had come in full.
    pub(super) fn received_us(&self) -> MonotonicUs {
        self.received_us
    }

    /// Where the client is; nothing if it has just gone.
    pub(super) fn peer(&self) -> Option<SocketAddr> {
        self.socket.peer_addr().ok()
    }

    /// Bytes that are not sent yet.
    pub(super) fn queued_bytes(&self) -> usize {
        self.outbound.queued_bytes()
    }

    /// True if a frame has begun to come and has not gone on since `since`.
    pub(super) fn is_stalled(&self, since: MonotonicUs) -> bool {
        self.receiving && self.received_bytes > 0 && self.grew_at < since
    }

    /// True after a receive that did not make a frame whole.
    pub(super) fn is_amid_frame(&self) -> bool {
        matches!(self.receiver.has_frame(), Ok(false))
    }

    /// True now and then while bytes come or go: the machine, which sees whole frames only, would
    /// take the connection for idle.
    pub(super) fn is_progress_to_be_told(&mut self) -> bool {
        let now = clock::monotonic_us();
        let is_due = now.saturating_sub(self.told_at) >= PROGRESS_TOLD_MS * 1000;
        if is_due {
            self.told_at = now;
        }
        is_due
    }

    /// Gives all memory back to the gate.
    pub(super) fn leave(&mut self, gate: &mut ReceiveGate) {
        gate.give(self.index, self.received_bytes + self.delivered_bytes, 0);
        gate.forget(self.index);
        (self.received_bytes, self.delivered_bytes) = (0, 0);
    }

    pub(super) fn close_when_sent(&mut self) {
        if self.phase == Phase::Open {
            self.phase = Phase::Draining;
        }
    }

    /// The next frame the machine may have. `Err` means that the peer does not speak in frames.
    /// While too much waits to be sent on all connections together, one that takes what it gets
    /// goes on, and one that does not waits.
    pub(super) fn take_frame(
        &mut self,
        gate: &mut ReceiveGate,
        memory: &mut FrameMemory,
        is_congested: bool,
    ) -> Result<Option<Bytes>, BadLength> {
        let queued = self.outbound.queued_bytes();
        let held = queued > OUTBOUND_BYTES_SOFT_MAX || (is_congested && queued > 0);
        if self.phase != Phase::Open || self.credits == 0 || self.receiving || held {
            return Ok(None);
        }
        let Some(len_bytes) = self.receiver.frame_len()? else {
            return Ok(None);
        };
        let missing = len_bytes.saturating_sub(self.received_bytes);
        if !gate.take(self.index, missing) {
            return Ok(None);
        }
        self.delivered_bytes += std::mem::take(&mut self.received_bytes) + missing;
        self.credits -= 1;
        self.receiver.take_frame(memory)
    }

    /// Starts the next receive unless one is under way or a whole frame waits for its credit: then
    /// the kernel's socket buffer holds the peer back.
    pub(super) fn receive(
        &mut self,
        ring: &mut Ring,
        gate: &mut ReceiveGate,
        memory: &mut FrameMemory,
    ) -> Result<(), BadLength> {
        if self.phase != Phase::Open || self.receiving || self.receiver.has_frame()? {
            return Ok(());
        }
        let growth = self.receiver.growth();
        if !gate.take(self.index, growth) {
            return Ok(());
        }
        if growth > 0 {
            self.received_bytes += growth;
            self.grew_at = clock::monotonic_us();
        }
        let space = self.receiver.space(memory);
        let flags = if space.whole { libc::MSG_WAITALL } else { 0 };
        let length = u32::try_from(space.memory.len()).expect("a receive is below 4 GiB");
        let entry = opcode::Recv::new(
            types::Fd(self.socket.as_raw_fd()),
            space.memory.as_mut_ptr().cast(),
            length,
        )
        .flags(flags)
        .ioprio(if self.more_waits { 0 } else { POLL_FIRST })
        .build();
        let tag = Tag {
            kind: Kind::Receive,
            index: self.index,
        };
        self.receiving = true;
        // SAFETY: the memory is spare capacity of the receiver, on the heap; while `receiving` is
        // set nothing touches the receiver, and neither it nor the socket is dropped (`is_over`).
        unsafe { ring.push(tag, entry) };
        Ok(())
    }

    /// The receive under way has ended. False if the connection is over for the peer.
    pub(super) fn handle_received(&mut self, completed: Completed) -> bool {
        self.receiving = false;
        self.more_waits = completed.socket_nonempty;
        self.received_us = clock::monotonic_us();
        if self.received_bytes > 0 {
            self.grew_at = self.received_us;
        }
        let Ok(len_bytes) = usize::try_from(completed.result) else {
            return matches!(-completed.result, libc::EINTR | libc::EAGAIN);
        };
        if len_bytes == 0 {
            return false;
        }
        // SAFETY: the kernel has written that many bytes to the start of what `space` gave for this
        // receive.
        unsafe { self.receiver.received(len_bytes) };
        true
    }

    /// Starts the next send unless one is under way or nothing waits.
    pub(super) fn send(&mut self, ring: &mut Ring) {
        if self.sending || self.has_ended() || self.outbound.queued_bytes() == 0 {
            return;
        }
        let entry = self.outbound.entry(self.socket.as_raw_fd());
        let tag = Tag {
            kind: Kind::Send,
            index: self.index,
        };
        self.sending = true;
        // SAFETY: the bytes are reference-counted heap memory that the queue holds until `sent`,
        // its gather list is rebuilt only by the next `entry`, and neither is dropped while
        // `sending` is set (`is_over`).
        unsafe { ring.push(tag, entry) };
    }

    /// The send under way has ended. False if the connection is over.
    pub(super) fn handle_sent(&mut self, result: i32) -> bool {
        self.sending = false;
        let Ok(len_bytes) = usize::try_from(result) else {
            return matches!(-result, libc::EINTR | libc::EAGAIN);
        };
        self.outbound.sent(len_bytes);
        true
    }

    /// True if the machine asked to close and everything is out.
    pub(super) fn is_drained(&self) -> bool {
        self.phase == Phase::Draining && self.outbound.queued_bytes() == 0
    }

    /// Ends it: operations under way come back soon.
    pub(super) fn end(&mut self) {
        self.phase = Phase::Ended;
        // An error means that the peer was faster.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}
