// SPDX-License-Identifier: Apache-2.0
//! Sockets that share one port, one for each executor.
//!
//! Owns: nothing. Invariants: a port that another process holds is never shared with it by
//! accident; what is set on a listener (no delay, keepalive, user timeout) is inherited by what it
//! accepts. Runs on: boot.
//! Bounded by: `LISTEN_BACKLOG`.

use std::io;
use std::mem::size_of;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Connections that may wait to be accepted.
const LISTEN_BACKLOG: i32 = 1024;

/// Connections that are refused in one go when no descriptor is left.
const REFUSED_AT_ONCE_MAX: usize = 256;

/// A peer that takes nothing for so long is given up, in milliseconds.
const USER_TIMEOUT_MS: i32 = 300_000;

/// Binds `count` sockets to one address; with port 0 the kernel chooses one port for all. They do
/// not listen yet.
///
/// # Errors
/// When the address is not ours or the port is in use.
pub fn bind_shared(address: SocketAddr, count: usize) -> io::Result<(Vec<OwnedFd>, SocketAddr)> {
    // A socket that does not share finds out whether anybody listens there: sharing sockets of
    // another process of the same user would let us in and take half of its connections.
    let probe = bind(address, false)?;
    drop(probe);
    let mut sockets: Vec<OwnedFd> = Vec::with_capacity(count);
    let mut bound = address;
    for _ in 0..count {
        let socket = bind(bound, true)?;
        let as_listener = TcpListener::from(socket);
        bound = as_listener.local_addr()?;
        sockets.push(as_listener.into());
    }
    Ok((sockets, bound))
}

/// Starts to listen.
///
/// # Errors
/// As the system says.
pub fn listen(socket: &OwnedFd) -> io::Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::listen(socket.as_raw_fd(), LISTEN_BACKLOG) })
}

/// Accepts connections that wait and drops them, so that their peers learn that there is no room.
/// Never waits, and refuses a bounded number at once.
pub(super) fn refuse_waiting(listener: &OwnedFd) {
    for _ in 0..REFUSED_AT_ONCE_MAX {
        let mut poll = libc::pollfd {
            fd: listener.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one pollfd is passed, a local.
        if unsafe { libc::poll(&raw mut poll, 1, 0) } != 1 {
            return;
        }
        let null = std::ptr::null_mut();
        // SAFETY: null pointers say that the address is not wanted.
        let fd = unsafe { libc::accept4(poll.fd, null, null.cast(), libc::SOCK_CLOEXEC) };
        if fd < 0 {
            return;
        }
        // SAFETY: the descriptor was just made and nobody else owns it.
        drop(unsafe { OwnedFd::from_raw_fd(fd) });
    }
}

fn bind(address: SocketAddr, share: bool) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
    // SAFETY: no memory is passed; the result is checked before it is used.
    let fd = unsafe { libc::socket(family, kind, 0) };
    check(fd)?;
    // SAFETY: the descriptor was just made and nobody else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let fd = socket.as_raw_fd();
    set_option(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    if share {
        set_option(fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
    }
    set_option(fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1)?;
    set_option(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
    set_option(
        fd,
        libc::IPPROTO_TCP,
        libc::TCP_USER_TIMEOUT,
        USER_TIMEOUT_MS,
    )?;
    match address {
        SocketAddr::V4(v4) => {
            let raw = libc::sockaddr_in {
                sin_family: u16::try_from(libc::AF_INET).expect("a small constant"),
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr {
                    s_addr: u32::from_ne_bytes(v4.ip().octets()),
                },
                sin_zero: [0; 8],
            };
            bind_raw(fd, &raw)?;
        }
        SocketAddr::V6(v6) => {
            let raw = libc::sockaddr_in6 {
                sin6_family: u16::try_from(libc::AF_INET6).expect("a small constant"),
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr {
                    s6_addr: v6.ip().octets(),
                },
                sin6_scope_id: v6.scope_id(),
            };
            bind_raw(fd, &raw)?;
        }
    }
    Ok(socket)
}

fn bind_raw<T>(fd: RawFd, address: &T) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<T>()).expect("an address is small");
    // SAFETY: the kernel reads `length` bytes from `address`, which is that large.
    check(unsafe { libc::bind(fd, std::ptr::from_ref(address).cast(), length) })
}

fn set_option(fd: RawFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<i32>()).expect("four");
    // SAFETY: the kernel reads `length` bytes from `value`, which is that large.
    check(unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), length) })
}

fn check(result: i32) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn all_sockets_share_the_port_the_kernel_chose() {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (sockets, bound) = bind_shared(any, 3).expect("bind");
        assert_eq!(sockets.len(), 3);
        assert_ne!(bound.port(), 0);
        for socket in &sockets {
            listen(socket).expect("listen");
        }
        let error = bind_shared(bound, 1).expect_err("the port is in use");
        assert_eq!(error.raw_os_error(), Some(libc::EADDRINUSE));
    }

    #[test]
    fn refusing_ends_what_waits_and_does_not_wait_itself() {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (sockets, bound) = bind_shared(any, 1).expect("bind");
        listen(&sockets[0]).expect("listen");
        let mut peers: Vec<_> = (0..5)
            .map(|_| std::net::TcpStream::connect(bound).expect("connect"))
            .collect();
        refuse_waiting(&sockets[0]);
        for peer in &mut peers {
            let read = std::io::Read::read(peer, &mut [0; 1]).expect("an orderly end");
            assert_eq!(read, 0);
        }
        refuse_waiting(&sockets[0]);
    }

    #[test]
    fn version_six_addresses_work_where_the_kernel_has_them() {
        let any = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
        if let Ok((_, bound)) = bind_shared(any, 1) {
            assert!(bound.is_ipv6());
        }
    }
}
