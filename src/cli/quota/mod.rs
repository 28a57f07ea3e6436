// SPDX-License-Identifier: Apache-2.0
//! `furlong quota`: what users, client ids and addresses may use, shown and changed.
//!
//! Owns: the arguments and the output of these commands. Invariants: the changes of one entity are
//! made together or not at all; what is told to change is what was asked for, and what was there
//! before. Runs on: the command's thread. Bounded by: the quotas of a cluster.

pub mod entity;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use self::entity::{Entity, EntityArguments};
use super::CliError;
use super::arguments::{BootstrapArguments, Format, FormatArguments, parse_setting};
use super::client::cluster::Cluster;
use super::error::refusal;
use super::output::{Table, print, write_json};
use crate::model::error_code::ErrorCode;
use crate::model::quota::QuotaKind;
use crate::wire::protocol::alter_client_quotas::{AlterClientQuotasRequest, EntryData, OpData};
use crate::wire::protocol::describe_client_quotas::{ComponentData, DescribeClientQuotasRequest};

/// What can be done with quotas.
#[derive(Clone, Debug, Subcommand)]
pub enum QuotaCommand {
    /// Prints all quotas
    List(ListArguments),
    /// Prints the quotas of one user, client id or address
    Describe(DescribeArguments),
    /// Sets quotas while the brokers run
    Set(SetArguments),
    /// Takes quotas away
    Remove(RemoveArguments),
}

/// Arguments of `furlong quota list`.
#[derive(Clone, Debug, Args)]
pub struct ListArguments {
    #[command(flatten)]
    bootstrap: BootstrapArguments,
    #[command(flatten)]
    format: FormatArguments,
}

/// Arguments of `furlong quota describe`.
#[derive(Clone, Debug, Args)]
pub struct DescribeArguments {
    #[command(flatten)]
    bootstrap: BootstrapArguments,
    #[command(flatten)]
    entity: EntityArguments,
    #[command(flatten)]
    format: FormatArguments,
}

/// Arguments of `furlong quota set`.
#[derive(Clone, Debug, Args)]
pub struct SetArguments {
    #[command(flatten)]
    bootstrap: BootstrapArguments,
    #[command(flatten)]
    entity: EntityArguments,
    /// What is allowed: producer_byte_rate and consumer_byte_rate in bytes a second,
    /// request_percentage of a core, controller_mutation_rate in partitions a second; for
    /// addresses connection_creation_rate in connections a second
    #[arg(value_name = "QUOTA=NUMBER", required = true, value_parser = parse_setting)]
    quotas: Vec<(String, String)>,
    /// Checks the change and says what it would do
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    format: FormatArguments,
}

/// Arguments of `furlong quota remove`.
#[derive(Clone, Debug, Args)]
pub struct RemoveArguments {
    #[command(flatten)]
    bootstrap: BootstrapArguments,
    #[command(flatten)]
    entity: EntityArguments,
    /// The quotas; all that the entity has if none is given
    #[arg(value_name = "QUOTA")]
    quotas: Vec<String>,
    /// Checks the change and says what it would do
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    format: FormatArguments,
}

/// Carries out the command.
pub fn run(command: &QuotaCommand) -> Result<(), CliError> {
    match command {
        QuotaCommand::List(arguments) => run_list(arguments),
        QuotaCommand::Describe(arguments) => run_describe(arguments),
        QuotaCommand::Set(arguments) => run_set(arguments),
        QuotaCommand::Remove(arguments) => run_remove(arguments),
    }
}

/// The quotas of an entity, sorted by name.
type Quotas = Vec<(String, f64)>;

/// The quotas of all entities that a filter lets through, sorted.
fn quotas_of(
    cluster: &mut Cluster,
    components: Vec<ComponentData>,
) -> Result<Vec<(Entity, Quotas)>, CliError> {
    let request = DescribeClientQuotasRequest {
        strict: !components.is_empty(),
        components,
    };
    let answer = cluster.call_again(&request)?;
    if answer.error_code != ErrorCode::None.code() {
        let message = answer.error_message.as_deref();
        return Err(CliError::new(refusal("quotas", answer.error_code, message)));
    }
    let entries = answer.entries.unwrap_or_default().into_iter();
    let mut all: Vec<(Entity, Quotas)> = entries
        .map(|entry| {
            let values = entry.values.iter();
            let mut quotas: Quotas = values.map(|one| (one.key.to_string(), one.value)).collect();
            quotas.sort_by(|left, right| left.0.cmp(&right.0));
            (Entity::of_wire(&entry.entity), quotas)
        })
        .collect();
    all.sort_by(|left, right| left.0.cmp(&right.0));
    Ok(all)
}

fn run_list(arguments: &ListArguments) -> Result<(), CliError> {
    let mut cluster = arguments.bootstrap.connect()?;
    let all = quotas_of(&mut cluster, Vec::new())?;
    print(|output| match arguments.format.format {
        Format::Json => write_json(&all.iter().map(object).collect(), output),
        Format::Table if all.is_empty() => writeln!(output, "nobody has a quota"),
        Format::Table => {
            let mut table = Table::new(&["WHOSE", "QUOTA", "VALUE"]);
            for (entity, quotas) in &all {
                for (name, value) in quotas {
                    table.row([entity.title(), name.clone(), value.to_string()]);
                }
            }
            table.write(output)
        }
    })
}

fn run_describe(arguments: &DescribeArguments) -> Result<(), CliError> {
    let entity = arguments.entity.entity()?;
    let mut cluster = arguments.bootstrap.connect()?;
    let all = quotas_of(&mut cluster, entity.filter())?;
    print(|output| match arguments.format.format {
        Format::Json => {
            let found = all.first().cloned().unwrap_or((entity, Vec::new()));
            write_json(&object(&found), output)
        }
        Format::Table if all.is_empty() => {
            writeln!(output, "{} has no quota of its own", entity.title())
        }
        Format::Table => {
            let mut table = Table::new(&["QUOTA", "VALUE"]);
            for (name, value) in all.iter().flat_map(|(_, quotas)| quotas) {
                table.row([name.clone(), value.to_string()]);
            }
            table.write(output)
        }
    })
}

fn object((entity, quotas): &(Entity, Quotas)) -> Value {
    let values = quotas
        .iter()
        .map(|(name, value)| (name.clone(), json!(value)));
    json!({
        "entity": entity.object(),
        "quotas": values.collect::<Map<String, Value>>(),
    })
}

fn run_set(arguments: &SetArguments) -> Result<(), CliError> {
    let entity = arguments.entity.entity()?;
    let mut ops: Vec<OpData> = Vec::new();
    for (name, text) in &arguments.quotas {
        let value: f64 = text.parse().map_err(|_| {
            CliError::usage(format!("{name}={text}: give a number, like {name}=1048576"))
        })?;
        ops.push(operation(name, Some(value), &ops)?);
    }
    let (bootstrap, is_dry) = (&arguments.bootstrap, arguments.dry_run);
    alter(bootstrap, &entity, ops, is_dry, arguments.format.format)
}

fn run_remove(arguments: &RemoveArguments) -> Result<(), CliError> {
    let entity = arguments.entity.entity()?;
    let mut ops = Vec::new();
    for name in &arguments.quotas {
        ops.push(operation(name, None, &ops)?);
    }
    let (bootstrap, is_dry) = (&arguments.bootstrap, arguments.dry_run);
    alter(bootstrap, &entity, ops, is_dry, arguments.format.format)
}

/// One change, if its quota exists and is not changed already.
fn operation(name: &str, value: Option<f64>, before: &[OpData]) -> Result<OpData, CliError> {
    if QuotaKind::parse(name).is_none() {
        let names = QuotaKind::ALL.map(QuotaKind::name).join(", ");
        return Err(CliError::usage(format!(
            "{name} is no quota; there are {names}"
        )));
    }
    if before.iter().any(|one| *one.key == *name) {
        return Err(CliError::usage(format!("{name} is given twice")));
    }
    Ok(OpData {
        key: name.into(),
        value: value.unwrap_or_default(),
        remove: value.is_none(),
    })
}

/// A quota that changes: its name, what it was, what it will be.
type Change = (String, Option<f64>, Option<f64>);

/// Makes the changes, or those that take everything away, and prints them.
fn alter(
    bootstrap: &BootstrapArguments,
    entity: &Entity,
    mut ops: Vec<OpData>,
    is_dry: bool,
    format: Format,
) -> Result<(), CliError> {
    let mut cluster = bootstrap.connect()?;
    let before = quotas_of(&mut cluster, entity.filter())?;
    let before: Quotas = before.into_iter().flat_map(|(_, quotas)| quotas).collect();
    if ops.is_empty() {
        let all = before.iter().map(|(name, _)| OpData {
            key: name.as_str().into(),
            value: 0.0,
            remove: true,
        });
        ops = all.collect();
    }
    let changes: Vec<Change> = ops
        .iter()
        .map(|op| {
            let was = before.iter().find(|(name, _)| **name == *op.key);
            let after = (!op.remove).then_some(op.value);
            (op.key.to_string(), was.map(|(_, value)| *value), after)
        })
        .collect();
    if !ops.is_empty() {
        send(&mut cluster, entity, ops, is_dry)?;
    }
    print(|output| match format {
        Format::Json => {
            let changes = changes
                .iter()
                .map(|(name, was, after)| json!({ "quota": name, "before": was, "after": after }));
            let value = json!({
                "entity": entity.object(),
                "dry_run": is_dry,
                "changes": changes.collect::<Vec<Value>>(),
            });
            write_json(&value, output)
        }
        Format::Table if changes.is_empty() => {
            writeln!(output, "{} has no quota of its own", entity.title())
        }
        Format::Table => {
            let done = if is_dry { "would change" } else { "changed" };
            for (name, was, after) in &changes {
                let (was, after) = (shown(*was), shown(*after));
                writeln!(
                    output,
                    "{done} {name} of {}: {was} -> {after}",
                    entity.title()
                )?;
            }
            Ok(())
        }
    })
}

fn shown(value: Option<f64>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}

fn send(
    cluster: &mut Cluster,
    entity: &Entity,
    ops: Vec<OpData>,
    validate_only: bool,
) -> Result<(), CliError> {
    let request = AlterClientQuotasRequest {
        entries: vec![EntryData {
            entity: entity.wire(),
            ops,
        }],
        validate_only,
    };
    let answer = cluster.call(&request)?;
    for entry in &answer.entries {
        if entry.error_code != ErrorCode::None.code() {
            let message = entry.error_message.as_deref();
            let sentence = refusal(&entity.title(), entry.error_code, message);
            return Err(CliError::new(sentence));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_named_once_and_rightly() {
        let first = operation("producer_byte_rate", Some(10.5), &[]).expect("known");
        assert_eq!(
            (first.value.to_bits(), first.remove),
            (10.5f64.to_bits(), false)
        );
        let removed = operation("consumer_byte_rate", None, &[]).expect("known");
        assert!(removed.remove);
        let odd = operation("producer_bytes", None, &[]).expect_err("no quota");
        assert!(
            odd.to_string().contains("controller_mutation_rate"),
            "{odd}"
        );
        let twice = operation("producer_byte_rate", None, &[first]).expect_err("twice");
        assert_eq!(twice.exit_code(), 2);
    }
}
