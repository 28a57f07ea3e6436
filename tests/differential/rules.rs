// SPDX-License-Identifier: Apache-2.0
//! What two brokers may say differently without a difference: one rule for each such field.
//!
//! Owns: [`RULES`], their application. Invariants: a field without a rule is compared as it is, an
//! array without one in its order. A number that a broker draws becomes a placeholder by its order
//! of appearance in the case, so that two fields that must agree are still seen to agree.
//! Runs on: the test's thread. Bounded by: the answers of a case.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::value::Value;

/// How a field is made comparable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treat {
    /// Drawn by the broker: every value but those that mean nothing becomes "<word 1>", "<word 2>".
    Drawn(&'static str),
    /// A sentence: whether there is one is compared, its words are not; an empty one is none.
    Sentence,
    /// Milliseconds since 1970: the present becomes "<now>".
    Time,
    /// A place of this machine: whether there is one is compared.
    Place,
    /// A figure that depends on how a broker keeps its files; only its sign is compared.
    Figure,
    /// An array without an order: its elements are named by this field of theirs.
    KeyedBy(&'static str),
}
use Treat::{Drawn, Figure, KeyedBy, Place, Sentence, Time};

/// One rule: struct (`*` for any), field, what is done.
pub struct Rule(pub &'static str, pub &'static str, pub Treat);

/// All of them. The structs are those of the decoder.
#[rustfmt::skip]
pub const RULES: &[Rule] = &[
    // Drawn at random or counted by each broker for itself.
    Rule("*", "topic_id", Drawn("topic")),
    Rule("*", "producer_id", Drawn("producer")),
    Rule("FetchResponse", "session_id", Drawn("session")),
    Rule("*", "cluster_id", Drawn("cluster")),
    Rule("*", "replica_directory_id", Drawn("directory")),
    Rule("ApiVersionsResponse", "finalized_features_epoch", Figure),
    // Where the test has put the two brokers.
    Rule("*", "port", Place),
    Rule("DescribeLogDirsResult", "log_dir", Place),
    // Words are each broker's own.
    Rule("*", "error_message", Sentence),
    Rule("*", "batch_index_error_message", Sentence),
    Rule("DescribeConfigsResourceResult", "documentation", Sentence),
    // Clocks.
    Rule("*", "log_append_time_ms", Time),
    Rule("*", "timestamp", Time),
    Rule("ProducerState", "last_timestamp", Time),
    Rule("TransactionState", "transaction_start_time_ms", Time),
    Rule("ReplicaState", "last_fetch_timestamp", Time),
    Rule("ReplicaState", "last_caught_up_timestamp", Time),
    // How much metadata there is, and how files lie on the disk.
    Rule("ReplicaState", "log_end_offset", Figure),
    Rule("DescribeLogDirsPartition", "partition_size", Figure),
    Rule("DescribeLogDirsResult", "total_bytes", Figure),
    Rule("DescribeLogDirsResult", "usable_bytes", Figure),
    // Kafka walks hash maps for these: it promises no order.
    Rule("ApiVersionsResponse", "api_keys", KeyedBy("api_key")),
    Rule("ApiVersionsResponse", "supported_features", KeyedBy("name")),
    Rule("ApiVersionsResponse", "finalized_features", KeyedBy("name")),
    Rule("MetadataResponse", "topics", KeyedBy("name")),
    Rule("MetadataResponseTopic", "partitions", KeyedBy("partition_index")),
    Rule("CreateTopicsResponse", "topics", KeyedBy("name")),
    Rule("CreatableTopicResult", "configs", KeyedBy("name")),
    Rule("DeleteTopicsResponse", "responses", KeyedBy("name")),
    Rule("CreatePartitionsResponse", "results", KeyedBy("name")),
    Rule("DeleteRecordsResponse", "topics", KeyedBy("name")),
    Rule("DeleteRecordsTopicResult", "partitions", KeyedBy("partition_index")),
    Rule("DescribeConfigsResponse", "results", KeyedBy("resource_name")),
    Rule("DescribeConfigsResult", "configs", KeyedBy("name")),
    Rule("DescribeLogDirsResult", "topics", KeyedBy("name")),
    Rule("DescribeLogDirsTopic", "partitions", KeyedBy("partition_index")),
    Rule("ListConfigResourcesResponse", "config_resources", KeyedBy("resource_name")),
    Rule("ListOffsetsResponse", "topics", KeyedBy("name")),
    Rule("ListOffsetsTopicResponse", "partitions", KeyedBy("partition_index")),
    Rule("OffsetForLeaderEpochResponse", "topics", KeyedBy("topic")),
    Rule("OffsetForLeaderTopicResult", "partitions", KeyedBy("partition")),
    Rule("FetchResponse", "responses", KeyedBy("topic")),
    Rule("FetchableTopicResponse", "partitions", KeyedBy("partition_index")),
    Rule("DescribeProducersResponse", "topics", KeyedBy("name")),
    Rule("ProduceResponse", "responses", KeyedBy("name")),
    Rule("TopicProduceResponse", "partition_responses", KeyedBy("index")),
    Rule("DescribeUserScramCredentialsResponse", "results", KeyedBy("user")),
    Rule("DescribeClientQuotasResponse", "entries", KeyedBy("entity")),
    Rule("EntryData", "entity", KeyedBy("entity_type")),
    Rule("EntryData", "values", KeyedBy("key")),
    Rule("AddPartitionsToTxnResponse", "results_by_topic_v3_and_below", KeyedBy("name")),
    Rule("AddPartitionsToTxnResult", "topic_results", KeyedBy("name")),
    Rule("AddPartitionsToTxnTopicResult", "results_by_partition", KeyedBy("partition_index")),
    Rule("UpdateFeaturesResponse", "results", KeyedBy("feature")),
];

/// A moment this near is the present: both brokers have their clock from this machine.
const NOW_MS: i64 = 3_600_000;

/// What a broker has drawn in the course of one case.
#[derive(Default)]
pub struct Placeholders {
    seen: BTreeMap<(&'static str, String), usize>,
}

impl Placeholders {
    /// Makes an answer comparable.
    pub fn settle(&mut self, value: &Value) -> Value {
        match value {
            Value::Leaf(_) => value.clone(),
            Value::List(elements) => Value::List(self.settle_all("", elements)),
            Value::Struct(name, fields) => {
                Value::Struct(name.clone(), self.settle_all(name, fields))
            }
        }
    }

    fn settle_all(&mut self, owner: &str, fields: &[(String, Value)]) -> Vec<(String, Value)> {
        let settled = fields.iter().map(|(name, value)| {
            let value = match rule(owner, name) {
                Some(KeyedBy(key)) => self.settle(&keyed(value, key)),
                Some(treat) => self.leaf(treat, value),
                None => self.settle(value),
            };
            (name.clone(), value)
        });
        settled.collect()
    }

    fn leaf(&mut self, treat: Treat, value: &Value) -> Value {
        let text = value.text();
        if treat == Sentence && text == "\"\"" {
            return Value::leaf("null");
        }
        let means_nothing = ["null", "0", "-1", "\"\"", NIL].contains(&text);
        if means_nothing {
            return value.clone();
        }
        Value::leaf(match treat {
            Drawn(word) => {
                let next = self.seen.keys().filter(|one| one.0 == word).count() + 1;
                let number = self.seen.entry((word, text.to_owned())).or_insert(next);
                format!("<{word} {number}>")
            }
            Sentence => "<sentence>".to_owned(),
            Place => "<place>".to_owned(),
            Figure => if text.starts_with('-') {
                "<negative>"
            } else {
                "<positive>"
            }
            .to_owned(),
            Time => match text.parse::<i64>() {
                Ok(time) if (time - now_ms()).abs() < NOW_MS => "<now>".to_owned(),
                _ => return value.clone(),
            },
            KeyedBy(_) => unreachable!("arrays are settled by their elements"),
        })
    }
}

/// The UUID of nothing.
const NIL: &str = "00000000-0000-0000-0000-000000000000";

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.expect("after 1970").as_millis()).expect("fits")
}

fn rule(owner: &str, field: &str) -> Option<Treat> {
    let fits = |rule: &&Rule| (rule.0 == "*" || rule.0 == owner) && rule.1 == field;
    RULES.iter().find(fits).map(|rule| rule.2)
}

/// The elements by the text of one of their fields, in its order; a second one of the same key
/// keeps its number.
fn keyed(list: &Value, key: &str) -> Value {
    let Value::List(elements) = list else {
        return list.clone();
    };
    let mut named: Vec<(String, Value)> = Vec::new();
    for (_, element) in elements {
        let text = element.field(key).map_or("?", Value::text);
        let text = text.trim_matches('"');
        let before = named
            .iter()
            .filter(|one| one.0 == text || one.0.starts_with(&format!("{text}#")))
            .count();
        let name = match before {
            0 => text.to_owned(),
            _ => format!("{text}#{}", before + 1),
        };
        named.push((name, element.clone()));
    }
    named.sort_by(|left, right| order(&left.0).cmp(&order(&right.0)));
    Value::List(named)
}

/// Numbers by their size, before words.
fn order(name: &str) -> (i64, &str) {
    (name.parse().unwrap_or(i64::MAX), name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(name: &str, fields: &[(&str, &str)]) -> Value {
        let fields = fields
            .iter()
            .map(|(name, text)| ((*name).to_owned(), Value::leaf(*text)));
        Value::Struct(name.to_owned(), fields.collect())
    }

    #[test]
    fn what_is_drawn_keeps_only_its_identity() {
        let mut placeholders = Placeholders::default();
        let mut settle = |id: &str| {
            let settled = placeholders.settle(&fields("X", &[("topic_id", id)]));
            settled.field("topic_id").expect("there").text().to_owned()
        };
        assert_eq!(settle("aa"), "<topic 1>");
        assert_eq!(settle("bb"), "<topic 2>");
        assert_eq!(settle("aa"), "<topic 1>");
        assert_eq!(settle(NIL), NIL);
    }

    #[test]
    fn sentences_and_times_keep_whether_they_are_there() {
        let mut placeholders = Placeholders::default();
        let now = now_ms().to_string();
        let settled = placeholders.settle(&fields(
            "X",
            &[
                ("error_message", "\"why\""),
                ("log_append_time_ms", &now),
                ("timestamp", "1700000000000"),
                ("port", "9092"),
                ("error_code", "3"),
            ],
        ));
        let text = |name| settled.field(name).expect("there").text();
        assert_eq!(text("error_message"), "<sentence>");
        assert_eq!(text("log_append_time_ms"), "<now>");
        assert_eq!(text("timestamp"), "1700000000000");
        assert_eq!(text("port"), "<place>");
        assert_eq!(text("error_code"), "3");
    }

    #[test]
    fn an_array_without_order_is_named_by_its_key() {
        let element = |key: &str| fields("ApiVersion", &[("api_key", key)]);
        let elements = ["10", "9", "10"].iter().enumerate();
        let list = Value::List(
            elements
                .map(|(place, key)| (place.to_string(), element(key)))
                .collect(),
        );
        let whole = Value::Struct(
            "ApiVersionsResponse".to_owned(),
            vec![("api_keys".to_owned(), list)],
        );
        let settled = Placeholders::default().settle(&whole);
        let Some(Value::List(named)) = settled.field("api_keys") else {
            panic!("{settled:?}")
        };
        let names: Vec<&str> = named.iter().map(|one| one.0.as_str()).collect();
        assert_eq!(names, ["9", "10", "10#2"]);
    }
}
