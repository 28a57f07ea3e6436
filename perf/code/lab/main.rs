// SPDX-License-Identifier: Apache-2.0
//! `perf/lab`: what the disk does with the ways in which a log can write. Which of them the broker
//! takes is decided by these figures; see the table in `perf/README.md`.
//!
//! Each measurement runs in a process of its own, so that its priority and that of the kernel's
//! workers for it is what the condition says. Rounds alternate over places and conditions.

mod ahead;
mod buffers;
#[path = "../figures.rs"]
#[allow(dead_code)]
mod figures;
#[path = "../machine.rs"]
#[allow(dead_code)]
mod machine;
mod measured;
#[path = "../raw_disk.rs"]
#[allow(dead_code)]
mod raw_disk;
mod report;
mod ring;
mod rounds;
#[path = "../../../tests/broker/volume.rs"]
#[allow(dead_code)]
mod volume;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use measured::Measured;
use report::Report;
use volume::{EXT4, Recipe, Volume, XFS};

/// Bytes of the image of a loop device.
const IMAGE_BYTES: u64 = 3 << 30;

/// A hog that nobody ended ends itself.
const HOG_TIME_MAX: Duration = Duration::from_secs(300);

/// What else happens on the machine: name, whether a hog spins on each core, niceness of the
/// measured process.
const CONDITIONS: [(&str, bool, &str); 4] = [
    ("idle", false, "0"),
    ("idle, nice -10", false, "-10"),
    ("hogs", true, "0"),
    ("hogs, nice -10", true, "-10"),
];

struct Options {
    rounds: usize,
    millis: u64,
    places: Vec<String>,
    folder: PathBuf,
    json: Option<PathBuf>,
}

fn options(mut args: impl Iterator<Item = String>) -> Options {
    let mut options = Options {
        rounds: 3,
        millis: 300,
        places: ["disk", "ext4", "xfs"].map(str::to_owned).to_vec(),
        folder: PathBuf::from(env!("CARGO_TARGET_TMPDIR")),
        json: None,
    };
    while let Some(arg) = args.next() {
        let mut value = || args.next().unwrap_or_else(|| panic!("{arg} needs a value"));
        match arg.as_str() {
            "--short" => (options.rounds, options.millis) = (1, 50),
            "--rounds" => options.rounds = value().parse().expect("a number of rounds"),
            "--millis" => options.millis = value().parse().expect("milliseconds"),
            "--places" => options.places = value().split(',').map(str::to_owned).collect(),
            "--folder" => options.folder = PathBuf::from(value()),
            "--json" => options.json = Some(PathBuf::from(value())),
            // Cargo says so to every bench.
            "--bench" => {}
            other => panic!("unknown argument {other}"),
        }
    }
    options
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--hog"] => hog(),
        ["--measure", folder, millis] => {
            let millis = millis.parse().expect("milliseconds");
            measure(Path::new(folder), Duration::from_millis(millis));
        }
        ["--buffers", folder, kind, what, bytes, count] => buffers::run(
            Path::new(folder),
            kind == "registered",
            what == "read",
            bytes.parse().expect("bytes of an operation"),
            count.parse().expect("a number of operations"),
        ),
        _ => run(&options(args.into_iter())),
    }
}

/// Spins until it is killed, but not for ever, and not longer than the process that asked for it.
fn hog() {
    let (began, parent) = (Instant::now(), std::os::unix::process::parent_id());
    while began.elapsed() < HOG_TIME_MAX && std::os::unix::process::parent_id() == parent {
        (0..1_000_000).for_each(|_| std::hint::spin_loop());
    }
}

/// Measures everything in one folder and says it, a line each.
fn measure(folder: &Path, time: Duration) {
    let mut say = |what: &str, how: &str, measured: &Measured| {
        println!(
            "{what}|{how}|{:.1}|{:.1}|{:.1}|{:.2}|{:.3}",
            measured.percentile_us(10),
            measured.percentile_us(50),
            measured.percentile_us(99),
            measured.per_second(),
            measured.mb_per_second()
        );
    };
    rounds::run(folder, time, &mut say);
    ahead::run(folder, time * 2, &mut say);
}

fn run(options: &Options) {
    let facts = machine::facts(&options.folder);
    println!("{facts}");
    println!(
        "io_uring from one thread, O_DIRECT; ext4 and xfs are on loop devices (direct I/O) on that \
         disk; latency of a round is from its first submission to its last completion"
    );
    let mut report = Report::default();
    for round in 1..=options.rounds {
        for place in &options.places {
            for (condition, has_hogs, niceness) in CONDITIONS {
                println!(
                    "round {round} of {}, {place}, {condition}: load average {}",
                    options.rounds,
                    machine::load_average()
                );
                let said = measure_in(options, place, has_hogs, niceness);
                report.add(place, condition, &said);
            }
        }
    }
    print!("{}", report.tables());
    if let Some(path) = &options.json {
        report.append_json(path, &facts);
    }
}

/// One measurement on a fresh file system or in a fresh folder.
fn measure_in(options: &Options, place: &str, has_hogs: bool, niceness: &str) -> String {
    let file_system = match place {
        "disk" => None,
        "ext4" => Some(EXT4),
        "xfs" => Some(XFS),
        other => panic!("{other} is no place: disk, ext4 or xfs"),
    };
    let volume = file_system.map(|file_system| {
        let recipe = Recipe {
            is_written: true,
            ..file_system
        };
        Volume::make(&options.folder, recipe, IMAGE_BYTES)
            .unwrap_or_else(|sentence| panic!("no loop device: {sentence}"))
    });
    let below = volume
        .as_ref()
        .map_or_else(|| options.folder.clone(), Volume::path);
    let folder = tempfile::tempdir_in(&below).expect("the folder can be written");
    let program = std::env::current_exe().expect("this program has a name");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let _hogs: Vec<Hog> = (0..if has_hogs { cores } else { 0 })
        .map(|_| Hog::start(&program))
        .collect();
    let millis = options.millis.to_string();
    let done = Command::new("nice")
        .args(["-n", niceness])
        .arg(&program)
        .arg("--measure")
        .arg(folder.path())
        .arg(millis)
        .stderr(Stdio::inherit())
        .output()
        .expect("nice is there");
    assert!(done.status.success(), "the measurement {}", done.status);
    String::from_utf8(done.stdout).expect("it says text")
}

/// A process that keeps a core busy; killed by its id.
struct Hog(Child);

impl Hog {
    fn start(program: &Path) -> Hog {
        let child = Command::new(program).arg("--hog").spawn();
        Hog(child.expect("this program can be run"))
    }
}

impl Drop for Hog {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
