// SPDX-License-Identifier: Apache-2.0
//! Counts every `fsync` and `fdatasync` that one ext4 file system is asked for, those of io_uring
//! included, by the kernel's own trace events. A trace instance of its own, removed when dropped.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The event: an ext4 file is about to be flushed.
const EVENT: &str = "events/ext4/ext4_sync_file_enter";

/// A count that runs from when it was made.
pub struct FlushTrace {
    /// Where the kernel's trace files are mounted, for this value alone.
    mounted: tempfile::TempDir,
    instance: PathBuf,
}

impl FlushTrace {
    /// Counts the flushes of files on the file system that holds `folder`.
    ///
    /// # Errors
    /// A sentence, if this machine does not let us: it takes root and a kernel with trace events.
    pub fn start(folder: &Path) -> Result<FlushTrace, String> {
        let mounted = tempfile::tempdir().map_err(|error| error.to_string())?;
        let done = Command::new("mount")
            .args(["-t", "tracefs", "nodev"])
            .arg(mounted.path())
            .output()
            .map_err(|error| format!("mount cannot be run: {error}"))?;
        if !done.status.success() {
            let said = String::from_utf8_lossy(&done.stderr);
            return Err(format!("trace events cannot be mounted: {}", said.trim()));
        }
        let name = format!("furlong-test-{}", std::process::id());
        let instance = mounted.path().join("instances").join(name);
        let trace = FlushTrace { mounted, instance };
        let device = fs::metadata(folder).map_err(|error| error.to_string())?;
        let device = kernel_device(device.dev());
        fs::create_dir(&trace.instance)
            .and_then(|()| trace.write("buffer_size_kb", "4096"))
            .and_then(|()| trace.write(&format!("{EVENT}/filter"), &format!("dev == {device}")))
            .and_then(|()| trace.write(&format!("{EVENT}/enable"), "1"))
            .map_err(|error| format!("the event {EVENT} cannot be had: {error}"))?;
        Ok(trace)
    }

    /// How often a file was flushed so far.
    pub fn flushes(&self) -> usize {
        let trace = fs::read(self.instance.join("trace")).expect("the instance is there");
        let trace = String::from_utf8_lossy(&trace);
        let events = trace.lines().filter(|line| !line.starts_with('#'));
        events
            .filter(|line| line.contains("ext4_sync_file_enter:"))
            .count()
    }

    fn write(&self, file: &str, value: &str) -> std::io::Result<()> {
        fs::write(self.instance.join(file), value)
    }
}

impl Drop for FlushTrace {
    fn drop(&mut self) {
        // What was never made cannot be removed.
        let _ = fs::remove_dir(&self.instance);
        let umount = Command::new("umount").arg(self.mounted.path()).status();
        if !umount.is_ok_and(|status| status.success()) {
            eprintln!("{} is still mounted", self.mounted.path().display());
        }
    }
}

/// The kernel's own form of a device number, which its filters compare: 20 bits of minor.
fn kernel_device(device: u64) -> u64 {
    let major = (device >> 8) & 0xfff;
    let minor = (device & 0xff) | ((device >> 12) & 0xf_ff00);
    (major << 20) | minor
}
