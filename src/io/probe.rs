// SPDX-License-Identifier: Apache-2.0
//! Asks the machine, before anything is started, for what the broker cannot do without.
//!
//! Owns: nothing. Invariants: a refusal is a sentence that says why and what to do (the executor
//! would panic).
//! Runs on: boot. Bounded by: a few calls.

use std::fs;
use std::io;

use io_uring::{IoUring, Probe, opcode};

/// Checks that a ring can be had, with all that is used of it.
///
/// # Errors
/// A sentence that says why not and what to do.
pub fn io_uring() -> Result<(), String> {
    let built: io::Result<IoUring> = IoUring::builder()
        .setup_single_issuer()
        .setup_coop_taskrun()
        .setup_taskrun_flag()
        .setup_submit_all()
        .build(64);
    let ring = built.map_err(|error| refusal(&error))?;
    let mut probe = Probe::new();
    let probed = ring.submitter().register_probe(&mut probe);
    let needed = [
        (opcode::Read::CODE, "read"),
        (opcode::Write::CODE, "write"),
        (opcode::Fsync::CODE, "fsync"),
        (opcode::Send::CODE, "send"),
        (opcode::SendMsg::CODE, "sendmsg"),
        (opcode::Recv::CODE, "recv"),
        (opcode::AcceptMulti::CODE, "accept"),
        (opcode::Timeout::CODE, "timeout"),
        (opcode::AsyncCancel::CODE, "cancel"),
    ];
    for (code, name) in needed {
        if probed.is_ok() && !probe.is_supported(code) {
            return Err(format!(
                "the kernel's io_uring cannot {name}; Linux 6.0 or newer is needed"
            ));
        }
    }
    Ok(())
}

fn refusal(error: &io::Error) -> String {
    let why = match error.raw_os_error() {
        Some(libc::ENOSYS) => "this kernel has no io_uring; Linux 6.0 or newer is needed, with \
                               CONFIG_IO_URING (gVisor leaves it out)"
            .to_owned(),
        Some(libc::EPERM) => permission(),
        Some(libc::EINVAL) => {
            "this kernel's io_uring is too old; Linux 6.0 or newer is needed".to_owned()
        }
        Some(libc::ENOMEM) => "the limit of locked memory is too low; raise it (`ulimit -l \
        unlimited`, or \
                               LimitMEMLOCK=infinity in a systemd unit)"
            .to_owned(),
        Some(libc::EMFILE | libc::ENFILE) => {
            "no file descriptor is left; raise the limit (`ulimit -n`)".to_owned()
        }
        _ => format!("the kernel says: {error}"),
    };
    format!("io_uring is refused: {why}")
}

fn permission() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let setting = read("/proc/sys/kernel/io_uring_disabled");
    let status = read("/proc/self/status");
    who_forbids(setting.trim(), &status).to_owned()
}

/// By the value of `kernel.io_uring_disabled` and the text of `/proc/self/status`.
fn who_forbids(setting: &str, status: &str) -> &'static str {
    let filtered = status.lines().any(|line| {
        let mode = line.strip_prefix("Seccomp:");
        mode.is_some_and(|mode| mode.trim() == "2")
    });
    match setting {
        "2" => {
            "kernel.io_uring_disabled is 2, which switches it off for everybody; `sysctl \
             kernel.io_uring_disabled=0` switches it on"
        }
        "1" => {
            "kernel.io_uring_disabled is 1, which switches it off for ordinary users; `sysctl \
             kernel.io_uring_disabled=0` switches it on, or put this user into the group of \
             kernel.io_uring_group"
        }
        _ if filtered => {
            "a seccomp filter forbids it (the profile of the container, most likely); allow \
             io_uring_setup, io_uring_enter and io_uring_register, with docker for instance by \
             --security-opt seccomp=unconfined"
        }
        _ => {
            "a security module of this kernel forbids it (kernel.io_uring_disabled does not, nor \
             does a seccomp filter); its log, `dmesg` or the audit log, names the rule"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_says_what_to_do() {
        for (errno, word) in [
            (libc::ENOSYS, "Linux 6.0"),
            (libc::EINVAL, "too old"),
            (libc::ENOMEM, "ulimit -l"),
            (libc::EMFILE, "ulimit -n"),
            (libc::EPERM, "io_uring"),
        ] {
            let sentence = refusal(&io::Error::from_raw_os_error(errno));
            assert!(sentence.contains(word), "{sentence}");
        }
    }

    #[test]
    fn who_forbids_it_is_named() {
        let filtered = "Name:\tx\nSeccomp:\t2\nSeccomp_filters:\t1\n";
        let free = "Seccomp:\t0\nSeccomp_filters:\t0\n";
        assert!(who_forbids("2", filtered).contains("io_uring_disabled is 2"));
        assert!(who_forbids("1", filtered).contains("io_uring_group"));
        assert!(who_forbids("0", filtered).contains("seccomp=unconfined"));
        assert!(who_forbids("", filtered).contains("seccomp=unconfined"));
        assert!(who_forbids("0", free).contains("security module"));
    }
}
