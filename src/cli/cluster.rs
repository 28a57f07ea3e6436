// SPDX-License-Identifier: Apache-2.0
//! `furlong cluster describe`: the brokers of a cluster, and what one of them speaks.
//!
//! Owns: the arguments and the output. Invariants: a broker too old for the question is asked in
//! words that it knows. Runs on: the command's thread. Bounded by: `limits::BROKERS_MAX`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::CliError;
use super::arguments::{BootstrapArguments, Format, FormatArguments};
use super::client::cluster::Cluster;
use super::error::{ClientError, refusal};
use super::output::{Table, print, write_json};
use crate::model::error_code::ErrorCode;
use crate::wire::protocol::ApiKey;
use crate::wire::protocol::describe_cluster::DescribeClusterRequest;

/// What can be done with a cluster.
#[derive(Clone, Debug, Subcommand)]
pub enum ClusterCommand {
    /// Prints the cluster's id, its brokers and its controller
    Describe(DescribeArguments),
}

/// Arguments of `furlong cluster describe`.
#[derive(Clone, Debug, Args)]
pub struct DescribeArguments {
    #[command(flatten)]
    bootstrap: BootstrapArguments,
    /// Prints the versions of each API that the broker speaks which answered, too
    #[arg(long)]
    apis: bool,
    #[command(flatten)]
    format: FormatArguments,
}

#[derive(Debug)]
struct Broker {
    id: i32,
    address: String,
    rack: Option<String>,
    is_fenced: bool,
}

#[derive(Debug)]
struct Description {
    cluster_id: String,
    controller: i32,
    brokers: Vec<Broker>,
    /// Number of the API, first and last version.
    apis: Vec<(i16, i16, i16)>,
}

/// Carries out the command.
pub fn run(command: &ClusterCommand) -> Result<(), CliError> {
    let ClusterCommand::Describe(arguments) = command;
    let mut cluster = arguments.bootstrap.connect()?;
    let mut found = ask(&mut cluster)?;
    found.brokers.sort_by_key(|broker| broker.id);
    if arguments.apis {
        found.apis = cluster.offered()?;
    }
    print(|output| match arguments.format.format {
        Format::Json => write_json(&object(&found, arguments.apis), output),
        Format::Table => {
            writeln!(output, "cluster {}", found.cluster_id)?;
            brokers(&found).write(output)?;
            match arguments.apis {
                true => apis(&found).write(output),
                false => Ok(()),
            }
        }
    })
}

fn ask(cluster: &mut Cluster) -> Result<Description, CliError> {
    let request = DescribeClusterRequest {
        include_fenced_brokers: true,
        ..DescribeClusterRequest::default()
    };
    // A version that cannot name fenced brokers names the others.
    let plain = DescribeClusterRequest::default();
    let knows = cluster.newest::<DescribeClusterRequest>()?;
    let answer = match knows {
        None => return ask_with_metadata(cluster),
        Some(version) if version >= 2 => cluster.call_again(&request)?,
        Some(_) => cluster.call_again(&plain)?,
    };
    if answer.error_code != ErrorCode::None.code() {
        let message = answer.error_message.as_deref();
        return Err(CliError::new(refusal(
            "the cluster",
            answer.error_code,
            message,
        )));
    }
    let brokers = answer.brokers.iter().map(|broker| Broker {
        id: broker.broker_id,
        address: format!("{}:{}", broker.host, broker.port),
        rack: broker.rack.as_deref().map(str::to_owned),
        is_fenced: broker.is_fenced,
    });
    Ok(Description {
        cluster_id: answer.cluster_id.to_string(),
        controller: answer.controller_id,
        brokers: brokers.collect(),
        apis: Vec::new(),
    })
}

/// As brokers are asked that do not know DescribeCluster (Kafka before 2.8).
fn ask_with_metadata(cluster: &mut Cluster) -> Result<Description, CliError> {
    let answer = cluster.describe(Some(&[]))?;
    let brokers = answer.brokers.iter().map(|broker| Broker {
        id: broker.node_id,
        address: format!("{}:{}", broker.host, broker.port),
        rack: broker.rack.as_deref().map(str::to_owned),
        is_fenced: false,
    });
    let unnamed = || ClientError::Protocol {
        address: "the broker".to_owned(),
        sentence: "names no cluster".to_owned(),
    };
    let cluster_id = answer.cluster_id.as_deref().ok_or_else(unnamed)?;
    Ok(Description {
        cluster_id: cluster_id.to_owned(),
        controller: answer.controller_id,
        brokers: brokers.collect(),
        apis: Vec::new(),
    })
}

fn brokers(found: &Description) -> Table {
    let mut table = Table::new(&["BROKER", "ADDRESS", "RACK", "STATE"]);
    for broker in &found.brokers {
        let state = match (broker.is_fenced, broker.id == found.controller) {
            (true, _) => "fenced",
            (false, true) => "serving, controller",
            (false, false) => "serving",
        };
        let rack = broker.rack.as_deref().unwrap_or("-");
        table.row([broker.id.to_string().as_str(), &broker.address, rack, state]);
    }
    table
}

fn api_name(key: i16) -> &'static str {
    ApiKey::from_code(key).map_or("-", ApiKey::name)
}

fn apis(found: &Description) -> Table {
    let mut table = Table::new(&["API", "NAME", "VERSIONS"]);
    for (key, first, last) in &found.apis {
        let versions = format!("{first} to {last}");
        table.row([key.to_string().as_str(), api_name(*key), &versions]);
    }
    table
}

fn object(found: &Description, with_apis: bool) -> Value {
    let brokers = found.brokers.iter().map(|broker| {
        json!({
            "id": broker.id,
            "address": broker.address,
            "rack": broker.rack,
            "fenced": broker.is_fenced,
            "controller": broker.id == found.controller,
        })
    });
    let mut object = json!({
        "cluster_id": found.cluster_id,
        "controller_id": found.controller,
        "brokers": brokers.collect::<Vec<Value>>(),
    });
    if with_apis {
        let apis = found.apis.iter().map(|(key, first, last)| {
            json!({"key": key, "name": api_name(*key), "min_version": first, "max_version": last})
        });
        object["apis"] = apis.collect();
    }
    object
}
