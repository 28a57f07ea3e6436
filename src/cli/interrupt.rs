// SPDX-License-Identifier: Apache-2.0
//! A command that is told to stop (SIGINT, SIGTERM) and has something to do first.
//!
//! Owns: [`Interrupt`]. Invariants: a call that waits for a broker is broken off by the first
//! signal; the second ends the process at once. Runs on: any thread, and one that waits for
//! signals. Bounded by: one socket.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::CliError;
use crate::io::process::StopSignals;

/// The exit code of a process that SIGINT ended, as shells say it.
const INTERRUPTED: i32 = 130;

/// Whether it was told to stop. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    has_come: AtomicBool,
    waiting: Mutex<Option<TcpStream>>,
}

impl Interrupt {
    /// Takes the signals from now on. To be called before any other thread is started, or that one
    /// would be ended by them.
    pub fn install() -> Result<Interrupt, CliError> {
        let failed = |error: io::Error| CliError::new(format!("signals cannot be taken: {error}"));
        let signals = StopSignals::block().map_err(failed)?;
        let interrupt = Interrupt::default();
        let ours = interrupt.clone();
        let body = move || {
            if signals.wait().is_ok() {
                ours.raise();
            }
            if signals.wait().is_ok() {
                std::process::exit(INTERRUPTED);
            }
        };
        let thread = std::thread::Builder::new().name("furlong-signals".into());
        thread.spawn(body).map_err(failed)?;
        Ok(interrupt)
    }

    /// Says that it is to stop.
    pub fn raise(&self) {
        self.inner.has_come.store(true, Ordering::SeqCst);
        let waiting = self.inner.waiting.lock();
        let waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        if let Some(stream) = waiting.as_ref() {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Whether it is to stop.
    #[must_use]
    pub fn has_come(&self) -> bool {
        self.inner.has_come.load(Ordering::SeqCst)
    }

    /// Does something that waits for this socket, which is shut when the signal comes.
    pub fn breaking<T>(&self, stream: Option<TcpStream>, wait: impl FnOnce() -> T) -> T {
        self.set(stream);
        // A signal that came before the socket was known must break it, too.
        if self.has_come() {
            self.raise();
        }
        let result = wait();
        self.set(None);
        result
    }

    fn set(&self, stream: Option<TcpStream>) {
        let waiting = self.inner.waiting.lock();
        *waiting.unwrap_or_else(PoisonError::into_inner) = stream;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::TcpListener;

    #[test]
    fn a_wait_is_broken_off_whenever_the_signal_comes() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        for before in [true, false] {
            let mut stream = TcpStream::connect(address).expect("it listens");
            let interrupt = Interrupt::default();
            assert!(!interrupt.has_come());
            let other = interrupt.clone();
            if before {
                interrupt.raise();
            } else {
                std::thread::spawn(move || {
                    std::thread::sleep(std::time::Duration::from_millis(20));
                    other.raise();
                });
            }
            let clone = stream.try_clone().ok();
            let read = interrupt.breaking(clone, || stream.read(&mut [0; 1]));
            assert_eq!(read.expect("an end"), 0);
            assert!(interrupt.has_come());
        }
    }
}
