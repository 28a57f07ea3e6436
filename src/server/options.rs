// SPDX-License-Identifier: Apache-2.0
//! The arguments of `furlong serve`, and the settings they give together with a file.
//!
//! Owns: [`ServeArguments`]. Invariants: an argument is a short form of a setting, and beats the
//! file; `--set` beats the short forms. Runs on: boot. Bounded by: the command line.

use std::fs;
use std::path::PathBuf;

use clap::Args;

use super::logging::{Format, Level};
use crate::config::server::ServerConfig;
use crate::config::size::parse_bytes;

/// What `furlong serve` can be told.
#[derive(Clone, Debug, Default, Args)]
pub struct ServeArguments {
    /// File with settings, in the form of Kafka's server.properties
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory that holds the data (the setting log.dirs)
    #[arg(long, value_name = "DIR")]
    pub data: Option<String>,
    /// Where to listen; port 0 takes a free one (the setting listeners)
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// How many cores serve data (the setting cores)
    #[arg(long, value_name = "N")]
    pub cores: Option<u16>,
    /// How much memory it may hold, like 512MiB or 2GiB (the setting memory.max.bytes)
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<String>,
    /// Form of the lines on the standard error
    #[arg(long, value_enum, default_value_t)]
    pub log_format: Format,
    /// The least level of what is said on the standard error
    #[arg(long, value_enum, default_value_t)]
    pub log_level: Level,
    /// Any setting; may be given more than once
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
}

impl ServeArguments {
    /// The settings that these arguments and their file give.
    ///
    /// # Errors
    /// A sentence, for a file that cannot be read or a setting that makes no sense.
    pub fn settings(&self) -> Result<ServerConfig, String> {
        let file = match &self.config {
            None => String::new(),
            Some(path) => fs::read_to_string(path).map_err(|error| {
                format!("cannot read the settings in {}: {error}", path.display())
            })?,
        };
        ServerConfig::parse(&file, &self.flags()?).map_err(|error| error.to_string())
    }

    fn flags(&self) -> Result<Vec<String>, String> {
        let data = self.data.iter().map(|data| format!("log.dirs={data}"));
        let listen = self.listen.iter();
        let listen = listen.map(|address| format!("listeners=PLAINTEXT://{address}"));
        let cores = self.cores.iter().map(|cores| format!("cores={cores}"));
        let memory = match &self.memory {
            None => None,
            Some(size) => {
                let bytes =
                    parse_bytes(size).map_err(|sentence| format!("--memory: {sentence}"))?;
                Some(format!("memory.max.bytes={bytes}"))
            }
        };
        let short = data.chain(listen).chain(cores).chain(memory);
        Ok(short.chain(self.settings.iter().cloned()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_given_is_the_promised_default() {
        let config = ServeArguments::default().settings().expect("defaults");
        assert_eq!(config.data_directory, "./furlong-data");
        assert_eq!(
            (&*config.listen.host, config.listen.port),
            ("127.0.0.1", 9092)
        );
        assert_eq!((config.cores, config.memory_bytes_max), (None, None));
    }

    #[test]
    fn arguments_beat_the_file_and_set_beats_arguments() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("server.properties");
        fs::write(&path, "log.dirs=/one\nnode.id=7\ncores=3\n").expect("write");
        let arguments = ServeArguments {
            config: Some(path),
            data: Some("/two".into()),
            listen: Some("127.0.0.1:0".into()),
            cores: Some(2),
            memory: Some("1GiB".into()),
            settings: vec!["cores=4".into()],
            ..ServeArguments::default()
        };
        let config = arguments.settings().expect("settings");
        assert_eq!(config.memory_bytes_max, Some(1 << 30));
        assert_eq!(config.data_directory, "/two");
        assert_eq!(config.node_id.0, 7);
        assert_eq!((config.listen.port, config.cores), (0, Some(4)));
    }

    #[test]
    fn mistakes_are_sentences() {
        let missing = ServeArguments {
            config: Some("/nowhere/at.all".into()),
            ..ServeArguments::default()
        };
        let sentence = missing.settings().expect_err("missing");
        assert!(sentence.contains("/nowhere/at.all"), "{sentence}");
        let odd = ServeArguments {
            memory: Some("much".into()),
            ..ServeArguments::default()
        };
        let sentence = odd.settings().expect_err("no size");
        assert!(
            sentence.contains("--memory") && sentence.contains("2GiB"),
            "{sentence}"
        );
        let unknown = ServeArguments {
            settings: vec!["num.partition=3".into()],
            ..ServeArguments::default()
        };
        let sentence = unknown.settings().expect_err("unknown");
        assert!(sentence.contains("num.partitions"), "{sentence}");
    }
}
