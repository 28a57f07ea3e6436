// SPDX-License-Identifier: Apache-2.0
//! What `--print-config` tells: every setting, its value, where that comes from, what it does here.
//!
//! Owns: [`print()`]. Invariants: every setting of the table and every one that was given is told
//! once, sorted by name; a value that may be a secret is not.
//! Runs on: the start of the process. Bounded by: the table and the settings given.

use super::broker::{self, Use};
use super::definition::ConfigType;
use super::given::GivenSettings;

/// One setting as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrintedSetting {
    /// Its name.
    pub name: String,
    /// Its value; `None` where it has none or may be a secret.
    pub value: Option<String>,
    /// True if the value may be a secret: a password, or of a setting that nobody knows.
    pub is_hidden: bool,
    /// Where the value comes from: a file, a variable, a flag, or `default`.
    pub source: String,
    /// What becomes of it: `read`, `without effect`, `refused` or `unknown`.
    pub usage: &'static str,
    /// May it change while the broker runs?
    pub is_dynamic: bool,
    /// What it does.
    pub documentation: &'static str,
}

/// Every setting of the table, and what was given besides.
#[must_use]
pub fn print(given: &GivenSettings) -> Vec<PrintedSetting> {
    let known = broker::settings().iter().map(|setting| {
        let own = given.values().get(setting.name);
        let is_hidden = setting.kind == ConfigType::Password && own.is_some();
        let value = own.map(|value| &**value).or(setting.default);
        PrintedSetting {
            name: setting.name.to_owned(),
            value: value.filter(|_| !is_hidden).map(str::to_owned),
            is_hidden,
            source: source(given, setting.name),
            usage: match setting.usage {
                Use::Engine => "read",
                Use::Ignored => "without effect",
                Use::Refused => "refused",
            },
            is_dynamic: setting.dynamic,
            documentation: setting.documentation,
        }
    });
    let others = given.values().iter();
    let others = others.filter(|(name, _)| broker::setting(name).is_none());
    let others = others.map(|(name, value)| other(given, name, value));
    let mut all: Vec<PrintedSetting> = known.chain(others).collect();
    all.sort_by(|left, right| left.name.cmp(&right.name));
    all
}

/// A setting that is not in the table.
fn other(given: &GivenSettings, name: &str, value: &str) -> PrintedSetting {
    let refused = broker::refusal_of_foreign(name, value);
    let is_known = broker::is_foreign(name);
    let is_plain = is_known && refused.is_none();
    PrintedSetting {
        name: name.to_owned(),
        value: is_plain.then(|| value.to_owned()),
        is_hidden: !is_plain,
        source: source(given, name),
        usage: match (refused, is_known) {
            (Some(_), _) => "refused",
            (None, true) => "without effect",
            (None, false) => "unknown",
        },
        is_dynamic: false,
        documentation: match (refused, is_known) {
            (Some(reason), _) => reason,
            (None, true) => "A setting of Apache Kafka for something that does not exist here.",
            (None, false) => "No setting of this name is known.",
        },
    }
}

fn source(given: &GivenSettings, name: &str) -> String {
    let origin = given.origin(name);
    origin.map_or_else(|| "default".to_owned(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::given::FileForm;

    fn printed(file: &str) -> Vec<PrintedSetting> {
        let mut given = GivenSettings::default();
        given
            .add_file("f", file, FileForm::Properties)
            .expect("a good file");
        print(&given)
    }

    fn find<'a>(all: &'a [PrintedSetting], name: &str) -> &'a PrintedSetting {
        let mut found = all.iter().filter(|one| one.name == name);
        let one = found.next().expect("it is told");
        assert!(found.next().is_none(), "{name} is told twice");
        one
    }

    #[test]
    fn every_setting_is_told_with_its_source() {
        let all = printed("num.partitions=3\nnum.io.threads=4\n");
        assert!(all.is_sorted_by(|left, right| left.name < right.name));
        assert!(all.len() >= broker::settings().len());
        let partitions = find(&all, "num.partitions");
        assert_eq!(partitions.value.as_deref(), Some("3"));
        assert_eq!(
            (&*partitions.source, partitions.usage),
            ("file f, line 1", "read")
        );
        let threads = find(&all, "num.io.threads");
        assert_eq!(
            (threads.value.as_deref(), threads.usage),
            (Some("4"), "without effect")
        );
        let retention = find(&all, "log.retention.hours");
        assert_eq!(
            (retention.value.as_deref(), &*retention.source),
            (Some("168"), "default")
        );
        assert_eq!(find(&all, "log.retention.ms").value, None);
        assert!(find(&all, "log.retention.ms").is_dynamic && !partitions.is_dynamic);
    }

    #[test]
    fn a_secret_is_not_told() {
        let all = printed(
            "ssl.keystore.password=s3cret\nsasl.jaas.config=s3cret\nmy.own.setting=s3cret\n\
             queued.max.request.bytes=7\n",
        );
        assert!(!format!("{all:?}").contains("s3cret"));
        for (name, usage) in [
            ("ssl.keystore.password", "refused"),
            ("sasl.jaas.config", "refused"),
            ("my.own.setting", "unknown"),
        ] {
            let one = find(&all, name);
            assert_eq!((one.is_hidden, one.usage), (true, usage), "{name}");
        }
        let plain = find(&all, "queued.max.request.bytes");
        assert_eq!(
            (plain.value.as_deref(), plain.is_hidden),
            (Some("7"), false)
        );
    }
}
