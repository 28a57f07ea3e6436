// SPDX-License-Identifier: Apache-2.0
//! Asking the broker that coordinates a group or a transactional id.
//!
//! Owns: [`Coordinator`]: who it is, and the connection to it. Invariants: a broker that does not
//! coordinate any more is not asked again before the cluster was asked anew; what passes by itself
//! is tried again for a bounded time. Runs on: one thread at a time. Bounded by: one connection.

use std::time::Duration;

use super::Retry;
use super::cluster::Cluster;
use super::connection::Connection;
use crate::cli::error::ClientError;
use crate::model::error_code::ErrorCode;
use crate::wire::protocol::Request;
use crate::wire::protocol::find_coordinator::{
    Coordinator as Found, FindCoordinatorRequest, FindCoordinatorResponse,
};

/// The first version that asks for several keys.
const MANY_KEYS_VERSION: i16 = 4;

/// What a coordinator coordinates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Consumer groups.
    Group,
    /// Transactions.
    Transaction,
}

impl Kind {
    fn code(self) -> i8 {
        match self {
            Kind::Group => 0,
            Kind::Transaction => 1,
        }
    }

    fn title(self, key: &str) -> String {
        match self {
            Kind::Group => format!("group {key}"),
            Kind::Transaction => format!("transactional id {key}"),
        }
    }
}

/// The coordinator of one group or transactional id.
#[derive(Debug)]
pub struct Coordinator {
    kind: Kind,
    key: String,
    patience: Duration,
    found: Option<(i32, String, Connection)>,
}

impl Coordinator {
    /// Of a group.
    #[must_use]
    pub fn of_group(group: &str) -> Coordinator {
        Coordinator::of(Kind::Group, group)
    }

    /// Of anything.
    #[must_use]
    pub fn of(kind: Kind, key: &str) -> Coordinator {
        Coordinator {
            kind,
            key: key.to_owned(),
            patience: super::RETRY_FOR,
            found: None,
        }
    }

    /// The same, which gives up after this time.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Coordinator {
        self.patience = patience;
        self
    }

    /// How its key is called in sentences.
    #[must_use]
    pub fn title(&self) -> String {
        self.kind.title(&self.key)
    }

    /// Id and address of the broker.
    pub fn place(&mut self, cluster: &mut Cluster) -> Result<(i32, String), ClientError> {
        let mut retry = Retry::lasting(self.patience);
        loop {
            match self.connection(cluster) {
                Err(error) if error.is_retriable() && cluster.may_retry(&mut retry) => {}
                Err(error) => return Err(error),
                Ok(_) => break,
            }
        }
        let (id, address, _) = self.found.as_ref().expect("it was just found");
        Ok((*id, address.clone()))
    }

    /// The connection to it, which is made if need be.
    pub fn connection(&mut self, cluster: &mut Cluster) -> Result<&mut Connection, ClientError> {
        if self.found.is_none() {
            let (id, address) = find(cluster, self.kind, &self.key)?;
            let connection = Connection::open(&address)?;
            self.found = Some((id, address, connection));
        }
        let (_, _, connection) = self.found.as_mut().expect("it was just found");
        Ok(connection)
    }

    /// The next call looks for it anew.
    pub fn forget(&mut self) {
        self.found = None;
    }

    /// Asks it once. It is looked for anew after a broken connection and after a code that says
    /// that it is no longer the one.
    pub fn call_once<R: Request>(
        &mut self,
        cluster: &mut Cluster,
        request: &R,
        code_of: impl Fn(&R::Response) -> i16,
    ) -> Result<R::Response, ClientError> {
        let answer = self.connection(cluster)?.call(request);
        match &answer {
            Err(_) => self.forget(),
            Ok(answer) if is_elsewhere(code_of(answer)) => self.forget(),
            Ok(_) => {}
        }
        answer
    }

    /// Asks it, again while it is loading or moves. Other codes are the caller's business.
    pub fn call<R: Request>(
        &mut self,
        cluster: &mut Cluster,
        request: &R,
        code_of: impl Fn(&R::Response) -> i16,
    ) -> Result<R::Response, ClientError> {
        let mut retry = Retry::lasting(self.patience);
        loop {
            let answer = self.call_once(cluster, request, &code_of);
            let passes = match &answer {
                Ok(answer) => passes(code_of(answer)),
                Err(error) => error.is_retriable(),
            };
            if !passes || !cluster.may_retry(&mut retry) {
                return answer;
            }
        }
    }

    /// The error for a code of an answer.
    #[must_use]
    pub fn refused(&self, code: i16, message: Option<&str>) -> ClientError {
        ClientError::Refused {
            what: self.title(),
            code,
            message: message.map(str::to_owned),
        }
    }
}

fn is_elsewhere(code: i16) -> bool {
    let codes = [
        ErrorCode::NotCoordinator,
        ErrorCode::CoordinatorNotAvailable,
    ];
    codes.iter().any(|one| one.code() == code)
}

/// The code passes by itself, perhaps at another broker.
#[must_use]
pub fn passes(code: i16) -> bool {
    is_elsewhere(code) || code == ErrorCode::CoordinatorLoadInProgress.code()
}

/// Id and address of the coordinator.
fn find(cluster: &mut Cluster, kind: Kind, key: &str) -> Result<(i32, String), ClientError> {
    let knows_many = cluster.newest::<FindCoordinatorRequest>()?;
    let mut request = FindCoordinatorRequest {
        key_type: kind.code(),
        ..FindCoordinatorRequest::default()
    };
    match knows_many.is_some_and(|version| version >= MANY_KEYS_VERSION) {
        true => request.coordinator_keys = vec![key.into()],
        false => request.key = key.into(),
    }
    let found = only(cluster.call(&request)?);
    if found.error_code != ErrorCode::None.code() {
        return Err(ClientError::Refused {
            what: kind.title(key),
            code: found.error_code,
            message: found.error_message.map(|text| text.to_string()),
        });
    }
    Ok((found.node_id, format!("{}:{}", found.host, found.port)))
}

/// Versions before the fourth have no list.
fn only(answer: FindCoordinatorResponse) -> Found {
    let first = answer.coordinators.into_iter().next();
    first.unwrap_or(Found {
        node_id: answer.node_id,
        host: answer.host,
        port: answer.port,
        error_code: answer.error_code,
        error_message: answer.error_message,
        ..Found::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_answers_have_no_list() {
        let old = FindCoordinatorResponse {
            node_id: 3,
            host: "h".into(),
            port: 9,
            ..FindCoordinatorResponse::default()
        };
        let found = only(old);
        assert_eq!((found.node_id, &*found.host, found.port), (3, "h", 9));
        let new = FindCoordinatorResponse {
            coordinators: vec![Found {
                error_code: 15,
                ..Found::default()
            }],
            ..FindCoordinatorResponse::default()
        };
        assert_eq!(only(new).error_code, 15);
    }

    #[test]
    fn what_passes_by_itself() {
        for code in [14, 15, 16] {
            assert!(passes(code), "{code}");
        }
        for code in [0, 22, 25, 27, 69] {
            assert!(!passes(code), "{code}");
        }
    }
}
