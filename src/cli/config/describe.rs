// SPDX-License-Identifier: Apache-2.0
//! `furlong config describe`.
//!
//! Owns: its arguments and output. Invariants: a value that the broker does not show is told to be
//! hidden, never left blank. Runs on: the command's thread. Bounded by: the settings of one topic
//! or broker.

use clap::Args;
use serde_json::{Value, json};

use super::{Resource, ResourceArguments};
use crate::cli::CliError;
use crate::cli::arguments::{BootstrapArguments, Format, FormatArguments};
use crate::cli::client::cluster::Cluster;
use crate::cli::error::refusal;
use crate::cli::output::{Table, print, write_json};
use crate::model::error_code::ErrorCode;
use crate::wire::protocol::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
};

/// The source of a built-in default.
const DEFAULT_SOURCE: i8 = 5;

/// Arguments of `furlong config describe`.
#[derive(Clone, Debug, Args)]
pub struct DescribeArguments {
    #[command(flatten)]
    bootstrap: BootstrapArguments,
    #[command(flatten)]
    resource: ResourceArguments,
    /// Prints these settings only
    #[arg(value_name = "SETTING")]
    names: Vec<String>,
    /// Prints the built-in defaults, too
    #[arg(short, long)]
    all: bool,
    /// Prints every place where a setting has a value, the one that counts first
    #[arg(short, long)]
    synonyms: bool,
    /// Prints what each setting does, too
    #[arg(short, long)]
    documentation: bool,
    #[command(flatten)]
    format: FormatArguments,
}

/// How a source is called, by its number on the wire.
fn source(code: i8) -> String {
    match code {
        1 => "topic".to_owned(),
        2 => "broker".to_owned(),
        3 => "all brokers".to_owned(),
        4 => "file or flags".to_owned(),
        DEFAULT_SOURCE => "default".to_owned(),
        6 => "broker logger".to_owned(),
        7 => "client metrics".to_owned(),
        8 => "group".to_owned(),
        other => format!("source {other}"),
    }
}

/// Carries out the command.
pub(super) fn run(arguments: &DescribeArguments) -> Result<(), CliError> {
    let resource = Resource::of(&arguments.resource)?;
    let mut cluster = arguments.bootstrap.connect()?;
    let mut configs = settings_of(
        &mut cluster,
        &resource,
        arguments.synonyms,
        arguments.documentation,
    )?;
    for name in &arguments.names {
        if !configs.iter().any(|one| *one.name == **name) {
            return Err(CliError::new(format!(
                "{} has no setting {name}",
                resource.title()
            )));
        }
    }
    let by_name = !arguments.names.is_empty();
    configs.retain(|one| match by_name {
        true => arguments.names.iter().any(|name| *one.name == **name),
        false => arguments.all || one.config_source != DEFAULT_SOURCE,
    });
    configs.sort_by(|left, right| left.name.cmp(&right.name));
    print(|output| match arguments.format.format {
        Format::Json => write_json(&configs.iter().map(object).collect(), output),
        Format::Table if configs.is_empty() => writeln!(
            output,
            "every setting of {} has its default (--all prints them)",
            resource.title()
        ),
        Format::Table => table(&configs, arguments).write(output),
    })
}

/// All settings of a topic or a broker.
pub fn settings_of(
    cluster: &mut Cluster,
    resource: &Resource,
    include_synonyms: bool,
    include_documentation: bool,
) -> Result<Vec<DescribeConfigsResourceResult>, CliError> {
    let request = DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type: resource.code,
            resource_name: resource.name.clone(),
            configuration_keys: None,
        }],
        include_synonyms,
        include_documentation,
    };
    let answer = resource.ask(cluster, &request)?;
    let mut configs = Vec::new();
    for result in answer.results {
        if result.error_code != ErrorCode::None.code() {
            let message = result.error_message.as_deref();
            return Err(CliError::new(refusal(
                &resource.title(),
                result.error_code,
                message,
            )));
        }
        configs.extend(result.configs);
    }
    Ok(configs)
}

fn shown(value: Option<&str>, is_sensitive: bool) -> &str {
    match value {
        Some(value) => value,
        None if is_sensitive => "(hidden)",
        None => "-",
    }
}

fn table(configs: &[DescribeConfigsResourceResult], arguments: &DescribeArguments) -> Table {
    let mut table = Table::new(match arguments.documentation {
        true => &["SETTING", "VALUE", "SOURCE", "WHAT IT DOES"],
        false => &["SETTING", "VALUE", "SOURCE"],
    });
    let mut row =
        |name: &str, value: &str, source: String, text: &str| match arguments.documentation {
            true => table.row([name, value, &source, text]),
            false => table.row([name, value, &source]),
        };
    for one in configs {
        let value = shown(one.value.as_deref(), one.is_sensitive);
        let read_only = if one.read_only { ", fixed" } else { "" };
        let documentation = one.documentation.as_deref().unwrap_or_default();
        let from = format!("{}{read_only}", source(one.config_source));
        row(&one.name, value, from, documentation);
        for synonym in &one.synonyms {
            let value = shown(synonym.value.as_deref(), one.is_sensitive);
            row(
                &format!("  {}", synonym.name),
                value,
                source(synonym.source),
                "",
            );
        }
    }
    table
}

/// One setting for programs.
pub fn object(one: &DescribeConfigsResourceResult) -> Value {
    let synonyms = one.synonyms.iter().map(|synonym| {
        json!({
            "name": &*synonym.name,
            "value": synonym.value.as_deref(),
            "source": source(synonym.source),
        })
    });
    let mut object = json!({
        "name": &*one.name,
        "value": one.value.as_deref(),
        "source": source(one.config_source),
        "read_only": one.read_only,
        "sensitive": one.is_sensitive,
    });
    if !one.synonyms.is_empty() {
        object["synonyms"] = synonyms.collect();
    }
    if let Some(text) = one.documentation.as_deref().filter(|text| !text.is_empty()) {
        object["documentation"] = text.into();
    }
    object
}
