// SPDX-License-Identifier: Apache-2.0
//! What waits to be sent on one connection, gathered into as few calls as possible.
//!
//! Owns: the bytes until they are sent, and the gather list of the send under way. Invariants: one
//! send under way at a time, so that bytes leave in order; while it is, the parts it names and its
//! gather list stay where they are.
//! Runs on: the executor of the connection. Bounded by: `OUTBOUND_BYTES_PER_CONNECTION_MAX`, held
//! by the connection.

use std::collections::VecDeque;
use std::os::fd::RawFd;

use bytes::{Buf, Bytes};
use io_uring::{opcode, squeue, types};

/// Parts that one send names (the kernel takes 1024).
const PARTS_PER_SEND_MAX: usize = 256;

/// The kernel repeats a short send itself, and a closed peer is an error, not a signal.
const FLAGS: i32 = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;

/// Outgoing bytes of one connection.
pub(super) struct SendQueue {
    parts: VecDeque<Bytes>,
    queued_bytes: usize,
    gather: Vec<libc::iovec>,
    message: Box<libc::msghdr>,
}

impl SendQueue {
    pub(super) fn new() -> SendQueue {
        SendQueue {
            parts: VecDeque::new(),
            queued_bytes: 0,
            gather: Vec::new(),
            // SAFETY: a msghdr holds pointers and integers, for which zero is a value.
            message: Box::new(unsafe { std::mem::zeroed() }),
        }
    }

    /// Adds a response.
    pub(super) fn push(&mut self, parts: &mut Vec<Bytes>) {
        for part in parts.drain(..) {
            if !part.is_empty() {
                self.queued_bytes += part.len();
                self.parts.push_back(part);
            }
        }
    }

    /// Bytes that are not sent yet.
    pub(super) fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// The next send. The entry names memory of this queue: no further `entry` before `sent`, and
    /// the queue must not be dropped before. `push` is allowed: it moves handles, never the bytes
    /// or the gather list.
    pub(super) fn entry(&mut self, socket: RawFd) -> squeue::Entry {
        let socket = types::Fd(socket);
        if let [only] = self.parts.make_contiguous() {
            let length = u32::try_from(only.len()).expect("a response is below 4 GiB");
            return opcode::Send::new(socket, only.as_ptr(), length)
                .flags(FLAGS)
                .build();
        }
        self.gather.clear();
        let parts = self.parts.iter().take(PARTS_PER_SEND_MAX);
        self.gather.extend(parts.map(|part| libc::iovec {
            iov_base: part.as_ptr().cast_mut().cast(),
            iov_len: part.len(),
        }));
        self.message.msg_iov = self.gather.as_mut_ptr();
        self.message.msg_iovlen = self.gather.len();
        opcode::SendMsg::new(socket, &raw const *self.message)
            .flags(FLAGS.cast_unsigned())
            .build()
    }

    /// So many bytes have left.
    pub(super) fn sent(&mut self, mut len_bytes: usize) {
        self.queued_bytes -= len_bytes;
        while len_bytes > 0 {
            let part = self.parts.front_mut().expect("only queued bytes are sent");
            if part.len() > len_bytes {
                part.advance(len_bytes);
                return;
            }
            len_bytes -= part.len();
            self.parts.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_send_leaves_the_rest() {
        let mut queue = SendQueue::new();
        queue.push(&mut vec![
            Bytes::from_static(b"abc"),
            Bytes::new(),
            Bytes::from_static(b"defg"),
        ]);
        queue.push(&mut vec![Bytes::from_static(b"h")]);
        assert_eq!(queue.queued_bytes(), 8);
        queue.sent(5);
        assert_eq!(queue.queued_bytes(), 3);
        assert_eq!(queue.parts, [&b"fg"[..], &b"h"[..]]);
        queue.sent(3);
        assert!(queue.parts.is_empty());
    }
}
