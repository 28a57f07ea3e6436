// SPDX-License-Identifier: Apache-2.0
//! Shards by the admin port: which partitions each of them owns, and moving one to another.
//!
//! Owns: the paths below `/shards`. Invariants: what changes something is a POST with the header
//! that `io/http` asks for; it is answered once the new shard serves, or says that it does not
//! know.
//! Runs on: the admin thread. Bounded by: `ADMIN_CHANGE_MS_MAX`.

use std::time::Instant;

use serde_json::{Value, json};

use super::collector::{Collector, Figures};
use crate::control::request::{ControlAnswer, ControlRequest};
use crate::io::http::{Answer, Question};
use crate::model::error_code::ErrorCode;
use crate::model::ids::ShardId;

const OK: (u16, &str) = (200, "OK");
const BAD_REQUEST: (u16, &str) = (400, "Bad Request");
const NOT_FOUND: (u16, &str) = (404, "Not Found");
const CONFLICT: (u16, &str) = (409, "Conflict");
const UNAVAILABLE: (u16, &str) = (503, "Service Unavailable");
const TOO_LATE: (u16, &str) = (504, "Gateway Timeout");

/// Answers what is asked of `/shards`; `None` if it is asked of something else.
pub fn answer(question: &Question, collector: &Collector) -> Option<Answer> {
    match (question.is_change, question.path.as_str()) {
        (false, "/shards") => Some(of_json(OK, &list(&collector.collect()))),
        (true, "/shards/move") => Some(shift(question, collector)),
        (false, "/shards/move") => {
            let line = "a move is asked for with POST: `furlong shard move` does it";
            Some(Answer::text((405, "Method Not Allowed"), line))
        }
        _ => None,
    }
}

fn of_json(status: (u16, &'static str), value: &Value) -> Answer {
    Answer {
        status,
        content_type: "application/json",
        body: format!("{value}\n"),
    }
}

fn list(figures: &[Figures]) -> Value {
    let shards = figures.iter().filter_map(|one| {
        let numbers = one.numbers.as_ref()?;
        let partitions = numbers.logs.iter().map(|log| {
            json!({
                "topic": &*log.topic,
                "partition": log.at.partition,
                "is_open": log.is_open,
                "log_end_offset": log.log_end_offset,
                "bytes": log.size_bytes,
            })
        });
        Some(json!({
            "shard": one.shard.0,
            "connections": numbers.connections,
            "partitions_taken": numbers.partitions_taken,
            "partitions": partitions.collect::<Vec<Value>>(),
        }))
    });
    json!({ "shards": shards.collect::<Vec<Value>>() })
}

fn shift(question: &Question, collector: &Collector) -> Answer {
    let request = match wanted(question) {
        Ok(request) => request,
        Err(sentence) => return Answer::text(BAD_REQUEST, &sentence),
    };
    let since = Instant::now();
    let Some(answer) = collector.ask(request) else {
        let line = "the move was not done in time and may yet be: look again with GET /shards";
        return Answer::text(TOO_LATE, line);
    };
    match answer {
        ControlAnswer::MovePartition(Ok(from)) => {
            let took_ms = since.elapsed().as_secs_f64() * 1e3;
            of_json(OK, &json!({ "from": from.0, "took_ms": took_ms }))
        }
        ControlAnswer::MovePartition(Err(refusal)) => {
            let status = match refusal.code {
                ErrorCode::UnknownTopicOrPartition => NOT_FOUND,
                ErrorCode::InvalidRequest => BAD_REQUEST,
                _ => CONFLICT,
            };
            Answer::text(status, &refusal.message)
        }
        _ => Answer::text(
            UNAVAILABLE,
            "the controller cannot do it now: the broker starts or stops, or its disk is full",
        ),
    }
}

/// The move that the query names.
fn wanted(question: &Question) -> Result<ControlRequest, String> {
    let (mut topic, mut partition, mut to) = (None, None, None);
    for pair in question.query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let place = match name {
            "topic" => &mut topic,
            "partition" => &mut partition,
            "to" => &mut to,
            other => return Err(format!("there is no parameter {other}")),
        };
        *place = Some(value);
    }
    let number = |text: Option<&str>| text.and_then(|text| text.parse().ok());
    let (Some(topic), Some(partition), Some(to)) = (topic, number(partition), number(to)) else {
        return Err("give topic, partition and to, like ?topic=t&partition=0&to=1".to_owned());
    };
    let to = u16::try_from(to).map_err(|_| format!("{to} is no shard"))?;
    Ok(ControlRequest::MovePartition {
        topic: topic.into(),
        partition,
        to: ShardId(to),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str) -> Result<ControlRequest, String> {
        wanted(&Question {
            is_change: true,
            path: "/shards/move".into(),
            query: query.into(),
        })
    }

    #[test]
    fn a_query_names_the_move() {
        let expected = ControlRequest::MovePartition {
            topic: "a.b_c-1".into(),
            partition: 7,
            to: ShardId(2),
        };
        assert_eq!(asked("to=2&topic=a.b_c-1&partition=7"), Ok(expected));
        for (query, word) in [
            ("", "give topic"),
            ("topic=t&partition=0", "give topic"),
            ("topic=t&partition=x&to=1", "give topic"),
            ("topic=t&partition=0&to=-1", "no shard"),
            ("topic=t&partition=0&to=1&force=1", "force"),
        ] {
            let sentence = asked(query).expect_err(query);
            assert!(sentence.contains(word), "{sentence}");
        }
    }
}
