// SPDX-License-Identifier: Apache-2.0
//! Reads a topic through rskafka: the values of partition N go into the file `part-N` of a folder,
//! one a line.

use std::fs::File;
use std::io::{BufWriter, Write};

use rskafka::client::ClientBuilder;
use rskafka::client::partition::{OffsetAt, UnknownTopicHandling};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Bytes that one fetch asks for.
const FETCH_BYTES: i32 = 8 * 1024 * 1024;

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [server, topic, partitions, folder] = args.as_slice() else {
        return Err("usage: rskafka-read SERVER TOPIC PARTITIONS FOLDER".into());
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(read_topic(server, topic, partitions.parse()?, folder))
}

async fn read_topic(server: &str, topic: &str, partitions: i32, folder: &str) -> Outcome<()> {
    let client = ClientBuilder::new(vec![server.to_owned()]).build().await?;
    for partition in 0..partitions {
        let handling = UnknownTopicHandling::Error;
        let client = client.partition_client(topic, partition, handling).await?;
        let end = client.get_offset(OffsetAt::Latest).await?;
        let mut offset = client.get_offset(OffsetAt::Earliest).await?;
        let mut out = BufWriter::new(File::create(format!("{folder}/part-{partition}"))?);
        while offset < end {
            let (records, _) = client.fetch_records(offset, 1..FETCH_BYTES, 1000).await?;
            for record in records {
                if record.offset != offset {
                    return Err(format!("offset {} where {offset} was due", record.offset).into());
                }
                out.write_all(record.record.value.as_deref().unwrap_or_default())?;
                out.write_all(b"\n")?;
                offset += 1;
            }
        }
        out.flush()?;
    }
    Ok(())
}
