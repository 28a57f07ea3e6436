// SPDX-License-Identifier: Apache-2.0
//! The admin port: whether the broker lives, whether it is ready, and its figures.
//!
//! Owns: the paths and the names of the metrics. Invariants: a GET changes nothing;
//! where the exporters that people have for Kafka know a figure, it has their name (kafka_exporter,
//! and the JMX exporter with Kafka's sample rules); the others begin with `furlong_`.
//! Runs on: the admin thread. Bounded by: `PARTITIONS_MAX` lines a metric.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::collector::{Collector, Figures};
use super::exposition::{Exposition, Kind};
use super::{coordinator_figures, shard_admin, topic_figures};
use crate::io::http::{Answer, HttpListener, Question};
use crate::model::error_code::ErrorCode;
use crate::model::ids::ShardId;
use crate::model::quota::QuotaKind;
use crate::shard::ClosedFor;
use crate::shard::numbers::{CompactionCounts, ShardNumbers};
use crate::shard::quotas::ThrottleCount;
use crate::shard::stage::Stage;

/// Type of Prometheus' text.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The quantiles that are told of each stage; the last is its maximum.
const QUANTILES: [(f64, &str); 5] = [
    (0.5, "0.5"),
    (0.9, "0.9"),
    (0.99, "0.99"),
    (0.999, "0.999"),
    (1.0, "1"),
];

/// Whether the broker has recovered and takes requests.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// It does, or no longer does.
    pub fn set(&self, is_ready: bool) {
        self.0.store(is_ready, Ordering::Release);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Answers on that socket until the process ends.
///
/// # Errors
/// A sentence, when no thread can be had.
pub fn serve(
    listener: HttpListener,
    collector: Collector,
    readiness: Readiness,
) -> Result<(), String> {
    listener
        .serve(move |question| answer(question, &collector, &readiness))
        .map_err(|error| format!("cannot start the thread of the admin port: {error}"))
}

fn answer(question: &Question, collector: &Collector, readiness: &Readiness) -> Answer {
    if let Some(answer) = shard_admin::answer(question, collector) {
        return answer;
    }
    if question.is_change {
        let line = "a POST changes something: there is /shards/move";
        return Answer::text((404, "Not Found"), line);
    }
    const OK: (u16, &str) = (200, "OK");
    const NOT_NOW: (u16, &str) = (503, "Service Unavailable");
    match question.path.as_str() {
        "/readyz" if readiness.get() => Answer::text(OK, "ready"),
        "/readyz" => Answer::text(NOT_NOW, "not ready: recovering, or stopping"),
        "/healthz" => {
            let (there, all) = (collector.collect().len(), collector.executors());
            if there == all {
                return Answer::text(OK, "every executor answers");
            }
            let line = format!("{there} of {all} executors answer");
            Answer::text(NOT_NOW, &line)
        }
        "/metrics" => Answer {
            status: OK,
            content_type: EXPOSITION,
            body: metrics(&collector.collect(), collector.executors(), readiness.get()),
        },
        _ => Answer::text(
            (404, "Not Found"),
            "there are /healthz, /readyz, /metrics and /shards",
        ),
    }
}

/// All figures as text.
fn metrics(figures: &[Figures], executors: usize, is_ready: bool) -> String {
    let mut out = Exposition::default();
    let version = env!("CARGO_PKG_VERSION");
    out.metric("furlong_build_info", Kind::Gauge, "The version that runs.")
        .value(&[("version", version)], 1);
    out.metric(
        "furlong_ready",
        Kind::Gauge,
        "1 once it has recovered and serves.",
    )
    .value(&[], u8::from(is_ready));
    out.metric(
        "furlong_executors_answering",
        Kind::Gauge,
        "Executors that told their figures in time; fewer than there are is a fault.",
    )
    .value(&[], figures.len());
    out.metric(
        "furlong_executors",
        Kind::Gauge,
        "Executors of this process.",
    )
    .value(&[], executors);
    let shards: Vec<(String, &ShardNumbers)> = figures
        .iter()
        .filter_map(|one| Some((one.shard.to_string(), one.numbers.as_ref()?)))
        .collect();
    of_shards(&mut out, &shards);
    of_closings(&mut out, &shards);
    of_quotas(&mut out, &shards);
    let mut taken = out.metric(
        "furlong_partitions_taken_total",
        Kind::Counter,
        "Partitions that a shard took over from another one.",
    );
    for (shard, numbers) in &shards {
        taken.value(&[("shard", shard)], numbers.partitions_taken);
    }
    of_compactions(&mut out, &shards);
    of_requests(&mut out, &shards);
    coordinator_figures::add(&mut out, &shards);
    topic_figures::add(&mut out, &shards);
    of_stages(&mut out, figures);
    out.finish()
}

/// A gauge for each shard: name, help, what it is.
type ShardGauge = (&'static str, &'static str, fn(&ShardNumbers) -> usize);

const SHARD_GAUGES: [ShardGauge; 11] = [
    ("furlong_connections", "Client connections.", |shard| {
        shard.connections
    }),
    (
        "furlong_connections_muted",
        "Connections that are held back because their clients used up a quota.",
        |shard| shard.muted,
    ),
    (
        "furlong_quota_entities",
        "Entities whose use of a quota is counted.",
        |shard| shard.quota_meters,
    ),
    (
        "furlong_requests_waiting",
        "Requests of clients that wait for something.",
        |shard| shard.requests_waiting,
    ),
    (
        "furlong_fetch_watches",
        "Waiting fetches, counted once for each partition.",
        |shard| shard.watches,
    ),
    (
        "furlong_memory_limit_bytes",
        "What the buffers of a shard may hold.",
        |shard| shard.memory_total_bytes,
    ),
    (
        "furlong_memory_tail_cache_bytes",
        "Cached tails of logs.",
        |shard| shard.memory.tail_cache_bytes,
    ),
    (
        "furlong_memory_compaction_bytes",
        "The map and the buffers of a pass of compaction, taken from the tail cache.",
        |shard| shard.memory.compaction_bytes,
    ),
    (
        "furlong_memory_append_bytes",
        "Frames that are not answered, and what is not flushed.",
        |shard| shard.memory.append_bytes,
    ),
    (
        "furlong_memory_read_bytes",
        "Reads under way and what was read ahead.",
        |shard| shard.memory.read_bytes,
    ),
    (
        "furlong_memory_outbound_bytes",
        "Answers that clients have not taken.",
        |shard| shard.memory.outbound_bytes,
    ),
];

/// A counter for each shard: name, help, what it is.
type CompactionCounter = (&'static str, &'static str, fn(&CompactionCounts) -> u64);

const COMPACTION_COUNTERS: [CompactionCounter; 6] = [
    (
        "furlong_compaction_passes_total",
        "Passes of compaction over a log that came to their end.",
        |counts| counts.passes,
    ),
    (
        "furlong_compaction_passes_given_up_total",
        "Passes that were given up: for a stop, a full disk, or damage.",
        |counts| counts.given_up,
    ),
    (
        "furlong_compaction_read_bytes_total",
        "Bytes that compaction read.",
        |counts| counts.read_bytes,
    ),
    (
        "furlong_compaction_written_bytes_total",
        "Bytes that compaction wrote.",
        |counts| counts.written_bytes,
    ),
    (
        "furlong_compaction_removed_bytes_total",
        "By how much compaction made logs smaller.",
        |counts| counts.removed_bytes,
    ),
    (
        "furlong_compaction_microseconds_total",
        "How long passes of compaction took.",
        |counts| counts.took_us,
    ),
];

fn of_compactions(out: &mut Exposition, shards: &[(String, &ShardNumbers)]) {
    for (name, help, get) in COMPACTION_COUNTERS {
        let mut metric = out.metric(name, Kind::Counter, help);
        for (shard, numbers) in shards {
            metric.value(&[("shard", shard)], get(&numbers.compactions));
        }
    }
}

fn of_shards(out: &mut Exposition, shards: &[(String, &ShardNumbers)]) {
    for (name, help, get) in SHARD_GAUGES {
        let mut metric = out.metric(name, Kind::Gauge, help);
        for (shard, numbers) in shards {
            metric.value(&[("shard", shard)], get(numbers));
        }
    }
    let partitions = shards
        .iter()
        .map(|(_, shard)| shard.logs.len() + shard.others.partitions);
    out.metric(
        "kafka_server_replicamanager_partitioncount",
        Kind::Gauge,
        "Partitions on this broker.",
    )
    .value(&[], partitions.sum::<usize>());
    let led = shards.iter().map(|(_, shard)| {
        let told = shard.logs.iter().filter(|log| log.high_watermark.is_some());
        told.count() + shard.others.led
    });
    out.metric(
        "kafka_server_replicamanager_leadercount",
        Kind::Gauge,
        "Partitions that this broker leads.",
    )
    .value(&[], led.sum::<usize>());
    let closed = shards.iter().map(|(_, shard)| {
        let told = shard.logs.iter().filter(|log| !log.is_open);
        told.count() + shard.others.closed
    });
    out.metric(
        "kafka_server_replicamanager_offlinereplicacount",
        Kind::Gauge,
        "Partitions whose log is not open: recovering, or waiting for space.",
    )
    .value(&[], closed.sum::<usize>());
}

fn of_closings(out: &mut Exposition, shards: &[(String, &ShardNumbers)]) {
    let mut metric = out.metric(
        "furlong_connections_closed_total",
        Kind::Counter,
        "Connections that this broker closed, by reason; protocol errors not counted.",
    );
    for reason in ClosedFor::ALL {
        let all = shards.iter().flat_map(|(_, shard)| &shard.closings);
        let count = all
            .filter(|(known, _)| *known == reason)
            .map(|(_, count)| count);
        metric.value(&[("reason", reason.name())], count.sum::<u64>());
    }
}

fn of_quotas(out: &mut Exposition, shards: &[(String, &ShardNumbers)]) {
    let sums = QuotaKind::ALL.map(|kind| {
        let all = shards.iter().flat_map(|(_, shard)| &shard.throttles);
        let of_kind = all.filter(|(known, _)| *known == kind);
        of_kind.fold(ThrottleCount::default(), |mut sum, (_, count)| {
            sum.requests += count.requests;
            sum.ms += count.ms;
            sum
        })
    });
    let mut requests = out.metric(
        "furlong_throttled_requests_total",
        Kind::Counter,
        "Requests whose clients were held back, by the quota that they had used up.",
    );
    for (kind, sum) in QuotaKind::ALL.into_iter().zip(&sums) {
        requests.value(&[("quota", kind.name())], sum.requests);
    }
    let mut seconds = out.metric(
        "furlong_throttle_seconds_total",
        Kind::Counter,
        "For how long they were held back, together.",
    );
    for (kind, sum) in QuotaKind::ALL.into_iter().zip(&sums) {
        seconds.value(&[("quota", kind.name())], sum.ms as f64 / 1e3);
    }
}

fn of_requests(out: &mut Exposition, shards: &[(String, &ShardNumbers)]) {
    let mut metric = out.metric(
        "kafka_network_requestmetrics_requests_total",
        Kind::Counter,
        "Requests since the start, by API.",
    );
    let places = shards.first().map_or(0, |(_, shard)| shard.requests.len());
    for place in 0..places {
        let key = shards[0].1.requests[place].0;
        let all = shards.iter().map(|(_, shard)| shard.requests[place].1);
        let name = format!("{key:?}");
        metric.value(&[("request", &name)], all.sum::<u64>());
    }
    of_errors(out, shards);
    let refused = shards.iter().map(|(_, shard)| shard.refused_frames);
    out.metric(
        "furlong_refused_frames_total",
        Kind::Counter,
        "Frames that were no request which is served; their connections were closed.",
    )
    .value(&[], refused.sum::<u64>());
}

fn of_errors(out: &mut Exposition, shards: &[(String, &ShardNumbers)]) {
    let mut metric = out.metric(
        "kafka_network_requestmetrics_errors_total",
        Kind::Counter,
        "Error codes in answers since the start, by API; NONE stands for what went well.",
    );
    let mut counts: BTreeMap<(&str, String), u64> = BTreeMap::new();
    for (_, shard) in shards {
        for (key, code, count) in &shard.errors {
            let error = code.map_or_else(|| "(others)".to_owned(), error_name);
            *counts.entry((key.name(), error)).or_default() += count;
        }
    }
    for ((request, error), count) in counts {
        metric.value(&[("request", request), ("error", &error)], count);
    }
}

/// Kafka's name of an error code.
fn error_name(code: i16) -> String {
    let Some(known) = ErrorCode::from_code(code) else {
        return code.to_string();
    };
    let mut name = String::new();
    for letter in format!("{known:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

fn of_stages(out: &mut Exposition, figures: &[Figures]) {
    let mut metric = out.metric(
        "furlong_stage_seconds",
        Kind::Summary,
        "How long the stages of requests took, since the start.",
    );
    let data = figures.iter().filter(|one| one.shard != ShardId::CONTROL);
    for one in data {
        let shard = one.shard.to_string();
        for stage in Stage::ALL {
            let times = one.stages.of(stage);
            let labels = [("shard", shard.as_str()), ("stage", stage.name())];
            for (quantile, name) in QUANTILES {
                let seconds = times.value_at_quantile(quantile) as f64 / 1e6;
                let labels = [labels[0], labels[1], ("quantile", name)];
                metric.value(&labels, seconds);
            }
            metric.part("_sum", &labels, one.stages.sum_us(stage) as f64 / 1e6);
            metric.part("_count", &labels, times.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_names_that_kafka_gives_them() {
        assert_eq!(error_name(0), "NONE");
        assert_eq!(error_name(6), "NOT_LEADER_OR_FOLLOWER");
        assert_eq!(error_name(3), "UNKNOWN_TOPIC_OR_PARTITION");
        assert_eq!(error_name(31_000), "31000");
    }
}
