// SPDX-License-Identifier: Apache-2.0
//! Asks the machine, before anything is started, for what the broker cannot do without.
//!
//! Owns: nothing. Invariants: a refusal is a sentence that says why and what to do (the executor
//! would panic).
//! Runs on: boot. Bounded by: a few calls.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use io_uring::{IoUring, Probe, opcode};

use crate::limits::BLOCK_BYTES;
use crate::model::block_buffer::BlockBuffer;

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
        CONFIG_IO_URING (gVisor \
                               and some containers leave it out)"
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
    let setting = fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
    match setting.trim() {
        "2" => "it is switched off for everybody; `sysctl kernel.io_uring_disabled=0` switches it \
        on"
        .to_owned(),
        "1" => "it is switched off for ordinary users; `sysctl kernel.io_uring_disabled=0` \
        switches it on, or put this \
                user into the group of kernel.io_uring_group"
            .to_owned(),
        _ => "a security profile forbids it (seccomp of the container, most likely); allow \
        io_uring_setup, \
              io_uring_enter and io_uring_register, with docker for instance by --security-opt \
              seccomp=unconfined"
            .to_owned(),
    }
}

/// Tries one direct write in a directory. False if its file system does not take `O_DIRECT`.
///
/// # Errors
/// When the directory cannot be written at all.
pub fn direct_io(directory: &Path) -> io::Result<bool> {
    let path = directory.join(".direct-probe");
    let opened = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .custom_flags(libc::O_DIRECT)
        .open(&path);
    let result = match opened {
        Ok(mut file) => {
            let block = BlockBuffer::zeroed(BLOCK_BYTES);
            file.write_all(block.as_slice())
        }
        Err(error) => Err(error),
    };
    // It is made anew at every start; a left-over is overwritten.
    let _ = fs::remove_file(&path);
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(false),
        Err(error) => Err(error),
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
    fn a_directory_is_probed_and_left_clean() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        direct_io(directory.path()).expect("writable");
        assert_eq!(fs::read_dir(directory.path()).expect("list").count(), 0);
        assert!(direct_io(&directory.path().join("missing")).is_err());
    }
}
