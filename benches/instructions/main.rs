// SPDX-License-Identifier: Apache-2.0
//! `benches/run`: instructions of the hot functions of the pure half, counted by valgrind's
//! callgrind, and compared with the committed ones.
//!
//! Owns: the program. Invariants: a case runs in a process of its own under callgrind, which
//! collects inside one function alone, so neither inputs nor the driver are counted. Runs on: one
//! thread a process. Bounded by: the table of cases.

mod allocation;
#[path = "../../tests/allocations/append.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "the tests of tests/allocations use the rest of it"
)]
mod append;
mod cases;
mod committed;
#[path = "../../tests/shard/controller.rs"]
#[allow(dead_code, reason = "the driver of tests/shard uses the rest of it")]
mod controller;
mod groups;
#[path = "../../tests/allocations/host.rs"]
#[allow(
    dead_code,
    reason = "the tests of tests/allocations use the rest of it"
)]
mod host;
#[path = "../../tests/shard/memory_disk.rs"]
#[allow(dead_code, reason = "the tests of tests/shard use the rest of it")]
mod memory_disk;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use cases::{CASES, Case};

const USAGE: &str = "usage: benches/run [--update REASON] [--only TEXT]";

/// What the command line asks for.
struct Options {
    /// Writes the counts that differ into the file, with this reason.
    update: Option<String>,
    /// Only cases whose names contain this; then nothing is compared.
    only: Option<String>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| arg != "--bench")
        .collect();
    if let [flag, name] = arguments.as_slice()
        && flag == "--case"
    {
        run_case(case(name));
        return ExitCode::SUCCESS;
    }
    match options(&arguments).and_then(|options| run(&options)) {
        Ok(complaints) if complaints.is_empty() => ExitCode::SUCCESS,
        Ok(complaints) => {
            for complaint in complaints {
                eprintln!("{complaint}");
            }
            eprintln!("if it must be so: benches/run --update 'the reason', and commit the file");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn options(arguments: &[String]) -> Result<Options, String> {
    let mut options = Options {
        update: None,
        only: None,
    };
    for pair in arguments.chunks(2) {
        match pair {
            [flag, reason] if flag == "--update" && reason.split(' ').count() >= 2 => {
                options.update = Some(reason.clone());
            }
            [flag, text] if flag == "--only" => options.only = Some(text.clone()),
            _ => return Err(USAGE.to_owned()),
        }
    }
    Ok(options)
}

fn case(name: &str) -> &'static Case {
    CASES
        .iter()
        .find(|case| case.name == name)
        .expect("the parent names a case of the table")
}

/// Runs the steps of one case and prints the time of one, in nanoseconds.
fn run_case(case: &Case) {
    let mut step = (case.prepare)();
    for _ in 0..case.warm_up {
        step();
    }
    allocation::start();
    for _ in 0..case.steps {
        step();
    }
    let steps = u32::try_from(case.steps).expect("few");
    println!("{}", (allocation::counted_time() / steps).as_nanos());
}

fn run(options: &Options) -> Result<Vec<String>, String> {
    committed::self_test();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.tsv");
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    let committed = committed::parse(&text)?;
    if Command::new("valgrind").arg("--version").output().is_err() {
        let sentence = "valgrind is not installed (Debian: apt-get install valgrind)";
        if std::env::var_os("FURLONG_TESTS_MAY_NOT_SKIP").is_some() {
            return Err(sentence.to_owned());
        }
        println!("SKIPPED: {sentence}");
        return Ok(Vec::new());
    }
    let is_wanted = |case: &&Case| {
        options
            .only
            .as_ref()
            .is_none_or(|only| case.name.contains(only))
    };
    println!(
        "{:<52} {:>12} {:>12} {:>9}",
        "case", "instructions", "committed", "ns"
    );
    let mut counted = Vec::new();
    for case in CASES.iter().filter(is_wanted) {
        let instructions = count(case)?;
        let before = committed
            .get(case.name)
            .map_or(0, |before| before.instructions);
        let nanoseconds = output(&mut this_program(case)?)?;
        println!(
            "{:<52} {instructions:>12} {before:>12} {nanoseconds:>9}",
            case.name
        );
        counted.push((case.name, instructions));
    }
    if options.only.is_some() {
        return Ok(Vec::new());
    }
    if let Some(reason) = &options.update {
        let head: String = text
            .lines()
            .filter(|line| line.starts_with('#'))
            .map(|line| format!("{line}\n"))
            .collect();
        let new = committed::updated(&head, &committed, &counted, reason);
        std::fs::write(&file, new).map_err(|error| format!("{}: {error}", file.display()))?;
        return Ok(Vec::new());
    }
    Ok(committed::complaints(&committed, &counted))
}

fn this_program(case: &Case) -> Result<Command, String> {
    let program = std::env::current_exe().map_err(|error| format!("this program: {error}"))?;
    let mut command = Command::new(program);
    command.args(["--case", case.name]);
    Ok(command)
}

/// The instructions of one step of a case.
fn count(case: &Case) -> Result<u64, String> {
    let out = std::env::temp_dir().join(format!("furlong-instructions-{}", std::process::id()));
    let mut command = Command::new("valgrind");
    let symbol = allocation::COUNTED_SYMBOL;
    command.args(["--tool=callgrind", &format!("--toggle-collect={symbol}")]);
    command.arg(format!("--callgrind-out-file={}", out.display()));
    let alone = this_program(case)?;
    command.arg(alone.get_program()).args(alone.get_args());
    let ran = output(&mut command);
    let report = read_and_remove(&out);
    ran?;
    let total = report?
        .lines()
        .find_map(|line| {
            line.strip_prefix("summary: ")
                .or(line.strip_prefix("totals: "))
        })
        .and_then(|total| total.trim().parse::<u64>().ok())
        .ok_or("callgrind's report has no total")?;
    let steps = u64::try_from(case.steps).expect("few");
    if total < steps {
        return Err(format!("{}: callgrind saw nothing of {symbol}", case.name));
    }
    Ok(total / steps)
}

fn read_and_remove(path: &PathBuf) -> Result<String, String> {
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()));
    let _ = std::fs::remove_file(path);
    text
}

/// What a command printed, which must end well.
fn output(command: &mut Command) -> Result<String, String> {
    let done = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    if !done.status.success() {
        let errors = String::from_utf8_lossy(&done.stderr);
        return Err(format!("{command:?} ended with {}: {errors}", done.status));
    }
    Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
}
