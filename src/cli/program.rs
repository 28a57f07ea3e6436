// SPDX-License-Identifier: Apache-2.0
//! The whole command line, and what is made of its description: completions and manual pages.
//!
//! Owns: [`Program`], `furlong completions`, `furlong man`. Invariants: both are made from what the
//! program really understands. Runs on: the main thread. Bounded by: the description.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use clap_mangen::Man;

use super::output::print;
use super::{CliError, Command, print_config};

/// A Kafka-compatible log broker for Linux, and commands for it
#[derive(Debug, Parser)]
#[command(
    name = "furlong",
    version,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 it was done, 1 it failed, 2 the command line was not understood."
)]
pub struct Program {
    /// What to do.
    #[command(subcommand)]
    pub command: ProgramCommand,
}

/// What the program can be told to do.
#[derive(Debug, Subcommand)]
pub enum ProgramCommand {
    /// Runs the broker until it is asked to stop (SIGINT or SIGTERM)
    Serve(print_config::ServeCommand),
    #[command(flatten)]
    /// Everything else.
    Client(Command),
}

/// Arguments of `furlong completions`.
#[derive(Clone, Debug, Args)]
pub struct CompletionsArguments {
    /// The shell that shall complete
    #[arg(value_name = "bash|zsh|fish")]
    shell: Shell,
}

/// Arguments of `furlong man`.
#[derive(Clone, Debug, Args)]
pub struct ManArguments {
    /// Writes a page for each command into this directory; without it, one page is printed
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The command whose page is printed, such as "topic create"; the whole program if not given
    #[arg(value_name = "COMMAND", conflicts_with = "out")]
    command: Vec<String>,
}

/// Prints what a shell reads to complete the commands of this program.
pub fn completions(arguments: &CompletionsArguments) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(
        arguments.shell,
        &mut Program::command(),
        "furlong",
        &mut script,
    );
    print(|output| output.write_all(&script))
}

/// Prints a manual page, or writes all of them.
pub fn man(arguments: &ManArguments) -> Result<(), CliError> {
    let mut whole = Program::command();
    whole.build();
    if let Some(directory) = &arguments.out {
        fs::create_dir_all(directory).map_err(|error| failed(directory, &error))?;
        return write_pages(&whole, "furlong", directory);
    }
    let mut command = &whole;
    let mut name = "furlong".to_owned();
    for word in arguments.command.iter().flat_map(|words| words.split(' ')) {
        command = command.find_subcommand(word).ok_or_else(|| {
            CliError::usage(format!(
                "{name} has no command {word}; `{name} --help` names them"
            ))
        })?;
        name = format!("{name}-{word}");
    }
    let page = page(command, &name)?;
    print(|output| output.write_all(&page))
}

fn write_pages(command: &clap::Command, name: &str, directory: &Path) -> Result<(), CliError> {
    let path = directory.join(format!("{name}.1"));
    fs::write(&path, page(command, name)?).map_err(|error| failed(&path, &error))?;
    for below in command.get_subcommands() {
        if below.get_name() != "help" {
            write_pages(below, &format!("{name}-{}", below.get_name()), directory)?;
        }
    }
    Ok(())
}

fn page(command: &clap::Command, name: &str) -> Result<Vec<u8>, CliError> {
    let mut page = Vec::new();
    let man = Man::new(command.clone()).title(name.to_ascii_uppercase());
    man.render(&mut page)
        .map_err(|error| CliError::new(format!("the page of {name} cannot be made: {error}")))?;
    Ok(page)
}

fn failed(path: &Path, error: &std::io::Error) -> CliError {
    CliError::new(format!("{} cannot be written: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_is_consistent() {
        Program::command().debug_assert();
    }

    #[test]
    fn every_command_has_a_page_with_its_name() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let arguments = ManArguments {
            out: Some(directory.path().to_path_buf()),
            command: Vec::new(),
        };
        man(&arguments).expect("pages");
        for name in [
            "furlong",
            "furlong-serve",
            "furlong-topic-create",
            "furlong-log-verify",
        ] {
            let page = fs::read_to_string(directory.path().join(format!("{name}.1")));
            let page = page.expect("a page");
            assert!(page.contains(".TH") && page.contains("SYNOPSIS"), "{name}");
        }
    }

    /// Programs can read what every command of these says, and whoever is to change something can
    /// see it before.
    #[test]
    fn what_shows_has_a_form_for_programs_and_what_changes_has_a_preview() {
        const SHOWS: [&str; 6] = [
            "list",
            "describe",
            "offsets",
            "find-hanging",
            "watch",
            "help",
        ];
        let whole = Program::command();
        let mut seen = 0;
        for head in [
            "topic", "config", "group", "txn", "quota", "shard", "cluster",
        ] {
            let head = whole.find_subcommand(head).expect("it is there");
            for command in head.get_subcommands() {
                let name = format!("{} {}", head.get_name(), command.get_name());
                let argument = |name: &str| {
                    let mut all = command.get_arguments();
                    all.find(|one| one.get_long() == Some(name))
                };
                let format = argument("format").unwrap_or_else(|| panic!("{name}: no --format"));
                let values = format.get_possible_values();
                assert!(
                    values.iter().any(|value| value.get_name() == "json"),
                    "{name}: no --format json"
                );
                let shows = SHOWS.contains(&command.get_name());
                assert_eq!(argument("dry-run").is_none(), shows, "{name}: --dry-run");
                seen += 1;
            }
        }
        assert!(seen >= 25, "{seen} commands");
    }

    #[test]
    fn an_unknown_command_has_no_page() {
        let arguments = ManArguments {
            out: None,
            command: vec!["topic".into(), "rename".into()],
        };
        let error = man(&arguments).expect_err("no such command");
        assert_eq!(error.exit_code(), 2);
        assert!(
            error
                .to_string()
                .contains("furlong-topic has no command rename"),
            "{error}"
        );
    }
}
