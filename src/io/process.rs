// SPDX-License-Identifier: Apache-2.0
//! What the process asks of the system for itself: signals and descriptors.
//!
//! Owns: nothing. Invariants: the stop signals are blocked in every thread and taken by one that
//! waits for them.
//! Runs on: boot and one waiting thread. Bounded by: a few calls.

use std::io;
use std::mem::zeroed;

/// A set of the signals that ask the process to stop.
#[derive(Clone, Copy)]
pub struct StopSignals {
    set: libc::sigset_t,
}

impl StopSignals {
    /// Blocks SIGINT and SIGTERM in this thread and all that it will start.
    ///
    /// # Errors
    /// As the system says.
    pub fn block() -> io::Result<StopSignals> {
        // SAFETY: a sigset_t is an array of integers, for which zero is a value.
        let mut set: libc::sigset_t = unsafe { zeroed() };
        // SAFETY: each call gets the address of a local of the right type, and null where no old
        // set is wanted.
        let result = unsafe {
            libc::sigemptyset(&raw mut set);
            libc::sigaddset(&raw mut set, libc::SIGINT);
            libc::sigaddset(&raw mut set, libc::SIGTERM);
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut())
        };
        if result != 0 {
            return Err(io::Error::from_raw_os_error(result));
        }
        Ok(StopSignals { set })
    }

    /// Waits for one of them.
    ///
    /// # Errors
    /// As the system says.
    pub fn wait(&self) -> io::Result<i32> {
        let mut signal = 0;
        // SAFETY: the set is initialised and the number is written to a local.
        let result = unsafe { libc::sigwait(&raw const self.set, &raw mut signal) };
        if result != 0 {
            return Err(io::Error::from_raw_os_error(result));
        }
        Ok(signal)
    }
}

/// A limit of the process (getrlimit(2)); `u64::MAX` is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// In force.
    pub soft: u64,
    /// How far the process may raise it.
    pub hard: u64,
}

/// One of the limits by its number, `libc::RLIMIT_NOFILE` for instance.
///
/// # Errors
/// As the system says.
pub fn limit(resource: libc::__rlimit_resource_t) -> io::Result<Limit> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the kernel writes one rlimit to a local of that type.
    if unsafe { libc::getrlimit(resource, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Limit {
        soft: limit.rlim_cur,
        hard: limit.rlim_max,
    })
}

/// Raises the limit of open descriptors as far as it may be raised, and says how far that is.
///
/// # Errors
/// As the system says.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let hard = limit(libc::RLIMIT_NOFILE)?.hard;
    let raised = libc::rlimit {
        rlim_cur: hard,
        rlim_max: hard,
    };
    // SAFETY: the kernel reads one rlimit from a local of that type.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(hard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_descriptors_is_known() {
        let raised = raise_descriptor_limit().expect("limit");
        assert!(raised > 0);
        assert_eq!(limit(libc::RLIMIT_NOFILE).expect("limit").soft, raised);
    }
}
