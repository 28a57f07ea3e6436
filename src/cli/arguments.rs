// SPDX-License-Identifier: Apache-2.0
//! Arguments that many commands have: the cluster, the topic, the form of the output.
//!
//! Owns: [`BootstrapArguments`], [`TopicArgument`], [`Format`]. Invariants: an address of the
//! command line beats a profile of the command line, which beats the environment, which beats the
//! profile that the file names as its default. Runs on: the command's thread. Bounded by: the
//! command line and the environment.

use std::env;

use clap::{Args, ValueEnum};

use super::CliError;
use super::client::cluster::Cluster;
use super::profile::{Profiles, profiles_path};

/// The address where nothing else is said.
const BOOTSTRAP_DEFAULT: &str = "127.0.0.1:9092";

/// Variable with the address of brokers to ask first.
pub const BOOTSTRAP_VARIABLE: &str = "FURLONG_BOOTSTRAP_SERVER";
/// Variable with the name of a profile.
pub const PROFILE_VARIABLE: &str = "FURLONG_PROFILE";

/// Where the cluster is.
#[derive(Clone, Debug, Default, Args)]
pub struct BootstrapArguments {
    /// Brokers to ask first: host:port, several with commas (127.0.0.1:9092 if nothing else says
    /// it; also the variable FURLONG_BOOTSTRAP_SERVER)
    #[arg(short = 'b', long = "bootstrap-server", value_name = "HOST:PORT")]
    pub bootstrap_server: Option<String>,
    /// A cluster that ~/.config/furlong/profiles.toml names (also the variable FURLONG_PROFILE)
    #[arg(long, value_name = "NAME", conflicts_with = "bootstrap_server")]
    pub profile: Option<String>,
}

impl BootstrapArguments {
    /// Connects to the cluster.
    pub fn connect(&self) -> Result<Cluster, CliError> {
        Ok(Cluster::connect(
            &self.addresses(|name| env::var(name).ok())?,
        )?)
    }

    /// The addresses to ask first.
    fn addresses(&self, variable: impl Fn(&str) -> Option<String>) -> Result<String, CliError> {
        if let Some(address) = &self.bootstrap_server {
            return Ok(address.clone());
        }
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let (address, profile) = (variable(BOOTSTRAP_VARIABLE), variable(PROFILE_VARIABLE));
        let wanted = match (&self.profile, address) {
            (Some(name), _) => Some(name.clone()),
            (None, Some(address)) => return Ok(address),
            (None, None) => profile,
        };
        let profiles = match profiles_path(&variable) {
            Some(path) => Profiles::read(&path)?,
            None => Profiles::default(),
        };
        let found = profiles.address(wanted.as_deref())?;
        Ok(found.unwrap_or(BOOTSTRAP_DEFAULT).to_owned())
    }
}

/// The topic of a command, with or without the name of the option.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
pub struct TopicArgument {
    /// The topic
    #[arg(value_name = "TOPIC")]
    pub name: Option<String>,
    /// The topic
    #[arg(short = 't', long = "topic", value_name = "TOPIC")]
    pub topic: Option<String>,
}

impl TopicArgument {
    /// The name, however it was given.
    #[must_use]
    pub fn get(&self) -> &str {
        self.topic
            .as_deref()
            .or(self.name.as_deref())
            .expect("one of the two is required")
    }
}

/// The form of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// For programs
    Json,
}

/// How to print.
#[derive(Clone, Debug, Args)]
pub struct FormatArguments {
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

/// `NAME=VALUE`, as a value of an option.
pub(super) fn parse_setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_string(), value.to_string())),
        _ => Err("give NAME=VALUE".to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearer_word_counts() {
        let home = tempfile::tempdir().expect("a temporary directory");
        let directory = home.path().join("furlong");
        std::fs::create_dir(&directory).expect("a directory");
        let file = "default = \"one\"\n[one]\nbootstrap-server = \"a:1\"\n\
                    [two]\nbootstrap-server = [\"b:2\", \"c:3\"]\n";
        std::fs::write(directory.join("profiles.toml"), file).expect("a file");
        let config = home.path().display().to_string();
        let address = |flag: Option<&str>, profile: Option<&str>, more: &[(&str, &str)]| {
            let arguments = BootstrapArguments {
                bootstrap_server: flag.map(str::to_owned),
                profile: profile.map(str::to_owned),
            };
            let variable = |name: &str| match name {
                "XDG_CONFIG_HOME" => Some(config.clone()),
                _ => more
                    .iter()
                    .find(|one| one.0 == name)
                    .map(|one| one.1.to_owned()),
            };
            arguments
                .addresses(variable)
                .map_err(|error| error.to_string())
        };
        let both = [(BOOTSTRAP_VARIABLE, "d:4"), (PROFILE_VARIABLE, "two")];
        assert_eq!(address(Some("e:5"), None, &both).as_deref(), Ok("e:5"));
        assert_eq!(address(None, Some("two"), &both).as_deref(), Ok("b:2,c:3"));
        assert_eq!(address(None, None, &both).as_deref(), Ok("d:4"));
        assert_eq!(address(None, None, &both[1..]).as_deref(), Ok("b:2,c:3"));
        assert_eq!(address(None, None, &[]).as_deref(), Ok("a:1"));
        let unknown = address(None, Some("tow"), &[]).expect_err("no such profile");
        assert!(
            unknown.contains("tow") && unknown.contains("one, two"),
            "{unknown}"
        );
        let nowhere = BootstrapArguments::default()
            .addresses(|_| None)
            .expect("the default");
        assert_eq!(nowhere, BOOTSTRAP_DEFAULT);
    }
}
