// SPDX-License-Identifier: Apache-2.0
//! rskafka as a client program: one request a line in, one answer a line out
//! (`programs/serve.py` says which).

use std::collections::BTreeMap;
use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use rskafka::client::partition::{Compression, OffsetAt, PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder};
use rskafka::record::{Record, RecordAndOffset};
use serde_json::{Value, json};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// What a request came to.
enum Answer {
    Ok(Value),
    /// The client has no such thing.
    Unsupported(&'static str),
}

/// How long one thing may take.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);
const PATIENCE_MS: i32 = 30_000;
/// Records that one call sends, which makes one batch.
const BATCH_RECORDS: usize = 40;
/// Bytes that one fetch asks for.
const FETCH_BYTES: i32 = 1024 * 1024;

fn main() -> Outcome<()> {
    let server = std::env::args()
        .nth(1)
        .ok_or("usage: rskafka-client SERVER")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let client = runtime.block_on(ClientBuilder::new(vec![server]).build())?;
    for line in std::io::stdin().lines() {
        let request: Value = serde_json::from_str(&line?)?;
        let outcome = runtime.block_on(async {
            tokio::time::timeout(PATIENCE, handle(&client, &request))
                .await
                .map_err(|_| "nothing came for 30 s")?
        });
        let answer = match outcome {
            Ok(Answer::Ok(found)) => json!({ "ok": found }),
            Ok(Answer::Unsupported(what)) => json!({ "unsupported": what }),
            Err(error) => json!({ "error": error.to_string() }),
        };
        let mut out = std::io::stdout().lock();
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

async fn handle(client: &Client, request: &Value) -> Outcome<Answer> {
    let topic = request["topic"].as_str().unwrap_or_default();
    let found = match request["verb"].as_str().unwrap_or_default() {
        "version" => json!(version()?),
        "produce" => return produce(client, topic, request).await,
        "consume" if request["exact_headers"].as_bool() == Some(true) => {
            return Ok(Answer::Unsupported("headers without value or of one name"));
        }
        "consume" => consume(client, topic, request).await?,
        "offsets" => {
            let at = partition(client, topic, &request["partition"]).await?;
            let begin = at.get_offset(OffsetAt::Earliest).await?;
            json!({ "begin": begin, "end": at.get_offset(OffsetAt::Latest).await? })
        }
        "offset_at" => {
            let at = partition(client, topic, &request["partition"]).await?;
            let when = OffsetAt::Timestamp(time(&request["timestamp"])?);
            json!(at.get_offset(when).await?)
        }
        "create" if !no_entries(&request["configs"]) => {
            return Ok(Answer::Unsupported("create with settings"));
        }
        "create" => {
            let partitions = i32::try_from(request["partitions"].as_i64().ok_or("no partitions")?)?;
            let controller = client.controller_client()?;
            controller
                .create_topic(topic, partitions, 1, PATIENCE_MS)
                .await?;
            Value::Null
        }
        "delete" => {
            client
                .controller_client()?
                .delete_topic(topic, PATIENCE_MS)
                .await?;
            Value::Null
        }
        "list" => {
            let topics = client.list_topics().await?;
            json!(topics.iter().map(|one| &one.name).collect::<Vec<_>>())
        }
        "trim" => {
            let at = partition(client, topic, &request["partition"]).await?;
            let before = request["before"].as_i64().ok_or("no offset")?;
            at.delete_records(before, PATIENCE_MS).await?;
            Value::Null
        }
        _ => return Ok(Answer::Unsupported("no such verb")),
    };
    Ok(Answer::Ok(found))
}

/// The version is that of the file that locks it.
fn version() -> Outcome<&'static str> {
    let locked = include_str!("../Cargo.lock");
    let mut lines = locked
        .lines()
        .skip_while(|line| *line != "name = \"rskafka\"");
    let line = lines.nth(1).ok_or("rskafka is not locked")?;
    Ok(line.trim_start_matches("version = ").trim_matches('"'))
}

async fn partition(client: &Client, topic: &str, number: &Value) -> Outcome<PartitionClient> {
    let number = i32::try_from(number.as_i64().ok_or("no partition")?)?;
    Ok(client
        .partition_client(topic, number, UnknownTopicHandling::Error)
        .await?)
}

async fn produce(client: &Client, topic: &str, request: &Value) -> Outcome<Answer> {
    let records = request["records"].as_array().ok_or("no records")?;
    if request["acks"].as_str().is_some_and(|acks| acks != "all") {
        return Ok(Answer::Unsupported("fewer acknowledgements"));
    }
    if request["idempotent"].as_bool() == Some(true) {
        return Ok(Answer::Unsupported("idempotence"));
    }
    if records.iter().any(|one| one["partition"].is_null()) {
        return Ok(Answer::Unsupported("a partitioner"));
    }
    let compression = match request["codec"].as_str().unwrap_or("none") {
        "gzip" => Compression::Gzip,
        "snappy" => Compression::Snappy,
        "lz4" => Compression::Lz4,
        "zstd" => Compression::Zstd,
        _ => Compression::NoCompression,
    };
    let mut by_partition: BTreeMap<i64, Vec<(usize, Record)>> = BTreeMap::new();
    for (number, one) in records.iter().enumerate() {
        let Some(headers) = headers(&one["headers"])? else {
            return Ok(Answer::Unsupported("headers without value or of one name"));
        };
        let record = Record {
            key: bytes(&one["key"])?,
            value: bytes(&one["value"])?,
            headers,
            timestamp: if one["timestamp"].is_null() {
                Utc::now()
            } else {
                time(&one["timestamp"])?
            },
        };
        let place = one["partition"].as_i64().unwrap_or_default();
        by_partition
            .entry(place)
            .or_default()
            .push((number, record));
    }
    let mut offsets = vec![Value::Null; records.len()];
    for (place, waiting) in by_partition {
        let at = partition(client, topic, &json!(place)).await?;
        for chunk in waiting.chunks(BATCH_RECORDS) {
            let batch = chunk.iter().map(|(_, record)| record.clone()).collect();
            let given = at.produce(batch, compression).await?;
            for ((number, _), offset) in chunk.iter().zip(given) {
                offsets[*number] = json!([place, offset]);
            }
        }
    }
    Ok(Answer::Ok(json!(offsets)))
}

async fn consume(client: &Client, topic: &str, request: &Value) -> Outcome<Value> {
    let from = request["from"].as_object().ok_or("no partitions")?;
    let count = usize::try_from(request["count"].as_u64().ok_or("no count")?)?;
    let mut places = Vec::new();
    for (number, offset) in from {
        let number: i64 = number.parse()?;
        let offset = offset.as_i64().ok_or("no offset")?;
        places.push((
            number,
            partition(client, topic, &json!(number)).await?,
            offset,
        ));
    }
    let mut found = Vec::new();
    while found.len() < count {
        for (number, at, next) in &mut places {
            let wait_ms = 100;
            let (records, _) = at.fetch_records(*next, 1..FETCH_BYTES, wait_ms).await?;
            for one in records {
                *next = one.offset + 1;
                found.push(received(*number, one));
            }
        }
    }
    Ok(json!(found))
}

fn received(partition: i64, RecordAndOffset { record, offset }: RecordAndOffset) -> Value {
    let text = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|bytes| STANDARD.encode(bytes));
    let headers: Vec<Value> = record
        .headers
        .iter()
        .map(|(name, value)| json!([name, STANDARD.encode(value)]))
        .collect();
    json!({
        "partition": partition,
        "offset": offset,
        "key": text(&record.key),
        "value": text(&record.value),
        "headers": headers,
        "timestamp": record.timestamp.timestamp_millis(),
    })
}

/// Headers are a map here: none without a value, no name twice.
fn headers(list: &Value) -> Outcome<Option<BTreeMap<String, Vec<u8>>>> {
    let mut headers = BTreeMap::new();
    for one in list.as_array().into_iter().flatten() {
        let name = one[0].as_str().ok_or("a header without a name")?.to_owned();
        let Some(value) = bytes(&one[1])? else {
            return Ok(None);
        };
        if headers.insert(name, value).is_some() {
            return Ok(None);
        }
    }
    Ok(Some(headers))
}

fn no_entries(object: &Value) -> bool {
    object.as_object().is_none_or(|object| object.is_empty())
}

fn bytes(text: &Value) -> Outcome<Option<Vec<u8>>> {
    match text.as_str() {
        Some(text) => Ok(Some(STANDARD.decode(text)?)),
        None => Ok(None),
    }
}

fn time(ms: &Value) -> Outcome<DateTime<Utc>> {
    let ms = ms.as_i64().ok_or("no time")?;
    Ok(DateTime::from_timestamp_millis(ms).ok_or("not a time")?)
}
