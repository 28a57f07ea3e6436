// SPDX-License-Identifier: Apache-2.0
//! What a setting is: its type, what it accepts, where a value came from, and what is wrong with
//! one.
//!
//! Owns: [`ConfigType`], [`ConfigSource`], [`Check`], [`ConfigError`], [`DescribedConfig`].
//! Invariants: the numbers of types and sources are those of DescribeConfigs and never change.
//! Runs on: any core. Bounded by: the text of one value.

use std::fmt;

use bytestring::ByteString;

use super::connections::peer_limits;
use crate::limits::SHARDS_MAX;
use crate::model::cores::CoreChoice;

/// Type of a setting, with the number that DescribeConfigs uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigType {
    /// `true` or `false`.
    Boolean,
    /// Text.
    String,
    /// Whole number of 32 bits.
    Int,
    /// Whole number of 16 bits.
    Short,
    /// Whole number of 64 bits.
    Long,
    /// Decimal number.
    Double,
    /// Texts separated by commas.
    List,
    /// Name of a class (there are none here).
    Class,
    /// Text that is never shown.
    Password,
}

impl ConfigType {
    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> i8 {
        match self {
            ConfigType::Boolean => 1,
            ConfigType::String => 2,
            ConfigType::Int => 3,
            ConfigType::Short => 4,
            ConfigType::Long => 5,
            ConfigType::Double => 6,
            ConfigType::List => 7,
            ConfigType::Class => 8,
            ConfigType::Password => 9,
        }
    }
}

/// Where a value came from, with the number that DescribeConfigs uses; the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    /// Set on the topic.
    DynamicTopic,
    /// Set on the group.
    DynamicGroup,
    /// Set on this broker while it runs.
    DynamicBroker,
    /// Set for all brokers while they run.
    DynamicDefaultBroker,
    /// From the properties file or the command line.
    StaticBroker,
    /// Built in.
    Default,
}

impl ConfigSource {
    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> i8 {
        match self {
            ConfigSource::DynamicTopic => 1,
            ConfigSource::DynamicGroup => 8,
            ConfigSource::DynamicBroker => 2,
            ConfigSource::DynamicDefaultBroker => 3,
            ConfigSource::StaticBroker => 4,
            ConfigSource::Default => 5,
        }
    }
}

/// What a setting accepts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Check {
    /// `true` or `false` in any case.
    Boolean,
    /// A whole number in a range, both ends included.
    Whole {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
    /// A whole number in a range, or one further value.
    WholeOr {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
        /// The further value.
        or: i64,
    },
    /// A decimal number from 0 to 1.
    Fraction,
    /// A decimal number above 0.
    AboveZero,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Some of these words, separated by commas, none twice.
    SomeOf(&'static [&'static str]),
    /// A number of cores, or a list of their numbers.
    Cores,
    /// `address:number` pairs separated by commas, or nothing.
    PeerLimits,
    /// `partition:broker` pairs separated by commas, or `*`, or nothing (throttled replicas).
    Replicas,
    /// Nothing but this value: the feature behind it does not exist here.
    Only(&'static str),
    /// Any text.
    Text,
}

impl Check {
    /// What the setting accepts, as the end of the sentence "it must be ...".
    fn rule(&self) -> String {
        match self {
            Check::Boolean => "true or false".to_owned(),
            Check::Whole { min, max } => format!("a whole number from {min} to {max}"),
            Check::WholeOr { min, max, or } => {
                format!("a whole number from {min} to {max}, or {or}")
            }
            Check::Fraction => "a number from 0 to 1".to_owned(),
            Check::AboveZero => "a number above 0".to_owned(),
            Check::OneOf(words) => format!("one of {}", words.join(", ")),
            Check::SomeOf(words) => format!("a list of {} without repetition", words.join(", ")),
            Check::Cores => {
                format!("a number of cores from 0 to {SHARDS_MAX}, or a list of CPUs like 0-3,6")
            }
            Check::PeerLimits => "pairs like 10.0.0.1:500,::1:20 of an address and a number \
                                  (host names are not looked up)"
                .to_owned(),
            Check::Replicas => "*, or pairs like 0:1,1:2 of a partition and a broker".to_owned(),
            Check::Only(value) => format!("{value}: this broker does not have what it switches on"),
            Check::Text => "text".to_owned(),
        }
    }

    fn accepts(&self, value: &str) -> bool {
        let whole = || value.parse::<i64>().ok();
        match self {
            Check::Boolean => parse_boolean(value).is_some(),
            Check::Whole { min, max } => {
                whole().is_some_and(|number| (*min..=*max).contains(&number))
            }
            Check::WholeOr { min, max, or } => {
                whole().is_some_and(|number| (*min..=*max).contains(&number) || number == *or)
            }
            Check::Fraction => value
                .parse::<f64>()
                .is_ok_and(|number| (0.0..=1.0).contains(&number)),
            Check::AboveZero => value.parse::<f64>().is_ok_and(|number| number > 0.0),
            Check::OneOf(words) => words.contains(&value),
            Check::SomeOf(words) => some_of(value, words),
            Check::Cores => CoreChoice::parse(value).is_some(),
            Check::PeerLimits => peer_limits(value).is_some(),
            Check::Replicas => value.is_empty() || value == "*" || value.split(',').all(is_replica),
            Check::Only(only) => value.eq_ignore_ascii_case(only),
            Check::Text => true,
        }
    }

    /// Refuses a value that the setting does not take.
    pub fn check(&self, name: &str, value: &str) -> Result<(), ConfigError> {
        if self.accepts(value.trim()) {
            return Ok(());
        }
        Err(ConfigError::Value {
            name: name.into(),
            value: shortened(value),
            rule: self.rule().into(),
        })
    }
}

fn some_of(value: &str, words: &[&str]) -> bool {
    let parts: Vec<&str> = value
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect();
    let repeated = (1..parts.len()).any(|index| parts[..index].contains(&parts[index]));
    !repeated && parts.iter().all(|part| words.contains(part))
}

fn is_replica(pair: &str) -> bool {
    let number = |text: &str| text.trim().parse::<u32>().is_ok();
    pair.split_once(':')
        .is_some_and(|(partition, broker)| number(partition) && number(broker))
}

/// `true` or `false`, in any case.
pub(super) fn parse_boolean(value: &str) -> Option<bool> {
    if value.eq_ignore_ascii_case("true") {
        Some(true)
    } else if value.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// What of a value stands in a sentence: its first letters.
fn shortened(value: &str) -> Box<str> {
    const LETTERS_MAX: usize = 100;
    match value.char_indices().nth(LETTERS_MAX) {
        None => value.into(),
        Some((end, _)) => format!("{}...", &value[..end]).into(),
    }
}

/// Why a setting was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// There is no such setting.
    Unknown {
        /// As it was written.
        name: Box<str>,
        /// A known name that was probably meant.
        nearest: Option<&'static str>,
    },
    /// The setting does not take this value.
    Value {
        /// Which.
        name: Box<str>,
        /// The value, shortened.
        value: Box<str>,
        /// What it takes.
        rule: Box<str>,
    },
    /// The setting exists but cannot be changed while the broker runs.
    ReadOnly {
        /// Which.
        name: Box<str>,
    },
    /// Two settings contradict each other, or the text as a whole is wrong.
    Conflict {
        /// What is wrong, as a sentence.
        sentence: Box<str>,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::Unknown {
                name,
                nearest: None,
            } => {
                write!(f, "There is no setting \"{}\".", shortened(name))
            }
            ConfigError::Unknown {
                name,
                nearest: Some(nearest),
            } => {
                write!(
                    f,
                    "There is no setting \"{}\". Did you mean {nearest}?",
                    shortened(name)
                )
            }
            ConfigError::Value { name, value, rule } => {
                write!(
                    f,
                    "The setting {name} cannot be \"{value}\": it must be {rule}."
                )
            }
            ConfigError::ReadOnly { name } => {
                write!(
                    f,
                    "The setting {name} cannot be changed while the broker runs."
                )
            }
            ConfigError::Conflict { sentence } => f.write_str(sentence),
        }
    }
}

impl std::error::Error for ConfigError {}

/// One place where a setting has a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSynonym {
    /// The name under which it was set there.
    pub name: &'static str,
    /// The value there, in text form.
    pub value: ByteString,
    /// Which place.
    pub source: ConfigSource,
}

/// One setting with all that DescribeConfigs tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedConfig {
    /// Name.
    pub name: &'static str,
    /// Value in text form; `None` where it has none, and always where it is sensitive.
    pub value: Option<ByteString>,
    /// Where the value came from.
    pub source: ConfigSource,
    /// True if it cannot be changed while the broker runs.
    pub read_only: bool,
    /// True if its value is never shown.
    pub sensitive: bool,
    /// All places where it has a value, the one that counts first.
    pub synonyms: Vec<ConfigSynonym>,
    /// Type.
    pub kind: ConfigType,
    /// What it does, for a person.
    pub documentation: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_accept_what_they_say() {
        let whole = Check::Whole { min: -1, max: 10 };
        assert!(whole.accepts("-1") && whole.accepts("10"));
        assert!(!whole.accepts("11") && !whole.accepts("-2") && !whole.accepts("1.5"));
        assert!(!whole.accepts("99999999999999999999999") && !whole.accepts(""));
        let level = Check::WholeOr {
            min: 1,
            max: 9,
            or: -1,
        };
        assert!(level.accepts("-1") && level.accepts("9") && !level.accepts("0"));
        assert!(Check::Boolean.accepts("TRUE") && !Check::Boolean.accepts("yes"));
        assert!(Check::Fraction.accepts("0.5") && !Check::Fraction.accepts("1.1"));
        assert!(!Check::Fraction.accepts("NaN"));
        assert!(Check::AboveZero.accepts("1.7976931348623157E308"));
        assert!(!Check::AboveZero.accepts("0") && !Check::AboveZero.accepts("NaN"));
        let policy = Check::SomeOf(&["compact", "delete"]);
        assert!(policy.accepts("compact,delete") && policy.accepts("delete") && policy.accepts(""));
        assert!(!policy.accepts("delete,delete") && !policy.accepts("remove"));
        assert!(Check::Replicas.accepts("*") && Check::Replicas.accepts("0:1,1:2"));
        assert!(!Check::Replicas.accepts("0:1,") && !Check::Replicas.accepts("x"));
        assert!(Check::Only("false").accepts("false") && !Check::Only("false").accepts("true"));
    }

    #[test]
    fn refusals_are_sentences() {
        let refusal = Check::Boolean
            .check("preallocate", "maybe")
            .expect_err("not a boolean");
        assert_eq!(
            refusal.to_string(),
            "The setting preallocate cannot be \"maybe\": it must be true or false."
        );
        let long = Check::Boolean
            .check("preallocate", &"é".repeat(5000))
            .expect_err("too long");
        assert!(long.to_string().len() < 400);
        let unknown = ConfigError::Unknown {
            name: "retentoin.ms".into(),
            nearest: Some("retention.ms"),
        };
        assert_eq!(
            unknown.to_string(),
            "There is no setting \"retentoin.ms\". Did you mean retention.ms?"
        );
    }
}
