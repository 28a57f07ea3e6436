// SPDX-License-Identifier: Apache-2.0
//! `furlong group list`.
//!
//! Owns: its arguments and output. Invariants: every broker is asked, for each knows the groups
//! that it coordinates and no others; groups are sorted by name. Runs on: the command's thread.
//! Bounded by: the groups of the cluster.

use clap::Args;
use serde_json::{Value, json};

use crate::cli::CliError;
use crate::cli::arguments::{BootstrapArguments, Format, FormatArguments};
use crate::cli::client::cluster::Cluster;
use crate::cli::client::{RETRY_FOR, Retry, coordinator};
use crate::cli::error::{ClientError, refusal};
use crate::cli::output::{Table, print, write_json};
use crate::model::error_code::ErrorCode;
use crate::wire::protocol::list_groups::{ListGroupsRequest, ListedGroup};

/// Arguments of `furlong group list`.
#[derive(Clone, Debug, Args)]
pub struct ListArguments {
    #[command(flatten)]
    bootstrap: BootstrapArguments,
    /// Prints groups in these states only, such as Stable, Empty or PreparingRebalance
    #[arg(long, value_name = "STATE", value_delimiter = ',')]
    state: Vec<String>,
    /// Prints groups of these types only: classic, consumer, share or streams
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',')]
    kind: Vec<String>,
    #[command(flatten)]
    format: FormatArguments,
}

struct Listed {
    group: ListedGroup,
    broker: i32,
}

/// Carries out the command.
pub(super) fn run(arguments: &ListArguments) -> Result<(), CliError> {
    let mut cluster = arguments.bootstrap.connect()?;
    let text = |words: &[String]| words.iter().map(|word| word.as_str().into()).collect();
    let request = ListGroupsRequest {
        states_filter: text(&arguments.state),
        types_filter: text(&arguments.kind),
    };
    let mut found = Vec::new();
    for (broker, _) in cluster.brokers()? {
        let groups = ask(&mut cluster, broker, &request)?;
        found.extend(groups.into_iter().map(|group| Listed { group, broker }));
    }
    found.sort_by(|left, right| left.group.group_id.cmp(&right.group.group_id));
    print(|output| match arguments.format.format {
        Format::Json => write_json(&found.iter().map(object).collect(), output),
        Format::Table => table(&found).write(output),
    })
}

/// The groups of one broker, once it has loaded them all.
fn ask(
    cluster: &mut Cluster,
    broker: i32,
    request: &ListGroupsRequest,
) -> Result<Vec<ListedGroup>, ClientError> {
    let mut retry = Retry::lasting(RETRY_FOR);
    loop {
        let answer = cluster.call_broker(broker, request)?;
        let code = answer.error_code;
        if code == ErrorCode::None.code() {
            return Ok(answer.groups);
        }
        if !coordinator::passes(code) || !retry.pause() {
            let what = format!("listing the groups of broker {broker}");
            return Err(ClientError::Protocol {
                address: format!("broker {broker}"),
                sentence: refusal(&what, code, None),
            });
        }
    }
}

/// What the broker says, or a dash.
pub(super) fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

fn table(found: &[Listed]) -> Table {
    let mut table = Table::new(&["GROUP", "TYPE", "STATE", "PROTOCOL", "COORDINATOR"]);
    for Listed { group, broker } in found {
        table.row([
            &*group.group_id,
            or_dash(&group.group_type),
            or_dash(&group.group_state),
            or_dash(&group.protocol_type),
            &broker.to_string(),
        ]);
    }
    table
}

fn object(listed: &Listed) -> Value {
    let group = &listed.group;
    let known = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    json!({
        "group": &*group.group_id,
        "type": known(&group.group_type),
        "state": known(&group.group_state),
        "protocol_type": known(&group.protocol_type),
        "coordinator": listed.broker,
    })
}
