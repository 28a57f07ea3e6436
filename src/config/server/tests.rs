// SPDX-License-Identifier: Apache-2.0
//! Tests of the settings of a server.

use super::*;
use crate::limits::RETENTION_CHECK_MS_DEFAULT;

fn parse(file: &str) -> ServerConfig {
    ServerConfig::parse(file, &[]).expect("valid settings")
}

fn refusal(file: &str) -> String {
    ServerConfig::parse(file, &[])
        .expect_err("settings that must be refused")
        .to_string()
}

#[test]
fn nothing_given_serves_on_loopback() {
    let config = parse("");
    assert_eq!(config.node_id, BrokerId(1));
    assert_eq!(config.data_directory, "./furlong-data");
    assert_eq!(
        config.listen,
        Endpoint {
            host: "127.0.0.1".to_owned(),
            port: 9092
        }
    );
    assert_eq!(config.advertised, config.listen);
    assert_eq!(
        (config.cores, config.auto_create_topics),
        (CoreChoice::All, true)
    );
    assert_eq!(config.frame_bytes_max, 104_857_600);
    assert_eq!(config.defaults, BrokerDefaults::default());
    assert!(config.notices.is_empty());
}

#[test]
fn a_file_of_apache_kafka_is_understood() {
    let config = parse(
        "process.roles=broker,controller\nnode.id=3\ncontroller.quorum.voters=3@localhost:9093\n\
         listeners=PLAINTEXT://:9092,CONTROLLER://:9093\ninter.broker.listener.name=PLAINTEXT\n\
         advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093\n\
         controller.listener.names=CONTROLLER\nnum.network.threads=3\nnum.io.threads=8\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,\
         SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL\n\
         share.coordinator.state.topic.replication.factor=1\n\
         log.dirs=/var/lib/logs\nnum.partitions=4\nlog.retention.hours=1\n",
    );
    assert_eq!(config.node_id, BrokerId(3));
    assert_eq!(
        config.listen,
        Endpoint {
            host: String::new(),
            port: 9092
        }
    );
    assert_eq!(
        config.advertised,
        Endpoint {
            host: "localhost".to_owned(),
            port: 9092
        }
    );
    assert_eq!(config.data_directory, "/var/lib/logs");
    assert_eq!(config.defaults.num_partitions, 4);
    let notices = config.notices.join("\n");
    assert!(notices.contains("process.roles") && notices.contains("listener CONTROLLER"));
    assert_eq!(
        notices.matches("no effect here").count(),
        1,
        "one line in all"
    );
    assert!(
        !notices.contains("num.io.threads"),
        "a default needs no notice"
    );
}

#[test]
fn flags_beat_the_file() {
    let flags = [
        "num.partitions=9".to_owned(),
        "cores=2".to_owned(),
        "broker.id=5".to_owned(),
    ];
    let config = ServerConfig::parse("num.partitions=4", &flags).expect("valid");
    assert_eq!(
        (config.defaults.num_partitions, config.cores),
        (9, CoreChoice::Count(2))
    );
    assert_eq!(config.node_id, BrokerId(5));
    let nonsense = ServerConfig::parse("", &["nonsense".to_owned()]).expect_err("no value");
    assert!(nonsense.to_string().contains("key=value"));
}

#[test]
fn what_cannot_be_is_a_sentence() {
    for (file, part) in [
        ("num.partitions=none", "whole number from 1"),
        ("num.partitions=0", "whole number from 1"),
        ("log.dirs=/a,/b", "several directories"),
        ("log.dirs=", "empty"),
        ("node.id=1\nbroker.id=2", "mean the same"),
        ("listeners=SSL://:9092", "PLAINTEXT listeners only"),
        ("listeners=INSIDE://a:1", "Add INSIDE:PLAINTEXT there"),
        (
            "listeners=PLAINTEXT://a:1\nlistener.security.protocol.map=PLAINTEXT:SASL_SSL",
            "of the protocol SASL_SSL",
        ),
        ("process.roles=controller", "Set it to broker,controller"),
        ("process.roles=broker", "cannot be half of a cluster"),
        ("process.roles=broker,watcher", "names \"watcher\""),
        (
            "controller.quorum.voters=1@a:1,2@b:2",
            "several controllers",
        ),
        (
            "controller.quorum.voters=7@a:1",
            "names controller 7, and this is node 1",
        ),
        (
            "controller.quorum.bootstrap.servers=a:1,b:2",
            "several controllers",
        ),
        ("zookeeper.connect=localhost:2181", "ZooKeeper"),
        (
            "listener.name.plaintext.sasl.enabled.mechanisms=PLAIN",
            "does not have: ",
        ),
        ("sasl.jaas.config=x", "no authentication here"),
        (
            "create.topic.policy.class.name=org.Policy",
            "does not have: ",
        ),
        ("remote.log.storage.system.enable=true", "no tiered storage"),
        ("ssl.client.auth=required", "must be none"),
        ("listeners=PLAINTEXT://:9092", "Say in advertised.listeners"),
        ("listeners=PLAINTEXT://a:1,PLAINTEXT://b:2", "more than one"),
        ("listeners=localhost:9092", "of the form"),
        ("listeners=PLAINTEXT://a:70000", "of the form"),
        ("listeners=PLAINTEXT://::1:9092", "of the form"),
        ("listeners=CONTROLLER://a:1", "has no PLAINTEXT"),
        (
            "advertised.listeners=PLAINTEXT://0.0.0.0:1",
            "not every address",
        ),
        ("authorizer.class.name=org.Acl", "does not have: "),
        ("ssl.keystore.location=/k", "does not have: "),
        ("security.inter.broker.protocol=SSL", "must be PLAINTEXT"),
        ("log.retention.ms=soon", "whole number"),
        (
            "log.cleaner.min.compaction.lag.ms=9\nlog.cleaner.max.compaction.lag.ms=8",
            "larger",
        ),
    ] {
        let sentence = refusal(file);
        assert!(sentence.contains(part), "{file}: {sentence}");
        assert!(sentence.ends_with(['.', '?']), "{sentence}");
    }
}

#[test]
fn addresses_of_version_six_stand_in_brackets() {
    let config = parse("listeners=PLAINTEXT://[::1]:9092");
    assert_eq!(
        config.listen,
        Endpoint {
            host: "::1".to_owned(),
            port: 9092
        }
    );
}

#[test]
fn settings_without_effect_are_told_in_one_line() {
    let config = parse("num.io.threads=64\nqueued.max.request.bytes=7\nzookeeper.set.acl=false");
    assert_eq!(
        config.notices,
        ["These settings have no effect here (--print-config says of each why): num.io.threads, \
          queued.max.request.bytes, zookeeper.set.acl."
            .into()]
    );
}

#[test]
fn retention_looks_as_often_as_in_kafka_unless_it_is_told() {
    let config = ServerConfig::parse("", &[]).expect("the defaults are good");
    assert_eq!(config.retention_check_ms, RETENTION_CHECK_MS_DEFAULT);
    let flags = ["log.retention.check.interval.ms=500".to_owned()];
    let config = ServerConfig::parse("", &flags).expect("a good setting");
    assert_eq!((config.retention_check_ms, config.notices.len()), (500, 0));
}

#[test]
fn an_unknown_setting_is_passed_over_in_a_file_and_refused_as_a_flag() {
    let config = parse("node.id=2\nnum.partition=4\ncolour=red");
    assert_eq!(config.node_id, BrokerId(2));
    assert_eq!(
        config.notices,
        [
            Box::from(
                "There is no setting \"colour\". It is passed over (file server.properties, line \
                 3)."
            ),
            Box::from(
                "There is no setting \"num.partition\". Did you mean num.partitions? It is passed \
                 over (file server.properties, line 2)."
            ),
        ]
    );
    assert!(!config.defaults.file.contains_key("num.partition"));
    let flag = ServerConfig::parse("", &["num.partition=4".to_owned()]);
    let sentence = flag
        .expect_err("a flag is meant for nobody else")
        .to_string();
    assert_eq!(
        sentence,
        "There is no setting \"num.partition\". Did you mean num.partitions?"
    );
    // A name that Kafka alone knows is near enough to be named, too.
    let flag = ServerConfig::parse("", &["queued.max.request.byte=4".to_owned()]);
    let sentence = flag.expect_err("unknown").to_string();
    assert!(sentence.contains("queued.max.request.bytes"), "{sentence}");
}

#[test]
fn a_listener_may_have_a_name_of_its_own() {
    let config = parse(
        "listeners=INSIDE://a:1,C2://a:2\ncontroller.listener.names=C1,C2\n\
         listener.security.protocol.map=C2:SSL, INSIDE:PLAINTEXT",
    );
    assert_eq!((&*config.listen.host, config.listen.port), ("a", 1));
}

#[test]
fn one_voter_is_this_broker() {
    let config = parse("node.id=3\ncontroller.quorum.voters=3@localhost:9093");
    assert_eq!(config.node_id, BrokerId(3));
    parse("process.roles=controller , broker\ncontroller.quorum.bootstrap.servers=a:1");
}

/// What a topic of the broker is made like, by the settings of a server.
fn internal_topics(settings: &Settings) -> [Settings; 2] {
    let transactions = super::super::transactions::TransactionSettings::of(settings);
    let replicas = transactions.topic_replication_factor;
    [
        groups::GroupSettings::of(settings).topic_configs(),
        transactions.topic_configs(replicas),
    ]
}

#[test]
fn whatever_is_accepted_at_the_start_makes_the_topics_of_the_broker() {
    let internal = ["offsets.topic.", "transaction.state.log."];
    let mut tried = 0;
    for setting in broker::settings() {
        let is_internal = internal.iter().any(|start| setting.name.starts_with(start));
        if !is_internal || setting.usage != Use::Engine {
            continue;
        }
        let super::super::definition::Check::Whole { min, max } = setting.check else {
            panic!("{}: its bounds are not known", setting.name);
        };
        for value in [min, max] {
            let config = parse(&format!("{}={value}\n", setting.name));
            for overrides in internal_topics(&config.defaults.file) {
                let layers = BrokerLayers::of_file(&config.defaults.file);
                let made = topic::effective(layers, &overrides);
                assert!(made.is_ok(), "{}={value}: {made:?}", setting.name);
            }
            tried += 1;
        }
    }
    assert_eq!(tried, 2 * 7);
}

#[test]
fn segments_of_the_brokers_topics_are_no_smaller_than_those_of_any_topic() {
    for name in [
        "offsets.topic.segment.bytes",
        "transaction.state.log.segment.bytes",
    ] {
        let sentence = refusal(&format!("{name}=1048575\n"));
        assert!(
            sentence.contains(name) && sentence.contains("from 1048576"),
            "{sentence}"
        );
        parse(&format!("{name}=1048576\n"));
    }
    for name in [
        "offsets.topic.num.partitions",
        "transaction.state.log.num.partitions",
    ] {
        assert!(refusal(&format!("{name}=10001\n")).contains(name));
    }
}
