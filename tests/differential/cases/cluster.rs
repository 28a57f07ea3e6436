// SPDX-License-Identifier: Apache-2.0
//! ApiVersions, DescribeCluster, DescribeLogDirs, DescribeQuorum, UpdateFeatures.
//!
//! Owns: [`CASES`]. Runs on: one thread for each broker.

use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::update_features_request::FeatureUpdateKey;
use kafka_protocol::messages::{
    ApiVersionsRequest, DescribeClusterRequest, DescribeLogDirsRequest, DescribeQuorumRequest,
    TopicName, UpdateFeaturesRequest,
};

use super::{Case, case};
use crate::side::Side;
use crate::value::Value;

fn versions(name: &'static str, version: &'static str) -> ApiVersionsRequest {
    ApiVersionsRequest::default()
        .with_client_software_name(name.into())
        .with_client_software_version(version.into())
}

fn log_dirs(side: &mut Side, version: i16, topics: &[(TopicName, &[i32])]) {
    let topics = topics.iter().map(|(name, partitions)| {
        DescribableLogDirTopic::default()
            .with_topic(name.clone())
            .with_partitions(partitions.to_vec())
    });
    let request = DescribeLogDirsRequest::default().with_topics(Some(topics.collect()));
    side.ask("directories", version, &request);
}

fn quorum(side: &mut Side, version: i16, topics: &[(&str, &[i32])]) {
    let topics = topics.iter().map(|(name, partitions)| {
        let partitions = partitions
            .iter()
            .map(|index| PartitionData::default().with_partition_index(*index));
        TopicData::default()
            .with_topic_name(TopicName((*name).to_owned().into()))
            .with_partitions(partitions.collect())
    });
    let request = DescribeQuorumRequest::default().with_topics(topics.collect());
    let mut answer = side.must(version, &request);
    // How often each controller has begun and how much it has written is its own.
    for partition in answer
        .topics
        .iter_mut()
        .flat_map(|topic| &mut topic.partitions)
    {
        partition.leader_epoch = partition.leader_epoch.signum();
        partition.high_watermark = partition.high_watermark.signum();
    }
    side.note("quorum", &Value::of(&answer));
}

/// One update of a feature.
fn feature(side: &mut Side, version: i16, name: &'static str, level: i16, kind: i8) {
    let update = FeatureUpdateKey::default()
        .with_feature(name.into())
        .with_max_version_level(level);
    let update = match version {
        0 => update.with_allow_downgrade(kind != 1),
        _ => update.with_upgrade_type(kind),
    };
    let request = UpdateFeaturesRequest::default()
        .with_timeout_ms(5000)
        .with_feature_updates(vec![update]);
    let request = match version {
        0 => request,
        // Only tried: a level that changed would be seen by every case that follows.
        _ => request.with_validate_only(true),
    };
    side.ask(&format!("{name} to {level} by {kind}"), version, &request);
}

pub const CASES: &[Case] = &[
    case("versions/known", &[0, 1, 2, 3, 4], |side, version| {
        let request = match version >= 3 {
            true => versions("differential", "1.0"),
            false => ApiVersionsRequest::default(),
        };
        side.ask("versions", version, &request);
    }),
    case("versions/unknown", &[5, 6, 127], |side, version| {
        let frame = side.send_raw(18, version, 2, b"\x02a\x02b\x00");
        super::odd::note_versions(side, frame);
    }),
    case("versions/negative", &[], |side, _| {
        let frame = side.send_raw(18, -1, 1, b"");
        super::odd::note_versions(side, frame);
    }),
    case(
        "versions/odd names of software",
        &[3, 4],
        |side, version| {
            for (name, version_text) in [
                ("", ""),
                ("a b", "1"),
                ("ok", ""),
                ("-x", "1"),
                ("x", "1_0"),
            ] {
                side.ask(
                    &format!("{name}/{version_text}"),
                    version,
                    &versions(name, version_text),
                );
            }
        },
    ),
    case("cluster/brokers", &[0, 1, 2], |side, version| {
        side.ask("cluster", version, &DescribeClusterRequest::default());
    }),
    case("cluster/authorized operations", &[0, 2], |side, version| {
        let request =
            DescribeClusterRequest::default().with_include_cluster_authorized_operations(true);
        side.ask("cluster", version, &request);
    }),
    case("cluster/controllers", &[1, 2], |side, version| {
        for kind in [2, 0, 3, -1] {
            let request = DescribeClusterRequest::default().with_endpoint_type(kind);
            side.ask(&format!("endpoints {kind}"), version, &request);
        }
    }),
    case("cluster/fenced brokers", &[2], |side, version| {
        let request = DescribeClusterRequest::default().with_include_fenced_brokers(true);
        side.ask("cluster", version, &request);
    }),
    case(
        "directories/of one topic",
        &[1, 2, 3, 4],
        |side, version| {
            side.topic("t", 2, &[]);
            let name = side.name("t");
            log_dirs(side, version, &[(name, &[0, 1])]);
        },
    ),
    case(
        "directories/unknown partitions",
        &[1, 4],
        |side, version| {
            side.topic("t", 1, &[]);
            let (t, nothing) = (side.name("t"), side.name("nothing"));
            log_dirs(
                side,
                version,
                &[(t.clone(), &[0, 5, -1]), (nothing, &[0]), (t, &[0])],
            );
        },
    ),
    case("directories/of nothing", &[1, 4], |side, version| {
        log_dirs(side, version, &[])
    }),
    case(
        "directories/topic without partitions",
        &[1, 4],
        |side, version| {
            side.topic("t", 1, &[]);
            let name = side.name("t");
            log_dirs(side, version, &[(name, &[])]);
        },
    ),
    case("directories/of all topics", &[1, 4], |side, version| {
        side.topic("t", 1, &[]);
        let request = DescribeLogDirsRequest::default().with_topics(None);
        let mut answer = side.must(version, &request);
        for directory in &mut answer.results {
            directory.topics.retain(|topic| side.is_own(&topic.name));
        }
        side.note("own of all", &Value::of(&answer));
    }),
    case("quorum/of the metadata", &[0, 1, 2], |side, version| {
        quorum(side, version, &[("__cluster_metadata", &[0])]);
    }),
    case("quorum/of other partitions", &[0, 2], |side, version| {
        quorum(side, version, &[("__cluster_metadata", &[1])]);
        quorum(side, version, &[("other", &[0])]);
        quorum(side, version, &[("__cluster_metadata", &[0, 1])]);
        quorum(
            side,
            version,
            &[("__cluster_metadata", &[0]), ("other", &[0])],
        );
        quorum(side, version, &[("__cluster_metadata", &[])]);
        quorum(side, version, &[]);
    }),
    case("features/unknown", &[0, 1, 2], |side, version| {
        feature(side, version, "no.such.feature", 1, 1);
        feature(side, version, "", 1, 1);
    }),
    case("features/odd levels", &[0, 1, 2], |side, version| {
        feature(side, version, "metadata.version", -1, 1);
        feature(side, version, "metadata.version", 9999, 1);
    }),
    case("features/odd kinds", &[1, 2], |side, version| {
        feature(side, version, "metadata.version", 9999, 0);
        feature(side, version, "metadata.version", 9999, 4);
        feature(side, version, "metadata.version", 9999, 2);
        feature(side, version, "metadata.version", 1, 1);
    }),
    case("features/nothing", &[0, 1, 2], |side, version| {
        let request = UpdateFeaturesRequest::default().with_timeout_ms(5000);
        side.ask("features", version, &request);
    }),
];
