// SPDX-License-Identifier: Apache-2.0
//! The settings that a server was started with, and where each came from.
//!
//! Owns: [`GivenSettings`], [`Origin`], the names of environment variables. Invariants: flags beat
//! the environment, which beats the file; a place that gives one of several names for the same
//! thing hides what weaker places say under the others.
//! Runs on: the start of the process. Bounded by: the text handed in.

use std::collections::BTreeMap;
use std::fmt;

use bytestring::ByteString;

use super::broker::names_of;
use super::definition::ConfigError;
use super::layers::Settings;
use super::{properties, toml_file};

/// How the names of environment variables begin that give settings.
pub const ENVIRONMENT_PREFIX: &str = "FURLONG_";

/// Variables with that beginning which are no settings: they speak to the commands and the tests.
const ENVIRONMENT_RESERVED: &[&str] = &[
    "FURLONG_BOOTSTRAP_SERVER",
    "FURLONG_PROFILE",
    "FURLONG_REWRITE_GOLDEN",
    "FURLONG_SIM_",
    "FURLONG_TESTS_",
];

/// The form of a settings file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileForm {
    /// As Kafka's `server.properties`.
    Properties,
    /// TOML.
    Toml,
}

/// Where a setting was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In a file; with its line where that is known.
    File(Box<str>, Option<usize>),
    /// By this environment variable.
    Environment(Box<str>),
    /// By this flag of the command line.
    Flag(Box<str>),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File(name, None) => write!(f, "file {name}"),
            Origin::File(name, Some(line)) => write!(f, "file {name}, line {line}"),
            Origin::Environment(name) => write!(f, "environment {name}"),
            Origin::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// The settings that were given, each with its place. Places are added from the weakest (the file)
/// to the strongest (flags).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GivenSettings {
    values: Settings,
    origins: BTreeMap<ByteString, Origin>,
}

impl GivenSettings {
    /// Adds the text of a file. Of a name that it gives twice the last one counts, as in Java.
    ///
    /// # Errors
    /// If the text is not of the form.
    pub fn add_file(&mut self, file: &str, text: &str, form: FileForm) -> Result<(), ConfigError> {
        let mut layer = BTreeMap::new();
        match form {
            FileForm::Properties => {
                for one in properties::parse(text)? {
                    let origin = Origin::File(file.into(), Some(one.line));
                    layer.insert(one.name, (one.value, origin));
                }
            }
            FileForm::Toml => {
                for (name, value) in toml_file::parse(text)? {
                    layer.insert(name, (value, Origin::File(file.into(), None)));
                }
            }
        }
        self.add(layer);
        Ok(())
    }

    /// Adds environment variables; those that give no settings are passed over.
    pub fn add_environment(&mut self, variables: impl IntoIterator<Item = (String, String)>) {
        let given = variables.into_iter().filter_map(|(variable, value)| {
            let name = setting_of_variable(&variable)?;
            let origin = Origin::Environment(variable.as_str().into());
            Some((ByteString::from(name), (value.into(), origin)))
        });
        self.add(given.collect());
    }

    /// Adds flags, each as it is called and with its `key=value`; a later one beats an earlier.
    ///
    /// # Errors
    /// If one is not of the form `key=value`.
    pub fn add_flags<'a>(
        &mut self,
        flags: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), ConfigError> {
        for (flag, assignment) in flags {
            let (name, value) = properties::parse_assignment(assignment)?;
            let given = (value, Origin::Flag(flag.into()));
            self.add(BTreeMap::from([(name, given)]));
        }
        Ok(())
    }

    fn add(&mut self, layer: BTreeMap<ByteString, (ByteString, Origin)>) {
        for name in layer.keys() {
            for hidden in names_of(name) {
                self.values.remove(*hidden);
                self.origins.remove(*hidden);
            }
        }
        for (name, (value, origin)) in layer {
            // As Kafka does; no setting has a value that begins or ends with white space.
            self.values.insert(name.clone(), value.trim().into());
            self.origins.insert(name, origin);
        }
    }

    /// The values by name.
    #[must_use]
    pub fn values(&self) -> &Settings {
        &self.values
    }

    /// Where a setting was given, if it was.
    #[must_use]
    pub fn origin(&self, name: &str) -> Option<&Origin> {
        self.origins.get(name)
    }
}

/// The setting that an environment variable gives: `FURLONG_LOG_RETENTION_MS` is
/// `log.retention.ms`. Two underscores stand for one, three for a hyphen.
#[must_use]
pub fn setting_of_variable(variable: &str) -> Option<String> {
    let rest = variable.strip_prefix(ENVIRONMENT_PREFIX)?;
    let is_reserved = ENVIRONMENT_RESERVED
        .iter()
        .any(|name| match name.ends_with('_') {
            true => variable.starts_with(name),
            false => variable == *name,
        });
    if rest.is_empty() || is_reserved {
        return None;
    }
    let lower = rest.to_ascii_lowercase();
    // What stands for an underscore must not be taken for one.
    let marked = lower.replace("___", "-").replace("__", "\0");
    Some(marked.replace('_', ".").replace('\0', "_"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn given(file: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> GivenSettings {
        let mut given = GivenSettings::default();
        given
            .add_file("f", file, FileForm::Properties)
            .expect("a good file");
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        given.add_environment(environment.iter().map(owned));
        given.add_flags(flags.iter().copied()).expect("good flags");
        given
    }

    fn value(given: &GivenSettings, name: &str) -> Option<String> {
        given.values().get(name).map(ToString::to_string)
    }

    #[test]
    fn flags_beat_the_environment_which_beats_the_file() {
        let all = given(
            "a.b=1\nc=2\nd = 3 \n",
            &[("FURLONG_A_B", "4"), ("FURLONG_C", "5"), ("HOME", "x")],
            &[("--set", "a.b=6"), ("--set", "a.b=7")],
        );
        assert_eq!(value(&all, "a.b").as_deref(), Some("7"));
        assert_eq!(value(&all, "c").as_deref(), Some("5"));
        assert_eq!(value(&all, "d").as_deref(), Some("3"));
        let told = |name| all.origin(name).expect("it was given").to_string();
        assert_eq!(told("a.b"), "flag --set");
        assert_eq!(told("c"), "environment FURLONG_C");
        assert_eq!(told("d"), "file f, line 3");
        assert_eq!((all.values().len(), all.origin("home")), (3, None));
    }

    #[test]
    fn another_name_of_the_same_thing_is_hidden_by_a_stronger_place() {
        let all = given(
            "log.retention.ms=1\nlog.dir=/a\nlog.roll.ms=5\nlog.roll.hours=6\nbroker.id=3",
            &[("FURLONG_LOG_RETENTION_HOURS", "2")],
            &[("--data", "log.dirs=/b"), ("--set", "node.id=4")],
        );
        assert_eq!(value(&all, "log.retention.ms"), None);
        assert_eq!(value(&all, "log.retention.hours").as_deref(), Some("2"));
        assert_eq!(
            (value(&all, "log.dir"), value(&all, "broker.id")),
            (None, None)
        );
        assert_eq!(
            value(&all, "log.roll.ms").as_deref(),
            Some("5"),
            "one place, both stay"
        );
        assert_eq!(value(&all, "log.roll.hours").as_deref(), Some("6"));
    }

    #[test]
    fn both_forms_of_files_give_the_same() {
        let mut toml = GivenSettings::default();
        let text = "[log.retention]\nms = 5\n";
        toml.add_file("f.toml", text, FileForm::Toml)
            .expect("good TOML");
        let properties = given("log.retention.ms=5", &[], &[]);
        assert_eq!(toml.values(), properties.values());
        let origin = toml.origin("log.retention.ms").map(ToString::to_string);
        assert_eq!(origin.as_deref(), Some("file f.toml"));
    }

    #[test]
    fn variables_name_settings() {
        for (variable, name) in [
            ("FURLONG_LOG_RETENTION_MS", Some("log.retention.ms")),
            ("FURLONG_NODE_ID", Some("node.id")),
            ("FURLONG_A__B___C_D", Some("a_b-c.d")),
            ("FURLONG_", None),
            ("FURLONG_PROFILE", None),
            ("FURLONG_SIM_SEEDS", None),
            ("KAFKA_NODE_ID", None),
        ] {
            assert_eq!(setting_of_variable(variable).as_deref(), name, "{variable}");
        }
    }

    proptest! {
        #[test]
        fn every_name_of_kafka_can_be_given_by_a_variable(
            name in "[a-z]{1,8}([._-][a-z]{1,8}){0,4}",
        ) {
            let spelled = name.replace('_', "__").replace('-', "___").replace('.', "_");
            let variable = format!("FURLONG_{}", spelled.to_ascii_uppercase());
            prop_assume!(!ENVIRONMENT_RESERVED.iter().any(|one| variable.starts_with(one)));
            prop_assert_eq!(setting_of_variable(&variable), Some(name));
        }
    }
}
