// SPDX-License-Identifier: Apache-2.0
//! `furlong-crash`: power cuts and kills for the real broker, with a checker that knows what was
//! acknowledged. Explained in `tests/README.md`; `tests/crash/run` builds and starts it.

mod after;
mod broker;
mod check;
mod client;
mod device;
mod history;
mod kill;
mod load;
mod plan;
mod power_cut;
mod prng;
mod producer;
mod read;
mod report;
mod tails;
mod topics;

use clap::{Args, Parser, Subcommand};
use device::volume::FileSystem;
use report::Report;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Crashes a broker and checks that nothing acknowledged is lost.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Cuts the power of a disk that logs its writes (needs root)
    PowerCut {
        /// How many cuts
        #[arg(long, default_value_t = 25)]
        cuts: u64,
        /// The file system under the broker
        #[arg(long, value_enum)]
        fs: FileSystem,
        /// Make XFS with reflink=1
        #[arg(long)]
        reflink: bool,
        #[command(flatten)]
        options: Options,
    },
    /// Kills the process with signal 9
    Kill {
        /// How many kills
        #[arg(long, default_value_t = 20)]
        count: u64,
        #[command(flatten)]
        options: Options,
    },
}

#[derive(Args)]
struct Options {
    /// What everything that is drawn follows from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The broker to crash
    #[arg(long)]
    broker: PathBuf,
    /// The broker is the release build of this tree
    #[arg(long, hide = true)]
    own_build: bool,
    /// Write the result into tests/crash/runs
    #[arg(long)]
    record: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let name = format!("furlong-crash-{}", std::process::id());
    let scratch = std::env::temp_dir().join(name);
    let outcome = execute(arguments.command, scratch.clone());
    kill::clean(&scratch);
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(sentence) => {
            eprintln!("furlong-crash: {sentence}");
            ExitCode::from(2)
        }
    }
}

/// True if all was well.
fn execute(command: Command, scratch: PathBuf) -> Result<bool, String> {
    std::fs::create_dir_all(&scratch)
        .map_err(|error| format!("cannot make {}: {error}", scratch.display()))?;
    match command {
        Command::PowerCut {
            cuts,
            fs,
            reflink,
            options,
        } => {
            let (seed, kind) = (options.seed, fs.name());
            let name = format!("power-cut-{kind}{}", if reflink { "-reflink" } else { "" });
            let again = format!(
                "tests/crash/run power-cut --cuts {cuts} --fs {kind} --seed {seed}{}",
                if reflink { " --reflink" } else { "" }
            );
            let asked = json!({
                "what": "power-cut", "cuts": cuts, "file_system": kind, "reflink": reflink,
                "seed": seed,
            });
            let order = power_cut::Order {
                cuts,
                kind: fs,
                reflink,
                seed,
                broker: options.broker.clone(),
                scratch,
            };
            let mut report = Report::new(again, asked);
            let result = power_cut::run(&order, &mut report);
            conclude(result, &mut report, &name, &options)
        }
        Command::Kill { count, options } => {
            let seed = options.seed;
            let again = format!("tests/crash/run kill --count {count} --seed {seed}");
            let asked = json!({ "what": "kill", "kills": count, "seed": seed });
            let order = kill::Order {
                count,
                seed,
                broker: options.broker.clone(),
                scratch,
            };
            let mut report = Report::new(again, asked);
            let result = kill::run(&order, &mut report);
            conclude(result, &mut report, "kill", &options)
        }
    }
}

/// A run that could not go on is a violation too: the broker did something that it must not, or
/// the rig did; either way nothing is shown.
fn conclude(
    result: Result<(), String>,
    report: &mut Report,
    name: &str,
    options: &Options,
) -> Result<bool, String> {
    if let Err(sentence) = result {
        report.add_violations("the run ended early", vec![sentence]);
    }
    report.finish(name, &options.broker, options.own_build, options.record)
}
