// SPDX-License-Identifier: Apache-2.0
//! `furlong txn abort`.
//!
//! The open transaction of a transactional id is ended by its coordinator: it is asked for a new
//! epoch of the producer, and aborts what the old one has open. What no coordinator knows any more
//! hangs in its partition for ever; there the leader is told to write the marker (KIP-664).
//!
//! Owns: its arguments and output, both ways. Invariants: a marker is never written over a
//! transaction that a coordinator has still to end: it might have been committed elsewhere.
//! Runs on: the command's thread. Bounded by: the producers of one partition.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::ask;
use super::describe::{View, object, table};
use crate::cli::CliError;
use crate::cli::arguments::{BootstrapArguments, Format, FormatArguments};
use crate::cli::client::cluster::Cluster;
use crate::cli::client::coordinator::Coordinator;
use crate::cli::client::offsets::Place;
use crate::cli::client::{Retry, now_ms};
use crate::cli::error::refusal;
use crate::cli::group::{ExecuteArguments, PREVIEW};
use crate::cli::output::{Table, print, write_json};
use crate::model::error_code::ErrorCode;
use crate::wire::protocol::describe_producers::ProducerState;
use crate::wire::protocol::init_producer_id::InitProducerIdRequest;
use crate::wire::protocol::write_txn_markers::{
    WritableTxnMarker, WritableTxnMarkerTopic, WriteTxnMarkersRequest,
};

/// How long the markers of an abort may take.
const ABORT_FOR: Duration = Duration::from_secs(60);

/// Arguments of `furlong txn abort`.
#[derive(Clone, Debug, Args)]
pub struct AbortArguments {
    #[command(flatten)]
    bootstrap: BootstrapArguments,
    /// The transactional id; its producer is fenced, and cannot go on
    #[arg(value_name = "TRANSACTIONAL-ID", required_unless_present = "topic")]
    id: Option<String>,
    /// Topic of a hanging transaction, as `txn find-hanging` prints it
    #[arg(
        short,
        long,
        value_name = "TOPIC",
        conflicts_with = "id",
        requires = "partition"
    )]
    topic: Option<String>,
    /// Partition of the hanging transaction
    #[arg(short, long, value_name = "NUMBER", requires = "topic")]
    partition: Option<i32>,
    /// First offset of the hanging transaction
    #[arg(long, value_name = "OFFSET", requires = "topic")]
    start_offset: Option<i64>,
    /// Producer of the hanging transaction
    #[arg(long, value_name = "ID", requires = "topic")]
    producer_id: Option<i64>,
    #[command(flatten)]
    execute: ExecuteArguments,
    #[command(flatten)]
    format: FormatArguments,
}

/// Carries out the command.
pub(super) fn run(arguments: &AbortArguments) -> Result<(), CliError> {
    let (id, place) = (
        &arguments.id,
        arguments.topic.clone().zip(arguments.partition),
    );
    let has_mark = arguments.start_offset.is_some() || arguments.producer_id.is_some();
    match (id, place) {
        (Some(id), _) => abort_id(arguments, id),
        (None, Some(place)) if has_mark => abort_hanging(arguments, &place),
        _ => Err(CliError::usage(
            "which transaction? give a transactional id, or --topic, --partition and \
             --start-offset or --producer-id, as `furlong txn find-hanging` prints them",
        )),
    }
}

fn abort_id(arguments: &AbortArguments, id: &str) -> Result<(), CliError> {
    let mut cluster = arguments.bootstrap.connect()?;
    let mut coordinator = ask::coordinator_of(id);
    let (broker, _) = coordinator.place(&mut cluster)?;
    let found = ask::describe(&mut cluster, &mut coordinator, id)?;
    if &*found.transaction_state != "Ongoing" {
        return Err(CliError::new(format!(
            "transactional id {id} has no open transaction: its state is {}",
            found.transaction_state
        )));
    }
    let view = View::new(found, broker, now_ms());
    let execute = arguments.execute.execute;
    if execute {
        fence(
            &mut cluster,
            &mut coordinator,
            id,
            view.found.transaction_timeout_ms,
        )?;
    }
    print(|output| match arguments.format.format {
        Format::Json => {
            let mut object = object(&view);
            object["done"] = execute.into();
            write_json(&Value::Array(vec![object]), output)
        }
        Format::Table => {
            table(std::slice::from_ref(&view)).write(output)?;
            match execute {
                true => writeln!(output, "aborted it and fenced its producer"),
                false => writeln!(output, "{PREVIEW}"),
            }
        }
    })
}

/// Takes a new epoch. While what was open is being ended, the coordinator asks to wait.
fn fence(
    cluster: &mut Cluster,
    coordinator: &mut Coordinator,
    id: &str,
    timeout_ms: i32,
) -> Result<(), CliError> {
    let request = InitProducerIdRequest {
        transactional_id: Some(id.into()),
        transaction_timeout_ms: timeout_ms,
        ..InitProducerIdRequest::default()
    };
    let mut retry = Retry::lasting(ABORT_FOR);
    loop {
        let answer = coordinator.call(cluster, &request, |answer| answer.error_code)?;
        match ErrorCode::from_code(answer.error_code) {
            Some(ErrorCode::None) => return Ok(()),
            Some(ErrorCode::ConcurrentTransactions) if retry.pause() => {}
            _ => return Err(coordinator.refused(answer.error_code, None).into()),
        }
    }
}

fn abort_hanging(arguments: &AbortArguments, place: &Place) -> Result<(), CliError> {
    let mut cluster = arguments.bootstrap.connect()?;
    let (topic, partition) = place;
    let leaders = cluster.leaders(topic, false)?;
    let leader = leaders.iter().find(|one| one.partition == *partition);
    let Some(leader) = leader.map(|one| one.leader) else {
        return Err(CliError::new(format!(
            "topic {topic} has no partition {partition}"
        )));
    };
    let producers = ask::producers(&mut cluster, leader, std::slice::from_ref(place))?;
    let producers = producers.get(place).map_or(&[][..], Vec::as_slice);
    let producer = open_one(producers, arguments.start_offset, arguments.producer_id);
    let producer = producer.ok_or_else(|| {
        CliError::new(format!(
            "no such transaction is open in partition {partition} of topic {topic}; `furlong txn \
             find-hanging --topic {topic} --older-than 0s` prints those that hang"
        ))
    })?;
    if let Some(id) = ask::keeper(&mut cluster, place, producer)? {
        return Err(CliError::new(format!(
            "this transaction does not hang: it is that of transactional id {id}, whose \
             coordinator ends it; `furlong txn abort {id}` aborts it everywhere"
        )));
    }
    let execute = arguments.execute.execute;
    if execute {
        write_marker(&mut cluster, leader, place, producer)?;
    }
    print(|output| match arguments.format.format {
        Format::Json => {
            let object = json!({
                "topic": topic,
                "partition": partition,
                "producer_id": producer.producer_id,
                "producer_epoch": producer.producer_epoch,
                "start_offset": producer.current_txn_start_offset,
                "done": execute,
            });
            write_json(&Value::Array(vec![object]), output)
        }
        Format::Table => {
            let head = ["TOPIC", "PARTITION", "PRODUCER ID", "EPOCH", "START OFFSET"];
            let mut table = Table::new(&head);
            table.row([
                topic.clone(),
                partition.to_string(),
                producer.producer_id.to_string(),
                producer.producer_epoch.to_string(),
                producer.current_txn_start_offset.to_string(),
            ]);
            table.write(output)?;
            match execute {
                true => writeln!(output, "aborted it in this partition"),
                false => writeln!(output, "{PREVIEW}"),
            }
        }
    })
}

/// The producer whose open transaction is meant; both marks must fit, if both are given.
fn open_one(
    producers: &[ProducerState],
    start_offset: Option<i64>,
    producer_id: Option<i64>,
) -> Option<&ProducerState> {
    producers.iter().find(|one| {
        one.current_txn_start_offset >= 0
            && start_offset.is_none_or(|start| start == one.current_txn_start_offset)
            && producer_id.is_none_or(|id| id == one.producer_id)
    })
}

fn write_marker(
    cluster: &mut Cluster,
    leader: i32,
    place: &Place,
    producer: &ProducerState,
) -> Result<(), CliError> {
    let (topic, partition) = place;
    let what = format!("partition {partition} of topic {topic}");
    let epoch = i16::try_from(producer.producer_epoch).map_err(|_| {
        CliError::new(format!(
            "{what}: the producer has no epoch that a marker can have"
        ))
    })?;
    let request = WriteTxnMarkersRequest {
        markers: vec![WritableTxnMarker {
            producer_id: producer.producer_id,
            producer_epoch: epoch,
            transaction_result: false,
            topics: vec![WritableTxnMarkerTopic {
                name: topic.as_str().into(),
                partition_indexes: vec![*partition],
            }],
            // Of a producer that has no marker yet the partition knows no coordinator.
            coordinator_epoch: producer.coordinator_epoch.max(0),
            ..WritableTxnMarker::default()
        }],
    };
    let answer = cluster.call_broker(leader, &request)?;
    let results = answer.markers.iter().flat_map(|marker| &marker.topics);
    let codes = results
        .flat_map(|topic| &topic.partitions)
        .map(|one| one.error_code);
    match codes
        .into_iter()
        .find(|code| *code != ErrorCode::None.code())
    {
        None => Ok(()),
        Some(code) => Err(CliError::new(refusal(&what, code, None))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transaction_that_is_meant() {
        let producer = |producer_id, current_txn_start_offset| ProducerState {
            producer_id,
            current_txn_start_offset,
            ..ProducerState::default()
        };
        let all = [producer(1, -1), producer(2, 10), producer(3, 20)];
        let id = |start, id| open_one(&all, start, id).map(|one| one.producer_id);
        assert_eq!(id(Some(20), None), Some(3));
        assert_eq!(id(None, Some(2)), Some(2));
        assert_eq!(id(None, Some(1)), None, "it has none open");
        assert_eq!(id(Some(10), Some(3)), None, "that is another's");
        assert_eq!(id(Some(-1), None), None);
    }
}
