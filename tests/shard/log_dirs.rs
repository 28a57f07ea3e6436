// SPDX-License-Identifier: Apache-2.0
//! DescribeLogDirs: the sizes of partitions and of the volume that they lie on.

use furlong::shard::contract::{Event, ProcessEffect};
use furlong::wire::protocol::describe_log_dirs::{DescribableLogDirTopic, DescribeLogDirsRequest};

use crate::broker::{Broker, Hold};
use crate::client::{batch, call, frame, next, produce};

fn sizes(broker: &mut Broker, topics: Option<Vec<(&str, Vec<i32>)>>) -> Vec<(String, i32, i64)> {
    let client = broker.connect(0);
    let topics = topics.map(|topics| {
        let topics = topics.into_iter();
        let topics = topics.map(|(topic, partitions)| DescribableLogDirTopic {
            topic: topic.into(),
            partitions,
        });
        topics.collect()
    });
    let response = call(broker, client, 4, &DescribeLogDirsRequest { topics });
    assert_eq!(response.error_code, 0);
    let [directory] = &response.results[..] else {
        panic!("there is one directory");
    };
    assert_eq!((directory.error_code, &*directory.log_dir), (0, "/data"));
    let volume = (directory.total_bytes, directory.usable_bytes);
    assert_eq!(volume, (1 << 40, 1 << 30));
    let topics = directory.topics.iter();
    let sizes = topics.flat_map(|topic| {
        let partitions = topic.partitions.iter();
        partitions.map(|one| {
            (
                topic.name.to_string(),
                one.partition_index,
                one.partition_size,
            )
        })
    });
    sizes.collect()
}

#[test]
fn a_volume_of_unknown_size_is_told_as_such() {
    let mut broker = Broker::with_topic(1, "t", 1);
    broker.disk.hides_volume = true;
    let client = broker.connect(0);
    for version in [1, 4, 5] {
        let request = DescribeLogDirsRequest { topics: None };
        let response = call(&mut broker, client, version, &request);
        let directory = &response.results[0];
        assert_eq!((directory.total_bytes, directory.usable_bytes), (-1, -1));
        assert_eq!(directory.topics.len(), 1, "the partitions are told");
    }
}

#[test]
fn the_size_of_the_volume_is_asked_for_once_for_all_who_wait() {
    let mut broker = Broker::with_topic(2, "t", 2);
    let clients = [broker.connect(1), broker.connect(1), broker.connect(1)];
    broker.hold = Hold::Everything;
    for client in clients {
        let request = DescribeLogDirsRequest { topics: None };
        broker.send(client, frame(7, 4, &request));
    }
    assert_eq!(broker.held(), 1, "one question to the disk");
    broker.disconnect(clients[1]);
    broker.release();
    for client in [clients[0], clients[2]] {
        let answer = next::<DescribeLogDirsRequest>(&mut broker, client, 4);
        let (_, response) = answer.expect("answered");
        assert_eq!(response.results[0].total_bytes, 1 << 40);
    }
    assert_eq!(broker.shards[1].waiting_count(), (0, 0));
}

#[test]
fn a_shard_stops_once_the_volume_has_told_its_size() {
    let mut broker = Broker::new(1);
    let client = broker.connect(0);
    broker.hold = Hold::Everything;
    let request = DescribeLogDirsRequest { topics: None };
    broker.send(client, frame(7, 4, &request));
    broker.event(0, Event::Stop);
    let stopped = (0, ProcessEffect::Stopped);
    assert!(!broker.process.contains(&stopped), "a request is under way");
    broker.release();
    assert!(broker.process.contains(&stopped));
}

#[test]
fn sizes_are_told_of_all_partitions_or_of_those_that_are_there() {
    let mut broker = Broker::with_topic(2, "t", 2);
    broker.add_topic("u", 1, &[]);
    let client = broker.connect(0);
    let records = batch(&["a"]);
    let bytes = i64::try_from(records.len()).expect("small");
    produce(&mut broker, client, "t", 1, records);
    let all = sizes(&mut broker, None);
    assert_eq!(
        all,
        [
            ("t".into(), 0, 0),
            ("t".into(), 1, bytes),
            ("u".into(), 0, 0)
        ]
    );
    let some = sizes(
        &mut broker,
        Some(vec![("t", vec![1, 5, 1]), ("no", vec![0])]),
    );
    assert_eq!(some, [("t".into(), 1, bytes)]);
    assert_eq!(sizes(&mut broker, Some(Vec::new())), []);
    for version in 1..=5 {
        let response = call(
            &mut broker,
            client,
            version,
            &DescribeLogDirsRequest { topics: None },
        );
        assert_eq!(response.results[0].topics.len(), 2);
    }
}
