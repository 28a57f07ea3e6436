// SPDX-License-Identifier: Apache-2.0
//! Names that Apache Kafka knows and the table of broker settings does not have.
//!
//! Owns: [`FOREIGN_NAMES`], [`refusal_of_foreign`]. Invariants: sorted; no name is in the table of
//! broker settings, too; a name whose silent loss would take a protection from somebody, or hide
//! that this is another kind of broker, is refused with a sentence.
//! Runs on: any core (constants). Bounded by: the tables.

/// Settings of Apache Kafka 4.3 (and of older releases, as files are carried along) that are
/// accepted and have no effect here.
pub static FOREIGN_NAMES: &[&str] = &[
    "add.partitions.to.txn.retry.backoff.max.ms",
    "add.partitions.to.txn.retry.backoff.ms",
    "allow.everyone.if.no.acl.found",
    "alter.log.dirs.replication.quota.window.num",
    "alter.log.dirs.replication.quota.window.size.seconds",
    "auto.include.jmx.reporter",
    "broker.heartbeat.interval.ms",
    "broker.id.generation.enable",
    "broker.session.timeout.ms",
    "confluent.support.metrics.enable",
    "connection.failed.authentication.delay.ms",
    "connections.max.reauth.ms",
    "controlled.shutdown.max.retries",
    "controlled.shutdown.retry.backoff.ms",
    "controller.performance.always.log.threshold.ms",
    "controller.performance.sample.period.ms",
    "controller.quorum.append.linger.ms",
    "controller.quorum.auto.join.enable",
    "controller.quorum.election.backoff.max.ms",
    "controller.quorum.election.timeout.ms",
    "controller.quorum.fetch.snapshot.max.bytes",
    "controller.quorum.fetch.timeout.ms",
    "controller.quorum.request.timeout.ms",
    "controller.quorum.retry.backoff.ms",
    "controller.socket.timeout.ms",
    "cordoned.log.dirs",
    "delegation.token.expiry.check.interval.ms",
    "delegation.token.expiry.time.ms",
    "delegation.token.max.lifetime.ms",
    "delete.records.purgatory.purge.interval.requests",
    "early.start.listeners",
    "errors.deadletterqueue.auto.create.topics.enable",
    "fetch.purgatory.purge.interval.requests",
    "follower.fetch.last.tiered.offset.enable",
    "group.consumer.assignment.interval.ms",
    "group.consumer.regex.refresh.interval.ms",
    "group.coordinator.append.linger.ms",
    "group.coordinator.background.threads",
    "group.coordinator.cached.buffer.max.bytes",
    "group.coordinator.new.enable",
    "group.coordinator.rebalance.protocols",
    "group.coordinator.threads",
    "group.share.assignors",
    "group.share.delivery.count.limit",
    "group.share.enable",
    "group.share.heartbeat.interval.ms",
    "group.share.max.groups",
    "group.share.max.heartbeat.interval.ms",
    "group.share.max.record.lock.duration.ms",
    "group.share.max.session.timeout.ms",
    "group.share.max.share.sessions",
    "group.share.max.size",
    "group.share.min.heartbeat.interval.ms",
    "group.share.min.record.lock.duration.ms",
    "group.share.min.session.timeout.ms",
    "group.share.partition.max.record.locks",
    "group.share.persister.class.name",
    "group.share.record.lock.duration.ms",
    "group.share.session.timeout.ms",
    "group.streams.heartbeat.interval.ms",
    "group.streams.initial.rebalance.delay.ms",
    "group.streams.max.heartbeat.interval.ms",
    "group.streams.max.session.timeout.ms",
    "group.streams.max.size",
    "group.streams.max.standby.replicas",
    "group.streams.min.heartbeat.interval.ms",
    "group.streams.min.session.timeout.ms",
    "group.streams.num.standby.replicas",
    "group.streams.session.timeout.ms",
    "initial.broker.registration.timeout.ms",
    "kafka.metrics.polling.interval.secs",
    "kafka.metrics.reporters",
    "log.cleaner.io.buffer.load.factor",
    "log.cleaner.io.buffer.size",
    "log.dir.failure.timeout.ms",
    "log.initial.task.delay.ms",
    "log.message.downconversion.enable",
    "log.message.format.version",
    "log.message.timestamp.difference.max.ms",
    "max.incremental.fetch.session.cache.slots",
    "max.request.partition.size.limit",
    "metadata.log.max.snapshot.interval.ms",
    "metadata.log.segment.bytes",
    "metadata.log.segment.min.bytes",
    "metadata.log.segment.ms",
    "metadata.max.idle.interval.ms",
    "metadata.max.retention.bytes",
    "metadata.max.retention.ms",
    "metric.reporters",
    "metrics.num.samples",
    "metrics.recording.level",
    "metrics.sample.window.ms",
    "num.replica.alter.log.dirs.threads",
    "offsets.commit.timeout.ms",
    "offsets.load.buffer.size",
    "offsets.topic.compression.codec",
    "producer.id.expiration.check.interval.ms",
    "producer.purgatory.purge.interval.requests",
    "queued.max.request.bytes",
    "replica.fetch.backoff.ms",
    "replica.fetch.max.bytes",
    "replica.fetch.min.bytes",
    "replica.fetch.response.max.bytes",
    "replica.fetch.wait.max.ms",
    "replica.high.watermark.checkpoint.interval.ms",
    "replica.selector.class",
    "replica.socket.receive.buffer.bytes",
    "replica.socket.timeout.ms",
    "replication.quota.window.num",
    "replication.quota.window.size.seconds",
    "request.timeout.ms",
    "reserved.broker.max.id",
    "server.max.startup.time.ms",
    "share.coordinator.append.linger.ms",
    "share.coordinator.cold.partition.snapshot.interval.ms",
    "share.coordinator.load.buffer.size",
    "share.coordinator.snapshot.update.records.per.snapshot",
    "share.coordinator.state.topic.compression.codec",
    "share.coordinator.state.topic.min.isr",
    "share.coordinator.state.topic.num.partitions",
    "share.coordinator.state.topic.prune.interval.ms",
    "share.coordinator.state.topic.replication.factor",
    "share.coordinator.state.topic.segment.bytes",
    "share.coordinator.threads",
    "share.coordinator.write.timeout.ms",
    "share.fetch.purgatory.purge.interval.requests",
    "socket.connection.setup.timeout.max.ms",
    "socket.connection.setup.timeout.ms",
    "super.users",
    "telemetry.max.bytes",
    "transaction.state.log.load.buffer.size",
    "transaction.two.phase.commit.enable",
    "unclean.leader.election.interval.ms",
    "unclean.recovery.manager.enabled",
    "unstable.api.versions.enable",
    "unstable.feature.versions.enable",
];

/// Beginnings of names that are accepted and have no effect here, because what switches the
/// feature behind them on is refused.
const FOREIGN_BEGINNINGS: &[&str] = &["remote.", "rlmm.", "rsm.", "zookeeper.", "control.plane."];

/// Names, or beginnings of names that end in a dot, which are refused with this sentence unless
/// their value is the one given here.
const REFUSED: &[(&str, &str, &str)] = &[
    (
        "alter.config.policy.class.name",
        "",
        "It names a policy that shall refuse changes of settings. There are no such policies here.",
    ),
    (
        "client.quota.callback.class",
        "",
        "It names code that finds the quotas of clients. Here they are found by Kafka's own rules.",
    ),
    (
        "create.topic.policy.class.name",
        "",
        "It names a policy that shall refuse topics. There are no such policies here.",
    ),
    (
        "delegation.token.master.key",
        "",
        "It switches on authentication by tokens. There is no authentication here.",
    ),
    (
        "delegation.token.secret.key",
        "",
        "It switches on authentication by tokens. There is no authentication here.",
    ),
    (
        "listener.name.",
        "",
        "It protects one listener by SSL or SASL. There is no encryption and no authentication \
         here.",
    ),
    (
        "principal.builder.class",
        "",
        "It names code that tells who a client is. There is no authentication here.",
    ),
    (
        "remote.log.storage.system.enable",
        "false",
        "It moves old segments to a remote storage. There is no tiered storage here.",
    ),
    (
        "sasl.",
        "",
        "It belongs to authentication by SASL. There is no authentication here.",
    ),
    (
        "security.providers",
        "",
        "It names code for encryption. There is no encryption here.",
    ),
    (
        "ssl.",
        "",
        "It belongs to encryption by SSL. There is no encryption here.",
    ),
    (
        "zookeeper.connect",
        "",
        "It makes a broker part of a cluster that is kept by ZooKeeper. This broker keeps its \
         metadata itself, and is no part of another cluster.",
    ),
    (
        "zookeeper.metadata.migration.enable",
        "false",
        "It moves a cluster away from ZooKeeper. This broker keeps its metadata itself.",
    ),
];

/// Why a name that is not in the table is refused with this value, if it is.
#[must_use]
pub fn refusal_of_foreign(name: &str, value: &str) -> Option<&'static str> {
    let names = |known: &str| name == known || (known.ends_with('.') && name.starts_with(known));
    let (_, harmless, sentence) = REFUSED.iter().find(|(known, ..)| names(known))?;
    let value = value.trim();
    let is_harmless = value.is_empty() || value.eq_ignore_ascii_case(harmless);
    (!is_harmless).then_some(*sentence)
}

/// True for a name of Apache Kafka that is not in the table of broker settings.
#[must_use]
pub fn is_foreign(name: &str) -> bool {
    let refused = |known: &str| name == known || (known.ends_with('.') && name.starts_with(known));
    FOREIGN_NAMES.binary_search(&name).is_ok()
        || FOREIGN_BEGINNINGS
            .iter()
            .any(|beginning| name.starts_with(beginning))
        || REFUSED.iter().any(|(known, ..)| refused(known))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::broker;

    #[test]
    fn the_lists_are_sorted_and_disjoint_from_the_table() {
        assert!(FOREIGN_NAMES.is_sorted_by(|left, right| left < right));
        assert!(REFUSED.is_sorted_by(|left, right| left.0 < right.0));
        for name in FOREIGN_NAMES {
            assert!(broker::setting(name).is_none(), "{name} is in the table");
            assert!(is_foreign(name), "{name}");
        }
        for (name, _, sentence) in REFUSED {
            assert!(sentence.ends_with('.'), "{name}");
        }
    }

    #[test]
    fn a_protection_is_not_lost_in_silence() {
        for name in [
            "ssl.protocol",
            "listener.name.a.ssl.keystore.location",
            "zookeeper.connect",
        ] {
            assert!(refusal_of_foreign(name, "x").is_some(), "{name}");
            assert!(
                refusal_of_foreign(name, " ").is_none(),
                "{name} without a value"
            );
        }
        assert!(refusal_of_foreign("remote.log.storage.system.enable", "FALSE").is_none());
        assert!(refusal_of_foreign("remote.log.storage.system.enable", "true").is_some());
        assert!(refusal_of_foreign("zookeeper.session.timeout.ms", "5").is_none());
        assert!(is_foreign("zookeeper.session.timeout.ms") && !is_foreign("zookeper.connect"));
    }
}
