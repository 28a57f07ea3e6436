// SPDX-License-Identifier: Apache-2.0
//! Facts about the machine that a figure is worthless without.

use std::fs;
use std::path::Path;

/// Kernel, processor, cores, memory, file system below `folder`, profile of the build: one line.
pub fn facts(folder: &Path) -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_default();
        line.split(':').nth(1).unwrap_or("?").trim().to_owned()
    };
    let kernel = read("/proc/sys/kernel/osrelease");
    let processor = field(&read("/proc/cpuinfo"), "model name");
    let memory = field(&read("/proc/meminfo"), "MemTotal");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let (device, kind) = file_system(folder);
    let scheduler = device.rsplit('/').next().map_or_else(String::new, |name| {
        read(&format!("/sys/block/{name}/queue/scheduler"))
    });
    format!(
        "machine: {processor}, {cores} cores, {memory}, Linux {}, {kind} on {device}, scheduler {}",
        kernel.trim(),
        scheduler.trim()
    )
}

/// The device and the type of the file system that holds a folder.
fn file_system(folder: &Path) -> (String, String) {
    let folder = folder.canonicalize().expect("the folder is there");
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let entries = mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>());
    let holding = entries.filter(|entry| entry.len() > 2 && folder.starts_with(entry[1]));
    let nearest = holding.max_by_key(|entry| entry[1].len());
    nearest.map_or_else(
        || ("?".to_owned(), "?".to_owned()),
        |entry| {
            // The root file system is often named by no device; the numbers of the folder tell.
            (entry[0].to_owned(), entry[2].to_owned())
        },
    )
}

/// The one-minute load average.
pub fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("?").to_owned()
}

/// CPU time that a process has used, in seconds, user and system together.
pub fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    let (_, fields) = stat.rsplit_once(") ").expect("the name stands in brackets");
    let fields: Vec<&str> = fields.split(' ').collect();
    let ticks = |at: usize| fields[at].parse::<f64>().expect("a number");
    // Linux counts in hundredths of a second whatever its own tick is.
    (ticks(11) + ticks(12)) / 100.0
}
