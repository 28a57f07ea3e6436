// SPDX-License-Identifier: Apache-2.0
//! One connection to one broker: version negotiation, requests out, answers in, in order.
//!
//! Owns: the socket, the versions the broker offers, the requests under way.
//! Invariants: answers are matched to requests by order and by correlation id; after an error the
//! connection is of no further use. Runs on: one thread at a time.
//! Bounded by: `limits::FRAME_BYTES_MAX` for an answer; the caller bounds requests under way.

use super::{CLIENT_ID, CONNECT_TIMEOUT, RESPONSE_TIMEOUT};
use crate::cli::error::ClientError;
use crate::limits::FRAME_BYTES_MAX;
use crate::model::error_code::ErrorCode;
use crate::wire::protocol::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use crate::wire::protocol::{ApiKey, Request, decode_response, encode_request};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IoSlice, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::ops::RangeInclusive;
use std::time::Duration;

/// The first version of ApiVersions that names the client; brokers that do not know it say so in
/// version 0.
const API_VERSIONS_VERSION: i16 = 3;
/// Bytes reserved for an answer before it has arrived.
const RESERVED_UNSEEN_BYTES: usize = 16 * 1024 * 1024;

/// A connection to a broker.
#[derive(Debug)]
pub struct Connection {
    address: String,
    stream: TcpStream,
    patience: Duration,
    offered: BTreeMap<i16, RangeInclusive<i16>>,
    next_correlation_id: i32,
    under_way: VecDeque<(i32, i16)>,
}

/// The versions in which this client speaks an API: those whose requests name topics by name.
fn spoken<R: Request>() -> RangeInclusive<i16> {
    let newest = match ApiKey::from_code(R::API_KEY) {
        Some(ApiKey::Produce | ApiKey::Fetch | ApiKey::Metadata) => 12,
        Some(ApiKey::DeleteTopics) => 5,
        Some(ApiKey::OffsetCommit | ApiKey::OffsetFetch) => 9,
        _ => *R::VERSIONS.end(),
    };
    *R::VERSIONS.start()..=newest.min(*R::VERSIONS.end())
}

impl Connection {
    /// Connects and asks which versions the broker speaks.
    pub fn open(address: &str) -> Result<Connection, ClientError> {
        let failed = |cause| ClientError::Connect {
            address: address.to_string(),
            cause,
        };
        let stream = connect(address).map_err(failed)?;
        let mut connection = Connection {
            address: address.to_string(),
            stream,
            patience: RESPONSE_TIMEOUT,
            offered: BTreeMap::new(),
            next_correlation_id: 0,
            under_way: VecDeque::new(),
        };
        connection.negotiate()?;
        Ok(connection)
    }

    /// Where this connection leads.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Requests whose answers have not been read.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// Waits for this long for an answer from now on.
    pub fn set_patience(&mut self, patience: Duration) -> Result<(), ClientError> {
        self.patience = patience;
        let set = self.stream.set_read_timeout(Some(patience));
        set.map_err(|cause| self.lost(&cause))
    }

    /// Its socket, for somebody who may shut it while an answer is waited for.
    #[must_use]
    pub fn stream(&self) -> Option<TcpStream> {
        self.stream.try_clone().ok()
    }

    fn negotiate(&mut self) -> Result<(), ClientError> {
        let request = ApiVersionsRequest {
            client_software_name: "furlong".into(),
            client_software_version: env!("CARGO_PKG_VERSION").into(),
        };
        self.send_version(&request, API_VERSIONS_VERSION)?;
        let frame = self.receive_frame()?;
        let code = frame
            .get(4..6)
            .map(|code| i16::from_be_bytes([code[0], code[1]]));
        let answer = if code == Some(ErrorCode::UnsupportedVersion.code()) {
            // The broker is older: it answers in version 0, and to version 0.
            self.under_way.clear();
            self.send_version(&request, 0)?;
            self.receive::<ApiVersionsRequest>()?
        } else {
            self.decode::<ApiVersionsRequest>(frame)?
        };
        self.take_offer(&answer)
    }

    fn take_offer(&mut self, answer: &ApiVersionsResponse) -> Result<(), ClientError> {
        if answer.error_code != ErrorCode::None.code() {
            return Err(ClientError::Refused {
                what: format!("asking {} for its versions", self.address),
                code: answer.error_code,
                message: None,
            });
        }
        for api in &answer.api_keys {
            self.offered
                .insert(api.api_key, api.min_version..=api.max_version);
        }
        Ok(())
    }

    /// What the broker speaks: number of the API, first and last version.
    #[must_use]
    pub fn offered(&self) -> Vec<(i16, i16, i16)> {
        let offered = self.offered.iter();
        let plain = offered.map(|(key, versions)| (*key, *versions.start(), *versions.end()));
        plain.collect()
    }

    /// The newest version of `R` that both sides speak.
    pub fn version_of<R: Request>(&self) -> Result<i16, ClientError> {
        let ours = spoken::<R>();
        let theirs = self.offered.get(&R::API_KEY);
        let newest = theirs.map(|theirs| *theirs.end().min(ours.end()));
        match (newest, theirs) {
            (Some(newest), Some(theirs)) if theirs.contains(&newest) && ours.contains(&newest) => {
                Ok(newest)
            }
            _ => {
                let name = ApiKey::from_code(R::API_KEY).map_or("an API", ApiKey::name);
                Err(self.protocol(format!(
                    "the broker offers versions {theirs:?} of {name} and this client speaks \
                     {ours:?}; use a broker that is neither much older nor much newer"
                )))
            }
        }
    }

    /// Sends a request without waiting.
    pub fn send<R: Request>(&mut self, request: &R) -> Result<(), ClientError> {
        let version = self.version_of::<R>()?;
        self.send_version(request, version)?;
        Ok(())
    }

    /// Sends a request to which there is no answer.
    pub fn send_unanswered<R: Request>(&mut self, request: &R) -> Result<(), ClientError> {
        self.send(request)?;
        self.under_way.pop_back();
        Ok(())
    }

    fn send_version<R: Request>(&mut self, request: &R, version: i16) -> Result<(), ClientError> {
        let id = self.next_correlation_id;
        self.next_correlation_id = id.wrapping_add(1);
        let parts = encode_request(id, CLIENT_ID, version, request)
            .map_err(|error| self.protocol(format!("the request cannot be written: {error}")))?;
        write_parts(&mut self.stream, &parts).map_err(|cause| self.lost(&cause))?;
        self.under_way.push_back((id, version));
        Ok(())
    }

    /// Reads the answer to the oldest request under way, which must be an `R`.
    pub fn receive<R: Request>(&mut self) -> Result<R::Response, ClientError> {
        let frame = self.receive_frame()?;
        self.decode::<R>(frame)
    }

    /// Sends a request and waits for its answer; nothing else may be under way.
    pub fn call<R: Request>(&mut self, request: &R) -> Result<R::Response, ClientError> {
        assert!(
            self.under_way.is_empty(),
            "the answer would be that of another request"
        );
        self.send(request)?;
        self.receive::<R>()
    }

    fn decode<R: Request>(&mut self, frame: Bytes) -> Result<R::Response, ClientError> {
        let (id, version) = self.under_way.pop_front().expect("a request is under way");
        let (found, body) = decode_response::<R>(frame, version)
            .map_err(|error| self.protocol(format!("the answer cannot be read: {error}")))?;
        if found != id {
            return Err(self.protocol(format!("the answer has number {found} instead of {id}")));
        }
        Ok(body)
    }

    fn receive_frame(&mut self) -> Result<Bytes, ClientError> {
        let mut length = [0; 4];
        self.stream
            .read_exact(&mut length)
            .map_err(|cause| self.lost(&cause))?;
        let length = i32::from_be_bytes(length);
        let Some(length) = usize::try_from(length)
            .ok()
            .filter(|len| *len <= FRAME_BYTES_MAX)
        else {
            return Err(self.protocol(format!(
                "the answer says it has {length} bytes; this does not look like a Kafka broker"
            )));
        };
        let mut frame = Vec::with_capacity(length.min(RESERVED_UNSEEN_BYTES));
        let bound = u64::try_from(length).expect("a usize of 64 bits");
        let read = (&mut self.stream).take(bound).read_to_end(&mut frame);
        read.map_err(|cause| self.lost(&cause))?;
        if frame.len() < length {
            return Err(self.lost(&io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(Bytes::from(frame))
    }

    fn lost(&self, cause: &io::Error) -> ClientError {
        let cause = match cause.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                format!("no answer within {} seconds", self.patience.as_secs())
            }
            io::ErrorKind::UnexpectedEof => "the broker closed it".to_string(),
            _ => cause.to_string(),
        };
        ClientError::Lost {
            address: self.address.clone(),
            cause,
        }
    }

    fn protocol(&self, sentence: String) -> ClientError {
        ClientError::Protocol {
            address: self.address.clone(),
            sentence,
        }
    }
}

fn connect(address: &str) -> io::Result<TcpStream> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for resolved in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&resolved, CONNECT_TIMEOUT) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(RESPONSE_TIMEOUT))?;
                stream.set_write_timeout(Some(RESPONSE_TIMEOUT))?;
                return Ok(stream);
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Writes all parts, in one system call where the socket takes them.
fn write_parts(stream: &mut TcpStream, parts: &[Bytes]) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
    let mut rest = &mut slices[..];
    while !rest.is_empty() {
        match stream.write_vectored(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut rest, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
