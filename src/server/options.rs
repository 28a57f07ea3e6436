// SPDX-License-Identifier: Apache-2.0
//! The arguments of `furlong serve`, and the settings they give together with the environment and a
//! file.
//!
//! Owns: [`ServeArguments`]. Invariants: an argument is a short form of a setting, and beats the
//! environment, which beats the file; `--set` beats the short forms. Runs on: boot. Bounded by: the
//! command line, `SETTINGS_FILE_BYTES_MAX`.

use std::env;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;

use super::logging::{Format, Level};
use crate::config::given::{FileForm, GivenSettings};
use crate::config::server::ServerConfig;
use crate::config::size::parse_bytes;
use crate::limits::SETTINGS_FILE_BYTES_MAX;

/// What `furlong serve` can be told.
#[derive(Clone, Debug, Default, Args)]
pub struct ServeArguments {
    /// File with settings, in the form of Kafka's server.properties, or TOML if it is called .toml
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory that holds the data (the setting log.dirs)
    #[arg(long, value_name = "DIR")]
    pub data: Option<String>,
    /// Where to listen; port 0 takes a free one (the setting listeners)
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// How many cores serve data, or which, like 0-3,6 (the setting cores)
    #[arg(long, value_name = "N|LIST")]
    pub cores: Option<String>,
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
    /// The settings that these arguments, the environment and the file give.
    ///
    /// # Errors
    /// A sentence, for a file that cannot be read or a setting that makes no sense.
    pub fn settings(&self) -> Result<ServerConfig, String> {
        ServerConfig::of(&self.given()?).map_err(|error| error.to_string())
    }

    /// The same, not judged yet, each with its place.
    ///
    /// # Errors
    /// A sentence, for a file or a flag that cannot be read.
    pub fn given(&self) -> Result<GivenSettings, String> {
        let variables = env::vars_os();
        let text = variables.filter_map(|(name, value)| {
            // What is not text is no setting of ours.
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        self.given_with(text)
    }

    fn given_with(
        &self,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<GivenSettings, String> {
        let mut given = GivenSettings::default();
        if let Some(path) = &self.config {
            let is_toml = path.extension().is_some_and(|ending| ending == "toml");
            let form = match is_toml {
                true => FileForm::Toml,
                false => FileForm::Properties,
            };
            let name = path.display();
            let added = given.add_file(&name.to_string(), &read(path)?, form);
            added.map_err(|error| format!("{name}: {error}"))?;
        }
        given.add_environment(environment);
        let flags = self.flags()?;
        let flags = flags.iter().map(|(flag, given)| (*flag, given.as_str()));
        given.add_flags(flags).map_err(|error| error.to_string())?;
        Ok(given)
    }

    fn flags(&self) -> Result<Vec<(&'static str, String)>, String> {
        let mut flags = Vec::new();
        if let Some(data) = &self.data {
            flags.push(("--data", format!("log.dirs={data}")));
        }
        if let Some(address) = &self.listen {
            flags.push(("--listen", format!("listeners=PLAINTEXT://{address}")));
        }
        if let Some(cores) = &self.cores {
            flags.push(("--cores", format!("cores={cores}")));
        }
        if let Some(size) = &self.memory {
            let bytes = parse_bytes(size).map_err(|sentence| format!("--memory: {sentence}"))?;
            flags.push(("--memory", format!("memory.max.bytes={bytes}")));
        }
        flags.extend(self.settings.iter().map(|set| ("--set", set.clone())));
        Ok(flags)
    }
}

fn read(path: &Path) -> Result<String, String> {
    let name = path.display();
    let failed = |error| format!("cannot read the settings in {name}: {error}");
    let file = File::open(path).map_err(failed)?;
    let mut text = String::new();
    let mut bounded = file.take(SETTINGS_FILE_BYTES_MAX + 1);
    let read = bounded.read_to_string(&mut text).map_err(failed)?;
    if u64::try_from(read).is_ok_and(|read| read <= SETTINGS_FILE_BYTES_MAX) {
        return Ok(text);
    }
    Err(format!(
        "{name} is larger than {SETTINGS_FILE_BYTES_MAX} bytes: is it a file of settings?"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::cores::CoreChoice;

    #[test]
    fn nothing_given_is_the_promised_default() {
        let config = ServeArguments::default().settings().expect("defaults");
        assert_eq!(config.data_directory, "./furlong-data");
        assert_eq!(
            (&*config.listen.host, config.listen.port),
            ("127.0.0.1", 9092)
        );
        assert_eq!(
            (config.cores, config.memory_bytes_max),
            (CoreChoice::All, None)
        );
    }

    #[test]
    fn arguments_beat_the_file_and_set_beats_arguments() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("server.properties");
        std::fs::write(&path, "log.dirs=/one\nnode.id=7\ncores=3\n").expect("write");
        let arguments = ServeArguments {
            config: Some(path),
            data: Some("/two".into()),
            listen: Some("127.0.0.1:0".into()),
            cores: Some("2".into()),
            memory: Some("1GiB".into()),
            settings: vec!["cores=4".into()],
            ..ServeArguments::default()
        };
        let config = arguments.settings().expect("settings");
        assert_eq!(config.memory_bytes_max, Some(1 << 30));
        assert_eq!(config.data_directory, "/two");
        assert_eq!(config.node_id.0, 7);
        assert_eq!(
            (config.listen.port, config.cores),
            (0, CoreChoice::Count(4))
        );
    }

    #[test]
    fn the_environment_stands_between_flags_and_the_file() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("server.toml");
        std::fs::write(&path, "node.id = 7\ncores = 3\n[log]\ndirs = \"/one\"\n").expect("write");
        let arguments = ServeArguments {
            config: Some(path),
            cores: Some("0-1".into()),
            ..ServeArguments::default()
        };
        let environment = [
            ("FURLONG_CORES", "9"),
            ("FURLONG_NODE_ID", "8"),
            ("PATH", "x"),
        ];
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let given = arguments.given_with(environment.into_iter().map(owned));
        let given = given.expect("a good file");
        let origin = |name| given.origin(name).map(ToString::to_string);
        assert_eq!(origin("cores").as_deref(), Some("flag --cores"));
        assert_eq!(
            origin("node.id").as_deref(),
            Some("environment FURLONG_NODE_ID")
        );
        let config = ServerConfig::of(&given).expect("settings");
        let both = CoreChoice::These(vec![0, 1]);
        assert_eq!((config.node_id.0, config.cores), (8, both));
        assert_eq!(config.data_directory, "/one");
    }

    #[test]
    fn mistakes_are_sentences() {
        let missing = ServeArguments {
            config: Some("/nowhere/at.all".into()),
            ..ServeArguments::default()
        };
        let sentence = missing.settings().expect_err("missing");
        assert!(sentence.contains("/nowhere/at.all"), "{sentence}");
        let endless = ServeArguments {
            config: Some("/dev/zero".into()),
            ..ServeArguments::default()
        };
        let sentence = endless.settings().expect_err("endless");
        assert!(sentence.contains("is it a file of settings?"), "{sentence}");
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
