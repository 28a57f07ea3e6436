// SPDX-License-Identifier: Apache-2.0
//! Properties: replay gives the same state, a snapshot and its tail give what the whole log gives,
//! damage is never taken for a snapshot.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::control::batches;
use crate::control::request::{
    ConfigOperation, ConfigResource, ConfigResourceChange, MorePartitions, TopicSelector,
};
use crate::control::snapshot::{self, SnapshotId};
use crate::control::state::MetadataState;
use crate::wire::record::patch_offsets;

/// What happens to a controller.
#[derive(Clone, Debug)]
enum Step {
    Ask(ControlRequest),
    /// A plan was made but its records were lost.
    Lose(ControlRequest),
    Restart(u16),
}

fn name() -> impl Strategy<Value = ByteString> {
    prop::sample::select(vec!["a", "b", "a.b", "a_b", "c-1", ""]).prop_map(ByteString::from)
}

fn setting() -> impl Strategy<Value = (ByteString, ByteString)> {
    let names = vec![
        "retention.ms",
        "segment.ms",
        "cleanup.policy",
        "log.retention.ms",
        "none",
    ];
    let values = vec!["5", "-1", "compact", "compact,delete", "soon"];
    (prop::sample::select(names), prop::sample::select(values))
        .prop_map(|(name, value)| (name.into(), value.into()))
}

fn new_topic() -> impl Strategy<Value = NewTopic> {
    (name(), -2..5i32, -1..3i16, prop::option::of(setting())).prop_map(
        |(name, num_partitions, replication_factor, setting)| NewTopic {
            name,
            num_partitions,
            replication_factor,
            assignments: Vec::new(),
            configs: setting
                .into_iter()
                .map(|(name, value)| (name, Some(value)))
                .collect(),
        },
    )
}

fn change() -> impl Strategy<Value = ConfigResourceChange> {
    let operations = vec![
        ConfigOperation::Set,
        ConfigOperation::Delete,
        ConfigOperation::Append,
        ConfigOperation::Subtract,
    ];
    let resource = prop_oneof![
        name().prop_map(ConfigResource::Topic),
        Just(ConfigResource::Broker(None)),
        Just(ConfigResource::Broker(Some(NODE))),
        name().prop_map(ConfigResource::Group),
    ];
    let one = (setting(), prop::sample::select(operations));
    let changes = prop::collection::vec(one, 0..3);
    (resource, any::<bool>(), changes).prop_map(|(resource, replaces, changes)| {
        let changes = changes.into_iter();
        let changes = changes.map(|((name, value), operation)| (name, operation, Some(value)));
        ConfigResourceChange {
            resource,
            replaces,
            changes: changes.collect(),
        }
    })
}

fn request() -> impl Strategy<Value = ControlRequest> {
    let create = (prop::collection::vec(new_topic(), 1..4), any::<bool>()).prop_map(
        |(topics, validate_only)| ControlRequest::CreateTopics {
            topics,
            validate_only,
        },
    );
    let delete = prop::collection::vec(name().prop_map(TopicSelector::Name), 1..3)
        .prop_map(|topics| ControlRequest::DeleteTopics { topics });
    let alter =
        prop::collection::vec(change(), 1..3).prop_map(|resources| ControlRequest::AlterConfigs {
            resources,
            validate_only: false,
        });
    let more = (name(), 0..6i32).prop_map(|(name, count)| ControlRequest::CreatePartitions {
        topics: vec![MorePartitions {
            name,
            count,
            assignments: None,
        }],
        validate_only: false,
    });
    prop_oneof![
        4 => create, 2 => delete, 2 => alter, 2 => more,
        1 => Just(ControlRequest::AllocateProducerIds)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => request().prop_map(Step::Ask),
        1 => request().prop_map(Step::Lose),
        1 => (1..4u16).prop_map(Step::Restart),
    ]
}

/// The batches of a metadata log, as `batches::build` makes them.
#[derive(Default)]
struct Log {
    batches: Vec<u8>,
}

impl Log {
    fn append(&mut self, base_offset: i64, values: &[Bytes]) {
        let mut batch = batches::build(values, 7).to_vec();
        patch_offsets(&mut batch, base_offset, 1);
        self.batches.extend_from_slice(&batch);
    }

    fn replayed_onto(&self, state: MetadataState) -> MetadataState {
        let mut state = state;
        let log = Bytes::copy_from_slice(&self.batches);
        batches::replay(&mut state, &log).expect("the log replays");
        state
    }
}

fn commit_to(log: &mut Log, controller: &mut Controller, values: &[Bytes]) {
    if !values.is_empty() {
        log.append(controller.state().version(), values);
        commit(controller, values);
    }
}

fn empty() -> MetadataState {
    MetadataState::empty(NODE, Settings::new())
}

fn assert_same(left: &MetadataState, right: &MetadataState) {
    assert_eq!(left.image(), right.image());
    assert_eq!(left.next_producer_id(), right.next_producer_id());
    assert_eq!(left.partition_count(), right.partition_count());
}

/// The rules that hold of every state, whatever was asked.
fn check(state: &MetadataState) {
    let image = state.image();
    let mut keys = std::collections::BTreeSet::new();
    assert_eq!(image.topics.len(), image.topic_names.len());
    for (name, topic) in &image.topics {
        assert_eq!(image.topic_names.get(&topic.id), Some(name));
        assert!(keys.insert(name.replace('.', "_")), "{name} collides");
        assert!(!topic.partitions.is_empty());
        let (config, _) =
            crate::config::topic::effective_or_default(state.layers(), &topic.overrides);
        assert_eq!(topic.config, config, "settings of {name} follow their text");
        for partition in &topic.partitions {
            assert_eq!(partition.leader, Some(NODE));
            assert!(partition.shard.0 < image.brokers[&NODE].shard_count);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_log_alone_or_any_snapshot_and_its_tail_give_the_same_state(
        steps in prop::collection::vec(step(), 1..20),
        snapshot_at in any::<prop::sample::Index>(),
    ) {
        let (mut log, mut controller) = (Log::default(), Controller::new(config(&[])));
        let values = controller.handle_registration(&registration(2));
        commit_to(&mut log, &mut controller, &values);
        let mut snapshot = None;
        let snapshot_at = snapshot_at.index(steps.len());
        for (index, step) in steps.iter().enumerate() {
            match step {
                Step::Ask(request) => {
                    let plan = controller.handle_request(request);
                    commit_to(&mut log, &mut controller, &plan.values);
                }
                Step::Lose(request) => drop(controller.handle_request(request)),
                Step::Restart(shards) => {
                    let state = log.replayed_onto(empty());
                    assert_same(&state, controller.state());
                    controller = Controller::new(config(&[]));
                    controller.handle_snapshot(state);
                    let values = controller.handle_registration(&registration(*shards));
                    commit_to(&mut log, &mut controller, &values);
                }
            }
            check(controller.state());
            if index == snapshot_at {
                let id = SnapshotId { end_offset: controller.state().version(), epoch: 3 };
                snapshot = Some((id, Bytes::from(snapshot::write(controller.state(), 3))));
            }
        }
        assert_same(&log.replayed_onto(empty()), controller.state());
        let (id, contents) = snapshot.expect("one step took it");
        let loaded = snapshot::load(id, &contents, NODE, Settings::new()).expect("whole");
        prop_assert_eq!(loaded.version(), id.end_offset);
        assert_same(&log.replayed_onto(loaded), controller.state());
    }

    #[test]
    fn a_damaged_snapshot_is_never_loaded(
        place in any::<prop::sample::Index>(),
        bit in 0..8u32,
        cut in any::<prop::sample::Index>(),
    ) {
        let mut controller = started(&[]);
        create_all(&mut controller, vec![topic("a"), topic("b")]);
        let id = SnapshotId { end_offset: controller.state().version(), epoch: 1 };
        let whole = snapshot::write(controller.state(), 1);
        let mut damaged = whole.clone();
        let place = place.index(damaged.len());
        damaged[place] ^= 1 << bit;
        let loaded = snapshot::load(id, &damaged.into(), NODE, Settings::new());
        // The leader epoch of a batch lies outside its checksum and means nothing here.
        if let Ok(state) = loaded {
            prop_assert!((12..16).contains(&place), "byte {place}");
            assert_same(&state, controller.state());
        }
        let cut = whole[..cut.index(whole.len())].to_vec();
        prop_assert!(snapshot::load(id, &cut.into(), NODE, Settings::new()).is_err());
    }
}

#[test]
fn a_snapshot_of_many_batches_is_loaded() {
    let mut controller = started(&[]);
    let topic = |index| NewTopic {
        num_partitions: 2000,
        ..super::topic(&format!("t{index}"))
    };
    create_all(&mut controller, (0..20).map(topic).collect());
    let id = SnapshotId {
        end_offset: controller.state().version(),
        epoch: 1,
    };
    let contents: Bytes = snapshot::write(controller.state(), 1).into();
    let batches = crate::wire::record::split_batches(&contents).count();
    assert!(batches > 2, "{batches} batches");
    let loaded = snapshot::load(id, &contents, NODE, Settings::new()).expect("whole");
    assert_same(&loaded, controller.state());
}

#[test]
fn a_snapshot_must_be_the_one_its_name_says() {
    let controller = started(&[]);
    let contents: Bytes = snapshot::write(controller.state(), 1).into();
    let end_offset = controller.state().version();
    for (end_offset, epoch) in [(end_offset, 2), (end_offset + 1, 1)] {
        let id = SnapshotId { end_offset, epoch };
        let refused = snapshot::load(id, &contents, NODE, Settings::new());
        assert_eq!(
            refused.expect_err("another"),
            snapshot::SnapshotError::Header
        );
    }
    let twice = Bytes::from([&contents[..], &contents[..]].concat());
    let id = SnapshotId {
        end_offset,
        epoch: 1,
    };
    assert!(snapshot::load(id, &twice, NODE, Settings::new()).is_err());
}

#[test]
fn names_of_snapshots_are_those_of_kafka() {
    let id = SnapshotId {
        end_offset: 1234,
        epoch: 5,
    };
    assert_eq!(id.file_name(), "00000000000000001234-0000000005.checkpoint");
    assert_eq!(SnapshotId::parse(&id.file_name()), Some(id));
    for name in [
        "00000000000000001234.log",
        "1234-5.checkpoint",
        "0000000000000000123x-0000000005.checkpoint",
        "99999999999999999999-0000000005.checkpoint",
        "00000000000000001234-9999999999.checkpoint",
        "00000000000000001234-0000000005.checkpoint.deleted",
        "",
    ] {
        assert_eq!(SnapshotId::parse(name), None, "{name}");
    }
    let later = SnapshotId {
        end_offset: 1235,
        epoch: 1,
    };
    assert!(later > id);
}
