// SPDX-License-Identifier: Apache-2.0
//! The changes of settings that a command line asks for.
//!
//! Owns: [`ChangeArguments`]. Invariants: one change for each setting; what asks for two is refused
//! before anything is sent. Runs on: the command's thread. Bounded by: the command line.

use clap::Args;

use crate::cli::CliError;
use crate::cli::arguments::parse_setting;
use crate::wire::protocol::incremental_alter_configs::AlterableConfig;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

/// Changes of settings.
#[derive(Clone, Debug, Default, Args)]
pub struct ChangeArguments {
    /// Gives a setting a value; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_setting)]
    set: Vec<(String, String)>,
    /// Takes a setting back to its default; may be repeated
    #[arg(long, value_name = "NAME")]
    delete: Vec<String>,
    /// Adds to a setting that is a list; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_setting)]
    append: Vec<(String, String)>,
    /// Takes from a setting that is a list; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_setting)]
    subtract: Vec<(String, String)>,
}

impl ChangeArguments {
    /// The changes in the order of the request.
    pub fn wanted(&self) -> Result<Vec<AlterableConfig>, CliError> {
        let with_value = |operation, pairs: &[(String, String)]| {
            let one = move |(name, value): &(String, String)| AlterableConfig {
                name: name.as_str().into(),
                config_operation: operation,
                value: Some(value.as_str().into()),
            };
            pairs.iter().map(one).collect::<Vec<_>>()
        };
        let deleted = self.delete.iter().map(|name| AlterableConfig {
            name: name.as_str().into(),
            config_operation: DELETE,
            value: None,
        });
        let mut all = with_value(SET, &self.set);
        all.extend(deleted);
        all.extend(with_value(APPEND, &self.append));
        all.extend(with_value(SUBTRACT, &self.subtract));
        let repeated =
            (1..all.len()).find(|at| all[..*at].iter().any(|one| one.name == all[*at].name));
        match repeated {
            Some(at) => Err(CliError::usage(format!(
                "{} is to be changed twice; give one of the changes",
                all[at].name
            ))),
            None => Ok(all),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        changes: ChangeArguments,
    }

    fn wanted(words: &[&str]) -> Result<Vec<(String, i8, Option<String>)>, CliError> {
        let line = Line::parse_from(["alter"].iter().chain(words));
        let plain = |one: AlterableConfig| {
            let value = one.value.map(|value| value.to_string());
            (one.name.to_string(), one.config_operation, value)
        };
        Ok(line.changes.wanted()?.into_iter().map(plain).collect())
    }

    #[test]
    fn every_kind_of_change_has_its_number() {
        let changes = wanted(&[
            "--set",
            "a=1=2",
            "--delete",
            "b",
            "--append",
            "c=x",
            "--subtract",
            "d=y",
            "--set",
            "e=",
        ]);
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            changes.expect("good"),
            [
                ("a".to_owned(), 0, some("1=2")),
                ("e".to_owned(), 0, some("")),
                ("b".to_owned(), 1, None),
                ("c".to_owned(), 2, some("x")),
                ("d".to_owned(), 3, some("y")),
            ]
        );
        assert_eq!(wanted(&[]).expect("nothing"), []);
    }

    #[test]
    fn two_changes_of_one_setting_are_refused() {
        let error = wanted(&["--set", "a=1", "--delete", "a"]).expect_err("which?");
        assert_eq!(error.exit_code(), 2);
        assert!(
            error.to_string().starts_with("a is to be changed twice"),
            "{error}"
        );
    }
}
