// SPDX-License-Identifier: Apache-2.0
//! The view of the cluster: its brokers, the leaders of a topic, a connection for general
//! questions.
//!
//! Owns: the bootstrap addresses, the last metadata, one connection for calls that any broker
//! answers. Invariants: a call that fails for a passing reason is tried again for a bounded time.
//! Runs on: one thread at a time. Bounded by: `limits::BROKERS_MAX`, one topic's partitions.

use super::connection::Connection;
use super::{RETRY_FOR, Retry};
use crate::cli::error::ClientError;
use crate::cli::interrupt::Interrupt;
use crate::model::error_code::ErrorCode;
use crate::wire::protocol::Request;
use crate::wire::protocol::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseTopic,
};
use bytestring::ByteString;
use std::collections::BTreeMap;
use std::time::Duration;

/// The port where an address names none.
const DEFAULT_PORT: &str = "9092";
/// How long a topic that is being created may stay unknown.
const CREATION_FOR: Duration = Duration::from_secs(10);

/// A cluster as seen from here.
#[derive(Debug)]
pub struct Cluster {
    bootstrap: Vec<String>,
    connection: Option<Connection>,
    brokers: BTreeMap<i32, String>,
    interrupt: Interrupt,
}

/// A partition and who leads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leadership {
    /// Index of the partition.
    pub partition: i32,
    /// Node id of the leader, -1 for none.
    pub leader: i32,
}

impl Cluster {
    /// Connects to the first of the addresses (`host:port`, separated by commas) that answers.
    pub fn connect(bootstrap: &str) -> Result<Cluster, ClientError> {
        let mut cluster = Cluster {
            bootstrap: addresses(bootstrap),
            connection: None,
            brokers: BTreeMap::new(),
            interrupt: Interrupt::default(),
        };
        cluster.connection()?;
        Ok(cluster)
    }

    /// Nothing is tried again from now on once this signal has come.
    pub fn heed(&mut self, interrupt: Interrupt) {
        self.interrupt = interrupt;
    }

    /// Sleeps before the next try; false once the time is over or the signal has come.
    #[must_use]
    pub fn may_retry(&self, retry: &mut Retry) -> bool {
        !self.interrupt.has_come() && retry.pause() && !self.interrupt.has_come()
    }

    fn connection(&mut self) -> Result<&mut Connection, ClientError> {
        if self.connection.is_none() {
            self.connection = Some(self.open_any()?);
        }
        Ok(self.connection.as_mut().expect("it was just opened"))
    }

    fn open_any(&self) -> Result<Connection, ClientError> {
        let mut failure = ClientError::Protocol {
            address: "--bootstrap-server".to_string(),
            sentence: "names no address; give host:port".to_string(),
        };
        for address in self.bootstrap.iter().chain(self.brokers.values()) {
            match Connection::open(address) {
                Ok(connection) => return Ok(connection),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Asks any broker once. A connection that failed is not used again.
    pub fn call<R: Request>(&mut self, request: &R) -> Result<R::Response, ClientError> {
        let result = self.connection()?.call(request);
        if result.is_err() {
            self.connection = None;
        }
        result
    }

    /// Asks any broker, again where the connection breaks. For requests that may be repeated.
    pub fn call_again<R: Request>(&mut self, request: &R) -> Result<R::Response, ClientError> {
        let mut retry = Retry::lasting(RETRY_FOR);
        loop {
            match self.call(request) {
                Err(error) if error.is_retriable() && self.may_retry(&mut retry) => {}
                result => return result,
            }
        }
    }

    /// Asks one broker once. Its address comes from metadata, which is asked for if need be.
    pub fn call_broker<R: Request>(
        &mut self,
        broker: i32,
        request: &R,
    ) -> Result<R::Response, ClientError> {
        if !self.brokers.contains_key(&broker) {
            self.describe(Some(&[]))?;
        }
        self.open(broker)?.call(request)
    }

    /// The newest version of an API that this client and the broker asked first both speak; `None`
    /// if there is none.
    pub fn newest<R: Request>(&mut self) -> Result<Option<i16>, ClientError> {
        Ok(self.connection()?.version_of::<R>().ok())
    }

    /// What the broker asked first speaks: number of the API, first and last version.
    pub fn offered(&mut self) -> Result<Vec<(i16, i16, i16)>, ClientError> {
        Ok(self.connection()?.offered())
    }

    /// Asks for topics (all, if `None`) without creating any.
    pub fn describe(&mut self, topics: Option<&[String]>) -> Result<MetadataResponse, ClientError> {
        let named = |name: &String| MetadataRequestTopic {
            name: Some(ByteString::from(name.as_str())),
            ..MetadataRequestTopic::default()
        };
        let request = MetadataRequest {
            topics: topics.map(|topics| topics.iter().map(named).collect()),
            allow_auto_topic_creation: false,
            ..MetadataRequest::default()
        };
        let answer = self.call_again(&request)?;
        self.learn(&answer);
        Ok(answer)
    }

    fn learn(&mut self, answer: &MetadataResponse) {
        self.brokers = answer
            .brokers
            .iter()
            .map(|broker| (broker.node_id, format!("{}:{}", broker.host, broker.port)))
            .collect();
    }

    /// The brokers of the cluster and where they are, asked for anew.
    pub fn brokers(&mut self) -> Result<Vec<(i32, String)>, ClientError> {
        self.describe(Some(&[]))?;
        let brokers = self.brokers.iter();
        Ok(brokers.map(|(id, at)| (*id, at.clone())).collect())
    }

    /// The partitions of a topic and their leaders, by index. Waits until every partition has a
    /// leader, as right after the creation of a topic.
    pub fn leaders(&mut self, topic: &str, create: bool) -> Result<Vec<Leadership>, ClientError> {
        self.leaders_in_time(topic, create, create)
    }

    /// The same for a topic that was just created: a broker may take a while to hear of it.
    pub fn leaders_of_new(&mut self, topic: &str) -> Result<Vec<Leadership>, ClientError> {
        self.leaders_in_time(topic, false, true)
    }

    /// The same, asked for once: the caller waits and asks again.
    pub fn leaders_now(&mut self, topic: &str) -> Result<Vec<Leadership>, ClientError> {
        self.leaders_once(topic, false)
    }

    fn leaders_in_time(
        &mut self,
        topic: &str,
        create: bool,
        is_new: bool,
    ) -> Result<Vec<Leadership>, ClientError> {
        let mut retry = Retry::lasting(if is_new { CREATION_FOR } else { RETRY_FOR });
        loop {
            let error = match self.leaders_once(topic, create) {
                Ok(leaders) => return Ok(leaders),
                Err(error) => error,
            };
            let is_final = !error.is_retriable() || (is_unknown(&error) && !is_new);
            if is_final || !self.may_retry(&mut retry) {
                return Err(error);
            }
        }
    }

    fn leaders_once(&mut self, topic: &str, create: bool) -> Result<Vec<Leadership>, ClientError> {
        let request = MetadataRequest {
            topics: Some(vec![MetadataRequestTopic {
                name: Some(topic.into()),
                ..MetadataRequestTopic::default()
            }]),
            allow_auto_topic_creation: create,
            ..MetadataRequest::default()
        };
        let answer = self.call(&request)?;
        self.learn(&answer);
        let refused = |code| ClientError::Refused {
            what: format!("topic {topic}"),
            code,
            message: None,
        };
        let Some(found) = answer.topics.first() else {
            return Err(refused(ErrorCode::UnknownTopicOrPartition.code()));
        };
        if found.error_code != ErrorCode::None.code() {
            return Err(refused(found.error_code));
        }
        let leaders = leaderships(found);
        if leaders.is_empty()
            || leaders
                .iter()
                .any(|one| !self.brokers.contains_key(&one.leader))
        {
            return Err(refused(ErrorCode::LeaderNotAvailable.code()));
        }
        Ok(leaders)
    }

    /// Opens a connection to a broker of the last metadata.
    pub fn open(&self, broker: i32) -> Result<Connection, ClientError> {
        match self.brokers.get(&broker) {
            Some(address) => Connection::open(address),
            None => Err(ClientError::Refused {
                what: format!("broker {broker}"),
                code: ErrorCode::LeaderNotAvailable.code(),
                message: Some(
                    "the cluster's metadata does not name it; `furlong cluster describe` names \
                     the brokers"
                        .to_string(),
                ),
            }),
        }
    }
}

/// The topic is not there: as a rule waiting does not help.
pub(super) fn is_unknown(error: &ClientError) -> bool {
    let unknown = ErrorCode::UnknownTopicOrPartition.code();
    matches!(error, ClientError::Refused { code, .. } if *code == unknown)
}

fn leaderships(topic: &MetadataResponseTopic) -> Vec<Leadership> {
    let mut leaders: Vec<Leadership> = topic
        .partitions
        .iter()
        .map(|one| Leadership {
            partition: one.partition_index,
            leader: one.leader_id,
        })
        .collect();
    leaders.sort_by_key(|one| one.partition);
    leaders
}

/// `host:port` pairs of a list with commas; a missing port is Kafka's.
fn addresses(list: &str) -> Vec<String> {
    let with_port = |address: &str| {
        let bare_v6 = address.matches(':').count() > 1 && !address.contains(']');
        let has_port = address.rsplit_once(':').is_some_and(|(_, port)| {
            !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
        });
        match (bare_v6, has_port) {
            (true, _) => format!("[{address}]:{DEFAULT_PORT}"),
            (false, true) => address.to_string(),
            (false, false) => format!("{}:{DEFAULT_PORT}", address.trim_end_matches(':')),
        }
    };
    list.split(',')
        .map(str::trim)
        .filter(|one| !one.is_empty())
        .map(with_port)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_may_come_without_a_port() {
        assert_eq!(
            addresses("a:1, b ,[::1]:3,::1"),
            ["a:1", "b:9092", "[::1]:3", "[::1]:9092"]
        );
        assert!(addresses(" , ").is_empty());
    }

    #[test]
    fn nobody_there_is_a_sentence() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = free.local_addr().expect("it is bound").to_string();
        drop(free);
        let error = Cluster::connect(&address)
            .expect_err("nobody listens")
            .to_string();
        assert!(
            error.contains(&address) && error.contains("--bootstrap-server"),
            "{error}"
        );
    }
}
