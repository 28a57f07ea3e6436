// SPDX-License-Identifier: Apache-2.0
//! Profiles: names for clusters, in a file of the person at the terminal.
//!
//! ```toml
//! default = "home"
//!
//! [home]
//! bootstrap-server = "127.0.0.1:9092"
//!
//! [work]
//! bootstrap-server = ["kafka-1:9092", "kafka-2:9092"]
//! ```
//!
//! Owns: reading that file, `furlong profile list`. Invariants: a word that is not understood is an
//! error, never passed over. Runs on: the command's thread. Bounded by: `SETTINGS_FILE_BYTES_MAX`.

use std::collections::BTreeMap;
use std::env;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::json;
use toml::{Table as TomlTable, Value};

use super::CliError;
use super::arguments::{Format, FormatArguments};
use super::output::{Table, print, write_json};
use crate::limits::SETTINGS_FILE_BYTES_MAX;

/// What can be done with profiles.
#[derive(Clone, Debug, Subcommand)]
pub enum ProfileCommand {
    /// Prints the clusters that profiles.toml names, and where that file is
    List(FormatArguments),
}

/// The clusters that a file names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profiles {
    path: PathBuf,
    default: Option<String>,
    addresses: BTreeMap<String, String>,
}

/// Where the file is: `$XDG_CONFIG_HOME/furlong/profiles.toml`, or below `~/.config`.
pub fn profiles_path(variable: &impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let absolute = |path: &PathBuf| path.is_absolute();
    let xdg = variable("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .filter(absolute);
    let home = || variable("HOME").map(|home| Path::new(&home).join(".config"));
    Some(xdg.or_else(home)?.join("furlong").join("profiles.toml"))
}

impl Profiles {
    /// Reads the file; none is the same as an empty one.
    pub fn read(path: &Path) -> Result<Profiles, CliError> {
        let failed = |error| CliError::new(format!("{} cannot be read: {error}", path.display()));
        let mut text = String::new();
        match File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
            Ok(file) => {
                let mut bounded = file.take(SETTINGS_FILE_BYTES_MAX);
                bounded.read_to_string(&mut text).map_err(failed)?;
            }
        }
        let parsed = Profiles::parse(&text)
            .map_err(|sentence| CliError::new(format!("{}: {sentence}", path.display())))?;
        Ok(Profiles {
            path: path.to_path_buf(),
            ..parsed
        })
    }

    fn parse(text: &str) -> Result<Profiles, String> {
        let table: TomlTable = text
            .parse()
            .map_err(|error: toml::de::Error| format!("this is no TOML: {}", error.message()))?;
        let mut profiles = Profiles::default();
        for (name, value) in table {
            match value {
                Value::String(default) if name == "default" => profiles.default = Some(default),
                Value::Table(profile) => {
                    let address = address_of(&name, profile)?;
                    profiles.addresses.insert(name, address);
                }
                _ => {
                    return Err(format!(
                        "{name} is no profile; write [{name}] and under it \
                         bootstrap-server = \"host:port\""
                    ));
                }
            }
        }
        if let Some(default) = &profiles.default
            && !profiles.addresses.contains_key(default)
        {
            return Err(format!(
                "default names the profile {default}, which is not there"
            ));
        }
        Ok(profiles)
    }

    /// The address of a profile, or of the default one; `None` if no profile was asked for and
    /// there is no default.
    pub fn address(&self, wanted: Option<&str>) -> Result<Option<&str>, CliError> {
        let Some(name) = wanted.or(self.default.as_deref()) else {
            return Ok(None);
        };
        let found = self.addresses.get(name).map(String::as_str);
        found.map(Some).ok_or_else(|| {
            let path = self.path.display();
            let names: Vec<&str> = self.addresses.keys().map(String::as_str).collect();
            let there = match names.is_empty() {
                true => "it names none".to_owned(),
                false => format!("there are {}", names.join(", ")),
            };
            CliError::usage(format!(
                "there is no profile {name} in {path}: {there}; write [{name}] and under it \
                 bootstrap-server = \"host:port\""
            ))
        })
    }
}

fn address_of(name: &str, profile: TomlTable) -> Result<String, String> {
    let mut address = None;
    for (key, value) in profile {
        if key != "bootstrap-server" {
            return Err(format!(
                "the profile {name} has {key}; only bootstrap-server is known"
            ));
        }
        address = match value {
            Value::String(text) => Some(text),
            Value::Array(parts) => {
                let parts: Option<Vec<&str>> = parts.iter().map(Value::as_str).collect();
                parts.map(|parts| parts.join(","))
            }
            _ => None,
        };
    }
    address.ok_or_else(|| format!("the profile {name} needs bootstrap-server = \"host:port\""))
}

/// Carries out the command.
pub fn run(command: &ProfileCommand) -> Result<(), CliError> {
    let ProfileCommand::List(arguments) = command;
    let Some(path) = profiles_path(&|name| env::var(name).ok()) else {
        return Err(CliError::new(
            "neither XDG_CONFIG_HOME nor HOME says where profiles.toml is",
        ));
    };
    let profiles = Profiles::read(&path)?;
    let is_default = |name: &String| profiles.default.as_ref() == Some(name);
    print(|output| match arguments.format {
        Format::Table => {
            writeln!(output, "{}", path.display())?;
            let mut table = Table::new(&["PROFILE", "BOOTSTRAP SERVER", "DEFAULT"]);
            for (name, address) in &profiles.addresses {
                let mark = if is_default(name) { "yes" } else { "" };
                table.row([name.as_str(), address, mark]);
            }
            table.write(output)
        }
        Format::Json => {
            let all = profiles.addresses.iter().map(|(name, address)| {
                json!({"name": name, "bootstrap_server": address, "default": is_default(name)})
            });
            write_json(&all.collect(), output)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_understood_is_refused() {
        for (text, part) in [
            ("x", "no TOML"),
            ("home = \"a:1\"", "write [home]"),
            ("[home]\n", "needs bootstrap-server"),
            ("[home]\nbootstrap-server = 5", "needs bootstrap-server"),
            (
                "[home]\nbootstrap-server = \"a\"\nuser = \"me\"",
                "only bootstrap-server",
            ),
            ("default = \"away\"", "away, which is not there"),
        ] {
            let sentence = Profiles::parse(text).expect_err(text);
            assert!(sentence.contains(part), "{text}: {sentence}");
        }
        assert_eq!(Profiles::parse(""), Ok(Profiles::default()));
    }

    #[test]
    fn the_file_is_where_xdg_says() {
        let path = |xdg: Option<&str>, home: Option<&str>| {
            let variable = |name: &str| match name {
                "XDG_CONFIG_HOME" => xdg.map(str::to_owned),
                _ => home.map(str::to_owned),
            };
            profiles_path(&variable).map(|path| path.display().to_string())
        };
        let given = path(Some("/x"), Some("/h"));
        assert_eq!(given.as_deref(), Some("/x/furlong/profiles.toml"));
        // A relative path there is to be passed over.
        let home = path(Some("x"), Some("/h"));
        assert_eq!(home.as_deref(), Some("/h/.config/furlong/profiles.toml"));
        assert_eq!(path(None, None), None);
    }
}
